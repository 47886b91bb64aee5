//! Beginning, restart, convergence and end.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::world::{World, allowing, at, eni, inside, on_a_host, reaches, refused, serve, sg, vpc};
use crate::{
    DesiredNetwork, InterfaceSpec, METADATA_ADDRESS, Network, NetworkError, Reconciled, Rule,
    SecurityGroupSpec, VpcId, namespace,
    netlink::{ROUTE_PROTOCOL, Rtnetlink, route},
};

/// What of ours the host has: links, routes, addresses, nftables, files.
fn traces(world: &World) -> Vec<String> {
    let mut host = Rtnetlink::open().expect("a socket");
    let mut traces = vec![];
    let links = host.links().expect("listed");
    traces.extend(
        links.iter().filter(|link| link.name.starts_with("lsh")).map(|link| format!("link {}", link.name)),
    );
    let routes = host.routes().expect("listed");
    let ours = routes.iter().filter(|route| route.protocol == ROUTE_PROTOCOL);
    traces.extend(ours.map(|route| format!("route {}", route.destination)));
    let addresses = host.addresses().expect("listed");
    let held = addresses.iter().filter(|(_, address, _)| *address == METADATA_ADDRESS);
    traces.extend(held.map(|(_, address, _)| format!("address {address}")));
    traces.extend(Some(world.ruleset()).filter(|ruleset| !ruleset.is_empty()));
    let entries = std::fs::read_dir(&world.config.run_dir).into_iter().flatten().flatten();
    traces.extend(entries.map(|entry| format!("file {:?}", entry.file_name())));
    traces
}

fn links() -> BTreeSet<String> {
    let links = Rtnetlink::open().expect("a socket").links().expect("listed");
    links.into_iter().map(|link| link.name).filter(|name| name.starts_with("lsh-")).collect()
}

#[test]
fn teardown_leaves_nothing() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.public_task(&network, &["open", "closed"], 7).await;
        network.isolated("quiet".to_owned()).await.expect("a namespace");
        assert!(traces(&world).len() > 5);
        network.teardown().await.expect("torn down");
        assert_eq!(traces(&world), Vec::<String>::new());
        assert!(!task.netns_path.exists() && !world.config.run_dir.exists());
        assert!(matches!(network.list().await, Err(NetworkError::Stopped)));
        // And it can begin again.
        world.network().await.teardown().await.expect("torn down again");
        assert_eq!(traces(&world), Vec::<String>::new());
    });
}

#[test]
fn detach_leaves_nothing() {
    on_a_host(|mut world| async move {
        world.config.warm_namespaces = 0;
        let network = world.network().await;
        let (links_before, rules_before) = (links(), world.ruleset());
        let mut tasks = vec![];
        for last in 7..10 {
            tasks.push(world.public_task(&network, &["open"], last).await);
        }
        assert_eq!(links().len(), links_before.len() + 3);
        for task in tasks {
            serve(at(&task), Ipv4Addr::UNSPECIFIED, 80);
            reaches(None, task.spec.address, 80);
            network.detach(task.spec.eni_id.clone()).await.expect("detached");
            assert!(!task.netns_path.exists());
            refused(None, task.spec.address, 80);
            network.detach(task.spec.eni_id).await.expect("detaching again is nothing");
        }
        assert_eq!(links(), links_before);
        assert_eq!(world.ruleset(), rules_before);
        assert_eq!(std::fs::read_dir(world.config.run_dir.join("interfaces")).expect("listed").count(), 0);
    });
}

#[test]
fn a_new_holder_of_an_address_inherits_no_connections() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let spec = InterfaceSpec {
            public_address: Some(Ipv4Addr::new(198, 18, 0, 7)),
            ..world.interface(&["open"])
        };
        let first = network.attach(spec.clone()).await.expect("attached");
        serve(at(&first), Ipv4Addr::UNSPECIFIED, 80);
        let connection = std::net::TcpStream::connect(("198.18.0.7", 80)).expect("connected");
        reaches(None, spec.address, 80);
        let tracked = |address: Ipv4Addr| {
            // Nothing is left to forget exactly when nothing is tracked.
            crate::netlink::forget_connections(&[address]).expect("forgotten")
        };
        network.detach(spec.eni_id.clone()).await.expect("detached");
        assert_eq!(tracked(spec.address), 0);
        let second = network.attach(spec.clone()).await.expect("attached");
        serve(at(&second), Ipv4Addr::UNSPECIFIED, 80);
        reaches(None, spec.address, 80);
        assert!(tracked(spec.address) > 0, "connections are tracked");
        drop(connection);
    });
}

/// Ends this process' part without removing anything, as a crash does.
pub(super) async fn crash(network: Network, world: &World) -> Network {
    drop(network);
    loop {
        match Network::start(world.config.clone()).await {
            Err(NetworkError::InUse(_)) => tokio::task::yield_now().await,
            other => return other.expect("started again"),
        }
    }
}

#[test]
fn a_restart_adopts_what_runs() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.public_task(&network, &["open", "closed"], 7).await;
        let closed = world.task(&network, &["closed"]).await;
        let isolated = network.isolated("quiet".to_owned()).await.expect("a namespace");
        for task in [&task, &closed] {
            serve(at(task), Ipv4Addr::UNSPECIFIED, 80);
        }
        let before = network.list().await.expect("listed");
        let network = crash(network, &world).await;
        assert_eq!(network.list().await.expect("listed"), before);
        assert_eq!(network.list_isolated().await.expect("listed"), ["quiet".to_owned()].into());
        assert_eq!(network.isolated("quiet".to_owned()).await.expect("still there"), isolated);
        assert!(namespace::is_kept(&isolated));
        reaches(None, Ipv4Addr::new(198, 18, 0, 7), 80);
        reaches(at(&closed), task.spec.address, 80);
        refused(at(&task), closed.spec.address, 80);
        assert_eq!(network.attach(task.spec.clone()).await.expect("the same"), task);
        network.detach(closed.spec.eni_id).await.expect("detached");
        network.teardown().await.expect("torn down");
        assert_eq!(traces(&world), Vec::<String>::new());
    });
}

#[test]
fn a_restart_clears_halves() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let [lost_link, lost_namespace, lost_record, whole] = [
            world.task(&network, &["open"]).await,
            world.task(&network, &["open"]).await,
            world.public_task(&network, &["open"], 7).await,
            world.task(&network, &["open"]).await,
        ];
        let mut host = Rtnetlink::open().expect("a socket");
        let link = host.link(&lost_link.host_interface).expect("listed").expect("there");
        host.request_all(vec![route::delete_link(link.index)]).expect("deleted");
        namespace::drop_kept(&lost_namespace.netns_path).expect("dropped");
        let record = |name: &str| world.config.run_dir.join("interfaces").join(format!("{name}.json"));
        std::fs::write(record(&lost_record.host_interface), "{").expect("written");
        drop(host);

        let network = crash(network, &world).await;
        assert_eq!(network.list().await.expect("listed"), vec![whole.clone()]);
        serve(at(&whole), Ipv4Addr::UNSPECIFIED, 80);
        reaches(None, whole.spec.address, 80);
        // Attaching them anew works: nothing of the halves is in the way.
        for half in [&lost_link, &lost_namespace, &lost_record] {
            let again = network.attach(half.spec.clone()).await.expect("attached");
            serve(at(&again), Ipv4Addr::UNSPECIFIED, 80);
            reaches(None, half.spec.address, 80);
        }
        network.teardown().await.expect("torn down");
        assert_eq!(traces(&world), Vec::<String>::new());
    });
}

#[test]
fn a_lost_description_closes_rather_than_opens() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.task(&network, &["open"]).await;
        serve(at(&task), Ipv4Addr::UNSPECIFIED, 80);
        std::fs::remove_file(world.config.run_dir.join("network.json")).expect("removed");
        let network = crash(network, &world).await;
        refused(None, task.spec.address, 80);
        let open = allowing("open", vec![Rule::everything()]);
        let desired = DesiredNetwork {
            vpcs: vec![vpc()],
            security_groups: vec![open],
            interfaces: vec![task.spec.clone()],
            ..DesiredNetwork::default()
        };
        let report = network.reconcile(desired).await.expect("reconciled");
        assert_eq!(report.kept, vec![task.spec.eni_id.clone()]);
        reaches(None, task.spec.address, 80);
    });
}

#[test]
fn reconcile_converges_and_is_idempotent() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let kept = world.public_task(&network, &["closed"], 7).await;
        let gone = world.task(&network, &["open"]).await;
        let moved = world.task(&network, &["open"]).await;
        serve(at(&kept), Ipv4Addr::UNSPECIFIED, 80);
        refused(None, kept.spec.address, 80);

        let mut kept_spec = kept.spec.clone();
        kept_spec.security_groups = [sg("open"), sg("new")].into();
        kept_spec.public_address = Some(Ipv4Addr::new(198, 18, 0, 8));
        let moved_spec = InterfaceSpec { address: Ipv4Addr::new(172, 31, 0, 50), ..moved.spec.clone() };
        let unknown = InterfaceSpec { security_groups: [sg("unknown")].into(), ..world.interface(&[]) };
        let desired = DesiredNetwork {
            vpcs: vec![vpc()],
            security_groups: vec![
                allowing("open", vec![Rule::everything()]),
                SecurityGroupSpec::new(sg("new")),
            ],
            interfaces: vec![kept_spec, moved_spec.clone(), unknown.clone()],
            isolated: ["quiet".to_owned()].into(),
            ..DesiredNetwork::default()
        };
        let report = network.reconcile(desired.clone()).await.expect("reconciled");
        assert_eq!(report.kept, vec![kept.spec.eni_id.clone()]);
        assert_eq!(report.attached, vec![moved.spec.eni_id.clone()]);
        assert_eq!(report.detached, vec![gone.spec.eni_id.clone()]);
        assert_eq!(report.failed.len(), 1);
        assert_eq!(report.failed[0].0, unknown.eni_id);
        reaches(None, Ipv4Addr::new(198, 18, 0, 8), 80);
        refused(None, Ipv4Addr::new(198, 18, 0, 7), 80);
        assert!(!gone.netns_path.exists() && !moved.netns_path.exists());
        assert!(!world.ruleset().contains("sg-closed"));

        let rules = world.ruleset();
        let again = network.reconcile(desired.clone()).await.expect("reconciled");
        let both = vec![kept.spec.eni_id.clone(), moved.spec.eni_id.clone()];
        assert_eq!(again, Reconciled { kept: both, failed: report.failed, ..Reconciled::default() });
        assert_eq!(world.ruleset(), rules);
        // The same after a restart.
        let network = crash(network, &world).await;
        assert_eq!(network.reconcile(desired).await.expect("reconciled"), again);
        reaches(None, Ipv4Addr::new(198, 18, 0, 8), 80);

        network.reconcile(DesiredNetwork::default()).await.expect("reconciled to nothing");
        assert_eq!(network.list().await.expect("listed"), vec![]);
        assert_eq!(network.list_isolated().await.expect("listed"), BTreeSet::new());
    });
}

#[test]
fn a_failed_start_leaves_nothing() {
    on_a_host(|mut world| async move {
        let nft = std::mem::replace(&mut world.config.nft, "/nonexistent/nft".into());
        let failed = Network::start(world.config.clone()).await;
        assert!(matches!(&failed, Err(NetworkError::Nft { .. })), "{failed:?}");
        world.config.nft = nft;
        assert_eq!(traces(&world), Vec::<String>::new());
        world.network().await;
    });
}

#[test]
fn a_reconciliation_that_broke_off_is_made_good() {
    on_a_host(|mut world| async move {
        let marker = world.directory.path().join("fail");
        world.config.nft = failing_while(&marker, world.directory.path());
        let network = world.network().await;
        let task = world.task(&network, &["closed"]).await;
        serve(at(&task), Ipv4Addr::UNSPECIFIED, 80);
        let desired = DesiredNetwork {
            vpcs: vec![vpc()],
            security_groups: vec![allowing("closed", vec![Rule::everything()])],
            interfaces: vec![task.spec.clone()],
            ..DesiredNetwork::default()
        };
        std::fs::write(&marker, "").expect("written");
        network.reconcile(desired.clone()).await.expect_err("nft fails");
        refused(None, task.spec.address, 80);
        std::fs::remove_file(&marker).expect("removed");
        network.reconcile(desired).await.expect("reconciled");
        reaches(None, task.spec.address, 80);
    });
}

#[test]
fn one_process_at_a_time() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let second = Network::start(world.config.clone()).await;
        assert!(matches!(second, Err(NetworkError::InUse(_))), "{second:?}");
        network.teardown().await.expect("torn down");
        world.start().await;
    });
}

#[test]
fn specifications_are_checked() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let task = world.task(&network, &["open"]).await;
        let fresh = || world.interface(&["open"]);
        let refused = [
            InterfaceSpec { vpc_id: VpcId::new("vpc-9").expect("an id"), ..fresh() },
            InterfaceSpec { subnet: "172.31.32.0/20".parse().expect("a range"), ..fresh() },
            InterfaceSpec { address: Ipv4Addr::new(172, 31, 0, 3), ..fresh() },
            InterfaceSpec { address: Ipv4Addr::new(172, 31, 16, 9), ..fresh() },
            InterfaceSpec { address: task.spec.address, ..fresh() },
            InterfaceSpec { mac: task.spec.mac, ..fresh() },
            InterfaceSpec { security_groups: [sg("unknown")].into(), ..fresh() },
            InterfaceSpec { public_address: Some(Ipv4Addr::new(9, 9, 9, 9)), ..fresh() },
            InterfaceSpec { address: Ipv4Addr::new(172, 31, 0, 90), ..task.spec.clone() },
        ];
        for spec in refused {
            let result = network.attach(spec.clone()).await;
            assert!(result.is_err(), "{spec:?} was attached");
        }
        assert_eq!(network.list().await.expect("listed"), vec![task.clone()]);

        let other = |id: &str, cidr: &str| crate::VpcSpec {
            id: VpcId::new(id).expect("an id"),
            cidr: cidr.parse().expect("a range"),
            subnets: vec![],
        };
        for spec in [
            other("vpc-2", "172.31.128.0/20"),
            other("vpc-2", "203.0.113.0/24"),
            other("vpc-2", "10.0.0.0/8"),
            other("vpc-1", "172.31.0.0/16"),
        ] {
            let result = network.ensure_vpc(spec.clone()).await;
            assert!(result.is_err(), "{spec:?} was made");
        }
        let in_use = network.remove_vpc(vpc().id).await;
        assert!(
            matches!(&in_use, Err(NetworkError::VpcInUse { eni_id, .. }) if *eni_id == eni(4)),
            "{in_use:?}"
        );
        network.detach(task.spec.eni_id).await.expect("detached");
        network.remove_vpc(vpc().id).await.expect("removed");
        assert!(!network.host_ranges().await.expect("listed").contains(&vpc().cidr));
        for id in ["eni-", "eni-a b", "sg-1", "eni-A", "eni-;drop"] {
            assert!(crate::EniId::new(id).is_err(), "{id}");
        }
    });
}

#[test]
fn a_failure_leaves_the_network_working() {
    on_a_host(|mut world| async move {
        let marker = world.directory.path().join("fail");
        world.config.nft = failing_while(&marker, world.directory.path());
        let network = world.network().await;
        let before = world.task(&network, &["open"]).await;
        serve(at(&before), Ipv4Addr::UNSPECIFIED, 80);
        std::fs::write(&marker, "").expect("written");
        let failed = network.set_security_group(SecurityGroupSpec::new(sg("other"))).await;
        assert!(
            matches!(&failed, Err(NetworkError::Nft { message, .. }) if message.contains("on purpose")),
            "{failed:?}"
        );
        // Several groups need a new chain, which cannot be made.
        let spec = world.interface(&["open", "closed"]);
        assert!(network.attach(spec.clone()).await.is_err());
        reaches(None, before.spec.address, 80);
        std::fs::remove_file(&marker).expect("removed");
        let after = network.attach(spec).await.expect("attached");
        serve(at(&after), Ipv4Addr::UNSPECIFIED, 80);
        reaches(at(&before), after.spec.address, 80);
        network.teardown().await.expect("torn down");
        assert_eq!(traces(&world), Vec::<String>::new());
    });
}

/// An `nft` that fails while the file `marker` exists.
fn failing_while(marker: &Path, directory: &Path) -> PathBuf {
    let program = directory.join("nft");
    let check = format!("if [ -e {} ]; then echo broken on purpose >&2; exit 1; fi", marker.display());
    std::fs::write(&program, format!("#!/bin/sh\n{check}\nexec nft \"$@\"\n")).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    program
}

#[test]
fn an_isolated_namespace_has_only_lo() {
    on_a_host(|world| async move {
        let network = world.network().await;
        let path = network.isolated("quiet".to_owned()).await.expect("a namespace");
        let links = inside(Some(&path), || Rtnetlink::open().expect("a socket").links().expect("listed"));
        assert!(links.iter().all(|link| link.kind.as_deref() != Some("veth")), "{links:?}");
        serve(Some(&path), Ipv4Addr::LOCALHOST, 80);
        reaches(Some(&path), Ipv4Addr::LOCALHOST, 80);
        refused(Some(&path), METADATA_ADDRESS, 80);
        assert!(network.isolated("../up".to_owned()).await.is_err());
        network.release_isolated("quiet".to_owned()).await.expect("released");
        assert!(!path.exists());
    });
}
