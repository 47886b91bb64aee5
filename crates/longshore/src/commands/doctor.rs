//! `longshore doctor`: what this machine lacks, and what to do about it.

use std::process::ExitCode;

pub fn run() -> anyhow::Result<ExitCode> {
    anyhow::bail!("not written yet")
}
