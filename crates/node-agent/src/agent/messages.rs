//! What the control plane says, and what is answered.
//!
//! Messages are taken one after another: a network state is in force before the payload behind it is looked at.

use std::{collections::BTreeSet, sync::Arc};

use agent_protocol::{
    AcsMessage, AgentMessage, acs,
    spec::{NetworkState, RoleCredentials},
    state::{HealthStatus, StopCode, TaskStateChange, TaskStatus},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::Timestamp;

use super::NodeAgent;
use crate::{
    journal,
    outbox::Outbox,
    retry::Backoff,
    task::{Command, Task},
};

/// How often a state of the network is tried: for about ten seconds. The next state brings what is missing as well.
const NETWORK_ATTEMPTS: u32 = 9;

impl NodeAgent {
    pub(super) async fn take(&mut self, message: AcsMessage) {
        match message {
            AcsMessage::Payload(payload) => {
                self.node.machine.runtime.nudge();
                self.take_payload(payload).await;
            }
            // It mostly announces a task.
            AcsMessage::NetworkState(state) => {
                self.node.machine.runtime.nudge();
                self.apply_network(state).await;
            }
            AcsMessage::LoadBalancers(state) => self.balancers.set(state),
            AcsMessage::Heartbeat(heartbeat) => {
                let ack = acs::HeartbeatAckRequest { message_id: heartbeat.message_id };
                self.send(AgentMessage::HeartbeatAck(ack));
            }
            AcsMessage::IamRoleCredentials(message) => self.take_credentials(message).await,
            AcsMessage::TaskManifest(manifest) => self.take_manifest(manifest),
            AcsMessage::TaskStopVerificationAck(ack) => {
                for task in ack.stop_tasks.unwrap_or_default() {
                    self.stop(task.task_arn.as_deref().unwrap_or_default(), i64::MAX).await;
                }
            }
            // Interfaces come with the task's specification; that they are attached is reported as it happens.
            AcsMessage::AttachTaskNetworkInterfaces(message) => self.ack(message.message_id),
            AcsMessage::AttachInstanceNetworkInterfaces(message) => self.ack(message.message_id),
            AcsMessage::ConfirmAttachment(message) => self.ack(message.message_id),
            AcsMessage::PerformUpdate(message) | AcsMessage::StageUpdate(message) => {
                self.nack(message.message_id, "this agent is updated with its binary");
            }
            // Answers are taken out by the connection they come over.
            AcsMessage::Outcome(outcome) => {
                tracing::debug!(outcome.number, "an answer that nobody waits for");
            }
            AcsMessage::Stream(said) => {
                let (node, tasks) = (Arc::clone(&self.node), &self.tasks);
                self.streams.take(&node, said, |arn| tasks.get(arn).map(|slot| Arc::clone(&slot.view)));
            }
            AcsMessage::Error(error) => tracing::warn!(?error, "the control plane reports an error"),
            AcsMessage::Close(close) => {
                tracing::info!(?close, "the connection to the control plane is closed");
                self.streams.end_all();
            }
        }
    }

    async fn take_payload(&mut self, payload: acs::PayloadMessage) {
        let sequence = payload.seq_num.unwrap_or(0);
        let mut refused = Vec::new();
        for task in payload.tasks.unwrap_or_default() {
            let (arn, cluster) = (task.arn.clone(), task.task_cluster_arn.clone());
            if let Err(reason) = self.take_task(task, sequence).await {
                tracing::error!(reason, "a task of a payload cannot be taken");
                if let Some(arn) = arn {
                    let reason = format!("ResourceInitializationError: {reason}");
                    self.report_last_word(
                        arn,
                        cluster.unwrap_or_default(),
                        Some(StopCode::TaskFailedToStart),
                        reason,
                    );
                }
                refused.push(reason);
            }
        }
        match refused.is_empty() {
            true => self.ack(payload.message_id),
            false => self.nack(payload.message_id, &refused.join("; ")),
        }
    }

    async fn take_task(&mut self, task: acs::Task, sequence: i64) -> Result<(), String> {
        let arn = task.arn.or_else(|| task.longshore.as_ref().map(|spec| spec.task_arn.clone()));
        let arn = arn.ok_or("a task without an ARN")?;
        if task.desired_status.as_deref() == Some("STOPPED") {
            if !self.stop(&arn, sequence).await {
                self.report_unknown(&arn, task.task_cluster_arn.unwrap_or_default());
            }
            return Ok(());
        }
        if let Some(slot) = self.tasks.get_mut(&arn) {
            // It runs (or has run) already: a repeated or older word changes nothing.
            slot.sequence = slot.sequence.max(sequence);
            return Ok(());
        }
        if self.ended.contains(&arn) {
            self.report_unknown(&arn, task.task_cluster_arn.unwrap_or_default());
            return Ok(());
        }
        let spec = task.longshore.ok_or_else(|| format!("task {arn} has no specification for this agent"))?;
        if spec.task_arn != arn {
            return Err(format!("task {arn} has the specification of {}", spec.task_arn));
        }
        let (task, commands) =
            Task::begin(&self.node, *spec, sequence).map_err(|error| format!("task {arn}: {error}"))?;
        self.run_task(task, commands);
        Ok(())
    }

    /// False when the task is not here.
    async fn stop(&mut self, arn: &str, sequence: i64) -> bool {
        let Some(slot) = self.tasks.get_mut(arn).filter(|slot| !slot.running.is_finished()) else {
            return false;
        };
        if sequence >= slot.sequence {
            slot.sequence = sequence;
            // A task that has just ended does not take commands, and need not.
            let _ = slot.commands.send(Command::Stop { sequence }).await;
        }
        true
    }

    /// Says of a task that the control plane believes here, and that is not, that it is stopped.
    fn report_unknown(&self, arn: &str, cluster: String) {
        self.report_last_word(
            arn.to_owned(),
            cluster,
            None,
            "The task is not on its node any more".to_owned(),
        );
    }

    fn report_last_word(&self, task: String, cluster: String, stop_code: Option<StopCode>, reason: String) {
        let change = last_word(task, cluster, stop_code, reason);
        let outbox = Outbox::new(Arc::clone(&self.node.control));
        tokio::spawn(async move {
            outbox.task(change);
            outbox.drained().await;
        });
    }

    async fn take_credentials(&mut self, message: acs::IamRoleCredentialsMessage) {
        let Some((role, expiration)) = role_credentials(message.role_credentials.unwrap_or_default()) else {
            return tracing::warn!("credentials without an id or a readable expiration are ignored");
        };
        let credentials_id = Some(role.credentials_id.clone());
        let command = match message.role_type.as_deref() {
            Some("TaskExecution") => Command::ExecutionRole(role),
            _ => Command::TaskRole(role),
        };
        if let Some(slot) = self.tasks.get(&message.task_arn.unwrap_or_default()) {
            // A task that has just ended does not need them.
            let _ = slot.commands.send(command).await;
        }
        let message_id = message.message_id;
        let ack =
            acs::IamRoleCredentialsAckRequest { message_id, expiration: Some(expiration), credentials_id };
        self.send(AgentMessage::IamRoleCredentialsAck(ack));
    }

    /// Compares what the control plane believes to be here with what is. What only it knows, it is told to be stopped; about
    /// what only we know, it is asked.
    /// Also when a payload about it comes behind: it would run a second time.
    fn take_manifest(&mut self, manifest: acs::TaskManifestMessage) {
        self.ack(manifest.message_id.clone());
        let listed = manifest.tasks.unwrap_or_default();
        for task in &listed {
            let arn = task.task_arn.clone().unwrap_or_default();
            if !self.tasks.contains_key(&arn) {
                if !self.ended.contains(&arn) {
                    self.ended.push_back(arn.clone());
                }
                self.report_unknown(&arn, task.task_cluster_arn.clone().unwrap_or_default());
            }
        }
        let listed: BTreeSet<&str> = listed.iter().filter_map(|task| task.task_arn.as_deref()).collect();
        let stop_candidates: Vec<acs::TaskIdentifier> = self
            .tasks
            .iter()
            .filter(|(arn, slot)| !listed.contains(arn.as_str()) && !slot.running.is_finished())
            .map(|(arn, slot)| acs::TaskIdentifier {
                task_arn: Some(arn.clone()),
                task_cluster_arn: Some(slot.cluster_arn.clone()),
                desired_status: Some("STOPPED".to_owned()),
            })
            .collect();
        if !stop_candidates.is_empty() {
            self.send(AgentMessage::TaskStopVerification(acs::TaskStopVerificationMessage {
                message_id: manifest.message_id,
                stop_candidates: Some(stop_candidates),
            }));
        }
    }

    /// In line with the payloads: a task that needs a group finds it.
    pub(super) async fn apply_network(&mut self, state: NetworkState) {
        if state.generation < self.network_generation {
            return;
        }
        self.network_generation = state.generation;
        if let Err(error) = journal::write_json(&self.network_file(), &state) {
            tracing::warn!(%error, "the network's state could not be remembered");
        }
        // What comes behind relies on it, so everything waits; a port that was closed must not stay open for an error that passes.
        let mut backoff = Backoff::default();
        for attempt in 1..=NETWORK_ATTEMPTS {
            match self.node.machine.network.apply(state.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(error, attempt, "the network could not be brought to its new state");
                }
            }
            backoff.wait().await;
        }
    }

    fn ack(&self, message_id: Option<String>) {
        let (cluster, container_instance) = self.names();
        self.send(AgentMessage::Ack(acs::AckRequest { cluster, container_instance, message_id }));
    }

    fn nack(&self, message_id: Option<String>, reason: &str) {
        let (cluster, container_instance) = self.names();
        let reason = Some(reason.to_owned());
        self.send(AgentMessage::Nack(acs::NackRequest { cluster, container_instance, message_id, reason }));
    }

    fn names(&self) -> (Option<String>, Option<String>) {
        let config = &self.node.config;
        (Some(config.cluster_arn.clone()), Some(config.container_instance_arn.clone()))
    }

    /// Without waiting: what is not acknowledged is said again by the control plane.
    fn send(&self, message: AgentMessage) {
        let control = Arc::clone(&self.node.control);
        tokio::spawn(async move {
            if let Err(error) = control.send(message).await {
                tracing::debug!(%error, "a message to the control plane was not taken");
            }
        });
    }
}

/// That a task is stopped, without what its containers did.
pub(crate) fn last_word(
    task: String,
    cluster: String,
    stop_code: Option<StopCode>,
    reason: String,
) -> TaskStateChange {
    TaskStateChange {
        cluster,
        task,
        sequence: TaskStateChange::LAST_WORD,
        status: TaskStatus::Stopped,
        reason: Some(reason),
        stop_code,
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        health_status: HealthStatus::Unknown,
        containers: Vec::new(),
    }
}

/// The validated form of refreshed credentials, and their expiration as it was written.
fn role_credentials(credentials: acs::IamRoleCredentials) -> Option<(RoleCredentials, String)> {
    let written = credentials.expiration?;
    let expiration = OffsetDateTime::parse(&written, &Rfc3339).ok()?;
    let milliseconds = i64::try_from(expiration.unix_timestamp_nanos() / 1_000_000).ok()?;
    let role = RoleCredentials {
        credentials_id: credentials.credentials_id?,
        role_arn: credentials.role_arn.unwrap_or_default(),
        access_key_id: credentials.access_key_id?,
        secret_access_key: credentials.secret_access_key?,
        session_token: credentials.session_token?,
        expiration: Timestamp::from_millis(milliseconds),
    };
    Some((role, written))
}
