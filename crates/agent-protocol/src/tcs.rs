//! Telemetry: what an agent publishes about health and resource use.
//!
//! Source: `ecs-agent/tcs/model/api/api-2.json` of aws/amazon-ecs-agent, as far as our own agent fills it. Rates are per
//! second, sizes bytes, cpu per cent of one core.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishMetricsRequest {
    pub metadata: Metadata,
    pub task_metrics: Vec<TaskMetric>,
    /// Ours: the node's load balancers and target groups that have counted something since the last time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub balancer_metrics: Vec<BalancerMetric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// What a load balancer or a target group has counted since it was told last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BalancerMetric {
    /// Of the load balancer or target group.
    pub arn: String,
    /// How often, or how many bytes, by the name that CloudWatch has for it.
    pub counters: BTreeMap<String, u64>,
    /// Connections that are open now. Told once a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_connections: Option<u64>,
    /// Seconds until targets began to answer, and how often each was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_times: Vec<(f64, u64)>,
    /// Their exact sum.
    pub response_time_seconds: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishHealthRequest {
    pub metadata: Metadata,
    pub tasks: Vec<TaskHealth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    pub cluster: String,
    pub container_instance: String,
    pub message_id: String,
    /// Whether this is the last message of one round of publishing.
    pub fin: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskMetric {
    pub task_arn: String,
    pub cluster_arn: String,
    pub task_definition_family: String,
    pub task_definition_version: String,
    pub container_metrics: Vec<ContainerMetric>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerMetric {
    pub container_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_stats_set: Option<StatsSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_stats_set: Option<StatsSet>,
}

/// CloudWatch's statistic set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsSet {
    pub min: f64,
    pub max: f64,
    pub sample_count: u64,
    pub sum: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskHealth {
    pub task_arn: String,
    pub cluster_arn: String,
    pub task_definition_family: String,
    pub task_definition_version: String,
    pub containers: Vec<ContainerHealth>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerHealth {
    pub container_name: String,
    pub health_status: crate::state::HealthStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}
