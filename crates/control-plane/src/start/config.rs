//! What an operator decides, and the names that follow from it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use addressing::{Cidr, DEFAULT_PUBLIC_RANGE};
use vocabulary::{AccountId, Region};

use crate::doors::CertificateFiles;

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// `host:port` for repository URIs; `localhost:PORT` when none is given.
    pub public_name: Option<String>,
    /// Hold the strict rule on loopback too. On any other address it holds anyway.
    pub strict: bool,
    /// The front door's certificate where it is strict; one of the platform's own when none is given.
    pub certificate: Option<CertificateFiles>,
    /// Further names and addresses that a certificate of the platform's own is for.
    pub certificate_names: Vec<String>,
    /// Where tasks and the agent of this machine will reach the platform, as soon as that door is opened.
    pub task_address: Option<IpAddr>,
    pub account: AccountId,
    pub region: Region,
    pub public_pool: Cidr,
    pub store: StoreChoice,
    /// Where images, logs and, with the embedded store, all state lie.
    pub data_dir: PathBuf,
    /// The file of the root key; one in the data directory when none is named. Servers on one store share a root key.
    pub root_key: Option<PathBuf>,
    /// Accounts beside `account` whose root is to have a key at a strict door.
    pub root_accounts: Vec<AccountId>,
    /// Keep nothing beyond this run: logs and state stay in memory.
    pub ephemeral: bool,
    /// Ranges that the machine routes itself.
    pub host_ranges: Vec<Cidr>,
    /// How long nothing may happen in a session before it ends.
    pub session_idle_timeout: Duration,
    /// How long the credentials of a task's role hold; on AWS, six hours.
    pub task_credentials_lifetime: Duration,
}

impl Config {
    /// What `longshore up` decides where it is told nothing, on a port of its own and for this process alone.
    pub fn local(region: Region, data_dir: PathBuf) -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_name: None,
            strict: false,
            certificate: None,
            certificate_names: Vec::new(),
            task_address: None,
            account: AccountId::local(),
            region,
            public_pool: DEFAULT_PUBLIC_RANGE,
            store: StoreChoice::Sqlite,
            data_dir,
            root_key: None,
            root_accounts: Vec::new(),
            ephemeral: false,
            host_ranges: Vec::new(),
            session_idle_timeout: Duration::from_secs(1200),
            task_credentials_lifetime: Duration::from_secs(21_600),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    Sqlite,
    /// Endpoints, `http://host:port`.
    Etcd(Vec<String>),
}

/// A door for the agents of other machines.
#[derive(Debug, Clone)]
pub struct AgentDoor {
    pub address: SocketAddr,
    /// Whether it has TLS.
    pub encrypted: bool,
    /// Further names and addresses that it is reached by.
    pub names: Vec<String>,
}

/// `host:port` by which clients reach the door: what they were told, or what the address suggests.
pub(super) fn public_name(given: Option<String>, listen: SocketAddr) -> String {
    let port = listen.port();
    match given {
        Some(name) if has_port(&name) => name,
        Some(name) => format!("{name}:{port}"),
        None if listen.ip().is_loopback() => format!("localhost:{port}"),
        None if listen.ip().is_unspecified() => format!("{}:{port}", host_name()),
        None => listen.to_string(),
    }
}

fn has_port(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}

/// The names and addresses that a certificate of our own is for, each once.
pub(super) fn certified_names(public_name: &str, listen: SocketAddr, more: Vec<String>) -> Vec<String> {
    let host = public_name.rsplit_once(':').map_or(public_name, |(host, _)| host);
    let mut names = vec![host.trim_start_matches('[').trim_end_matches(']').to_owned()];
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.extend(more);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::{certified_names, public_name};

    #[test]
    fn the_outside_name_follows_from_the_address() {
        let of = |given: Option<&str>, listen: &str| {
            public_name(given.map(str::to_owned), listen.parse().unwrap())
        };
        assert_eq!(of(None, "127.0.0.1:4566"), "localhost:4566");
        assert_eq!(of(None, "192.0.2.7:4566"), "192.0.2.7:4566");
        assert_eq!(of(None, "[2001:db8::7]:4566"), "[2001:db8::7]:4566");
        assert_eq!(of(Some("door.example"), "0.0.0.0:4566"), "door.example:4566");
        assert_eq!(of(Some("door.example:443"), "0.0.0.0:4566"), "door.example:443");
        assert_eq!(
            certified_names(
                "[2001:db8::7]:4566",
                "[2001:db8::7]:4566".parse().unwrap(),
                vec!["localhost".to_owned()]
            ),
            ["2001:db8::7", "localhost", "127.0.0.1", "::1"]
        );
    }
}
