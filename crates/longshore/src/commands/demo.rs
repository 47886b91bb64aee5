use std::process::ExitCode;
use crate::cli::DemoArgs;

pub fn run(_: &DemoArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not written yet")
}
