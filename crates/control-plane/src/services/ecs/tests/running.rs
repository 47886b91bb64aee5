//! RunTask: what it refuses, what it makes, and that it leaves nothing behind when it fails; and the lists of what runs.

use super::*;
use crate::services::ec2::records::Subnet;

type Change = Box<dyn Fn(&mut ecs::RunTaskRequest)>;

fn with(change: impl Fn(&mut ecs::RunTaskRequest) + 'static) -> Change {
    Box::new(change)
}

fn overriding(change: impl Fn(&mut ecs::TaskOverride) + 'static) -> Change {
    Box::new(move |request| change(request.overrides.get_or_insert_default()))
}

/// A subnet of the default network with 16 addresses, of which 11 can be had.
async fn small_subnet(fixture: &Fixture) -> String {
    let state = &fixture.services.state;
    let known = state.read(|view| view.get::<Subnet>(&scope(), &fixture.subnet()).unwrap());
    let small = Subnet {
        id: "subnet-small".to_owned(),
        cidr: "172.31.240.0/28".parse().unwrap(),
        default_for_zone: false,
        ..(*known).clone()
    };
    let make = |tx: &mut state_store::Tx| {
        tx.put(&scope(), &small.id, small.clone());
        Ok::<_, ApiError>(())
    };
    state.transact(make).await.unwrap();
    small.id
}

async fn list(fixture: &Fixture, input: ecs::ListTasksRequest) -> Vec<String> {
    let answer = tasks::describe::list(fixture.call(), input).await.unwrap();
    answer.task_arns.unwrap()
}

#[tokio::test]
async fn requests_are_checked() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let app = ecs::ContainerDefinition { memory: Some(64), ..container("app") };
    let bridge = ecs::RegisterTaskDefinitionRequest {
        family: text("bridge"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    };
    fixture.register(bridge).await.unwrap();
    let count = "The count must be between 1 and 10.";
    let network_needed = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
    for (change, code, fragment) in [
        (with(|run| run.count = Some(0)), INVALID, count),
        (with(|run| run.count = Some(11)), INVALID, count),
        (with(|run| run.task_definition = None), CLIENT, "TaskDefinition can not be blank."),
        (with(|run| run.task_definition = text("nobody")), CLIENT, "TaskDefinition not found."),
        (with(|run| run.task_definition = text("app:9")), CLIENT, "TaskDefinition not found."),
        (with(|run| run.cluster = text("nobody")), "ClusterNotFoundException", "Cluster not found."),
        (with(|run| run.network_configuration = None), INVALID, network_needed),
        (with(|run| run.network_configuration = Some(network(&[]))), INVALID, "subnets can not be empty."),
        (
            with(|run| run.network_configuration = Some(network(&["subnet-0"]))),
            INVALID,
            "The subnet ID 'subnet-0' does not exist (ErrorCode: InvalidSubnetID.NotFound)",
        ),
        (
            with(|run| {
                let network = run.network_configuration.as_mut().unwrap();
                network.awsvpc_configuration.as_mut().unwrap().security_groups =
                    Some(vec!["sg-0".to_owned()]);
            }),
            INVALID,
            "The security group 'sg-0' does not exist (ErrorCode: InvalidGroup.NotFound)",
        ),
        (
            with(|run| run.task_definition = text("bridge")),
            INVALID,
            "Task definition does not support launch_type FARGATE.",
        ),
        (
            with(|run| {
                run.task_definition = text("bridge");
                run.launch_type = Some(ecs::LaunchType::Ec2);
            }),
            INVALID,
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ),
        (
            with(|run| run.launch_type = Some(ecs::LaunchType::External)),
            INVALID,
            "does not support launch_type EXTERNAL",
        ),
        (with(|run| run.launch_type = None), INVALID, "No Container Instances were found in your cluster."),
        (with(|run| run.group = text("service:web")), INVALID, "reserved"),
        (with(|run| run.started_by = Some("s".repeat(129))), INVALID, "128 characters"),
        (with(|run| run.started_by = text("some one")), INVALID, "letters, numbers, hyphens"),
        (with(|run| run.client_token = Some("t".repeat(65))), INVALID, "64 characters"),
        (with(|run| run.tags = Some(vec![tag("aws:a", "1")])), INVALID, "reserved"),
        (with(|run| run.platform_version = text("9.9")), "PlatformUnknownException", "does not exist"),
        (
            with(|run| run.placement_strategy = Some(vec![Default::default()])),
            INVALID,
            "do not support placement strategies",
        ),
        (
            with(|run| run.placement_constraints = Some(vec![Default::default()])),
            INVALID,
            "do not support placement constraints",
        ),
        (
            overriding(|own| {
                own.container_overrides =
                    Some(vec![ecs::ContainerOverride { name: text("nobody"), ..Default::default() }]);
            }),
            INVALID,
            "Override for container named nobody is not a container in the TaskDefinition.",
        ),
        (overriding(|own| own.cpu = text("300")), CLIENT, "No Fargate configuration exists"),
        (overriding(|own| own.memory = text("much")), CLIENT, "No Fargate configuration exists"),
        (
            overriding(|own| own.ephemeral_storage = Some(ecs::EphemeralStorage { size_in_gi_b: Some(1) })),
            INVALID,
            "between 21 and 200 GiB",
        ),
        (
            overriding(|own| {
                own.container_overrides = Some(vec![ecs::ContainerOverride {
                    name: text("app"),
                    command: Some(vec!["x".repeat(9000)]),
                    ..Default::default()
                }]);
            }),
            INVALID,
            "8192 characters",
        ),
    ] {
        let mut request = run_request(&fixture, "app");
        change(&mut request);
        refused(fixture.run(request).await, code, fragment);
    }
    assert_eq!(fixture.left_behind(), (0, 0, 0));
}

#[tokio::test]
async fn a_new_task_has_everything_that_a_client_asks_for() {
    let fixture = fixture().await;
    let task = fixture.task().await;
    assert_eq!(last(&task.task_arn).len(), 32);
    assert_eq!((task.group.as_deref(), task.started_by.as_deref()), (Some("family:app"), None));
    assert_eq!(
        (task.last_status.as_deref(), task.desired_status.as_deref()),
        (Some("PROVISIONING"), Some("RUNNING"))
    );
    assert_eq!((task.cpu.as_deref(), task.memory.as_deref()), (Some("256"), Some("512")));
    assert_eq!(task.launch_type, Some(ecs::LaunchType::Fargate));
    assert_eq!(
        (task.platform_version.as_deref(), task.platform_family.as_deref()),
        (Some("1.4.0"), Some("Linux"))
    );
    assert_eq!(task.ephemeral_storage.as_ref().unwrap().size_in_gi_b, Some(20));
    assert_eq!((task.version, task.health_status), (Some(1), Some(ecs::HealthStatus::Unknown)));
    assert_eq!(task.overrides.as_ref().unwrap().container_overrides.as_ref().unwrap().len(), 1);
    let attachment = &task.attachments.as_ref().unwrap()[0];
    assert_eq!(attachment.r#type.as_deref(), Some("ElasticNetworkInterface"));
    let details: Vec<&str> =
        attachment.details.iter().flatten().map(|detail| detail.name.as_deref().unwrap()).collect();
    assert_eq!(
        details,
        ["subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"]
    );
    let container = &task.containers.as_ref().unwrap()[0];
    assert_eq!((container.name.as_deref(), container.last_status.as_deref()), (Some("app"), Some("PENDING")));
    let id = last(&task.task_arn);
    assert!(container.runtime_id.as_ref().unwrap().starts_with(&format!("{id}-")));
    assert!(container.container_arn.as_ref().unwrap().contains(&format!("container/default/{id}/")));
    // What was answered is what is kept.
    assert_eq!(fixture.describe_task(task.task_arn.as_deref().unwrap()).await, Some(task));
}

#[tokio::test]
async fn what_is_given_goes_before_the_defaults() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let overrides = ecs::TaskOverride {
        cpu: text(".5 vCPU"),
        memory: text("1GB"),
        ephemeral_storage: Some(ecs::EphemeralStorage { size_in_gi_b: Some(30) }),
        ..Default::default()
    };
    let request = ecs::RunTaskRequest {
        group: text("mine"),
        started_by: text("a/b_c-1"),
        overrides: Some(overrides),
        platform_version: text("LATEST"),
        enable_execute_command: Some(true),
        ..run_request(&fixture, "app")
    };
    let task = fixture.run(request).await.unwrap().remove(0);
    assert_eq!((task.group.as_deref(), task.started_by.as_deref()), (Some("mine"), Some("a/b_c-1")));
    assert_eq!((task.cpu.as_deref(), task.memory.as_deref()), (Some("512"), Some("1024")));
    assert_eq!(task.ephemeral_storage.unwrap().size_in_gi_b, Some(30));
    assert_eq!(task.enable_execute_command, Some(true));
}

#[tokio::test]
async fn tags_come_from_the_request_and_from_what_is_to_be_propagated() {
    let fixture = fixture().await;
    let mut definition = fargate("app");
    definition.tags = Some(vec![tag("a", "definition"), tag("b", "definition")]);
    fixture.register(definition).await.unwrap();
    let request =
        || ecs::RunTaskRequest { tags: Some(vec![tag("a", "request")]), ..run_request(&fixture, "app") };
    let plain = fixture.run(request()).await.unwrap().remove(0);
    assert_eq!(plain.tags, Some(vec![tag("a", "request")]));
    let propagated = ecs::RunTaskRequest {
        propagate_tags: Some(ecs::PropagateTags::TaskDefinition),
        enable_ecs_managed_tags: Some(true),
        ..request()
    };
    let task = fixture.run(propagated).await.unwrap().remove(0);
    let expected = vec![tag("a", "request"), tag("aws:ecs:clusterName", "default"), tag("b", "definition")];
    assert_eq!(task.tags, Some(expected));
}

#[tokio::test]
async fn the_same_token_answers_the_same_tasks() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let subnet = fixture.subnet();
    let request = || ecs::RunTaskRequest {
        client_token: text("once"),
        count: Some(2),
        network_configuration: Some(network(&[&subnet])),
        ..run_request(&fixture, "app")
    };
    let first = fixture.run(request()).await.unwrap();
    let again = fixture.run(request()).await.unwrap();
    assert_eq!((first.len(), fixture.left_behind().0), (2, 2));
    assert_eq!(first, again);
    let other = ecs::RunTaskRequest { count: Some(1), ..request() };
    refused(fixture.run(other).await, "ConflictException", "client token");
    fixture.cluster("other").await;
    let elsewhere = ecs::RunTaskRequest { cluster: text("other"), ..request() };
    fixture.run(elsewhere).await.expect("a token counts within its cluster");
}

#[tokio::test]
async fn when_addresses_run_out_nothing_is_left_behind() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let subnet = small_subnet(&fixture).await;
    let request = |count: i32| ecs::RunTaskRequest {
        count: Some(count),
        network_configuration: Some(network(&[&subnet])),
        ..run_request(&fixture, "app")
    };
    let tasks = fixture.run(request(10)).await.unwrap();
    let before = fixture.left_behind();
    assert_eq!(before, (10, 10, 10));
    refused(fixture.run(request(2)).await, INVALID, "does not have enough free addresses");
    assert_eq!(fixture.left_behind(), before);
    fixture.run(request(1)).await.expect("the eleventh address");
    refused(fixture.run(request(1)).await, INVALID, "does not have enough free addresses");
    // An address is free the moment its task shows STOPPED.
    fixture.report(&report(tasks[0].task_arn.as_deref().unwrap(), 1, TaskStatus::Stopped)).await;
    fixture.run(request(1)).await.expect("the freed address");
}

#[tokio::test]
async fn public_addresses_come_and_go_with_their_task() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let mut request = run_request(&fixture, "app");
    let network = request.network_configuration.as_mut().unwrap();
    network.awsvpc_configuration.as_mut().unwrap().assign_public_ip = Some(ecs::AssignPublicIp::Enabled);
    let task = fixture.run(request).await.unwrap().remove(0);
    assert_eq!(fixture.left_behind(), (1, 1, 2));
    fixture.report(&report(task.task_arn.as_deref().unwrap(), 1, TaskStatus::Stopped)).await;
    assert_eq!(fixture.left_behind(), (1, 0, 0));
}

#[tokio::test]
async fn what_is_described_may_be_missing_but_not_misread() {
    let fixture = fixture().await;
    let arn = fixture.task().await.task_arn.unwrap();
    let unknown = "0".repeat(32);
    let describe = async |given: Vec<String>| {
        let input = ecs::DescribeTasksRequest { tasks: Some(given), ..Default::default() };
        tasks::describe::describe(fixture.call(), input).await
    };
    let answer = describe(vec![arn.clone(), unknown.clone()]).await.unwrap();
    assert_eq!(answer.tasks.unwrap().len(), 1);
    let missing = scope().arn("ecs", format_args!("task/default/{unknown}")).to_string();
    assert_eq!(
        answer.failures,
        Some(vec![ecs::Failure { arn: Some(missing), reason: text("MISSING"), detail: None }])
    );
    for (given, fragment) in [
        (vec![], "Tasks cannot be empty."),
        (vec![unknown; 101], "100 tasks"),
        (vec!["short".to_owned()], "taskId length should be one of [32,36]"),
        (vec![arn.replace("/default/", "/other/")], "Identifier is for other. Your cluster is default"),
        (vec![arn.replace("us-east-1", "eu-west-1")], "Your region is us-east-1"),
        (vec![arn.replace(":task/", ":cluster/")], "Expected a resource of type task"),
    ] {
        refused(describe(given).await, INVALID, fragment);
    }
}

#[tokio::test]
async fn tags_are_shown_when_asked_for() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let request = ecs::RunTaskRequest { tags: Some(vec![tag("a", "1")]), ..run_request(&fixture, "app") };
    let arn = fixture.run(request).await.unwrap().remove(0).task_arn.unwrap();
    assert_eq!(fixture.describe_task(&arn).await.unwrap().tags, Some(vec![]));
    let input = ecs::DescribeTasksRequest {
        tasks: Some(vec![arn]),
        include: Some(vec![ecs::TaskField::Tags]),
        cluster: None,
    };
    let answer = tasks::describe::describe(fixture.call(), input).await.unwrap();
    assert_eq!(answer.tasks.unwrap()[0].tags, Some(vec![tag("a", "1")]));
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let fixture = fixture().await;
    let first = fixture.task().await.task_arn.unwrap();
    fixture.register(fargate("other")).await.unwrap();
    let request = ecs::RunTaskRequest { started_by: text("me"), ..run_request(&fixture, "other") };
    let second = fixture.run(request).await.unwrap().remove(0).task_arn.unwrap();
    let all = ecs::ListTasksRequest::default;
    let sorted = |mut arns: Vec<String>| {
        arns.sort();
        arns
    };
    let both = sorted(vec![first.clone(), second.clone()]);
    for (input, expected) in [
        (all(), both.clone()),
        (ecs::ListTasksRequest { family: text("app"), ..all() }, vec![first.clone()]),
        (ecs::ListTasksRequest { started_by: text("me"), ..all() }, vec![second.clone()]),
        (ecs::ListTasksRequest { container_instance: Some("0".repeat(32)), ..all() }, vec![]),
        (ecs::ListTasksRequest { launch_type: Some(ecs::LaunchType::Fargate), ..all() }, both.clone()),
        (ecs::ListTasksRequest { launch_type: Some(ecs::LaunchType::Ec2), ..all() }, vec![]),
        (ecs::ListTasksRequest { desired_status: Some(ecs::DesiredStatus::Stopped), ..all() }, vec![]),
        (ecs::ListTasksRequest { desired_status: Some(ecs::DesiredStatus::Pending), ..all() }, vec![]),
    ] {
        assert_eq!(list(&fixture, input.clone()).await, expected, "{input:?}");
    }
    let of_nobody = ecs::ListTasksRequest { service_name: text("web"), ..all() };
    let answer = tasks::describe::list(fixture.call(), of_nobody).await;
    refused(answer, "ServiceNotFoundException", "Service not found.");
    fixture.stop(&first, None).await.unwrap();
    assert_eq!(list(&fixture, all()).await, std::slice::from_ref(&second));
    let stopped = ecs::ListTasksRequest { desired_status: Some(ecs::DesiredStatus::Stopped), ..all() };
    assert_eq!(list(&fixture, stopped).await, [first]);

    let input = ecs::ListTasksRequest { started_by: text("me"), family: text("app"), ..all() };
    let answer = tasks::describe::list(fixture.call(), input).await;
    refused(answer, INVALID, "startedBy cannot be combined with other filters.");

    fixture.run(run_request(&fixture, "app")).await.unwrap();
    let mut seen = Vec::new();
    let page = ecs::ListTasksRequest { max_results: Some(1), ..all() };
    let answer = tasks::describe::list(fixture.call(), page.clone()).await.unwrap();
    seen.extend(answer.task_arns.unwrap());
    let rest = ecs::ListTasksRequest { next_token: answer.next_token.clone(), ..page.clone() };
    let answer = tasks::describe::list(fixture.call(), rest).await.unwrap();
    seen.extend(answer.task_arns.unwrap());
    assert_eq!((answer.next_token, seen), (None, list(&fixture, all()).await));
    let forged = ecs::ListTasksRequest { next_token: text("forged"), ..page };
    refused(tasks::describe::list(fixture.call(), forged).await, INVALID, "Invalid token.");
}
