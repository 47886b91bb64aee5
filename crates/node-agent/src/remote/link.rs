//! [`ControlPlane`] as calls over the connection that there is at the moment.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent_protocol::{
    AgentMessage, Answer, ControlError, ControlPlane, InstanceRole, LogBatch, LogDestination, RegistryLogin,
    RegistryLoginRequest, TargetHealthReport, TaskSecrets,
    call::{Call, Outcome, Reply, Request},
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::cluster_of;

/// How long a call waits for its answer. The control plane answers when something is durable; one that takes so long is tried again.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The control plane as the agent sees it.
#[derive(Debug)]
pub struct RemoteLink {
    state: Mutex<State>,
    connected: watch::Sender<bool>,
    /// The newest metrics, for the telemetry connection.
    metrics: watch::Sender<Option<PublishMetricsRequest>>,
}

#[derive(Debug)]
struct State {
    container_instance_arn: String,
    /// Writes to the connection that there is.
    writer: Option<mpsc::Sender<Vec<u8>>>,
    /// Calls that wait for their answers. Dropping one tells its caller that there is none.
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    last_number: u64,
}

impl RemoteLink {
    pub(super) fn new(container_instance_arn: String) -> RemoteLink {
        RemoteLink {
            state: Mutex::new(State {
                container_instance_arn,
                writer: None,
                waiting: HashMap::new(),
                last_number: 0,
            }),
            connected: watch::Sender::new(false),
            metrics: watch::Sender::new(None),
        }
    }

    /// Whose the connection is.
    pub fn container_instance_arn(&self) -> String {
        self.lock().container_instance_arn.clone()
    }

    pub fn cluster_arn(&self) -> String {
        cluster_of(&self.container_instance_arn())
    }

    /// True while there is a connection.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    pub(super) fn metrics(&self) -> watch::Receiver<Option<PublishMetricsRequest>> {
        self.metrics.subscribe()
    }

    pub(super) fn set_container_instance_arn(&self, arn: &str) {
        arn.clone_into(&mut self.lock().container_instance_arn);
    }

    /// From now on calls go here.
    pub(super) fn attach(&self, writer: mpsc::Sender<Vec<u8>>) {
        let mut state = self.lock();
        state.writer = Some(writer);
        state.waiting.clear();
        self.connected.send_replace(true);
    }

    /// There is no connection: whoever waits for an answer waits in vain.
    pub(super) fn detach(&self) {
        let mut state = self.lock();
        state.writer = None;
        state.waiting.clear();
        self.connected.send_replace(false);
    }

    pub(super) fn answered(&self, outcome: Outcome) {
        if let Some(waiting) = self.lock().waiting.remove(&outcome.number) {
            // The caller may have given up.
            let _ = waiting.send(outcome.reply);
        }
    }

    async fn call(&self, request: Request) -> Result<Reply, ControlError> {
        let (answer, answered) = oneshot::channel();
        let (number, writer) = {
            let mut state = self.lock();
            let writer = state.writer.clone().ok_or_else(no_connection)?;
            state.last_number += 1;
            let number = state.last_number;
            state.waiting.insert(number, answer);
            (number, writer)
        };
        let _waiting = Waiting { link: self, number };
        let frame = AgentMessage::Call(Box::new(Call { number, request })).encode();
        let exchange = async {
            writer.send(frame).await.map_err(|_| no_connection())?;
            answered.await.map_err(|_| no_connection())
        };
        match tokio::time::timeout(CALL_TIMEOUT, exchange).await {
            Ok(reply) => match reply? {
                Reply::Failed(error) => Err(error),
                reply => Ok(reply),
            },
            Err(_) => Err(ControlError::Unavailable("it does not answer".to_owned())),
        }
    }

    fn done(&self, request: Request) -> Answer<'_, ()> {
        Box::pin(async move { self.call(request).await.map(drop) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is given up leaves nothing behind.
struct Waiting<'a> {
    link: &'a RemoteLink,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.link.lock().waiting.remove(&self.number);
    }
}

fn another_question() -> ControlError {
    ControlError::Unavailable("that answers another question".to_owned())
}

fn no_connection() -> ControlError {
    ControlError::Unavailable("there is no connection".to_owned())
}

impl ControlPlane for RemoteLink {
    fn submit_task_state(&self, change: TaskStateChange) -> Answer<'_, ()> {
        self.done(Request::SubmitTaskState(change))
    }

    fn submit_attachment_state(&self, change: AttachmentStateChange) -> Answer<'_, ()> {
        self.done(Request::SubmitAttachmentState(change))
    }

    /// Acknowledgements name the instance as it is registered now.
    fn send(&self, mut message: AgentMessage) -> Answer<'_, ()> {
        let instance = self.container_instance_arn();
        match &mut message {
            AgentMessage::Ack(ack) => {
                ack.cluster = Some(cluster_of(&instance));
                ack.container_instance = Some(instance);
            }
            AgentMessage::Nack(nack) => {
                nack.cluster = Some(cluster_of(&instance));
                nack.container_instance = Some(instance);
            }
            _ => {}
        }
        Box::pin(async move {
            let writer = self.lock().writer.clone().ok_or_else(no_connection)?;
            writer.send(message.encode()).await.map_err(|_| no_connection())
        })
    }

    fn create_log_stream(&self, destination: LogDestination) -> Answer<'_, ()> {
        self.done(Request::CreateLogStream(destination))
    }

    fn put_logs(&self, batch: LogBatch) -> Answer<'_, ()> {
        self.done(Request::PutLogs(batch))
    }

    fn registry_login(&self, request: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>> {
        Box::pin(async move {
            match self.call(Request::RegistryLogin(request)).await? {
                Reply::RegistryLogin(login) => Ok(login),
                _ => Err(another_question()),
            }
        })
    }

    fn task_secrets(&self, task_arn: String) -> Answer<'_, TaskSecrets> {
        Box::pin(async move {
            match self.call(Request::TaskSecrets(task_arn)).await? {
                Reply::TaskSecrets(secrets) => Ok(secrets),
                _ => Err(another_question()),
            }
        })
    }

    fn instance_role(&self, keep: Option<String>) -> Answer<'_, Option<InstanceRole>> {
        Box::pin(async move {
            match self.call(Request::InstanceRole(keep)).await? {
                Reply::InstanceRole(role) => Ok(role),
                _ => Err(another_question()),
            }
        })
    }

    fn task_tags(&self, task_arn: String) -> Answer<'_, BTreeMap<String, String>> {
        Box::pin(async move {
            match self.call(Request::TaskTags(task_arn)).await? {
                Reply::TaskTags(tags) => Ok(tags),
                _ => Err(another_question()),
            }
        })
    }

    /// Metrics go over the telemetry connection; what comes while there is none is replaced by what comes later.
    fn publish_metrics(&self, request: PublishMetricsRequest) -> Answer<'_, ()> {
        self.metrics.send_replace(Some(request));
        Box::pin(std::future::ready(Ok(())))
    }

    fn report_target_health(&self, report: TargetHealthReport) -> Answer<'_, ()> {
        self.done(Request::ReportTargetHealth(report))
    }
}
