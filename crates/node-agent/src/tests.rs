//! The agent against a pretended machine and control plane, on paused time.

pub(crate) mod fixtures;
