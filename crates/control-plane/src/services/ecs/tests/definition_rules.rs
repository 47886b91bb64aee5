//! What RegisterTaskDefinition refuses, one change to a good definition at a time.

use super::*;

pub(super) type Change = Box<dyn Fn(&mut ecs::RegisterTaskDefinitionRequest)>;

pub(super) fn whole(change: impl Fn(&mut ecs::RegisterTaskDefinitionRequest) + 'static) -> Change {
    Box::new(change)
}

/// A change to the container.
pub(super) fn app(change: impl Fn(&mut ecs::ContainerDefinition) + 'static) -> Change {
    Box::new(move |request| change(&mut request.container_definitions.as_mut().unwrap()[0]))
}

/// A definition for container instances: no size of its own, the default network mode.
pub(super) fn ec2_definition() -> ecs::RegisterTaskDefinitionRequest {
    let app = ecs::ContainerDefinition { memory: Some(64), ..container("app") };
    ecs::RegisterTaskDefinitionRequest {
        family: text("on-instances"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    }
}

pub(super) async fn check(base: fn() -> ecs::RegisterTaskDefinitionRequest, rules: Vec<(Change, &str)>) {
    let fixture = fixture().await;
    fixture.register(base()).await.expect("the definition without the change");
    for (change, fragment) in rules {
        let mut request = base();
        change(&mut request);
        refused(fixture.register(request).await, CLIENT, fragment);
    }
}

pub(super) fn port(container: i32, host: Option<i32>) -> ecs::PortMapping {
    ecs::PortMapping { container_port: Some(container), host_port: host, ..Default::default() }
}

pub(super) fn check_of(command: &[&str]) -> ecs::HealthCheck {
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

pub(super) fn fargate_app() -> ecs::RegisterTaskDefinitionRequest {
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
