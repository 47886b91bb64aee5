//! Which target a request goes to: the rules of load balancers, the choice of targets, and what makes a target healthy.
//!
//! `config` is all that a node is told about its load balancers, and `report` what it says back. The rest decides by them and nothing
//! else: the time, randomness and the numbers of requests in flight are passed in, no socket is known here.

pub mod choose;
pub mod config;
pub mod health;
pub mod pattern;
pub mod redirect;
pub mod report;
pub mod rules;
pub mod sticky;

#[cfg(test)]
mod tests;
