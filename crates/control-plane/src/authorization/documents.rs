//! From the text of a policy document to a policy that can be asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use policy::{Clause, Effect, LanguageVersion, NamedPrincipal, Policy, Statement};

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
    let denies = document.statements.iter().any(|statement| statement.effect == Effect::Deny);
    let compiled = Policy::new(name, document.version, &document.statements).or_else(|error| {
        tracing::error!(policy = name, %error, "a stored policy cannot be evaluated");
        if denies { Ok(everything_denied(name)) } else { Policy::new(name, document.version, &[]) }
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

/// Texts that are remembered; one of a resource has 20 KiB at most.
const MOST: usize = 1024;

/// Policies of resources that were compiled lately, by their text: the same text means the same, whoever has it.
#[derive(Default)]
pub struct Compiled(Mutex<HashMap<(String, String), Arc<Policy>>>);

impl Compiled {
    /// As [`compile`] makes it for [`Use::Resource`].
    pub fn of_resource(&self, name: &str, text: &str) -> Arc<Policy> {
        let key = (name.to_owned(), text.to_owned());
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let policy = compile(name, text, Use::Resource);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, Arc::clone(&policy));
        policy
    }
}
