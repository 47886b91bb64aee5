//! Real traffic through real namespaces. Each test makes a namespace of its own to be "the host", so that the
//! machine's network is not touched, and another to be "outside". They need root and send nothing off the machine.
//!
//! A connection that should be refused is waited for briefly, one that should work for long: a slow machine can
//! only make a test less sharp, not fail. Every refusal stands beside a success over the same path.

mod bridge;
mod lifecycle;
mod pool;
mod probe;
mod public;
mod rules;
mod ruleset;
mod sockets;
mod sources;
mod spoofing;
mod world;
