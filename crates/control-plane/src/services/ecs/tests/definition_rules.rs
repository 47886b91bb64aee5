//! What RegisterTaskDefinition refuses, one change to a good definition at a time.

use super::*;

type Change = Box<dyn Fn(&mut ecs::RegisterTaskDefinitionRequest)>;

fn whole(change: impl Fn(&mut ecs::RegisterTaskDefinitionRequest) + 'static) -> Change {
    Box::new(change)
}

/// A change to the container.
fn app(change: impl Fn(&mut ecs::ContainerDefinition) + 'static) -> Change {
    Box::new(move |request| change(&mut request.container_definitions.as_mut().unwrap()[0]))
}

/// A definition for container instances: no size of its own, the default network mode.
fn ec2_definition() -> ecs::RegisterTaskDefinitionRequest {
    let app = ecs::ContainerDefinition { memory: Some(64), ..container("app") };
    ecs::RegisterTaskDefinitionRequest {
        family: text("on-instances"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    }
}

async fn check(base: fn() -> ecs::RegisterTaskDefinitionRequest, rules: Vec<(Change, &str)>) {
    let fixture = fixture().await;
    fixture.register(base()).await.expect("the definition without the change");
    for (change, fragment) in rules {
        let mut request = base();
        change(&mut request);
        refused(fixture.register(request).await, CLIENT, fragment);
    }
}

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

fn port(container: i32, host: Option<i32>) -> ecs::PortMapping {
    ecs::PortMapping { container_port: Some(container), host_port: host, ..Default::default() }
}

fn check_of(command: &[&str]) -> ecs::HealthCheck {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    ecs::HealthCheck { command: Some(command), ..Default::default() }
}

fn awslogs(options: &[(&str, &str)]) -> Option<ecs::LogConfiguration> {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Some(ecs::LogConfiguration {
        log_driver: Some(ecs::LogDriver::Awslogs),
        options: Some(options),
        secret_options: None,
    })
}

#[tokio::test]
async fn families_and_containers_have_names_and_images() {
    let names = "Container.name contains invalid characters.";
    check(
        fargate_app,
        vec![
            (whole(|all| all.family = None), "Family should not be null or empty."),
            (whole(|all| all.family = text("")), "Family should not be null or empty."),
            (whole(|all| all.family = text("a b")), "Family contains invalid characters."),
            (whole(|all| all.family = text("a:1")), "Family contains invalid characters."),
            (whole(|all| all.family = Some("f".repeat(256))), "Family contains invalid characters."),
            (whole(|all| all.container_definitions = None), "Container list cannot be empty."),
            (whole(|all| all.container_definitions = Some(vec![])), "Container list cannot be empty."),
            (app(|app| app.name = None), "Container.name should not be null or empty."),
            (app(|app| app.name = text("a.b")), names),
            (app(|app| app.name = text("ä")), names),
            (app(|app| app.image = None), "Container.image should not be null or empty."),
            (app(|app| app.image = text("a b")), "Container.image contains invalid characters."),
            (app(|app| app.essential = Some(false)), "At least one container must be essential."),
            (
                whole(|all| all.container_definitions = Some(vec![container("app"), container("app")])),
                "Container.name is not unique",
            ),
            (
                whole(|all| {
                    let many = (0..11).map(|number| container(&format!("c{number}")));
                    all.container_definitions = Some(many.collect());
                }),
                "Too many containers.",
            ),
            (app(|app| app.command = Some(vec!["x".repeat(70_000)])), "64 KiB at most"),
            (app(|app| app.environment = Some(vec![pair("", "value")])), "Names must not be empty"),
            (app(|app| app.working_directory = text("here")), "The path must be absolute"),
        ],
    )
    .await;
}

#[tokio::test]
async fn fargate_takes_what_it_sells() {
    check(
        fargate_app,
        vec![
            (whole(|all| all.network_mode = None), "Fargate only supports network mode"),
            (
                whole(|all| all.network_mode = Some(ecs::NetworkMode::Host)),
                "Fargate only supports network mode",
            ),
            (whole(|all| all.cpu = None), "Fargate requires that 'cpu' be defined at the task level."),
            (whole(|all| all.memory = None), "Fargate requires that 'memory' be defined at the task level."),
            (whole(|all| all.cpu = text("300")), "No Fargate configuration exists for given values"),
            (whole(|all| all.memory = text("4096")), "No Fargate configuration exists for given values"),
            (whole(|all| all.cpu = text("much")), "Invalid 'cpu' setting for task."),
            (whole(|all| all.memory = text("-1")), "Invalid 'memory' setting for task."),
            (whole(|all| all.pid_mode = Some(ecs::PidMode::Host)), "do not support pidMode 'host'"),
            (whole(|all| all.ipc_mode = Some(ecs::IpcMode::Task)), "do not support ipcMode"),
            (
                whole(|all| all.placement_constraints = Some(vec![Default::default()])),
                "do not support placement constraints",
            ),
            (app(|app| app.privileged = Some(true)), "do not support privileged containers"),
            (app(|app| app.links = Some(vec!["other".to_owned()])), "do not support links"),
            (app(|app| app.stop_timeout = Some(121)), "Invalid 'stopTimeout' setting"),
            (app(|app| app.start_timeout = Some(121)), "Invalid 'startTimeout' setting"),
            (app(|app| app.stop_timeout = Some(-1)), "Invalid 'stopTimeout' setting"),
            (
                app(|app| {
                    let linux = app.linux_parameters.get_or_insert_default();
                    linux.shared_memory_size = Some(64);
                }),
                "do not support sharedMemorySize",
            ),
            (
                app(|app| {
                    let add = Some(vec!["NET_ADMIN".to_owned()]);
                    let linux = app.linux_parameters.get_or_insert_default();
                    linux.capabilities = Some(ecs::KernelCapabilities { add, drop: None });
                }),
                "do not support adding the capability NET_ADMIN",
            ),
            (
                app(|app| {
                    app.log_configuration = Some(ecs::LogConfiguration {
                        log_driver: Some(ecs::LogDriver::Syslog),
                        ..Default::default()
                    });
                }),
                "do not support the log driver syslog",
            ),
            (
                app(|app| app.image = text("123456789012.dkr.ecr.us-east-1.amazonaws.com/app")),
                "execution role ARN to support ECR images.",
            ),
            (
                app(|app| {
                    app.log_configuration =
                        awslogs(&[("awslogs-group", "g"), ("awslogs-region", "us-east-1")]);
                }),
                "execution role ARN to support log driver awslogs.",
            ),
            (
                app(|app| {
                    app.secrets = Some(vec![ecs::Secret { name: text("A"), value_from: text("parameter") }]);
                }),
                "execution role ARN to support secrets.",
            ),
            (
                whole(|all| all.ephemeral_storage = Some(ecs::EphemeralStorage { size_in_gi_b: Some(20) })),
                "between 21 and 200 GiB",
            ),
            (
                whole(|all| all.ephemeral_storage = Some(ecs::EphemeralStorage { size_in_gi_b: Some(201) })),
                "between 21 and 200 GiB",
            ),
            (
                whole(|all| {
                    let host = ecs::HostVolumeProperties { source_path: text("/data") };
                    all.volumes = Some(vec![ecs::Volume {
                        name: text("data"),
                        host: Some(host),
                        ..Default::default()
                    }]);
                }),
                "do not support volumes with host sourcePath",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_fargate_allows_is_accepted() {
    let fixture = fixture().await;
    for change in [
        whole(|all| all.pid_mode = Some(ecs::PidMode::Task)),
        whole(|all| all.ephemeral_storage = Some(ecs::EphemeralStorage { size_in_gi_b: Some(21) })),
        whole(|all| (all.cpu, all.memory) = (text(".25 vCPU"), text("0.5GB"))),
        app(|app| app.stop_timeout = Some(120)),
        app(|app| app.memory = Some(512)),
        app(|app| app.port_mappings = Some(vec![port(80, Some(0))])),
        whole(|all| all.family = Some("f".repeat(255))),
    ] {
        let mut request = fargate("app");
        change(&mut request);
        fixture.register(request).await.unwrap();
    }
}

fn with_role() -> ecs::RegisterTaskDefinitionRequest {
    let mut request = fargate("logs");
    request.execution_role_arn = text("arn:aws:iam::000000000000:role/execution");
    let good = [("awslogs-group", "g"), ("awslogs-region", "us-east-1")];
    request.container_definitions.as_mut().unwrap()[0].log_configuration = awslogs(&good);
    request
}

fn fargate_app() -> ecs::RegisterTaskDefinitionRequest {
    fargate("app")
}

#[tokio::test]
async fn awslogs_wants_its_options() {
    let logs =
        |more: &'static [(&'static str, &'static str)]| app(move |app| app.log_configuration = awslogs(more));
    check(
        with_role,
        vec![
            (logs(&[]), "Log driver awslogs requires options: awslogs-region, awslogs-group"),
            (logs(&[("awslogs-region", "us-east-1")]), "Log driver awslogs requires options: awslogs-group"),
            (
                logs(&[("awslogs-group", "g"), ("awslogs-region", "r"), ("log_key", "log")]),
                "Log driver awslogs disallows options: log_key",
            ),
            (
                logs(&[("awslogs-group", ""), ("awslogs-region", "r")]),
                "Log driver awslogs option 'awslogs-group' should not be null or empty.",
            ),
            (
                logs(&[("awslogs-group", "g"), ("awslogs-region", "r"), ("awslogs-create-group", "false")]),
                "should only be set to 'true', else omit option.",
            ),
            (
                logs(&[("awslogs-group", "g"), ("awslogs-region", "r"), ("mode", "maybe")]),
                "'mode' should be 'blocking' or 'non-blocking'",
            ),
        ],
    )
    .await;
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

#[tokio::test]
async fn ports_fit_the_network_mode() {
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
        ],
    )
    .await;
    check(
        ec2_definition,
        vec![
            (mapped(vec![port(80, Some(70000))]), "Invalid 'hostPort' setting"),
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
async fn defaults_are_filled_in() {
    let fixture = fixture().await;
    let mut request = ec2_definition();
    let app = &mut request.container_definitions.as_mut().unwrap()[0];
    app.port_mappings = Some(vec![port(80, None)]);
    app.health_check = Some(check_of(&["CMD-SHELL", "true"]));
    let shown = fixture.register(request).await.unwrap();
    assert_eq!(shown.network_mode, Some(ecs::NetworkMode::Bridge));
    assert_eq!(shown.compatibilities, Some(vec![ecs::Compatibility::Ec2, ecs::Compatibility::External]));
    assert_eq!(shown.requires_compatibilities, None);
    assert_eq!((shown.volumes, shown.placement_constraints), (Some(vec![]), Some(vec![])));
    let app = &shown.container_definitions.unwrap()[0];
    assert_eq!((app.essential, app.cpu), (Some(true), Some(0)));
    assert_eq!((&app.environment, &app.mount_points), (&Some(vec![]), &Some(vec![])));
    let mapping = &app.port_mappings.as_ref().unwrap()[0];
    assert_eq!((mapping.host_port, mapping.protocol), (Some(0), Some(ecs::TransportProtocol::Tcp)));
    let check = app.health_check.as_ref().unwrap();
    assert_eq!((check.interval, check.timeout, check.retries), (Some(30), Some(5), Some(3)));

    let mut request = fargate("app");
    (request.cpu, request.memory) = (text("1 vCPU"), text("2GB"));
    request.container_definitions.as_mut().unwrap()[0].port_mappings = Some(vec![port(80, None)]);
    let shown = fixture.register(request).await.unwrap();
    assert_eq!((shown.cpu.as_deref(), shown.memory.as_deref()), (Some("1024"), Some("2048")));
    assert_eq!(shown.compatibilities, Some(vec![ecs::Compatibility::Ec2, ecs::Compatibility::Fargate]));
    let app = &shown.container_definitions.unwrap()[0];
    assert_eq!(app.port_mappings.as_ref().unwrap()[0].host_port, Some(80));
}

#[tokio::test]
async fn what_an_instance_must_be_able_to_do_is_derived() {
    let fixture = fixture().await;
    let shown = fixture.register(with_role()).await.unwrap();
    let names: Vec<String> =
        shown.requires_attributes.unwrap().into_iter().map(|attribute| attribute.name.unwrap()).collect();
    assert_eq!(
        names,
        [
            "com.amazonaws.ecs.capability.docker-remote-api.1.18",
            "com.amazonaws.ecs.capability.docker-remote-api.1.19",
            "com.amazonaws.ecs.capability.logging-driver.awslogs",
            "ecs.capability.execution-role-awslogs",
            "ecs.capability.task-eni",
        ]
    );
    let plain = fixture.register(ec2_definition()).await.unwrap();
    assert_eq!(plain.requires_attributes, Some(vec![]));
}
