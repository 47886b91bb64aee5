//! From the text of a policy document to a policy that can be asked.

use std::sync::Arc;

use policy::{Clause, Condition, Effect, LanguageVersion, NamedPrincipal, Policy, Quantifier, Statement};

use crate::services::iam::policy_document::{self as written, Use};

/// The policy called `name`. One that cannot be evaluated allows nothing, and denies everything if it was there to deny: it was
/// checked when it was stored, so that this is our own mistake, and must not open anything.
pub fn compile(name: &str, text: &str, kind: Use) -> Arc<Policy> {
    let document = match written::parse(text, kind) {
        Ok(document) => document,
        Err(error) => {
            tracing::error!(policy = name, %error, "a stored policy cannot be read");
            return Arc::new(everything_denied(name));
        }
    };
    let version = match document.version {
        written::LanguageVersion::V2008 => LanguageVersion::V2008,
        written::LanguageVersion::V2012 => LanguageVersion::V2012,
    };
    let statements: Vec<Statement> = document.statements.into_iter().map(statement).collect();
    let denies = statements.iter().any(|statement| statement.effect == Effect::Deny);
    let compiled = Policy::new(name, version, &statements).or_else(|error| {
        tracing::error!(policy = name, %error, "a stored policy cannot be evaluated");
        if denies { Ok(everything_denied(name)) } else { Policy::new(name, version, &[]) }
    });
    Arc::new(compiled.unwrap_or_else(|_| everything_denied(name)))
}

fn everything_denied(name: &str) -> Policy {
    let all = || Clause { negated: false, members: vec!["*".to_owned()] };
    let statement = Statement {
        sid: None,
        effect: Effect::Deny,
        principals: Some(Clause { negated: false, members: vec![NamedPrincipal::Anyone] }),
        actions: all(),
        resources: Some(all()),
        conditions: Vec::new(),
    };
    Policy::new(name, LanguageVersion::V2012, &[statement]).expect("it has no conditions")
}

fn statement(from: written::Statement) -> Statement {
    Statement {
        sid: from.sid,
        effect: match from.effect {
            written::Effect::Allow => Effect::Allow,
            written::Effect::Deny => Effect::Deny,
        },
        principals: from.principals.map(|clause| Clause {
            negated: clause.negated,
            members: clause.members.into_iter().filter_map(principal).collect(),
        }),
        actions: texts(from.actions),
        resources: from.resources.map(texts),
        conditions: from.conditions.into_iter().map(condition).collect(),
    }
}

fn texts(from: written::Clause<String>) -> Clause<String> {
    Clause { negated: from.negated, members: from.members }
}

/// Canonical users are S3's; none of them calls here.
fn principal(from: written::Principal) -> Option<NamedPrincipal> {
    Some(match from {
        written::Principal::Anyone => NamedPrincipal::Anyone,
        written::Principal::Aws(name) => NamedPrincipal::Aws(name),
        written::Principal::Service(name) => NamedPrincipal::Service(name),
        written::Principal::Federated(name) => NamedPrincipal::Federated(name),
        written::Principal::CanonicalUser(_) => return None,
    })
}

fn condition(from: written::Condition) -> Condition {
    Condition {
        quantifier: from.quantifier.map(|quantifier| match quantifier {
            written::Quantifier::AllValues => Quantifier::AllValues,
            written::Quantifier::AnyValue => Quantifier::AnyValue,
        }),
        operator: from.operator.to_owned(),
        if_exists: from.if_exists,
        key: from.key,
        values: from.values,
    }
}
