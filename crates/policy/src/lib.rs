//! Whether a request is allowed: the evaluation logic of IAM, as published.
//!
//! A [`Policy`] is compiled once from the statements of a document; [`decide`] holds a [`Request`] against every policy that
//! has a say in it ([`Policies`]) and answers with a [`Decision`] that names the statement which decided, or the kind of
//! policy that was silent. The rules, in the order in which they count:
//!
//! 1. A statement that denies, in any policy, wins.
//! 2. The account's root may do everything in its account.
//! 3. Within an account an allowance by an identity policy or by the resource's policy is enough; across accounts both are needed.
//! 4. A permissions boundary and a session policy limit what identity policies allow, and what a resource's policy allows to a role;
//!    what it allows to the session or the user by name they do not limit.
//!
//! Source: "Policy evaluation logic" and "IAM JSON policy elements" of the IAM user guide.
//!
//! Not here: parsing JSON, finding the policies of a principal, which action and resource an operation has, reading a clock.

mod compile;
mod condition;
mod context;
mod decide;
mod document;
mod pattern;
mod principal;
mod scalar;

pub use compile::{InvalidStatement, Policy};
pub use context::Context;
pub use decide::{By, Decision, Kind, Policies, Request, Source, Verdict, decide, statements};
pub use document::{Clause, Condition, Effect, LanguageVersion, NamedPrincipal, Quantifier, Statement};
pub use principal::{Caller, Principal};

#[cfg(test)]
mod tests;
