use crate::cli::DemoArgs;
use std::process::ExitCode;

pub fn run(_: &DemoArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not written yet")
}
