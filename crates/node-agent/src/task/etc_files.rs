//! The files that every container gets of its own: `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname`.

use std::{fmt::Write, net::Ipv4Addr};

use agent_protocol::spec::{ContainerSpec, NetworkMode, TaskSpec};
use container_runtime::EtcFiles;
use host_network::RESOLVER_ADDRESS;

/// Those of one container. In `host` mode the machine's own files are used, unless the definition says otherwise.
pub(crate) fn etc_files(task: &TaskSpec, container: &ContainerSpec, bridged: Option<Ipv4Addr>) -> EtcFiles {
    let host_file = |path| match task.network_mode {
        NetworkMode::Host => std::fs::read_to_string(path).ok(),
        _ => None,
    };
    EtcFiles {
        hosts: Some(host_file("/etc/hosts").unwrap_or_else(|| hosts(task, container, bridged))),
        resolv_conf: Some(host_file("/etc/resolv.conf").unwrap_or_else(|| resolv_conf(task, container))),
        hostname: hostname(task, container).map(|name| format!("{name}\n")),
    }
}

/// The definition's, or the interface's private DNS name as on FARGATE. `None` in `host` mode: the machine's.
pub(crate) fn hostname(task: &TaskSpec, container: &ContainerSpec) -> Option<String> {
    let of_interface = || task.network_interface.as_ref().map(|interface| interface.private_dns_name.clone());
    let of_container = || match task.network_mode {
        NetworkMode::Host => None,
        // Docker's habit for containers without a name: their id.
        _ => Some(container.runtime_id.chars().take(12).collect()),
    };
    container.hostname.clone().or_else(of_interface).or_else(of_container)
}

fn hosts(task: &TaskSpec, container: &ContainerSpec, bridged: Option<Ipv4Addr>) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    let address = task.network_interface.as_ref().map(|interface| interface.private_address).or(bridged);
    if let (Some(address), Some(name)) = (address, hostname(task, container)) {
        line(&mut text, &format!("{address} {name}"));
    }
    for host in &container.extra_hosts {
        line(&mut text, &format!("{} {}", host.ip_address, host.hostname));
    }
    text
}

fn resolv_conf(task: &TaskSpec, container: &ContainerSpec) -> String {
    let interface = task.network_interface.as_ref();
    let mut text = String::new();
    let domains = match (container.dns_search_domains.as_slice(), interface) {
        ([], Some(interface)) => interface.dns_search_domains.as_slice(),
        (domains, _) => domains,
    };
    if !domains.is_empty() {
        line(&mut text, &format!("search {}", domains.join(" ")));
    }
    match (container.dns_servers.as_slice(), interface) {
        ([], Some(interface)) => {
            interface.dns_servers.iter().for_each(|server| line(&mut text, &format!("nameserver {server}")));
        }
        ([], None) if task.network_mode == NetworkMode::Bridge => {
            line(&mut text, &format!("nameserver {RESOLVER_ADDRESS}"));
        }
        (servers, _) => servers.iter().for_each(|server| line(&mut text, &format!("nameserver {server}"))),
    }
    text
}

fn line(text: &mut String, line: &str) {
    // What a definition says must not become further lines.
    let one: String = line.chars().filter(|character| !character.is_control()).collect();
    writeln!(text, "{one}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use agent_protocol::spec::ExtraHost;

    use super::*;
    use crate::tests::fixtures::{container_spec, task_spec};

    #[test]
    fn a_task_is_named_after_its_interface() {
        let task = task_spec(vec![container_spec("app")]);
        let files = etc_files(&task, &task.containers[0], None);
        assert_eq!(
            files.hosts.unwrap(),
            "127.0.0.1 localhost\n172.31.0.10 ip-172-31-0-10.us-east-1.compute.internal\n"
        );
        assert_eq!(files.resolv_conf.unwrap(), "search us-east-1.compute.internal\nnameserver 172.31.0.2\n");
        assert_eq!(files.hostname.unwrap(), "ip-172-31-0-10.us-east-1.compute.internal\n");
    }

    #[test]
    fn a_definition_may_say_otherwise_but_only_in_one_line() {
        let container = ContainerSpec {
            hostname: Some("web".into()),
            dns_servers: vec!["10.0.0.53".into()],
            dns_search_domains: vec!["corp".into()],
            extra_hosts: vec![ExtraHost {
                hostname: "db\n6.6.6.6 evil".into(),
                ip_address: "10.0.0.9".into(),
            }],
            ..container_spec("app")
        };
        let task = task_spec(vec![container]);
        let files = etc_files(&task, &task.containers[0], None);
        assert_eq!(files.hosts.unwrap().lines().last(), Some("10.0.0.9 db6.6.6.6 evil"));
        assert_eq!(files.resolv_conf.unwrap(), "search corp\nnameserver 10.0.0.53\n");
        assert_eq!(files.hostname.unwrap(), "web\n");
    }
}
