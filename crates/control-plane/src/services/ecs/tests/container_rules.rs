//! What RegisterTaskDefinition refuses about containers: memory, ports, order, health, volumes.

use super::{
    definition_rules::{app, check, check_of, ec2_definition, fargate_app, port, whole},
    *,
};

/// A second container that depends on the first, or the other way round.
fn depends(
    request: &mut ecs::RegisterTaskDefinitionRequest,
    pairs: &[(&str, &str, ecs::ContainerCondition)],
) {
    let mut containers = vec![container("app"), container("side")];
    for (name, on, condition) in pairs {
        let own = containers.iter_mut().find(|container| container.name.as_deref() == Some(name)).unwrap();
        own.depends_on
            .get_or_insert_default()
            .push(ecs::ContainerDependency { container_name: text(on), condition: Some(*condition) });
    }
    request.container_definitions = Some(containers);
}

#[tokio::test]
async fn memory_is_given_somewhere_and_adds_up() {
    check(
        ec2_definition,
        vec![
            (
                app(|app| app.memory = None),
                "At least one of 'memory' or 'memoryReservation' must be specified.",
            ),
            (app(|app| app.memory = Some(5)), "at least 6 MiB"),
            (app(|app| app.memory_reservation = Some(64)), "must be greater than the 'memoryReservation'"),
            (app(|app| app.memory_reservation = Some(3)), "at least 6 MiB"),
            (app(|app| app.cpu = Some(-1)), "Invalid 'cpu' setting for container 'app'"),
            (whole(|all| all.memory = text("32")), "exceeds the memory of the task"),
            (whole(|all| all.cpu = text("100")), "between 128 and 196608 units"),
            (
                whole(|all| {
                    all.cpu = text("128");
                    all.container_definitions.as_mut().unwrap()[0].cpu = Some(129);
                }),
                "Total cpu of containers",
            ),
            (
                whole(|all| all.placement_constraints = Some(vec![Default::default(); 11])),
                "10 placement constraints at most",
            ),
        ],
    )
    .await;
    let fixture = fixture().await;
    let mut least = ec2_definition();
    least.container_definitions.as_mut().unwrap()[0].memory = Some(6);
    fixture.register(least).await.unwrap();
}

fn ports(range: &str) -> ecs::PortMapping {
    ecs::PortMapping { container_port_range: text(range), ..Default::default() }
}

#[tokio::test]
async fn a_range_is_shown_as_it_was_given_and_needs_an_agent_that_knows_it() {
    let fixture = fixture().await;
    let mut request = fargate("ranged");
    request.container_definitions.as_mut().unwrap()[0].port_mappings = Some(vec![
        ports("80-90"),
        ecs::PortMapping { protocol: Some(ecs::TransportProtocol::Udp), ..ports("85-99") },
    ]);
    let shown = fixture.register(request).await.unwrap();
    let mapping = shown.container_definitions.unwrap()[0].port_mappings.clone().unwrap().remove(0);
    let tcp = Some(ecs::TransportProtocol::Tcp);
    assert_eq!(mapping, ecs::PortMapping { protocol: tcp, ..ports("80-90") });
    let needed = shown.requires_attributes.unwrap();
    let names: Vec<_> = needed.iter().filter_map(|attribute| attribute.name.as_deref()).collect();
    assert!(names.contains(&"ecs.capability.container-port-range"), "{names:?}");
}

fn every_port(protocol: ecs::TransportProtocol) -> Vec<ecs::PortMapping> {
    (1..=65535).map(|number| ecs::PortMapping { protocol: Some(protocol), ..port(number, None) }).collect()
}

#[tokio::test]
async fn ports_fit_the_network_mode() {
    let side_by_side = |app: Vec<ecs::PortMapping>, side: Vec<ecs::PortMapping>| {
        whole(move |all| {
            let containers = all.container_definitions.as_mut().unwrap();
            let mut other = ecs::ContainerDefinition { name: text("side"), ..containers[0].clone() };
            (containers[0].port_mappings, other.port_mappings) = (Some(app.clone()), Some(side.clone()));
            containers.push(other);
        })
    };
    let mapped = |mappings: Vec<ecs::PortMapping>| app(move |app| app.port_mappings = Some(mappings.clone()));
    check(
        fargate_app,
        vec![
            (
                mapped(vec![port(80, Some(8080))]),
                "the host ports and container ports in port mappings must match",
            ),
            (mapped(vec![port(0, None)]), "Invalid 'containerPort' setting"),
            (mapped(vec![port(65536, None)]), "Invalid 'containerPort' setting"),
            (mapped(vec![ecs::PortMapping::default()]), "A container port is required."),
            (mapped(vec![port(80, None), port(80, None)]), "Port 80/tcp is mapped more than once"),
            (mapped(vec![ports("80-90"), ports("90-99")]), "Port 90/tcp is in more than one port mapping."),
            (
                side_by_side(vec![ports("80-90")], vec![port(70, None), port(85, None)]),
                "Port 85/tcp is mapped more than once, by the containers 'app' and 'side'.",
            ),
            (
                side_by_side(vec![ports("80-90")], vec![ports("70-100")]),
                "Port 80/tcp is mapped more than once, by the containers 'app' and 'side'.",
            ),
            // Every port that there is, once.
            (
                side_by_side(
                    every_port(ecs::TransportProtocol::Tcp),
                    every_port(ecs::TransportProtocol::Udp),
                ),
                "Task definition is too large",
            ),
        ],
    )
    .await;
    check(
        ec2_definition,
        vec![
            (mapped(vec![port(80, Some(70000))]), "Invalid 'hostPort' setting"),
            (mapped(vec![ports("80")]), "'80' is not a range."),
            (mapped(vec![ports("90-80")]), "the first port must be less than the last port"),
            (mapped(vec![ports("80-80")]), "the first port must be less than the last port"),
            (mapped(vec![ports("0-80")]), "between 1 and 65535"),
            (mapped(vec![ports("80-65536")]), "between 1 and 65535"),
            (mapped(vec![ports("80-90"), port(85, None)]), "Port 85/tcp is in more than one port mapping."),
            (
                mapped(
                    (0..101)
                        .map(|number| ports(&format!("{}-{}", 10 * number + 1, 10 * number + 5)))
                        .collect(),
                ),
                "at most 100 port ranges",
            ),
            (
                mapped(vec![ecs::PortMapping { host_port: Some(8080), ..ports("80-90") }]),
                "A host port cannot be specified with a port range.",
            ),
            (
                mapped(vec![ecs::PortMapping { container_port: Some(80), ..ports("80-90") }]),
                "Give either a container port or a range.",
            ),
            (
                whole(|all| {
                    all.network_mode = Some(ecs::NetworkMode::Host);
                    all.container_definitions.as_mut().unwrap()[0].port_mappings = Some(vec![ports("80-90")]);
                }),
                "Port ranges are supported when networkMode is bridge or awsvpc.",
            ),
            (mapped(vec![port(80, Some(8080)), port(81, Some(8080))]), "mapped more than once"),
            (
                whole(|all| {
                    all.network_mode = Some(ecs::NetworkMode::Host);
                    all.container_definitions.as_mut().unwrap()[0].port_mappings =
                        Some(vec![port(80, Some(8080))]);
                }),
                "When networkMode=host, the host ports and container ports in port mappings must match.",
            ),
            (
                whole(|all| {
                    all.network_mode = Some(ecs::NetworkMode::None);
                    all.container_definitions.as_mut().unwrap()[0].port_mappings = Some(vec![port(80, None)]);
                }),
                "not allowed with networkMode=none",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn dependencies_are_known_possible_and_without_a_circle() {
    use ecs::ContainerCondition::{Complete, Healthy, Start, Success};
    check(
        fargate_app,
        vec![
            (whole(|all| depends(all, &[("app", "nobody", Start)])), "Unknown container: 'nobody'."),
            (whole(|all| depends(all, &[("app", "app", Start)])), "cannot depend on itself"),
            (
                whole(|all| depends(all, &[("app", "side", Start), ("side", "app", Start)])),
                "must not form a cycle",
            ),
            (whole(|all| depends(all, &[("app", "side", Healthy)])), "no health check"),
            (whole(|all| depends(all, &[("app", "side", Success)])), "essential container 'side'"),
            (whole(|all| depends(all, &[("app", "side", Complete)])), "essential container 'side'"),
            (
                app(|app| {
                    let source_container = text("nobody");
                    app.volumes_from = Some(vec![ecs::VolumeFrom { source_container, read_only: None }]);
                }),
                "Unknown container: 'nobody'.",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn health_checks_stay_in_their_bounds() {
    let health = |change: fn(&mut ecs::HealthCheck)| {
        app(move |app| {
            let mut check = check_of(&["CMD", "true"]);
            change(&mut check);
            app.health_check = Some(check);
        })
    };
    check(
        fargate_app,
        vec![
            (
                health(|check| check.interval = Some(4)),
                "interval for container 'app' must be between 5 and 300",
            ),
            (health(|check| check.interval = Some(301)), "interval"),
            (health(|check| check.timeout = Some(1)), "timeout for container 'app' must be between 2 and 60"),
            (health(|check| check.timeout = Some(61)), "timeout"),
            (health(|check| check.retries = Some(0)), "retries for container 'app' must be between 1 and 10"),
            (health(|check| check.retries = Some(11)), "retries"),
            (health(|check| check.start_period = Some(301)), "startPeriod"),
            (health(|check| check.command = None), "must begin with CMD, CMD-SHELL or NONE"),
            (health(|check| *check = check_of(&["CMD"])), "must begin with CMD"),
            (health(|check| *check = check_of(&["CMD-SHELL", "a", "b"])), "must begin with CMD"),
        ],
    )
    .await;
}

#[tokio::test]
async fn restart_policies_stay_in_their_bounds() {
    let policy = |ignored: usize, period: i32| {
        app(move |app| {
            app.restart_policy = Some(ecs::ContainerRestartPolicy {
                enabled: Some(true),
                ignored_exit_codes: Some(vec![0; ignored]),
                restart_attempt_period: Some(period),
            });
        })
    };
    check(
        fargate_app,
        vec![
            (policy(51, 300), "At most 50 exit codes can be ignored."),
            (policy(0, 59), "between 60 and 1800 seconds"),
            (policy(0, 1801), "between 60 and 1800 seconds"),
        ],
    )
    .await;
}

#[tokio::test]
async fn volumes_are_named_once_and_mounted_where_they_are() {
    let mount = |volume: &'static str, path: &'static str| ecs::MountPoint {
        source_volume: text(volume),
        container_path: text(path),
        read_only: None,
    };
    let volumes = |names: &'static [&'static str]| {
        let named = |name: &&str| ecs::Volume { name: text(name), ..Default::default() };
        whole(move |all| all.volumes = Some(names.iter().map(named).collect()))
    };
    check(
        fargate_app,
        vec![
            (volumes(&[""]), "Volume name should not be null or empty."),
            (volumes(&["data", "data"]), "Duplicate volume name found"),
            (app(move |app| app.mount_points = Some(vec![mount("data", "/data")])), "Unknown volume 'data'."),
            (
                whole(move |all| {
                    all.volumes = Some(vec![ecs::Volume { name: text("data"), ..Default::default() }]);
                    all.container_definitions.as_mut().unwrap()[0].mount_points =
                        Some(vec![mount("data", "data")]);
                }),
                "Invalid 'containerPath'",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn links_are_to_other_containers_on_the_bridge() {
    let linked = |links: &[&str]| {
        let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
        whole(move |all| {
            let containers = all.container_definitions.as_mut().unwrap();
            let mut side = containers[0].clone();
            side.name = text("side");
            containers[0].links = Some(links.clone());
            containers.push(side);
        })
    };
    let hosted = whole(|all| {
        all.network_mode = Some(ecs::NetworkMode::Host);
        all.container_definitions.as_mut().unwrap()[0].links = Some(vec!["app".to_owned()]);
    });
    check(
        ec2_definition,
        vec![
            (linked(&["gone"]), "names no other container"),
            (linked(&["app:self"]), "names no other container"),
            (linked(&["side:no name"]), "names no other container"),
            (hosted, "Links are not supported when networkMode=host."),
        ],
    )
    .await;
    let fixture = fixture().await;
    let mut taken = ec2_definition();
    linked(&["side:db"])(&mut taken);
    fixture.register(taken.clone()).await.unwrap();
    // The other way round as well they wait for each other.
    taken.container_definitions.as_mut().unwrap()[1].links = Some(vec!["app".to_owned()]);
    refused(fixture.register(taken).await, CLIENT, "must not form a cycle");
}
