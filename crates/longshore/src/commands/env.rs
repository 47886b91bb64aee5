//! `longshore env`: what a shell evaluates so that its AWS clients talk to this platform.
//!
//! `AWS_ENDPOINT_URL` is all that current SDKs and CLIs need. The AWS CLI learned to read it in 1.29 and 2.13; for an older one
//! on the PATH the output wraps it in a shell function of the same name that passes `--endpoint-url`.

use std::{
    process::{Command, ExitCode},
    str::FromStr,
};

use crate::cli::EnvArgs;

pub fn run(args: &EnvArgs) -> anyhow::Result<ExitCode> {
    print!("{}", exports(args));
    if installed_cli().is_some_and(|version| !version.reads_endpoint_from_environment()) {
        print!("{WRAPPER}");
    }
    println!("# Evaluate this: eval \"$(longshore env)\"");
    Ok(ExitCode::SUCCESS)
}

/// The variables. A 12-digit access key names the account; the secret is not looked at for keys that were not issued here.
pub fn variables(args: &EnvArgs) -> [(&'static str, String); 6] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{}", args.listen)),
        ("AWS_ACCESS_KEY_ID", args.account.to_string()),
        ("AWS_SECRET_ACCESS_KEY", "longshore".to_owned()),
        ("AWS_DEFAULT_REGION", args.region.to_string()),
        ("AWS_REGION", args.region.to_string()),
        ("AWS_PAGER", String::new()),
    ]
}

fn exports(args: &EnvArgs) -> String {
    let mut text: String = variables(args).map(|(name, value)| format!("export {name}={value}\n")).concat();
    // Left over from another session they would be sent along, or win.
    text.push_str("unset AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_PROFILE\n");
    text
}

const WRAPPER: &str = "\
# The installed AWS CLI does not read AWS_ENDPOINT_URL yet (1.29 and 2.13 do).
aws() { command aws ${AWS_ENDPOINT_URL:+--endpoint-url \"$AWS_ENDPOINT_URL\"} \"$@\"; }
if [ -n \"${BASH_VERSION:-}\" ]; then export -f aws; fi
";

/// Major and minor version of an AWS CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CliVersion(u32, u32);

impl CliVersion {
    fn reads_endpoint_from_environment(self) -> bool {
        if self.0 >= 2 { self >= CliVersion(2, 13) } else { self >= CliVersion(1, 29) }
    }
}

impl FromStr for CliVersion {
    type Err = ();

    /// Of `aws-cli/2.9.19 Python/3.11.2 …`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let version =
            text.strip_prefix("aws-cli/").and_then(|rest| rest.split_whitespace().next()).ok_or(())?;
        let mut numbers = version.split('.').map(|number| number.parse::<u32>());
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(CliVersion(major, minor)),
            _ => Err(()),
        }
    }
}

fn installed_cli() -> Option<CliVersion> {
    let output = Command::new("aws").arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::CliVersion;

    #[test]
    fn versions_tell_whether_the_environment_is_read() {
        for (text, reads) in [
            ("aws-cli/2.9.19 Python/3.11.2 Linux/6.1", false),
            ("aws-cli/2.13.0 Python/3.11.2", true),
            ("aws-cli/2.31.5 Python/3.13", true),
            ("aws-cli/1.28.9 Python/3.8", false),
            ("aws-cli/1.45.11 Python/3.11.7", true),
        ] {
            assert_eq!(
                text.parse::<CliVersion>().unwrap().reads_endpoint_from_environment(),
                reads,
                "{text}"
            );
        }
        assert!("something else".parse::<CliVersion>().is_err());
    }
}
