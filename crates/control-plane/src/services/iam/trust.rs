//! Whether a trust policy lets somebody assume its role.
//!
//! A statement counts when its principal, its action and all of its conditions fit. One that denies wins over any that
//! allows. A condition of an operator or a key that is not known here never lets anybody in: it does not fit in an allowing
//! statement, and does in a denying one.

#[cfg(test)]
mod tests;

use super::policy_document::{Condition, Effect, PolicyDocument, Principal, Quantifier, Statement};

/// Who wants to assume the role.
#[derive(Debug, Clone)]
pub enum Assumer<'a> {
    /// A principal of an account.
    Aws {
        account: &'a str,
        /// As `GetCallerIdentity` tells it.
        arn: &'a str,
        /// Of a session: the ARN of its role.
        role_arn: Option<&'a str>,
    },
    /// `ecs-tasks.amazonaws.com`
    Service(&'a str),
}

/// What is asked, and under which circumstances: condition keys and values. Keys that are absent have no value.
#[derive(Debug)]
pub struct Question<'a> {
    pub action: &'a str,
    pub assumer: Assumer<'a>,
    pub context: &'a [(&'a str, &'a str)],
}

/// Whether `document` allows what `question` asks.
pub fn allows(document: &PolicyDocument, question: &Question<'_>) -> bool {
    let applies = |effect: Effect| {
        document
            .statements
            .iter()
            .any(|statement| statement.effect == effect && fits(statement, question, effect == Effect::Deny))
    };
    applies(Effect::Allow) && !applies(Effect::Deny)
}

fn fits(statement: &Statement, question: &Question<'_>, when_unknown: bool) -> bool {
    let Some(principals) = &statement.principals else { return false };
    let named = principals.members.iter().any(|principal| is(principal, &question.assumer));
    let action = statement
        .actions
        .members
        .iter()
        .any(|pattern| like(&pattern.to_ascii_lowercase(), &question.action.to_ascii_lowercase()));
    named != principals.negated
        && action != statement.actions.negated
        && statement
            .conditions
            .iter()
            .all(|condition| holds(condition, question.context).unwrap_or(when_unknown))
}

fn is(principal: &Principal, assumer: &Assumer<'_>) -> bool {
    match (principal, assumer) {
        (Principal::Anyone, _) => true,
        (Principal::Service(name), Assumer::Service(service)) => name == service,
        (Principal::Aws(name), Assumer::Aws { account, arn, role_arn }) => {
            name == "*"
                || name == account
                || name == arn
                || role_arn.is_some_and(|role| name == role)
                || name.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root"))
                    == Some(account)
        }
        _ => false,
    }
}

/// None: not known.
fn holds(condition: &Condition, context: &[(&str, &str)]) -> Option<bool> {
    let values: Vec<&str> = context
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(&condition.key))
        .map(|(_, value)| *value)
        .collect();
    if condition.operator == "Null" {
        let absent = condition.values.iter().any(|value| value.eq_ignore_ascii_case("true"));
        return Some(values.is_empty() == absent);
    }
    let (compare, negated) = comparison(condition.operator)?;
    if values.is_empty() {
        // A negated comparison with nothing is true, and so is one that asks only of what exists.
        let vacuous = condition.if_exists || condition.quantifier == Some(Quantifier::AllValues);
        return Some(vacuous || (negated && condition.quantifier.is_none()));
    }
    let one = |value: &str| condition.values.iter().any(|wanted| compare(wanted, value)) != negated;
    Some(match condition.quantifier {
        Some(Quantifier::AnyValue) => values.into_iter().any(one),
        Some(Quantifier::AllValues) | None => values.into_iter().all(one),
    })
}

type Compare = fn(&str, &str) -> bool;

/// The comparison of a wanted with a found value, and whether it is turned around.
fn comparison(operator: &str) -> Option<(Compare, bool)> {
    let ignoring_case: Compare = |wanted, found| wanted.eq_ignore_ascii_case(found);
    let exact: Compare = |wanted, found| wanted == found;
    Some(match operator {
        "StringEquals" => (exact, false),
        "StringNotEquals" => (exact, true),
        "StringEqualsIgnoreCase" | "Bool" => (ignoring_case, false),
        "StringNotEqualsIgnoreCase" => (ignoring_case, true),
        "StringLike" => (like, false),
        "StringNotLike" => (like, true),
        "ArnEquals" | "ArnLike" => (arn_like, false),
        "ArnNotEquals" | "ArnNotLike" => (arn_like, true),
        _ => return None,
    })
}

/// Part by part, so that a `*` does not reach over a colon, but for the resource.
fn arn_like(pattern: &str, text: &str) -> bool {
    let (wanted, found): (Vec<_>, Vec<_>) = (pattern.splitn(6, ':').collect(), text.splitn(6, ':').collect());
    wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| like(wanted, found))
}

/// `*` stands for any characters, `?` for one. Linear in the text for each star.
pub fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the text it covers.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((position, covered)) = star else { return false };
                star = Some((position, covered + 1));
                at = position + 1;
                seen = covered + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}
