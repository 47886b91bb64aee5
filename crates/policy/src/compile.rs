//! Policies ready for use: patterns taken apart, values read.

use crate::{
    Clause, Context, Effect, LanguageVersion, NamedPrincipal, Statement as Written,
    condition::Condition,
    pattern::{self, Case, Pattern},
};

/// A compiled policy, and by what name a decision shall tell of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) principals: Option<Clause<NamedPrincipal>>,
    /// What stands before the colon of its actions, in lower case; none where one of them may be of any service.
    vendors: Option<Vec<String>>,
    actions: Clause<Pattern>,
    resources: Option<Clause<Pattern>>,
    conditions: Vec<Condition>,
}

/// A statement that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("statement {number}: {reason}")]
pub struct InvalidStatement {
    /// From 1.
    pub number: usize,
    pub reason: String,
}

impl Policy {
    /// Compiles the statements of a document. `name`: an ARN, or what an inline policy is called.
    ///
    /// # Errors
    /// When a condition has an operator that is none, or a value that its operator cannot compare.
    pub fn new(
        name: impl Into<String>,
        version: LanguageVersion,
        statements: &[Written],
    ) -> Result<Policy, InvalidStatement> {
        let statements = statements.iter().enumerate().map(|(index, written)| {
            Statement::compile(written, version)
                .map_err(|reason| InvalidStatement { number: index + 1, reason })
        });
        Ok(Policy { name: name.into(), statements: statements.collect::<Result<_, _>>()? })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Statement {
    fn compile(written: &Written, version: LanguageVersion) -> Result<Statement, String> {
        let conditions = written.conditions.iter().map(|condition| Condition::compile(condition, version));
        Ok(Statement {
            sid: written.sid.clone(),
            effect: written.effect,
            principals: written.principals.clone(),
            vendors: vendors(&written.actions),
            // Actions have no variables.
            actions: Clause {
                negated: written.actions.negated,
                members: (written.actions.members.iter())
                    .map(|text| Pattern::glob(text, LanguageVersion::V2008))
                    .collect(),
            },
            resources: written.resources.as_ref().map(|clause| Clause {
                negated: clause.negated,
                members: (clause.members.iter())
                    .map(|text| Pattern::glob(&pattern::completed(text), version))
                    .collect(),
            }),
            conditions: conditions.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the statement speaks of the action's service at all. Told by a short comparison, since of the statements that
    /// a principal has most speak of other services.
    fn may_be_of(&self, action: &str) -> bool {
        let Some(vendors) = &self.vendors else { return true };
        let vendor = action.split(':').next().unwrap_or_default();
        vendors.iter().any(|known| known.eq_ignore_ascii_case(vendor))
    }

    /// Whether action, resource and conditions fit; of the principal the caller has to judge.
    pub(crate) fn fits(&self, action: &str, resource: &str, context: &Context) -> bool {
        let in_clause = |clause: &Clause<Pattern>, text: &str, case: Case| {
            clause.members.iter().any(|pattern| pattern.matches(text, context, case)) != clause.negated
        };
        self.may_be_of(action)
            && in_clause(&self.actions, action, Case::Insensitive)
            && self.resources.as_ref().is_none_or(|clause| in_clause(clause, resource, Case::Sensitive))
            && self.conditions.iter().all(|condition| condition.holds(context))
    }
}

fn vendors(actions: &Clause<String>) -> Option<Vec<String>> {
    if actions.negated {
        return None;
    }
    let mut vendors: Vec<String> = Vec::new();
    for action in &actions.members {
        let (vendor, _) = action.split_once(':')?;
        if vendor.contains(['*', '?']) {
            return None;
        }
        let vendor = vendor.to_ascii_lowercase();
        if !vendors.contains(&vendor) {
            vendors.push(vendor);
        }
    }
    Some(vendors)
}
