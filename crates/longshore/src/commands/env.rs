//! `longshore env`: what a shell evaluates so that its AWS clients talk to this platform.
//!
//! `AWS_ENDPOINT_URL` is all that current SDKs and CLIs need. The AWS CLI learned to read it in 1.29 and 2.13; for an older one
//! on the PATH the output wraps it in a shell function of the same name that passes `--endpoint-url`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Command, ExitCode},
    str::FromStr,
};

use anyhow::bail;
use vocabulary::AccountId;

use super::entry::Entry;
use crate::cli::EnvArgs;

/// Where an open front door listens unless told otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4566);

pub fn run(args: &EnvArgs) -> anyhow::Result<ExitCode> {
    // A door that is named is an open one.
    let entry = if args.listen.is_none() { Entry::read()? } else { None };
    match entry {
        Some(entry) => print!("{}", exports(&of_strict_door(&entry, args)?)),
        None => print!("{}", exports(&variables(args))),
    }
    if installed_cli().is_some_and(|version| !version.reads_endpoint_from_environment()) {
        print!("{WRAPPER}");
    }
    println!("# Evaluate this: eval \"$(longshore env)\"");
    Ok(ExitCode::SUCCESS)
}

/// The variables. A 12-digit access key names the account; the secret is not looked at for keys that were not issued here.
pub fn variables(args: &EnvArgs) -> [(&'static str, String); 6] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{}", args.listen.unwrap_or(DEFAULT))),
        ("AWS_ACCESS_KEY_ID", args.account.to_string()),
        ("AWS_SECRET_ACCESS_KEY", "longshore".to_owned()),
        ("AWS_DEFAULT_REGION", args.region.to_string()),
        ("AWS_REGION", args.region.to_string()),
        ("AWS_PAGER", String::new()),
    ]
}

/// The variables for the strict door of this machine's platform.
fn of_strict_door(entry: &Entry, args: &EnvArgs) -> anyhow::Result<Vec<(&'static str, String)>> {
    let wanted = args.account.as_str();
    let other = entry.others.iter().find(|other| other.account == wanted);
    if other.is_none() && wanted != entry.account && args.account != AccountId::local() {
        bail!(
            "account {wanted} has no key here: start the platform with --root-account {wanted}, or assume a role of it"
        );
    }
    let own = entry.access_key.as_ref().zip(entry.secret.as_ref());
    let Some((key, secret)) = other.map(|other| (&other.access_key, &other.secret)).or(own) else {
        bail!(
            "every key of the account's root is switched off: use a user's own, or delete the root's and start the platform anew"
        );
    };
    let mut all = vec![
        ("AWS_ENDPOINT_URL", entry.endpoint.clone()),
        ("AWS_ACCESS_KEY_ID", key.clone()),
        ("AWS_SECRET_ACCESS_KEY", secret.clone()),
        ("AWS_DEFAULT_REGION", entry.region.clone()),
        ("AWS_REGION", entry.region.clone()),
        ("AWS_PAGER", String::new()),
    ];
    all.extend(entry.authority.clone().map(|path| ("AWS_CA_BUNDLE", path)));
    Ok(all)
}

fn exports(variables: &[(&'static str, String)]) -> String {
    let mut text: String = variables.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
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
