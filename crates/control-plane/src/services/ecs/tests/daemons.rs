//! Daemons: one task on each instance of their capacity providers, replaced a few at a time, gone with the daemon.

use super::{
    placing::machine,
    scheduling::{Node, SECOND},
    *,
};
use crate::services::ecs::{
    daemons,
    records::{DesiredStatus, Task},
};
use aws_schema::Operation;

const SERVICE: &str = "daemon:logs";

impl Fixture {
    async fn of_ecs<O: Operation>(&self, input: O::Input) -> Result<O::Output, ApiError> {
        use crate::gateway::Answer;
        use aws_schema::Shape;
        let operations = crate::services::operations();
        match operations.answer(ecs::SERVICE, O::TABLE, self.call(), input.into_value()).await? {
            Answer::Value(value) => Ok(O::Output::from_value(value).unwrap()),
            Answer::Events(_) | Answer::Content { .. } => panic!("a value was expected"),
        }
    }

    async fn daemon_definition(&self, image: &str) -> String {
        let container = ecs::DaemonContainerDefinition {
            name: text("app"),
            image: text(image),
            memory: Some(64),
            ..Default::default()
        };
        let input = ecs::RegisterDaemonTaskDefinitionRequest {
            family: text("logs"),
            container_definitions: Some(vec![container]),
            ..Default::default()
        };
        let made = self.of_ecs::<ecs::RegisterDaemonTaskDefinition>(input).await.unwrap();
        made.daemon_task_definition_arn.unwrap()
    }

    async fn daemon(&self, definition: &str) -> String {
        let made = self.of_ecs::<ecs::CreateDaemon>(wanted(definition)).await.unwrap();
        assert_eq!(made.status, Some(ecs::DaemonStatus::Active));
        made.daemon_arn.unwrap()
    }

    /// Works until nothing changes any more.
    async fn settled(&self) -> Vec<Task> {
        for _ in 0..60 {
            let before = self.services.state.revision();
            self.look(SERVICE).await;
            self.node(SERVICE, |_| Node::Works).await;
            self.pass(41 * SECOND);
            self.look(SERVICE).await;
            if self.services.state.revision() == before {
                let tasks = self.tasks_of(SERVICE).into_iter();
                let living = tasks.filter(|task| task.desired_status == DesiredStatus::Running);
                return living.map(|task| (*task).clone()).collect();
            }
        }
        panic!("not settled: {:#?}", self.tasks_of(SERVICE));
    }

    async fn described(&self, arn: &str) -> ecs::DaemonDetail {
        let input = ecs::DescribeDaemonRequest { daemon_arn: text(arn) };
        self.of_ecs::<ecs::DescribeDaemon>(input).await.unwrap().daemon.unwrap()
    }
}

fn wanted(definition: &str) -> ecs::CreateDaemonRequest {
    ecs::CreateDaemonRequest {
        daemon_name: text("logs"),
        daemon_task_definition_arn: text(definition),
        capacity_provider_arns: Some(vec![scope().arn("ecs", "capacity-provider/mine").to_string()]),
        ..Default::default()
    }
}

/// Two machines of the provider `mine`, and one of none.
async fn lab() -> (Fixture, Vec<String>) {
    let fixture = fixture().await;
    fixture.provider("mine").await;
    fixture.associate(&["mine"]).await.unwrap();
    fixture.machine(machine("us-east-1a")).await;
    let mut ids = vec![fixture.machine_of("mine").await, fixture.machine_of("mine").await];
    ids.sort();
    (fixture, ids)
}

fn on(tasks: &[Task]) -> Vec<String> {
    let mut ids: Vec<String> = tasks.iter().map(|task| task.container_instance.clone().unwrap()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_daemon_has_a_task_on_each_instance_of_its_providers() {
    let (fixture, ids) = lab().await;
    let definition = fixture.daemon_definition("one").await;
    assert!(definition.ends_with(":daemon-task-definition/logs:1"), "{definition}");
    let arn = fixture.daemon(&definition).await;
    let tasks = fixture.settled().await;
    assert_eq!(on(&tasks), ids);
    let shown = fixture.describe_task(&tasks[0].arn(&scope())).await.unwrap();
    assert_eq!(shown.group.as_deref(), Some("daemon:logs"));
    assert_eq!(shown.task_definition_arn.as_deref(), Some(definition.as_str()));
    let detail = fixture.described(&arn).await;
    let revisions = detail.current_revisions.unwrap();
    assert_eq!(
        (revisions[0].total_running_count, revisions[0].total_without_daemon_count),
        (Some(2), Some(0))
    );
    // Another machine joins.
    let new = fixture.machine_of("mine").await;
    let tasks = fixture.settled().await;
    assert!(on(&tasks).contains(&new) && tasks.len() == 3);
    // Clients of services and of task definitions see none of it.
    let listed = fixture.of_ecs::<ecs::ListServices>(Default::default()).await.unwrap();
    assert_eq!(listed.service_arns, Some(vec![]));
    let listed = fixture.of_ecs::<ecs::ListTaskDefinitions>(Default::default()).await.unwrap();
    assert_eq!(listed.task_definition_arns, Some(vec![]));
    let hidden =
        ecs::DeleteServiceRequest { service: text(SERVICE), force: Some(true), ..Default::default() };
    refused(fixture.of_ecs::<ecs::DeleteService>(hidden).await, "ServiceNotFoundException", "not found");
    let group = ecs::RunTaskRequest { group: text("daemon:logs"), ..run_request(&fixture, "app") };
    fixture.register(fargate("app")).await.unwrap();
    refused(fixture.run(group).await, INVALID, "reserved");
}

#[tokio::test]
async fn an_update_replaces_some_at_a_time_and_leaves_the_last_instances_served() {
    let (fixture, _) = lab().await;
    for _ in 0..2 {
        fixture.machine_of("mine").await;
    }
    let first = fixture.daemon_definition("one").await;
    let arn = fixture.daemon(&first).await;
    fixture.settled().await;
    let second = fixture.daemon_definition("two").await;
    let input = ecs::UpdateDaemonRequest {
        daemon_arn: text(&arn),
        daemon_task_definition_arn: text(&second),
        capacity_provider_arns: wanted(&second).capacity_provider_arns,
        deployment_configuration: Some(ecs::DaemonDeploymentConfiguration {
            drain_percent: Some(50.0),
            ..Default::default()
        }),
        ..Default::default()
    };
    let updated = fixture.of_ecs::<ecs::UpdateDaemon>(input).await.unwrap();
    fixture.look(SERVICE).await;
    let stopping = |fixture: &Fixture| {
        let tasks = fixture.tasks_of(SERVICE).into_iter();
        tasks.filter(|task| task.desired_status == DesiredStatus::Stopped).count()
    };
    assert_eq!(stopping(&fixture), 2, "half of four");
    let deployment = updated.deployment_arn.unwrap();
    let describe =
        |arns: Vec<String>| ecs::DescribeDaemonDeploymentsRequest { daemon_deployment_arns: Some(arns) };
    let input = describe(vec![deployment.clone()]);
    let shown = fixture.of_ecs::<ecs::DescribeDaemonDeployments>(input).await.unwrap();
    let shown = shown.daemon_deployments.unwrap().remove(0);
    assert_eq!(shown.status, Some(ecs::DaemonDeploymentStatus::InProgress));
    assert_eq!(shown.deployment_configuration.unwrap().drain_percent, Some(50.0));
    assert_eq!(shown.source_daemon_revisions.unwrap()[0].total_draining_instance_count, Some(2));
    let tasks = fixture.settled().await;
    assert!(tasks.iter().all(|task| task.revision == 2) && tasks.len() == 4);
    let input =
        describe(vec![deployment, scope().arn("ecs", "daemon-deployment/default/logs/gone").to_string()]);
    let shown = fixture.of_ecs::<ecs::DescribeDaemonDeployments>(input).await.unwrap();
    assert_eq!(shown.daemon_deployments.unwrap()[0].status, Some(ecs::DaemonDeploymentStatus::Successful));
    assert_eq!(shown.failures.unwrap()[0].reason.as_deref(), Some("MISSING"));
    let input = ecs::ListDaemonDeploymentsRequest { daemon_arn: text(&arn), ..Default::default() };
    let listed =
        fixture.of_ecs::<ecs::ListDaemonDeployments>(input).await.unwrap().daemon_deployments.unwrap();
    assert_eq!(listed.len(), 2);
    let revision = listed[0].target_daemon_revision_arn.clone().unwrap();
    let input = ecs::DescribeDaemonRevisionsRequest { daemon_revision_arns: Some(vec![revision]) };
    let shown =
        fixture.of_ecs::<ecs::DescribeDaemonRevisions>(input).await.unwrap().daemon_revisions.unwrap();
    assert_eq!(shown[0].daemon_task_definition_arn.as_deref(), Some(second.as_str()));
    assert_eq!(shown[0].container_images.as_ref().unwrap()[0].image.as_deref(), Some("two"));
}

#[tokio::test]
async fn one_instance_is_enough_for_an_update_to_go_on() {
    let (fixture, ids) = lab().await;
    instance::deregister(&fixture, &ids[1], true).await.unwrap();
    let first = fixture.daemon_definition("one").await;
    let arn = fixture.daemon(&first).await;
    assert_eq!(fixture.settled().await.len(), 1);
    let second = fixture.daemon_definition("two").await;
    let input = ecs::UpdateDaemonRequest {
        daemon_arn: text(&arn),
        daemon_task_definition_arn: text(&second),
        capacity_provider_arns: wanted(&second).capacity_provider_arns,
        ..Default::default()
    };
    fixture.of_ecs::<ecs::UpdateDaemon>(input).await.unwrap();
    let tasks = fixture.settled().await;
    assert_eq!(tasks.iter().map(|task| task.revision).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_deleted_daemon_stops_its_tasks_and_is_forgotten() {
    let (fixture, _) = lab().await;
    let definition = fixture.daemon_definition("one").await;
    let arn = fixture.daemon(&definition).await;
    fixture.settled().await;
    let delete = || ecs::DeleteDaemonRequest { daemon_arn: text(&arn) };
    let deleted = fixture.of_ecs::<ecs::DeleteDaemon>(delete()).await.unwrap();
    assert_eq!(deleted.status, Some(ecs::DaemonStatus::DeleteInProgress));
    refused(fixture.of_ecs::<ecs::DeleteDaemon>(delete()).await, "DaemonNotActiveException", "");
    refused(fixture.of_ecs::<ecs::CreateDaemon>(wanted(&definition)).await, INVALID, "still being deleted");
    let input = ecs::DeleteDaemonTaskDefinitionRequest { daemon_task_definition: text(&definition) };
    fixture.of_ecs::<ecs::DeleteDaemonTaskDefinition>(input).await.unwrap();
    daemons::purge(&fixture.services).await.unwrap();
    let input = ecs::DescribeDaemonTaskDefinitionRequest { daemon_task_definition: text(&definition) };
    let shown = fixture.of_ecs::<ecs::DescribeDaemonTaskDefinition>(input).await.unwrap();
    let shown = shown.daemon_task_definition.unwrap();
    assert_eq!(shown.status, Some(ecs::DaemonTaskDefinitionStatus::DeleteInProgress), "tasks refer to it");
    assert!(fixture.settled().await.is_empty());
    daemons::sweep(&fixture.services).await.unwrap();
    refused(fixture.of_ecs::<ecs::DeleteDaemon>(delete()).await, "DaemonNotFoundException", "");
    let listed = fixture.of_ecs::<ecs::ListDaemons>(Default::default()).await.unwrap();
    assert_eq!(listed.daemon_summaries_list, Some(vec![]));
}

#[tokio::test]
async fn what_daemons_cannot_be_is_refused() {
    let (fixture, _) = lab().await;
    let definition = fixture.daemon_definition("one").await;
    let create = |change: &dyn Fn(&mut ecs::CreateDaemonRequest)| {
        let mut input = wanted(&definition);
        change(&mut input);
        fixture.of_ecs::<ecs::CreateDaemon>(input)
    };
    refused(create(&|input| input.critical = Some(true)).await, "NotImplemented", "critical daemons");
    refused(create(&|input| input.daemon_name = text("a b")).await, INVALID, "Daemon name");
    let fargate = |input: &mut ecs::CreateDaemonRequest| {
        input.capacity_provider_arns =
            Some(vec![scope().arn("ecs", "capacity-provider/FARGATE").to_string()]);
    };
    refused(create(&fargate).await, INVALID, "not supported for the capacity provider FARGATE");
    let other =
        |input: &mut ecs::CreateDaemonRequest| input.capacity_provider_arns = Some(vec!["other".to_owned()]);
    refused(create(&other).await, INVALID, "not associated with the cluster");
    let never = |input: &mut ecs::CreateDaemonRequest| {
        let none = ecs::DaemonDeploymentConfiguration { drain_percent: Some(0.0), ..Default::default() };
        input.deployment_configuration = Some(none);
    };
    refused(create(&never).await, INVALID, "drainPercent");
    refused(
        create(&|input| input.daemon_task_definition_arn = text("gone")).await,
        CLIENT,
        "Unable to describe",
    );
    let again = |input: &mut ecs::CreateDaemonRequest| input.client_token = text("token");
    let first = create(&again).await.unwrap();
    assert_eq!(create(&again).await.unwrap().daemon_arn, first.daemon_arn);
    refused(create(&|_| {}).await, INVALID, "exists already");
    let shared = ecs::RegisterDaemonTaskDefinitionRequest {
        family: text("logs"),
        pid_mode: Some(ecs::DaemonPidMode::Shared),
        ..Default::default()
    };
    let answer = fixture.of_ecs::<ecs::RegisterDaemonTaskDefinition>(shared).await;
    refused(answer, "NotImplemented", "PID or IPC namespaces");
}
