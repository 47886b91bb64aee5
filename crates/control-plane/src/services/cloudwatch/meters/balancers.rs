//! Load balancers and target groups: what their nodes count, and how many targets are healthy.
//!
//! Source: the lists of CloudWatch metrics in the guides of Application, Network and Classic Load Balancers. As there, what has not happened is
//! not reported. Metrics by zone are not there: the data plane counts load balancers as wholes.

use agent_protocol::tcs::BalancerMetric;
use metrics::Summary;
use state_store::View;
use telemetry_store::MetricSample;
use vocabulary::{Arn, Scope, Timestamp};

use super::sample;
use crate::services::{
    Services,
    elbv2::{
        health::State,
        records::{Target, TargetGroup},
        targets::{self, health_of},
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Application,
    Network,
    Classic,
}

impl Kind {
    fn namespace(self) -> &'static str {
        match self {
            Kind::Application => "AWS/ApplicationELB",
            Kind::Network => "AWS/NetworkELB",
            Kind::Classic => "AWS/ELB",
        }
    }

    /// What the data plane's counter is called for this kind; none: it is not reported.
    fn metric(self, counter: &str) -> Option<&str> {
        match self {
            Kind::Application => Some(counter),
            Kind::Network => Some(match counter {
                "NewConnectionCount" => "NewFlowCount",
                "ProcessedBytes" | "ClientTLSNegotiationErrorCount" | "TargetTLSNegotiationErrorCount" => {
                    counter
                }
                "RejectedConnectionCount" => "RejectedFlowCount",
                _ => return None,
            }),
            Kind::Classic => Some(match counter {
                "RequestCount" | "HTTPCode_ELB_4XX_Count" | "HTTPCode_ELB_5XX_Count" => {
                    counter.strip_suffix("_Count").unwrap_or(counter)
                }
                "NewConnectionCount" => "EstimatedALBNewConnectionCount",
                "ProcessedBytes" => "EstimatedProcessedBytes",
                "RejectedConnectionCount" => "SpilloverCount",
                "TargetConnectionErrorCount" => "BackendConnectionErrors",
                "HTTPCode_Target_2XX_Count" => "HTTPCode_Backend_2XX",
                "HTTPCode_Target_3XX_Count" => "HTTPCode_Backend_3XX",
                "HTTPCode_Target_4XX_Count" => "HTTPCode_Backend_4XX",
                "HTTPCode_Target_5XX_Count" => "HTTPCode_Backend_5XX",
                _ => return None,
            }),
        }
    }
}

/// What a metric of load balancers is by.
struct Of {
    scope: Scope,
    kind: Kind,
    dimensions: Vec<(&'static str, String)>,
    /// Counts of a target group: only what concerns targets.
    group: bool,
}

/// `app/NAME/ID`, with what it is.
fn balancer(arn: &str) -> Option<(Scope, Kind, String)> {
    let parsed: Arn = arn.parse().ok()?;
    let scope = Scope::new(parsed.account().parse().ok()?, parsed.region().parse().ok()?);
    let name = parsed.resource().strip_prefix("loadbalancer/")?;
    Some(match name.split_once('/') {
        Some(("app", _)) => (scope, Kind::Application, name.to_owned()),
        Some(("net", _)) => (scope, Kind::Network, name.to_owned()),
        // The made-up group of a classic load balancer's listener.
        Some(_) => return None,
        None => (scope, Kind::Classic, name.to_owned()),
    })
}

fn dimension(kind: Kind) -> &'static str {
    if kind == Kind::Classic { "LoadBalancerName" } else { "LoadBalancer" }
}

fn of(view: &View, arn: &str) -> Option<Of> {
    if let Some((scope, kind, name)) = balancer(arn) {
        return Some(Of { scope, kind, dimensions: vec![(dimension(kind), name)], group: false });
    }
    let parsed: Arn = arn.parse().ok()?;
    let scope = Scope::new(parsed.account().parse().ok()?, parsed.region().parse().ok()?);
    let group = targets::lookup(view, &scope, arn)?;
    let (_, kind, name) = balancer(group.load_balancer_arns.first()?)?;
    let dimensions = vec![("TargetGroup", parsed.resource().to_owned()), ("LoadBalancer", name)];
    Some(Of { scope, kind, dimensions, group: true })
}

fn unit(name: &str) -> &'static str {
    if name.contains("Bytes") { "Bytes" } else { "Count" }
}

/// What nodes have counted.
pub fn samples(
    services: &Services,
    view: &View,
    metrics: &[BalancerMetric],
    at: i64,
    now: Timestamp,
) -> Vec<MetricSample> {
    let mut samples = Vec::new();
    for metric in metrics {
        let Some(of) = of(view, &metric.arn) else { continue };
        let dimensions: Vec<(&str, &str)> =
            of.dimensions.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let namespace = of.kind.namespace();
        let mut put = |name: &str, unit: &str, summary: Summary| {
            samples.push(sample(&of.scope, namespace, name, &dimensions, unit, at, summary));
        };
        for (counter, count) in &metric.counters {
            if let Some(name) = of.kind.metric(counter) {
                put(name, unit(name), Summary::of_value(*count as f64));
            }
        }
        if let Some(open) = metric.active_connections.filter(|_| !of.group) {
            let name = match of.kind {
                Kind::Application => Some("ActiveConnectionCount"),
                Kind::Network => Some("ActiveFlowCount"),
                Kind::Classic => Some("EstimatedALBActiveConnectionCount"),
            };
            name.into_iter().for_each(|name| put(name, "Count", Summary::of_value(open as f64)));
        }
        if !metric.response_times.is_empty() && of.kind != Kind::Network {
            let times = metric.response_times.iter().map(|(seconds, count)| (*seconds, *count as f64));
            let name = if of.kind == Kind::Classic { "Latency" } else { "TargetResponseTime" };
            put(name, "Seconds", Summary::of_histogram(times, metric.response_time_seconds));
        }
        if of.group
            && let Some(requests) = metric.counters.get("RequestCount")
        {
            let all = counted(services, view, &of.scope, &metric.arn, now).map_or(0, |(healthy, _)| healthy);
            put("RequestCountPerTarget", "Count", Summary::of_value(*requests as f64 / all.max(1) as f64));
        }
    }
    samples
}

/// How many targets of a group are healthy, and how many are not.
fn counted(
    services: &Services,
    view: &View,
    scope: &Scope,
    arn: &str,
    now: Timestamp,
) -> Option<(usize, usize)> {
    let key = arn.split_once(":targetgroup/").map(|(_, key)| key)?;
    let group = view.get::<TargetGroup>(scope, key)?;
    let (mut healthy, mut unhealthy) = (0, 0);
    for (_, target) in view.scan_prefix::<Target>(scope, &format!("{key}/")) {
        match health_of(view, &services.target_health, scope, &group, &target, now).state {
            State::Healthy => healthy += 1,
            State::Unhealthy => unhealthy += 1,
            State::Absent | State::Initial | State::Unused | State::Draining | State::Unavailable => {}
        }
    }
    Some((healthy, unhealthy))
}

/// `HealthyHostCount` and `UnHealthyHostCount` of every target group that a load balancer uses.
pub fn health(services: &Services, view: &View, at: i64, now: Timestamp) -> Vec<MetricSample> {
    let mut samples = Vec::new();
    for found in view.scan_all::<TargetGroup>() {
        let arn = found.value.arn(&found.scope);
        let (Some(of), Some((healthy, unhealthy))) =
            (of(view, &arn), counted(services, view, &found.scope, &arn, now))
        else {
            continue;
        };
        let dimensions: Vec<(&str, &str)> =
            of.dimensions.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for (name, count) in [("HealthyHostCount", healthy), ("UnHealthyHostCount", unhealthy)] {
            let summary = Summary::of_value(count as f64);
            samples.push(sample(&of.scope, of.kind.namespace(), name, &dimensions, "Count", at, summary));
        }
    }
    samples
}
