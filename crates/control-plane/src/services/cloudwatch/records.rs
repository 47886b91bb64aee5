//! What CloudWatch keeps in the state store: alarms and what happened to them. Metrics are in the metric store.

use aws_shapes_cloudwatch as cloudwatch;
use metrics::alarm::State;
use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::{convert::AwsJson, services::tagging::Tags};

/// An alarm; its id is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Alarm {
    pub name: String,
    pub watches: Watches,
    pub actions_enabled: bool,
    pub configured_at: Timestamp,
    pub state: State,
    pub reason: String,
    pub reason_data: Option<String>,
    pub state_updated_at: Timestamp,
    pub tags: Tags,
}

/// What an alarm follows, as it was asked for, without tags.
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Watches {
    Metric(AwsJson<cloudwatch::PutMetricAlarmInput>),
    Composite(AwsJson<cloudwatch::PutCompositeAlarmInput>),
}

impl Record for Alarm {
    const SERVICE: &'static str = "cloudwatch";
    const KIND: &'static str = "alarm";
    const SCHEMA_VERSION: u32 = 1;
}

impl Alarm {
    pub fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.name)
    }

    pub fn is_composite(&self) -> bool {
        matches!(self.watches, Watches::Composite(_))
    }

    /// What is to be done when it gets into a state: ARNs.
    pub fn actions(&self, state: State) -> &[String] {
        let (ok, alarm, insufficient) = match &self.watches {
            Watches::Metric(AwsJson(given)) => {
                (&given.ok_actions, &given.alarm_actions, &given.insufficient_data_actions)
            }
            Watches::Composite(AwsJson(given)) => {
                (&given.ok_actions, &given.alarm_actions, &given.insufficient_data_actions)
            }
        };
        let chosen = match state {
            State::Ok => ok,
            State::Alarm => alarm,
            State::InsufficientData => insufficient,
        };
        chosen.as_deref().unwrap_or_default()
    }
}

pub fn arn(scope: &Scope, name: &str) -> String {
    scope.arn("cloudwatch", format_args!("alarm:{name}")).to_string()
}

/// What happened to the alarm of a name, also after it was deleted; the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    pub composite: bool,
    pub items: Vec<HistoryItem>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryItem {
    pub at: Timestamp,
    pub kind: Happened,
    pub summary: String,
    /// JSON.
    pub data: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    Configuration,
    State,
    Action,
}

impl Record for History {
    const SERVICE: &'static str = "cloudwatch";
    const KIND: &'static str = "alarm-history";
    const SCHEMA_VERSION: u32 = 1;
}
