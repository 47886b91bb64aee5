//! Tasks on container instances: where RunTask and StartTask put them, why not, and what is left afterwards.

use aws_shapes_ecs::{PlacementConstraintType, PlacementStrategyType};

use super::*;
use crate::services::ecs::{attributes, records::ContainerInstance};

/// What an agent registers of a machine with one CPU and 1024 MiB.
pub fn machine(zone: &str) -> ecs::RegisterContainerInstanceRequest {
    let whole = |name: &str, value| ecs::Resource {
        name: text(name),
        r#type: text("INTEGER"),
        integer_value: Some(value),
        ..Default::default()
    };
    let set = |name: &str, values: &[&str]| ecs::Resource {
        name: text(name),
        r#type: text("STRINGSET"),
        string_set_value: Some(values.iter().map(|value| (*value).to_owned()).collect()),
        ..Default::default()
    };
    ecs::RegisterContainerInstanceRequest {
        total_resources: Some(vec![
            whole("CPU", 1024),
            whole("MEMORY", 1024),
            set("PORTS", &["22"]),
            set("PORTS_UDP", &[]),
        ]),
        attributes: Some(vec![
            attribute("ecs.availability-zone", Some(zone)),
            attribute("ecs.os-type", Some("linux")),
            attribute("ecs.capability.task-eni", None),
            attribute("com.amazonaws.ecs.capability.docker-remote-api.1.18", None),
        ]),
        version_info: Some(ecs::VersionInfo { agent_version: text("1.90.0"), ..Default::default() }),
        ..Default::default()
    }
}

pub fn attribute(name: &str, value: Option<&str>) -> ecs::Attribute {
    ecs::Attribute { name: text(name), value: value.map(str::to_owned), ..Default::default() }
}

/// A definition for container instances, with one container.
pub fn on_ec2(family: &str, app: ecs::ContainerDefinition) -> ecs::RegisterTaskDefinitionRequest {
    ecs::RegisterTaskDefinitionRequest {
        family: text(family),
        container_definitions: Some(vec![app]),
        ..Default::default()
    }
}

pub fn sized(cpu: i32, memory: i32) -> ecs::ContainerDefinition {
    ecs::ContainerDefinition { cpu: Some(cpu), memory: Some(memory), ..container("app") }
}

pub fn publishing(host_port: i32) -> ecs::ContainerDefinition {
    let mapping =
        ecs::PortMapping { container_port: Some(80), host_port: Some(host_port), ..Default::default() };
    ecs::ContainerDefinition { port_mappings: Some(vec![mapping]), ..sized(64, 64) }
}

pub fn run_on_ec2(definition: &str, count: i32) -> ecs::RunTaskRequest {
    ecs::RunTaskRequest {
        task_definition: text(definition),
        launch_type: Some(ecs::LaunchType::Ec2),
        count: Some(count),
        ..Default::default()
    }
}

fn constraint(kind: PlacementConstraintType, expression: Option<&str>) -> ecs::PlacementConstraint {
    ecs::PlacementConstraint { r#type: Some(kind), expression: expression.map(str::to_owned) }
}

fn strategy(kind: PlacementStrategyType, field: &str) -> ecs::PlacementStrategy {
    ecs::PlacementStrategy { r#type: Some(kind), field: text(field) }
}

impl Fixture {
    /// Registers a machine whose agent is connected, and returns the instance's id.
    pub async fn machine(&self, request: ecs::RegisterContainerInstanceRequest) -> String {
        let answer = instances::register(self.call(), request).await.unwrap();
        let id = last(&answer.container_instance.unwrap().container_instance_arn);
        self.connect(&id, true).await;
        id
    }

    async fn connect(&self, id: &str, connected: bool) {
        let write = |tx: &mut state_store::Tx| {
            let key = format!("default/{id}");
            let mut record = (*tx.get::<ContainerInstance>(&scope(), &key).unwrap()).clone();
            record.agent_connected = connected;
            tx.put(&scope(), &key, record);
            Ok::<_, ApiError>(())
        };
        self.services.state.transact(write).await.unwrap();
    }

    pub async fn place(&self, input: ecs::RunTaskRequest) -> (Vec<ecs::Task>, Vec<(String, String)>) {
        let answer = tasks::run::run(self.call(), input).await.unwrap();
        (answer.tasks.unwrap(), reasons(answer.failures))
    }

    async fn instance(&self, id: &str) -> ecs::ContainerInstance {
        super::instance::describe(self, id).await
    }
}

/// Instance and reason of each failure.
fn reasons(failures: Option<Vec<ecs::Failure>>) -> Vec<(String, String)> {
    let failures = failures.unwrap().into_iter();
    failures.map(|failure| (last(&failure.arn), failure.reason.unwrap())).collect()
}

fn on(tasks: &[ecs::Task]) -> Vec<String> {
    let mut ids: Vec<String> = tasks.iter().map(|task| last(&task.container_instance_arn)).collect();
    ids.sort();
    ids
}

/// What is left: CPU, memory, TCP ports taken.
fn left(instance: &ecs::ContainerInstance) -> (i32, i32, Vec<String>) {
    let find = |name: &str| {
        let resources = instance.remaining_resources.as_ref().unwrap();
        resources.iter().find(|resource| resource.name.as_deref() == Some(name)).unwrap().clone()
    };
    let whole = |name| find(name).integer_value.unwrap();
    (whole("CPU"), whole("MEMORY"), find("PORTS").string_set_value.unwrap())
}

#[tokio::test]
async fn a_task_takes_its_share_of_an_instance_until_it_has_stopped() {
    let fixture = fixture().await;
    let id = fixture.machine(machine("us-east-1a")).await;
    fixture.register(on_ec2("app", publishing(8080))).await.unwrap();
    let (tasks, failures) = fixture.place(run_on_ec2("app", 1)).await;
    assert_eq!((on(&tasks), failures), (vec![id.clone()], vec![]));
    let task = &tasks[0];
    assert_eq!(task.last_status.as_deref(), Some("PENDING"), "it has no interface to wait for");
    assert_eq!(task.launch_type, Some(ecs::LaunchType::Ec2));
    assert_eq!(task.availability_zone.as_deref(), Some("us-east-1a"));
    assert_eq!(
        (&task.platform_version, &task.cpu, task.attachments.as_deref()),
        (&None, &None, Some(&[][..]))
    );
    let taken = (960, 960, vec!["22".to_owned(), "8080".to_owned()]);
    let shown = fixture.instance(&id).await;
    assert_eq!(
        (left(&shown), shown.pending_tasks_count, shown.running_tasks_count),
        (taken.clone(), Some(1), Some(0))
    );
    let arn = task.task_arn.clone().unwrap();
    fixture.report(&report(&arn, 1, TaskStatus::Running)).await;
    let shown = fixture.instance(&id).await;
    assert_eq!((shown.pending_tasks_count, shown.running_tasks_count), (Some(0), Some(1)));
    fixture.stop(&arn, None).await.unwrap();
    assert_eq!(left(&fixture.instance(&id).await), taken, "until its node has said that it stopped");
    fixture.report(&report(&arn, 2, TaskStatus::Stopped)).await;
    let shown = fixture.instance(&id).await;
    assert_eq!(left(&shown), (1024, 1024, vec!["22".to_owned()]));
    assert_eq!((shown.pending_tasks_count, shown.running_tasks_count), (Some(0), Some(0)));
}

#[tokio::test]
async fn what_does_not_fit_is_a_failure_with_its_reason() {
    let fixture = fixture().await;
    refused(
        {
            fixture.register(on_ec2("cpu", sized(600, 64))).await.unwrap();
            tasks::run::run(fixture.call(), run_on_ec2("cpu", 1)).await
        },
        INVALID,
        "No Container Instances were found in your cluster.",
    );
    let id = fixture.machine(machine("us-east-1a")).await;
    fixture.register(on_ec2("memory", sized(64, 600))).await.unwrap();
    fixture.register(on_ec2("port", publishing(80))).await.unwrap();
    let checked =
        ecs::HealthCheck { command: Some(vec!["CMD".to_owned(), "true".to_owned()]), ..Default::default() };
    let app = ecs::ContainerDefinition { health_check: Some(checked), ..sized(1, 6) };
    fixture.register(on_ec2("checked", app)).await.unwrap();
    let gpu = ecs::ResourceRequirement {
        r#type: Some(ecs::ResourceType::Gpu),
        value: text("1"),
        ..Default::default()
    };
    let app = ecs::ContainerDefinition { resource_requirements: Some(vec![gpu]), ..sized(1, 6) };
    fixture.register(on_ec2("gpu", app)).await.unwrap();
    for family in ["cpu", "memory", "port"] {
        // The first has room; what the second lacks is said.
        let (tasks, failures) = fixture.place(run_on_ec2(family, 2)).await;
        let reason =
            format!("RESOURCE:{}", if family == "port" { "PORTS".to_owned() } else { family.to_uppercase() });
        assert_eq!((on(&tasks), failures), (vec![id.clone()], vec![(id.clone(), reason)]));
        for task in tasks {
            fixture.report(&report(task.task_arn.as_ref().unwrap(), 1, TaskStatus::Stopped)).await;
        }
    }
    for family in ["checked", "gpu"] {
        let (tasks, failures) = fixture.place(run_on_ec2(family, 1)).await;
        assert_eq!((tasks.len(), failures), (0, vec![(id.clone(), "ATTRIBUTE".to_owned())]), "{family}");
    }
    fixture.connect(&id, false).await;
    let (tasks, failures) = fixture.place(run_on_ec2("port", 1)).await;
    assert_eq!((tasks.len(), failures), (0, vec![(id, "AGENT".to_owned())]));
}

#[tokio::test]
async fn overrides_change_what_a_task_takes() {
    let fixture = fixture().await;
    let id = fixture.machine(machine("us-east-1a")).await;
    let app = ecs::ContainerDefinition { memory_reservation: Some(100), ..sized(100, 200) };
    fixture.register(on_ec2("app", app)).await.unwrap();
    fixture.place(run_on_ec2("app", 1)).await;
    assert_eq!(left(&fixture.instance(&id).await).1, 924, "the reservation, not the limit");
    let own = ecs::ContainerOverride {
        name: text("app"),
        cpu: Some(300),
        memory_reservation: Some(500),
        ..Default::default()
    };
    let overrides = ecs::TaskOverride { container_overrides: Some(vec![own]), ..Default::default() };
    fixture.place(ecs::RunTaskRequest { overrides: Some(overrides), ..run_on_ec2("app", 1) }).await;
    let (cpu, memory, _) = left(&fixture.instance(&id).await);
    assert_eq!((cpu, memory), (624, 424));
    let whole = ecs::RegisterTaskDefinitionRequest {
        cpu: text("0.25 vCPU"),
        memory: text("300"),
        ..on_ec2("whole", sized(100, 200))
    };
    fixture.register(whole).await.unwrap();
    let (tasks, _) = fixture.place(run_on_ec2("whole", 1)).await;
    assert_eq!(tasks[0].memory.as_deref(), Some("300"));
    let (cpu, memory, _) = left(&fixture.instance(&id).await);
    assert_eq!((cpu, memory), (368, 124), "the task's own size goes before its containers'");
}

#[tokio::test]
async fn constraints_and_strategies_are_taken_and_checked() {
    let fixture = fixture().await;
    let mut ids = Vec::new();
    for zone in ["us-east-1a", "us-east-1a", "us-east-1b"] {
        ids.push(fixture.machine(machine(zone)).await);
    }
    fixture.register(on_ec2("app", sized(10, 10))).await.unwrap();
    let distinct = constraint(PlacementConstraintType::DistinctInstance, None);
    let in_a =
        constraint(PlacementConstraintType::MemberOf, Some("attribute:ecs.availability-zone == us-east-1a"));
    let constrained = |constraints| ecs::RunTaskRequest {
        placement_constraints: Some(constraints),
        ..run_on_ec2("app", 4)
    };
    let (tasks, failures) = fixture.place(constrained(vec![distinct.clone(), in_a.clone()])).await;
    let mut expected = ids[..2].to_vec();
    expected.sort();
    assert_eq!(on(&tasks), expected);
    let unsatisfied = |kind: &str| format!("{kind} placement constraint unsatisfied.");
    let mut all: Vec<String> = failures.into_iter().map(|(_, reason)| reason).collect();
    all.sort();
    assert_eq!(
        all,
        [unsatisfied("DistinctInstance"), unsatisfied("DistinctInstance"), unsatisfied("MemberOf")]
    );
    // Without a launch type and a strategy of the cluster, tasks run on EC2.
    let packed = ecs::RunTaskRequest {
        launch_type: None,
        placement_strategy: Some(vec![strategy(PlacementStrategyType::Binpack, "memory")]),
        ..run_on_ec2("app", 10)
    };
    let (tasks, _) = fixture.place(packed).await;
    let mut used = on(&tasks);
    used.dedup();
    assert_eq!(used.len(), 1);
    for (constraints, strategies, fragment) in [
        (
            vec![constraint(PlacementConstraintType::DistinctInstance, Some(""))],
            vec![],
            "distinctInstance expression should not be specified.",
        ),
        (
            vec![constraint(PlacementConstraintType::MemberOf, None)],
            vec![],
            "memberOf expression cannot be empty.",
        ),
        (
            vec![constraint(PlacementConstraintType::MemberOf, Some("colour == red"))],
            vec![],
            "unknown subject 'colour'",
        ),
        (vec![in_a; 11], vec![], "A maximum of 10 placement constraints"),
        (vec![], vec![strategy(PlacementStrategyType::Binpack, "disk")], "The field 'disk' is not valid"),
        (vec![], vec![strategy(PlacementStrategyType::Random, ""); 6], "A maximum of 5 placement strategies"),
    ] {
        let input = ecs::RunTaskRequest {
            placement_constraints: Some(constraints),
            placement_strategy: Some(strategies),
            ..run_on_ec2("app", 1)
        };
        refused(tasks::run::run(fixture.call(), input).await, INVALID, fragment);
    }
}

#[tokio::test]
async fn a_definitions_constraints_bind_and_are_checked_when_it_is_registered() {
    let fixture = fixture().await;
    let of = |expression: &str| {
        let constraint = ecs::TaskDefinitionPlacementConstraint {
            r#type: Some(ecs::TaskDefinitionPlacementConstraintType::MemberOf),
            expression: text(expression),
        };
        ecs::RegisterTaskDefinitionRequest {
            placement_constraints: Some(vec![constraint]),
            ..on_ec2("app", sized(10, 10))
        }
    };
    refused(
        fixture.register(of("attribute:a =")).await,
        CLIENT,
        "Invalid memberOf expression: unexpected '='.",
    );
    fixture.register(of("attribute:colour == red")).await.unwrap();
    let id = fixture.machine(machine("us-east-1a")).await;
    assert_eq!(
        fixture.place(run_on_ec2("app", 1)).await.1[0].1,
        "MemberOf placement constraint unsatisfied."
    );
    let red = ecs::Attribute { target_id: text(&id), ..attribute("colour", Some("red")) };
    let input = ecs::PutAttributesRequest { attributes: Some(vec![red.clone()]), ..Default::default() };
    attributes::put(fixture.call(), input).await.unwrap();
    assert_eq!(on(&fixture.place(run_on_ec2("app", 1)).await.0), [id]);
    let input = ecs::DeleteAttributesRequest { attributes: Some(vec![red]), ..Default::default() };
    attributes::delete(fixture.call(), input).await.unwrap();
    assert_eq!(fixture.place(run_on_ec2("app", 1)).await.0, []);
}

#[tokio::test]
async fn an_awsvpc_task_gets_its_interface_in_the_zone_of_its_instance() {
    let fixture = fixture().await;
    let subnets: Vec<(String, String)> = fixture.services.state.read(|view| {
        let all = view.scan::<ec2::records::Subnet>(&scope());
        all.map(|(id, subnet)| (id.to_owned(), subnet.availability_zone.clone())).collect()
    });
    let (other, zone) = subnets[1].clone();
    let id = fixture.machine(machine(&zone)).await;
    let definition = ecs::RegisterTaskDefinitionRequest {
        network_mode: Some(ecs::NetworkMode::Awsvpc),
        ..on_ec2("app", sized(10, 10))
    };
    fixture.register(definition).await.unwrap();
    let within = |given: &[&str]| ecs::RunTaskRequest {
        network_configuration: Some(network(given)),
        ..run_on_ec2("app", 1)
    };
    let all: Vec<&str> = subnets.iter().map(|(id, _)| id.as_str()).collect();
    let (tasks, _) = fixture.place(within(&all)).await;
    assert_eq!((on(&tasks), tasks[0].last_status.as_deref()), (vec![id.clone()], Some("PROVISIONING")));
    let details = tasks[0].attachments.as_ref().unwrap()[0].details.clone().unwrap();
    assert!(details.contains(&pair("subnetId", &other)), "{details:?}");
    let (tasks, failures) = fixture.place(within(&[&subnets[0].0])).await;
    assert_eq!((tasks.len(), failures), (0, vec![(id, "ATTRIBUTE".to_owned())]));
    refused(fixture.run(run_on_ec2("app", 1)).await, INVALID, "Network Configuration must be provided");
}

#[tokio::test]
async fn external_instances_take_external_tasks_only() {
    let fixture = fixture().await;
    let mut request = machine("us-east-1a");
    request.attributes.as_mut().unwrap().push(attribute("ecs.capability.external", None));
    let external = fixture.machine(request).await;
    let definition = ecs::RegisterTaskDefinitionRequest {
        requires_compatibilities: Some(vec![ecs::Compatibility::External, ecs::Compatibility::Ec2]),
        ..on_ec2("app", sized(10, 10))
    };
    fixture.register(definition).await.unwrap();
    refused(fixture.run(run_on_ec2("app", 1)).await, INVALID, "No Container Instances were found");
    let input = ecs::RunTaskRequest { launch_type: Some(ecs::LaunchType::External), ..run_on_ec2("app", 1) };
    let (tasks, _) = fixture.place(input).await;
    assert_eq!((on(&tasks), tasks[0].launch_type), (vec![external.clone()], Some(ecs::LaunchType::External)));
    let started = start(&fixture, &[&external]).await;
    assert_eq!(started.tasks.unwrap()[0].launch_type, Some(ecs::LaunchType::External));
}

async fn start(fixture: &Fixture, ids: &[&str]) -> ecs::StartTaskResponse {
    let input = ecs::StartTaskRequest {
        task_definition: text("app"),
        container_instances: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..Default::default()
    };
    tasks::run::start(fixture.call(), input).await.unwrap()
}

#[tokio::test]
async fn tasks_start_where_they_are_told_to_one_by_one() {
    let fixture = fixture().await;
    let (first, second) =
        (fixture.machine(machine("us-east-1a")).await, fixture.machine(machine("us-east-1a")).await);
    fixture.register(on_ec2("app", sized(600, 10))).await.unwrap();
    let unknown = "0".repeat(32);
    let answer = start(&fixture, &[&first, &first, &unknown, &second]).await;
    let mut both = vec![first.clone(), second];
    both.sort();
    assert_eq!(on(&answer.tasks.unwrap()), both);
    let expected = vec![(first, "RESOURCE:CPU".to_owned()), (unknown, "MISSING".to_owned())];
    assert_eq!(reasons(answer.failures), expected);
}

#[tokio::test]
async fn requests_at_the_same_time_never_take_the_same_room() {
    let fixture = fixture().await;
    for _ in 0..2 {
        fixture.machine(machine("us-east-1a")).await;
    }
    fixture.register(on_ec2("app", sized(100, 10))).await.unwrap();
    let packed = || ecs::RunTaskRequest {
        placement_strategy: Some(vec![strategy(PlacementStrategyType::Binpack, "cpu")]),
        ..run_on_ec2("app", 3)
    };
    let answers = futures_util::future::join_all((0..10).map(|_| fixture.place(packed()))).await;
    let placed: usize = answers.iter().map(|(tasks, _)| tasks.len()).sum();
    assert_eq!(placed, 20, "ten on each, and not one more");
    // A fleet that is made anew of the tables says the same as one that followed them.
    let ids = on(&answers.into_iter().flat_map(|(tasks, _)| tasks).collect::<Vec<_>>());
    assert_eq!(left(&fixture.instance(&ids[0]).await).0, 24);
    assert_eq!(left(&fixture.instance(&ids[19]).await).0, 24);
}

#[tokio::test]
async fn an_attempt_that_fails_leaves_its_room_to_others() {
    let fixture = fixture().await;
    fixture.machine(machine("us-east-1a")).await;
    fixture.register(on_ec2("app", sized(1000, 10))).await.unwrap();
    // The tags are refused once the tasks have been placed: nothing is written.
    let long = "x".repeat(65);
    let broken = ecs::RunTaskRequest { client_token: text(&long), ..run_on_ec2("app", 1) };
    refused(tasks::run::run(fixture.call(), broken).await, INVALID, "client token");
    let given_up = |tx: &mut state_store::Tx| {
        let first = launch_on_ec2(&fixture, tx, "service:web")?;
        assert_eq!((first.tasks.len(), first.unplaced), (1, None));
        // The same transaction sees what it has placed already.
        let second = launch_on_ec2(&fixture, tx, "service:web")?;
        assert_eq!(second.tasks.len(), 0);
        let unplaced = second.unplaced.unwrap();
        assert!(unplaced.contains("has insufficient CPU units available."), "{unplaced}");
        Err::<(), _>(ApiError::validation("given up".to_owned()))
    };
    refused(fixture.services.state.transact(given_up).await, "ValidationException", "given up");
    assert_eq!(fixture.place(run_on_ec2("app", 1)).await.0.len(), 1);
}

/// Launches a task of `app`, as a service's reconciler does.
fn launch_on_ec2(
    fixture: &Fixture,
    tx: &mut state_store::Tx,
    group: &str,
) -> Result<tasks::launch::Launched, ApiError> {
    with_launch(tx, group, |tx, launch| {
        let mut ids = fixture.services.ids();
        tasks::launch::launch(tx, &fixture.services, launch, fixture.now(), &mut ids)
    })
}

fn with_launch<R>(
    tx: &mut state_store::Tx,
    group: &str,
    then: impl FnOnce(&mut state_store::Tx, &tasks::launch::Launch<'_>) -> Result<R, ApiError>,
) -> Result<R, ApiError> {
    let cluster = names::active_cluster_in(tx, &scope(), "default")?;
    let definition = names::DefinitionName::parse(&scope(), "app")?.find(tx.view(), &scope()).unwrap();
    let launch = tasks::launch::Launch {
        scope: &scope(),
        cluster: &cluster,
        definition: &definition,
        count: 1,
        place: tasks::launch::Where::LaunchType(agent_protocol::spec::LaunchType::Ec2),
        network: None,
        overrides: &Default::default(),
        constraints: &[],
        strategies: &[],
        group: Some(group),
        started_by: None,
        tags: &Default::default(),
        enable_execute_command: false,
        platform_version: None,
        load_balanced: false,
    };
    then(tx, &launch)
}

#[tokio::test]
async fn a_services_tasks_go_to_the_zone_and_the_instance_with_the_fewest() {
    let fixture = fixture().await;
    let mut zones = std::collections::BTreeMap::new();
    for zone in ["us-east-1a", "us-east-1a", "us-east-1b", "us-east-1c"] {
        zones.insert(fixture.machine(machine(zone)).await, zone);
    }
    fixture.register(on_ec2("app", sized(10, 10))).await.unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for number in 1..=12 {
        let launch = |tx: &mut state_store::Tx| launch_on_ec2(&fixture, tx, "service:web");
        let task = fixture.services.state.transact(launch).await.unwrap().tasks.remove(0);
        *counts.entry(task.container_instance.unwrap()).or_insert(0) += 1;
        let of = |zone: &str| -> i32 {
            counts.iter().filter(|(id, _)| zones[*id] == zone).map(|(_, count)| count).sum()
        };
        let each = ["us-east-1a", "us-east-1b", "us-east-1c"].map(of);
        assert!(each.iter().max().unwrap() - each.iter().min().unwrap() <= 1, "after {number}: {each:?}");
    }
    let mut each: Vec<i32> = counts.into_values().collect();
    each.sort_unstable();
    assert_eq!(each, [2, 2, 4, 4]);
}

#[tokio::test]
async fn a_daemon_is_wanted_wherever_its_constraints_hold() {
    let fixture = fixture().await;
    let (first, second) =
        (fixture.machine(machine("us-east-1a")).await, fixture.machine(machine("us-east-1b")).await);
    let constraint = ecs::TaskDefinitionPlacementConstraint {
        r#type: Some(ecs::TaskDefinitionPlacementConstraintType::MemberOf),
        expression: text("attribute:ecs.availability-zone == us-east-1a"),
    };
    let bound = ecs::RegisterTaskDefinitionRequest {
        placement_constraints: Some(vec![constraint]),
        ..on_ec2("app", sized(10, 10))
    };
    let wanted = async || {
        let ask = |tx: &mut state_store::Tx| {
            with_launch(tx, "service:web", |tx, launch| {
                let launch_type = agent_protocol::spec::LaunchType::Ec2;
                crate::services::ecs::placing::daemon_instances(tx, &fixture.services, launch, launch_type)
            })
        };
        fixture.services.state.transact(ask).await.unwrap()
    };
    fixture.register(on_ec2("app", sized(10, 10))).await.unwrap();
    let mut both = vec![first.clone(), second];
    both.sort();
    assert_eq!(wanted().await, both);
    fixture.register(bound).await.unwrap();
    assert_eq!(wanted().await, std::slice::from_ref(&first));
    fixture.connect(&first, false).await;
    assert_eq!(wanted().await, std::slice::from_ref(&first), "an agent that is away comes back");
    let drain = ecs::UpdateContainerInstancesStateRequest {
        container_instances: Some(vec![first]),
        status: Some(ecs::ContainerInstanceStatus::Draining),
        cluster: None,
    };
    instances::update_state(fixture.call(), drain).await.unwrap();
    assert_eq!(wanted().await, [""; 0]);
}

/// A fleet that has followed the tables says the same as one that is made of them.
#[tokio::test]
async fn a_fleet_follows_whatever_happens() {
    let fixture = fixture().await;
    let mut ids =
        vec![fixture.machine(machine("us-east-1a")).await, fixture.machine(machine("us-east-1b")).await];
    fixture.register(on_ec2("app", publishing(0))).await.unwrap();
    fixture.register(on_ec2("web", publishing(80))).await.unwrap();
    let agrees = |fixture: &Fixture, ids: &[String]| {
        let state = &fixture.services.state;
        let seen = |fleets: &crate::services::ecs::placing::Fleets| {
            fleets.with(state, &scope(), "default", |known| {
                let of = |id: &String| (known.fleet.usage(id), known.fleet.instance(id).cloned());
                ids.iter().map(of).collect::<Vec<_>>()
            })
        };
        assert_eq!(seen(&fixture.services.placing), seen(&Default::default()));
    };
    let mut tasks = fixture.place(run_on_ec2("app", 3)).await.0;
    tasks.extend(fixture.place(run_on_ec2("web", 2)).await.0);
    agrees(&fixture, &ids);
    let arns: Vec<String> = tasks.iter().map(|task| task.task_arn.clone().unwrap()).collect();
    fixture.report(&report(&arns[0], 1, TaskStatus::Running)).await;
    fixture.stop(&arns[1], None).await.unwrap();
    agrees(&fixture, &ids);
    fixture.report(&report(&arns[0], 2, TaskStatus::Stopped)).await;
    fixture.connect(&ids[0], false).await;
    ids.push(fixture.machine(machine("us-east-1c")).await);
    agrees(&fixture, &ids);
    let colour = ecs::Attribute { target_id: text(&ids[2]), ..attribute("colour", Some("red")) };
    let input = ecs::PutAttributesRequest { attributes: Some(vec![colour]), ..Default::default() };
    attributes::put(fixture.call(), input).await.unwrap();
    super::instance::deregister(&fixture, &ids[1], true).await.unwrap();
    agrees(&fixture, &ids);
}
