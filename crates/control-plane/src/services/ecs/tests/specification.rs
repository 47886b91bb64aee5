//! From a task to what its node is told: overrides applied, defaults filled in, and what is not there refused.

use agent_protocol::spec::{
    ContainerSpec, LogConfiguration, LogMode, NetworkMode, PidMode, TaskSpec, VolumeSource,
};

use super::{super::tasks::spec, *};
use crate::services::ecs::records::{Task, TaskDefinition};

/// The specification of a task that was run with `change`d definition and overrides.
async fn build(
    change: impl Fn(&mut ecs::RegisterTaskDefinitionRequest),
    overrides: Option<ecs::ContainerOverride>,
) -> Result<TaskSpec, String> {
    let fixture = fixture().await;
    let mut definition = fargate("app");
    definition.execution_role_arn = text("arn:aws:iam::000000000000:role/execution");
    change(&mut definition);
    fixture.register(definition).await.unwrap();
    let overrides =
        overrides.map(|own| ecs::TaskOverride { container_overrides: Some(vec![own]), ..Default::default() });
    let request = ecs::RunTaskRequest { overrides, ..run_request(&fixture, "app") };
    fixture.run(request).await.unwrap();
    let view = fixture.services.state.view();
    let (_, task) = view.scan::<Task>(&scope()).next().unwrap();
    let (_, definition) = view.scan::<TaskDefinition>(&scope()).next().unwrap();
    spec::build(&scope(), &task, &definition, spec::Surroundings::default())
}

async fn app(change: impl Fn(&mut ecs::ContainerDefinition)) -> Result<ContainerSpec, String> {
    let spec = build(|all| change(&mut all.container_definitions.as_mut().unwrap()[0]), None).await?;
    Ok(spec.containers.into_iter().next().unwrap())
}

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

#[tokio::test]
async fn the_task_itself_is_told_whole() {
    let spec = build(|all| all.pid_mode = Some(ecs::PidMode::Task), None).await.unwrap();
    assert_eq!((spec.cpu_units, spec.memory_mib), (Some(256), Some(512)));
    assert_eq!((spec.network_mode, spec.pid_mode), (NetworkMode::Awsvpc, PidMode::Task));
    assert_eq!((spec.family.as_str(), spec.revision), ("app", 1));
    assert_eq!((spec.cluster_name.as_str(), spec.service_name), ("default", None));
    assert_eq!(spec.ephemeral_storage_gib, Some(20));
    assert!(spec.task_arn.ends_with(&format!("task/default/{}", spec.task_id)));
    let app = &spec.containers[0];
    assert!(app.essential);
    assert!(app.runtime_id.starts_with(&spec.task_id));
    assert_eq!((app.log.clone(), app.health_check.is_none()), (LogConfiguration::JsonFile, true));
}

#[tokio::test]
async fn overrides_go_over_the_definition_and_keep_its_order() {
    let own = ecs::ContainerOverride {
        name: text("app"),
        command: words(&["two"]),
        environment: Some(vec![pair("B", "new"), pair("C", "added")]),
        cpu: Some(64),
        memory: Some(128),
        memory_reservation: Some(32),
        ..Default::default()
    };
    let change = |all: &mut ecs::RegisterTaskDefinitionRequest| {
        let app = &mut all.container_definitions.as_mut().unwrap()[0];
        app.command = words(&["one"]);
        app.entry_point = words(&["/entry"]);
        app.environment = Some(vec![pair("Z", "first"), pair("B", "old"), pair("A", "last")]);
    };
    let spec = build(change, Some(own)).await.unwrap();
    let app = &spec.containers[0];
    assert_eq!((&app.command, &app.entry_point), (&words(&["two"]), &words(&["/entry"])));
    assert_eq!((app.cpu_units, app.memory_mib, app.memory_reservation_mib), (64, Some(128), Some(32)));
    let environment: Vec<(&str, &str)> =
        app.environment.iter().map(|variable| (variable.name.as_str(), variable.value.expose())).collect();
    assert_eq!(environment, [("Z", "first"), ("B", "new"), ("A", "last"), ("C", "added")]);
    let plain = build(change, None).await.unwrap();
    assert_eq!(plain.containers[0].command, words(&["one"]));
}

#[tokio::test]
async fn health_checks_become_what_is_run() {
    for (given, run) in [
        (&["CMD", "curl", "-f"][..], Some(&["curl", "-f"][..])),
        (&["CMD-SHELL", "curl -f"], Some(&["/bin/sh", "-c", "curl -f"])),
        (&["curl", "-f"], Some(&["curl", "-f"])),
        (&["NONE"], None),
    ] {
        let check = ecs::HealthCheck { command: words(given), ..Default::default() };
        let built = app(|app| app.health_check = Some(check.clone())).await.unwrap().health_check;
        assert_eq!(built.as_ref().map(|check| check.command.clone()), run.and_then(words), "{given:?}");
        if let Some(check) = built {
            let times =
                (check.interval_seconds, check.timeout_seconds, check.retries, check.start_period_seconds);
            assert_eq!(times, (30, 5, 3, 0));
        }
    }
}

#[tokio::test]
async fn log_options_are_read() {
    let log = async |more: &[(&str, &str)]| {
        let mut options = std::collections::BTreeMap::new();
        for (name, value) in [("awslogs-group", "g"), ("awslogs-region", "eu-west-1")].iter().chain(more) {
            options.insert((*name).to_owned(), (*value).to_owned());
        }
        let configuration = ecs::LogConfiguration {
            log_driver: Some(ecs::LogDriver::Awslogs),
            options: Some(options),
            secret_options: None,
        };
        match app(|app| app.log_configuration = Some(configuration.clone())).await.unwrap().log {
            LogConfiguration::Awslogs(log) => log,
            other => panic!("{other:?}"),
        }
    };
    let plain = log(&[]).await;
    assert_eq!((plain.group.as_str(), plain.region.unwrap().as_str()), ("g", "eu-west-1"));
    assert_eq!((plain.stream_prefix, plain.create_group, plain.mode), (None, false, LogMode::Blocking));
    let full = log(&[
        ("awslogs-stream-prefix", "web"),
        ("awslogs-create-group", "true"),
        ("awslogs-datetime-format", "%H"),
        ("mode", "non-blocking"),
        ("max-buffer-size", "25m"),
    ])
    .await;
    assert_eq!((full.stream_prefix.as_deref(), full.create_group), (Some("web"), true));
    assert_eq!(full.datetime_format.as_deref(), Some("%H"));
    assert_eq!(full.mode, LogMode::NonBlocking { max_buffer_bytes: 25 << 20 });
    let default = log(&[("mode", "non-blocking")]).await;
    assert_eq!(default.mode, LogMode::NonBlocking { max_buffer_bytes: 10 << 20 });
}

#[tokio::test]
async fn linux_parameters_are_taken_over() {
    let linux = ecs::LinuxParameters {
        capabilities: Some(ecs::KernelCapabilities {
            add: words(&["SYS_PTRACE"]),
            drop: words(&["CAP_CHOWN", "KILL"]),
        }),
        init_process_enabled: Some(true),
        tmpfs: Some(vec![ecs::Tmpfs { container_path: text("/tmp"), size: Some(16), mount_options: None }]),
        ..Default::default()
    };
    let built = app(|app| app.linux_parameters = Some(linux.clone())).await.unwrap().linux_parameters;
    assert_eq!(Some(built.capabilities_add), words(&["SYS_PTRACE"]));
    assert_eq!(Some(built.capabilities_drop), words(&["CHOWN", "KILL"]));
    assert!(built.init_process_enabled);
    assert_eq!((built.tmpfs[0].container_path.as_str(), built.tmpfs[0].size_mib), ("/tmp", 16));
}

#[tokio::test]
async fn ports_and_timeouts_are_taken_over() {
    let built = app(|app| {
        app.port_mappings = Some(vec![ecs::PortMapping {
            container_port: Some(53),
            protocol: Some(ecs::TransportProtocol::Udp),
            ..Default::default()
        }]);
        app.stop_timeout = Some(7);
        app.start_timeout = Some(9);
        app.restart_policy = Some(ecs::ContainerRestartPolicy { enabled: Some(true), ..Default::default() });
    })
    .await
    .unwrap();
    let mapping = &built.port_mappings[0];
    assert_eq!((mapping.container_port, mapping.host_port), (53, Some(53)));
    assert_eq!((built.stop_timeout_seconds, built.start_timeout_seconds), (Some(7), Some(9)));
    assert_eq!(built.restart_policy.unwrap().restart_attempt_period_seconds, 300);
}

#[tokio::test]
async fn volumes_are_where_the_definition_says() {
    let spec = build(
        |all| {
            all.volumes = Some(vec![ecs::Volume { name: text("data"), ..Default::default() }]);
            all.container_definitions.as_mut().unwrap()[0].mount_points = Some(vec![ecs::MountPoint {
                source_volume: text("data"),
                container_path: text("/data"),
                read_only: Some(true),
            }]);
        },
        None,
    )
    .await
    .unwrap();
    assert_eq!((spec.volumes[0].name.as_str(), &spec.volumes[0].source), ("data", &VolumeSource::Task));
    assert!(spec.containers[0].mount_points[0].read_only);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    type Change = fn(&mut ecs::RegisterTaskDefinitionRequest);
    let cases: [(Change, &str); 5] = [
        (
            |all| {
                let log =
                    ecs::LogConfiguration { log_driver: Some(ecs::LogDriver::Splunk), ..Default::default() };
                all.container_definitions.as_mut().unwrap()[0].log_configuration = Some(log);
            },
            "the log driver splunk is not implemented",
        ),
        (
            |all| {
                let efs = ecs::EFSVolumeConfiguration { file_system_id: text("fs-1"), ..Default::default() };
                all.volumes = Some(vec![ecs::Volume {
                    name: text("data"),
                    efs_volume_configuration: Some(efs),
                    ..Default::default()
                }]);
            },
            "volume data: EFS volumes are not implemented",
        ),
        (|all| all.proxy_configuration = Some(Default::default()), "proxyConfiguration is not implemented"),
        (|all| all.enable_fault_injection = Some(true), "enableFaultInjection is not implemented"),
        (
            |all| {
                all.runtime_platform = Some(ecs::RuntimePlatform {
                    operating_system_family: Some(ecs::OSFamily::WindowsServer2022Core),
                    cpu_architecture: None,
                });
            },
            "only LINUX",
        ),
    ];
    for (change, reason) in cases {
        let refusal = build(change, None).await.unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
}
