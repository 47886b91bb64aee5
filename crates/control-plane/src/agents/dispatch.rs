//! Tells a node what to run and what to stop: this machine's own, or a container instance.
//!
//! Everything that is to be told is derived from the tables, so that a restart of either side loses nothing: at the start
//! the whole state is sent, and after that every task whose payload number has grown. Numbers grow per task, so that
//! a word that overtakes another is recognised. The security groups always go before a task that relies on them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use agent_protocol::{
    AcsMessage, acs,
    spec::{LoadBalancers, NetworkState, TaskSpec},
    state::TaskStatus,
};
use state_store::{Found, Notice, StateError, View};
use tokio::sync::mpsc;
use vocabulary::{Ids, Scope};

use super::{InstanceKey, balancers};
use crate::services::{
    Services,
    ec2::state::{security_groups, task_interface, vpcs},
    ecs::{
        records::{DesiredStatus, Task, TaskDefinition, definition_id},
        tasks::{execution, report, roles, spec},
    },
};

/// How long after a failed attempt a task that cannot run is ended again.
const FAIL_RETRY: Duration = Duration::from_secs(5);

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// The node of this machine, which is the FARGATE capacity.
    Embedded,
    Instance(InstanceKey),
}

impl Node {
    /// Whether the task was placed on this node.
    fn has(&self, scope: &Scope, task: &Task) -> bool {
        match (self, &task.container_instance) {
            (Node::Embedded, placed) => placed.is_none(),
            (Node::Instance(key), placed) => {
                placed.as_deref() == Some(key.id.as_str())
                    && key.cluster == task.cluster
                    && key.scope == *scope
            }
        }
    }
}

/// Sends until the receiver goes away.
///
/// # Errors
/// When the tables stop following the store.
pub async fn dispatch(
    services: Arc<Services>,
    node: Node,
    messages: mpsc::Sender<AcsMessage>,
) -> Result<(), StateError> {
    let mut dispatcher = Dispatcher {
        services,
        node,
        messages,
        sent: HashMap::new(),
        credentials: HashMap::new(),
        network: None,
        balancers: None,
    };
    let mut changes = dispatcher.services.state.changes();
    if dispatcher.send_all().await.is_err() {
        return Ok(());
    }
    loop {
        let outcome = match changes.next().await? {
            Notice::Resync => dispatcher.send_all().await,
            Notice::Changes(touched) => {
                let network = touched.iter().any(|one| one.service == "ec2");
                let balancers = balancers::concerned(&touched);
                let tasks: Vec<(Scope, String)> = touched
                    .into_iter()
                    .filter(|one| one.service == "ecs" && matches!(one.kind, "task" | "task-role"))
                    .map(|one| (one.scope, one.id))
                    .collect();
                dispatcher.send_changed(network, balancers, tasks).await
            }
        };
        if outcome.is_err() {
            return Ok(());
        }
    }
}

/// The receiver has gone.
struct Gone;

struct Dispatcher {
    services: Arc<Services>,
    node: Node,
    messages: mpsc::Sender<AcsMessage>,
    /// The number of the last payload about each live task.
    sent: HashMap<(Scope, String), i64>,
    /// The access key that each live task with a role was last told of.
    credentials: HashMap<(Scope, String), String>,
    /// The networks and groups as they were last sent; the generation aside.
    network: Option<NetworkState>,
    /// The load balancers as they were last sent.
    balancers: Option<LoadBalancers>,
}

impl Dispatcher {
    async fn send_all(&mut self) -> Result<(), Gone> {
        let view = self.services.state.view();
        self.send_network(&view).await?;
        self.send_balancers(&view).await?;
        self.sent.clear();
        let live: Vec<Found<Task>> = view
            .scan_all::<Task>()
            .filter(|found| found.value.state.last_status != TaskStatus::Stopped)
            .filter(|found| self.node.has(&found.scope, &found.value))
            .collect();
        for found in live {
            self.send_task(&view, found.scope, found.id, &found.value).await?;
        }
        Ok(())
    }

    async fn send_changed(
        &mut self,
        network: bool,
        balancers: bool,
        tasks: Vec<(Scope, String)>,
    ) -> Result<(), Gone> {
        let view = self.services.state.view();
        if network {
            self.send_network(&view).await?;
        }
        if balancers {
            self.send_balancers(&view).await?;
        }
        for (scope, id) in tasks {
            match view.get::<Task>(&scope, &id) {
                Some(task) if !self.node.has(&scope, &task) => {}
                Some(task) if task.state.last_status != TaskStatus::Stopped => {
                    self.send_task(&view, scope, id, &task).await?;
                }
                _ => {
                    let key = (scope, id);
                    self.sent.remove(&key);
                    self.credentials.remove(&key);
                }
            }
        }
        Ok(())
    }

    async fn send_network(&mut self, view: &View) -> Result<(), Gone> {
        let state = match self.node {
            Node::Embedded => {
                NetworkState { generation: 0, vpcs: vpcs(view), security_groups: security_groups(view) }
            }
            // No interface is on a container instance: VPCs do not reach beyond this machine.
            Node::Instance(_) => NetworkState::default(),
        };
        if self.network.as_ref() == Some(&state) {
            return Ok(());
        }
        self.network = Some(state.clone());
        let generation = u64::try_from(view.revision()).unwrap_or(0);
        self.send(AcsMessage::NetworkState(NetworkState { generation, ..state })).await
    }

    /// Behind the networks that they are in. Container instances have none: all listen on this machine.
    async fn send_balancers(&mut self, view: &View) -> Result<(), Gone> {
        if self.node != Node::Embedded {
            return Ok(());
        }
        let state = balancers::state(&self.services, view);
        if self.balancers.as_ref().is_some_and(|sent| !balancers::differ(sent, &state)) {
            return Ok(());
        }
        self.balancers = Some(state.clone());
        self.send(AcsMessage::LoadBalancers(state)).await
    }

    async fn send_task(&mut self, view: &View, scope: Scope, id: String, task: &Task) -> Result<(), Gone> {
        let key = (scope, id);
        if self.sent.get(&key).is_some_and(|number| *number >= task.payload_sequence) {
            return self.send_renewed(view, &key, task).await;
        }
        let scope = &key.0;
        if task.desired_status == DesiredStatus::Running && roles::missing(view, scope, task) {
            self.issue_credentials(key);
            return Ok(());
        }
        let message = match self.payload(view, scope, task) {
            Ok(message) => message,
            // A node has it already: what it cannot be told anew, it does not need to be told.
            Err(reason) if task.state.sequence > 0 => {
                tracing::warn!(task = %task.arn(scope), reason, "a running task cannot be specified anew");
                return Ok(());
            }
            Err(reason) => {
                // The definition asks for what no node can do: the task ends here, with the reason for all to read.
                tracing::warn!(task = %task.arn(scope), reason, "task cannot be run");
                let (scope, key) = key.clone();
                tokio::spawn(fail(Arc::clone(&self.services), scope, key, reason));
                return Ok(());
            }
        };
        self.send(AcsMessage::Payload(message)).await?;
        if let Some(held) = roles::credentials(view, &key.0, &key.1) {
            self.credentials.insert(key.clone(), held.access_key_id);
        }
        self.sent.insert(key, task.payload_sequence);
        Ok(())
    }

    /// The payload about a task, unless its execution role cannot be had.
    fn payload(&self, view: &View, scope: &Scope, task: &Task) -> Result<acs::PayloadMessage, String> {
        if task.desired_status == DesiredStatus::Running {
            let rights = execution::rights(&self.services, view, scope, task, self.services.now());
            rights.map_err(|refused| refused.to_string())?;
        }
        payload(view, scope, task, self.services.ids().uuid())
    }

    /// The credentials of a task that runs, when they are not those it was sent with.
    async fn send_renewed(&mut self, view: &View, key: &(Scope, String), task: &Task) -> Result<(), Gone> {
        let Some(held) = roles::credentials(view, &key.0, &key.1) else { return Ok(()) };
        if self.credentials.get(key) == Some(&held.access_key_id) {
            return Ok(());
        }
        self.credentials.insert(key.clone(), held.access_key_id);
        match roles::message(view, &key.0, task, self.services.ids().uuid()) {
            Some(message) => self.send(AcsMessage::IamRoleCredentials(message)).await,
            None => Ok(()),
        }
    }

    /// Gives a task the credentials of its role; their record brings the task here again.
    fn issue_credentials(&self, (scope, key): (Scope, String)) {
        let services = Arc::clone(&self.services);
        tokio::spawn(async move {
            loop {
                match roles::issue(&services, &scope, &key, services.now()).await {
                    Ok(Ok(())) => return,
                    Ok(Err(refused)) => return fail(services, scope, key, refused.to_string()).await,
                    Err(error) => tracing::error!(%error, "a task got no credentials; it is tried again"),
                }
                tokio::time::sleep(FAIL_RETRY).await;
            }
        });
    }

    async fn send(&self, message: AcsMessage) -> Result<(), Gone> {
        self.messages.send(message).await.map_err(|_| Gone)
    }
}

/// Ends a task that cannot be run, however long the store takes to take it.
async fn fail(services: Arc<Services>, scope: Scope, key: String, reason: String) {
    while let Err(error) = report::fail(&services, &scope, &key, &reason).await {
        tracing::error!(%error, "a task that cannot run could not be ended; it is tried again");
        tokio::time::sleep(FAIL_RETRY).await;
    }
}

/// The payload that says what shall become of a task.
fn payload(
    view: &View,
    scope: &Scope,
    task: &Task,
    message_id: String,
) -> Result<acs::PayloadMessage, String> {
    let cluster_arn = scope.arn("ecs", format_args!("cluster/{}", task.cluster)).to_string();
    // A task that is to stop needs no specification, and must not fail for the lack of one. While its targets are being
    // drained it has to go on as it is.
    let (desired, specification) = match task.desired_status {
        DesiredStatus::Stopped if task.state.is_draining() => {
            ("RUNNING", Some(Box::new(specification(view, scope, task)?)))
        }
        DesiredStatus::Running => ("RUNNING", Some(Box::new(specification(view, scope, task)?))),
        DesiredStatus::Stopped => ("STOPPED", None),
    };
    Ok(acs::PayloadMessage {
        cluster_arn: Some(cluster_arn.clone()),
        message_id: Some(message_id),
        seq_num: Some(task.payload_sequence),
        tasks: Some(vec![acs::Task {
            arn: Some(task.arn(scope)),
            task_cluster_arn: Some(cluster_arn),
            desired_status: Some(desired.to_owned()),
            family: Some(task.family.clone()),
            version: Some(task.revision.to_string()),
            longshore: specification,
            ..acs::Task::default()
        }]),
        ..acs::PayloadMessage::default()
    })
}

/// What the node runs from.
fn specification(view: &View, scope: &Scope, task: &Task) -> Result<TaskSpec, String> {
    let definition = view
        .get::<TaskDefinition>(scope, &definition_id(&task.family, task.revision))
        .ok_or_else(|| format!("the task definition {}:{} is gone", task.family, task.revision))?;
    let interface = match &task.interface {
        None => None,
        Some(own) => {
            let attachment = scope.arn("ecs", format_args!("attachment/{}", own.attachment_id)).to_string();
            Some(
                task_interface(view, scope, &own.interface_id, &attachment)
                    .ok_or("the task's network interface is gone")?,
            )
        }
    };
    let task_role = roles::credentials(view, scope, &task.key());
    let around = spec::Surroundings { interface, task_role, ..spec::Surroundings::default() };
    spec::build(scope, task, &definition, around)
}
