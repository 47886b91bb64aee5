//! The agent on the real machine: real sandboxes, a real network, real output. Only images (a directory with busybox) and the
//! control plane are pretended.
//!
//! Every test runs in a network namespace of its own that plays the host, so that the machine's network is not touched. They
//! need root.

mod support;

use std::time::Duration;

use agent_protocol::{
    spec::{Dependency, DependencyCondition, HealthCheck, MountPoint, Volume, VolumeSource},
    state::{ContainerStatus, HealthStatus, StopCode, TaskStatus},
};
use node_agent::ShutdownMode;
use support::{in_a_host_of_its_own, shell, task};

#[test]
fn a_task_is_reached_at_its_address_and_knows_who_it_is() {
    in_a_host_of_its_own(async |host| {
        let script = "echo hello from $HOSTNAME; mkdir /www; echo page > /www/index.html; \
                      wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task > /tmp/task && echo metadata $?; \
                      wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI > /tmp/keys && echo keys $?; \
                      cat /tmp/task /tmp/keys; echo; exec httpd -f -p 8080 -h /www";
        host.run(task("t1", 10, vec![shell("app", script)]), 1).await;
        let running = host.status("t1", TaskStatus::Running).await;
        assert_eq!(running.containers[0].status, ContainerStatus::Running);
        let lines =
            host.lines_until("t1", |lines| lines.iter().any(|line| line.contains("ASIAEXAMPLE"))).await;
        assert_eq!(lines[0], "hello from ip-172-31-0-10.us-east-1.compute.internal");
        assert!(
            lines.contains(&"metadata 0".to_owned()) && lines.contains(&"keys 0".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("\"TaskARN\":\"arn:aws:ecs:us-east-1:000000000000:task/web/t1\""))
        );
        assert!(host.get("172.31.0.10:8080").await.contains("page"));

        // The agent dies; the task does not notice, and neither do its visitors.
        host.restart().await;
        assert!(host.get("172.31.0.10:8080").await.contains("page"));
        host.stop("t1", 2).await;
        let stopped = host.status("t1", TaskStatus::Stopped).await;
        assert_eq!(stopped.containers[0].exit_code, Some(143));
        assert_eq!(stopped.stop_code, None);
    });
}

#[test]
fn containers_of_a_task_share_its_network_and_volumes_and_start_in_order() {
    in_a_host_of_its_own(async |host| {
        let mut server = shell("server", "echo shared > /data/file; exec httpd -f -p 8080 -h /data");
        server.essential = false;
        server.health_check = Some(HealthCheck {
            command: ["/bin/sh", "-c", "wget -qO- http://127.0.0.1:8080/file"].map(str::to_owned).to_vec(),
            interval_seconds: 1,
            timeout_seconds: 2,
            retries: 3,
            start_period_seconds: 0,
        });
        let mut app = shell("app", "cat /data/file; wget -qO- http://127.0.0.1:8080/file; exit 5");
        app.depends_on =
            vec![Dependency { container_name: "server".into(), condition: DependencyCondition::Healthy }];
        for container in [&mut server, &mut app] {
            container.mount_points = vec![MountPoint {
                source_volume: "data".into(),
                container_path: "/data".into(),
                read_only: false,
            }];
        }
        let mut spec = task("t1", 10, vec![server, app]);
        spec.volumes = vec![Volume { name: "data".into(), source: VolumeSource::Task }];
        host.run(spec, 1).await;
        let stopped = host.status("t1", TaskStatus::Stopped).await;
        assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
        assert_eq!(stopped.containers[1].exit_code, Some(5));
        assert_eq!(stopped.containers[0].exit_code, Some(143));
        assert_eq!(stopped.containers[0].health_status, HealthStatus::Healthy);
        assert_eq!(host.lines("t1").iter().filter(|line| *line == "shared").count(), 2);
    });
}

#[test]
fn what_ends_badly_is_told_as_it_was() {
    in_a_host_of_its_own(async |host| {
        let hungry = shell("app", "exec tail -c 200m /dev/zero");
        let mut missing = shell("app", "");
        missing.command = Some(vec!["/bin/nope".into()]);
        missing.entry_point = Some(vec!["/bin/nope".into()]);
        let mut hungry = task("t1", 10, vec![hungry]);
        hungry.containers[0].memory_mib = Some(64);
        host.run(hungry, 1).await;
        host.run(task("t2", 11, vec![missing]), 1).await;
        // The same with only the task's limit.
        let mut shared = task("t3", 12, vec![shell("app", "exec tail -c 200m /dev/zero")]);
        shared.memory_mib = Some(64);
        host.run(shared, 1).await;
        for id in ["t1", "t3"] {
            let stopped = host.status(id, TaskStatus::Stopped).await;
            assert_eq!(
                stopped.reason.as_deref(),
                Some("OutOfMemoryError: Container killed due to memory usage")
            );
            assert_eq!(stopped.containers[0].exit_code, Some(137));
        }
        let stopped = host.status("t2", TaskStatus::Stopped).await;
        assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
        let reason = stopped.reason.unwrap();
        assert!(
            reason.starts_with("CannotStartContainerError: ") && reason.contains("/bin/nope"),
            "{reason}"
        );
    });
}

#[test]
fn ending_with_everything_leaves_nothing() {
    in_a_host_of_its_own(async |host| {
        for number in 1..=3 {
            let id = format!("t{number}");
            host.run(
                task(&id, 10 + number, vec![shell("app", "trap '' TERM; while true; do sleep 1; done")]),
                1,
            )
            .await;
            host.status(&id, TaskStatus::Running).await;
        }
        host.end(ShutdownMode::RemoveEverything { grace: Duration::from_millis(200) }).await;
        host.assert_nothing_left();
    });
}

#[test]
fn an_agent_that_is_cut_off_while_a_task_starts_runs_it_once() {
    in_a_host_of_its_own(async |host| {
        for round in 0..16 {
            let id = format!("t{round}");
            let spec = task(&id, 10 + round, vec![shell("app", "echo once; exit 3")]);
            host.run(spec.clone(), 1).await;
            // The moment of the cut moves through the start, which takes a few tens of milliseconds.
            tokio::time::sleep(Duration::from_millis(3 * u64::from(round))).await;
            host.restart().await;
            host.run(spec, 1).await;
            let stopped = host.status(&id, TaskStatus::Stopped).await;
            assert_eq!(stopped.containers[0].exit_code, Some(3), "{stopped:?}");
            assert!(stopped.started_at.is_some());
            assert_eq!(host.lines(&id), ["once"], "round {round}");
        }
    });
}
