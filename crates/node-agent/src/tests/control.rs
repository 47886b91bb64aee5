//! A pretended control plane that remembers what it was told, and can be away.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use agent_protocol::{
    AgentMessage, Answer, ControlError, ControlPlane, LogBatch, LogDestination, RegistryLogin,
    RegistryLoginRequest, TargetHealthReport, TaskSecrets,
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};
use task_lifecycle::{Merged, TaskRecord, TaskStatus, merge};
use tokio::sync::watch;
use vocabulary::Timestamp;

#[derive(Default)]
pub(crate) struct FakeControl {
    pub away: AtomicBool,
    pub said: Mutex<Said>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(crate) struct Said {
    pub changes: Vec<TaskStateChange>,
    pub attachments: Vec<AttachmentStateChange>,
    pub messages: Vec<AgentMessage>,
    pub batches: Vec<LogBatch>,
    pub streams: Vec<LogDestination>,
    pub no_group: bool,
    pub targets: Vec<TargetHealthReport>,
    /// What tasks are given; none: they may not have it.
    pub secrets: Option<TaskSecrets>,
    pub asked_for_secrets: u32,
    pub logins: Vec<RegistryLoginRequest>,
}

impl FakeControl {
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn take<T: Send + 'static>(
        &self,
        take: impl FnOnce(&mut Said) -> Result<T, ControlError>,
    ) -> Answer<'_, T> {
        if self.away.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(ControlError::Unavailable("away".into()))));
        }
        let result = take(&mut self.said.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        Box::pin(std::future::ready(result))
    }

    /// Waits until what was said is as wanted, a simulated hour at most.
    pub(crate) async fn until<T>(&self, what: &str, wanted: impl Fn(&Said) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = wanted(&self.said.lock().unwrap()) {
                    return found;
                }
                changes.changed().await.expect("the control plane lives");
            }
        };
        let limit = std::time::Duration::from_secs(3600);
        tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| {
            panic!("{what} did not come; last: {:?}", self.said.lock().unwrap().changes.last())
        })
    }

    pub(crate) async fn status(&self, status: TaskStatus) -> TaskStateChange {
        self.until(status.as_str(), |said| {
            said.changes.iter().rev().find(|change| change.status == status).cloned()
        })
        .await
    }

    /// Every message that was logged, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        said.batches.iter().flat_map(|batch| &batch.events).map(|event| event.message.clone()).collect()
    }

    pub(crate) async fn line(&self, line: &str) {
        self.until(line, |said| {
            said.batches
                .iter()
                .flat_map(|batch| &batch.events)
                .any(|event| event.message == line)
                .then_some(())
        })
        .await;
    }

    /// What the control plane knows after all it was told.
    pub(crate) fn record(&self) -> TaskRecord {
        let names = ["app", "helper"].map(str::to_owned);
        let fresh = TaskRecord::new(TaskStatus::Provisioning, names);
        self.said.lock().unwrap().changes.iter().fold(fresh, |record, change| {
            match merge(&record, change, Timestamp::default()) {
                Merged::Changed(next) => *next,
                Merged::Stale => record,
            }
        })
    }
}

/// The agent holds this; the test keeps the other end.
#[derive(Clone)]
pub(crate) struct Link(pub Arc<FakeControl>);

impl ControlPlane for Link {
    fn submit_task_state(&self, change: TaskStateChange) -> Answer<'_, ()> {
        self.0.take(|said| {
            said.changes.push(change);
            Ok(())
        })
    }

    fn submit_attachment_state(&self, change: AttachmentStateChange) -> Answer<'_, ()> {
        self.0.take(|said| {
            said.attachments.push(change);
            Ok(())
        })
    }

    fn send(&self, message: AgentMessage) -> Answer<'_, ()> {
        self.0.take(|said| {
            said.messages.push(message);
            Ok(())
        })
    }

    fn create_log_stream(&self, destination: LogDestination) -> Answer<'_, ()> {
        self.0.take(|said| {
            if said.no_group {
                let (code, message) =
                    ("ResourceNotFoundException".into(), "The specified log group does not exist.".into());
                return Err(ControlError::Refused { code, message });
            }
            said.streams.push(destination);
            Ok(())
        })
    }

    fn put_logs(&self, batch: LogBatch) -> Answer<'_, ()> {
        self.0.take(|said| {
            said.batches.push(batch);
            Ok(())
        })
    }

    fn registry_login(&self, request: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>> {
        self.0.take(|said| {
            said.logins.push(request);
            Ok(None)
        })
    }

    fn task_secrets(&self, _: String) -> Answer<'_, TaskSecrets> {
        self.0.take(|said| {
            said.asked_for_secrets += 1;
            said.secrets.clone().ok_or_else(|| ControlError::Refused {
                code: "ResourceInitializationError".into(),
                message: "unable to pull secrets or registry auth: no".into(),
            })
        })
    }

    fn task_tags(&self, _: String) -> Answer<'_, std::collections::BTreeMap<String, String>> {
        self.0.take(|_| Ok([("team".to_owned(), "web".to_owned())].into()))
    }

    fn publish_metrics(&self, _: PublishMetricsRequest) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn report_target_health(&self, report: TargetHealthReport) -> Answer<'_, ()> {
        self.0.take(|said| {
            said.targets.push(report);
            Ok(())
        })
    }
}
