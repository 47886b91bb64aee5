//! Policy documents: from text to statements, or to what is wrong with them.
//!
//! Pure: nothing here knows who asks or what is stored. The grammar is that of IAM's policy language; which elements a
//! document may have depends on what it is [for](Use). Whether a document allows something is decided elsewhere. The texts of
//! the refusals are IAM's.

mod conditions;
mod resources;

#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use policy::{Clause, Condition, Effect, LanguageVersion, NamedPrincipal, Quantifier, Statement};
use serde_json::{Map, Value};

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A managed policy: only of the present version of the language.
    Managed,
    /// A policy embedded in a user, a group or a role, or passed with a session.
    Inline,
    /// Who may assume a role: with principals, without resources.
    Trust,
    /// The policy of a resource, such as a key or a repository: with principals; where resources are not named, it is about the
    /// resource that has it.
    Resource,
}

/// A document that keeps the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    pub version: LanguageVersion,
    pub id: Option<String>,
    /// At least one.
    pub statements: Vec<Statement>,
}

/// Why a text is not a policy document, in IAM's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Parses and checks a document.
///
/// # Errors
/// [`Malformed`], in the order in which IAM looks.
pub fn parse(text: &str, kind: Use) -> Result<PolicyDocument, Malformed> {
    let json: Value = serde_json::from_str(text).map_err(|_| match kind {
        Use::Trust => malformed("This policy contains invalid Json"),
        Use::Managed | Use::Inline | Use::Resource => syntax(),
    })?;
    let document = json.as_object().ok_or_else(syntax)?;
    known_members(document, &["Version", "Id", "Statement"])?;
    let version = match document.get("Version").map(Value::as_str) {
        None => None,
        Some(Some("2008-10-17")) => Some(LanguageVersion::V2008),
        Some(Some("2012-10-17")) => Some(LanguageVersion::V2012),
        Some(_) => return Err(syntax()),
    };
    let id = optional_text(document, "Id")?;
    let statements = statements(document)?;
    if kind == Use::Managed && version != Some(LanguageVersion::V2012) {
        return Err(malformed("Policy document must be version 2012-10-17 or greater."));
    }
    let version = version.unwrap_or(LanguageVersion::V2008);
    legacy(&statements)?;
    resources::check(&statements)?;
    let mut sids = BTreeSet::new();
    let sid = |statement: &&Raw| statement.sid.clone().filter(|sid| !sid.is_empty());
    if !statements.iter().collect::<Vec<_>>().iter().filter_map(sid).all(|sid| sids.insert(sid)) {
        return Err(malformed("Statement IDs (SID) in a single policy must be unique."));
    }
    let statements: Vec<Statement> =
        statements.into_iter().map(|raw| raw.checked(kind)).collect::<Result<_, _>>()?;
    // A value that its operator cannot compare: better refused here than found when somebody asks.
    policy::Policy::new("", version, &statements).map_err(|_| syntax())?;
    Ok(PolicyDocument { version, id, statements })
}

/// A statement whose syntax is right, and no more.
struct Raw {
    sid: Option<String>,
    /// As written: only `Allow` and `Deny` pass in the end.
    effect: String,
    principals: Option<Clause<NamedPrincipal>>,
    actions: Option<Clause<String>>,
    resources: Option<Clause<String>>,
    conditions: Vec<Condition>,
}

fn statements(document: &Map<String, Value>) -> Result<Vec<Raw>, Malformed> {
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return Err(syntax()),
    };
    if statements.is_empty() {
        return Err(syntax());
    }
    statements.into_iter().map(statement).collect()
}

fn statement(json: &Value) -> Result<Raw, Malformed> {
    let json = json.as_object().ok_or_else(syntax)?;
    known_members(
        json,
        &[
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ],
    )?;
    let effect = json.get("Effect").and_then(Value::as_str).ok_or_else(syntax)?;
    if !["allow", "deny"].contains(&effect.to_ascii_lowercase().as_str()) {
        return Err(syntax());
    }
    Ok(Raw {
        sid: optional_text(json, "Sid")?,
        effect: effect.to_owned(),
        principals: clause(json, "Principal", principals)?,
        actions: clause(json, "Action", texts)?,
        resources: clause(json, "Resource", texts_and_nulls)?,
        conditions: match json.get("Condition") {
            None => Vec::new(),
            Some(conditions) => conditions::parse(conditions)?,
        },
    })
}

/// `NAME` or `NotNAME`, but not both.
fn clause<T>(
    json: &Map<String, Value>,
    name: &str,
    members: impl Fn(&Value) -> Result<Vec<T>, Malformed>,
) -> Result<Option<Clause<T>>, Malformed> {
    match (json.get(name), json.get(&format!("Not{name}"))) {
        (Some(_), Some(_)) => Err(syntax()),
        (Some(value), None) => Ok(Some(Clause { negated: false, members: members(value)? })),
        (None, Some(value)) => Ok(Some(Clause { negated: true, members: members(value)? })),
        (None, None) => Ok(None),
    }
}

fn principals(json: &Value) -> Result<Vec<NamedPrincipal>, Malformed> {
    let kinds = match json {
        Value::String(text) if text == "*" => return Ok(vec![NamedPrincipal::Anyone]),
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(syntax()),
    };
    let mut principals = Vec::new();
    for (kind, names) in kinds {
        let make = match kind.as_str() {
            "AWS" => NamedPrincipal::Aws,
            "Service" => NamedPrincipal::Service,
            "Federated" => NamedPrincipal::Federated,
            "CanonicalUser" => NamedPrincipal::CanonicalUser,
            _ => return Err(syntax()),
        };
        principals.extend(texts(names)?.into_iter().map(make));
    }
    Ok(principals)
}

/// A text or a list of texts.
fn texts(json: &Value) -> Result<Vec<String>, Malformed> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(syntax);
    match json {
        Value::Array(values) => values.iter().map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}

/// As [`texts`]; IAM overlooks a `null` among resources.
fn texts_and_nulls(json: &Value) -> Result<Vec<String>, Malformed> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(syntax);
    match json {
        Value::Array(values) => values.iter().filter(|value| !value.is_null()).map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}

/// What an older parser of IAM's refuses.
fn legacy(statements: &[Raw]) -> Result<(), Malformed> {
    for statement in statements {
        let exact = ["Allow", "Deny"].contains(&statement.effect.as_str());
        let dates = statement.conditions.iter().filter(|condition| condition.operator.starts_with("Date"));
        if !exact || !dates.flat_map(|condition| &condition.values).all(|value| conditions::is_date(value)) {
            return Err(failed_legacy());
        }
    }
    Ok(())
}

impl Raw {
    /// The checks that depend on what the document is for.
    fn checked(self, kind: Use) -> Result<Statement, Malformed> {
        let actions = self.actions.filter(|actions| !actions.members.is_empty());
        let actions = actions.ok_or_else(|| malformed("Policy statement must contain actions."))?;
        for action in &actions.members {
            check_action(action)?;
        }
        let resources = self.resources.filter(|resources| !resources.members.is_empty());
        match kind {
            Use::Trust => {
                if resources.is_some() {
                    return Err(malformed("Has prohibited field Resource"));
                }
                if self.principals.as_ref().is_none_or(|principals| principals.members.is_empty()) {
                    return Err(malformed("Missing required field Principal"));
                }
                if !actions.members.iter().all(|action| action.to_ascii_lowercase().starts_with("sts:")) {
                    return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
                }
            }
            Use::Resource => {
                if self.principals.as_ref().is_none_or(|principals| principals.members.is_empty()) {
                    return Err(malformed("Missing required field Principal"));
                }
            }
            Use::Managed | Use::Inline => {
                if self.principals.is_some() {
                    return Err(malformed("Policy document should not specify a principal."));
                }
                if resources.is_none() {
                    return Err(malformed("Policy statement must contain resources."));
                }
            }
        }
        let effect = if self.effect == "Allow" { Effect::Allow } else { Effect::Deny };
        let Raw { sid, principals, conditions, .. } = self;
        Ok(Statement { sid, effect, principals, actions, resources, conditions })
    }
}

/// `*` or `VENDOR:ACTION`.
fn check_action(action: &str) -> Result<(), Malformed> {
    let mut parts = action.split(':');
    let vendor = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        _ if action == "*" => return Ok(()),
        (None, _) => {
            return Err(malformed(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        }
        (Some(_), Some(_)) => return Err(malformed("Actions/Condition can contain only one colon.")),
        (Some(_), None) => {}
    }
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-.".contains(character);
    if vendor != "*" && !vendor.chars().all(allowed) {
        return Err(malformed(format!("Vendor {vendor} is not valid")));
    }
    Ok(())
}

fn known_members(json: &Map<String, Value>, known: &[&str]) -> Result<(), Malformed> {
    if json.keys().all(|name| known.contains(&name.as_str())) { Ok(()) } else { Err(syntax()) }
}

fn optional_text(json: &Map<String, Value>, name: &str) -> Result<Option<String>, Malformed> {
    match json.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(syntax()),
    }
}

fn malformed(text: impl Into<String>) -> Malformed {
    Malformed(text.into())
}

fn syntax() -> Malformed {
    malformed("Syntax errors in policy.")
}

fn failed_legacy() -> Malformed {
    malformed("The policy failed legacy parsing")
}
