//! Resource use in the shape of Docker's stats, which the endpoint promises. What was read the time before stands beside it, so that
//! whoever asks again and again can tell how much was used in between.

use std::collections::HashMap;

use container_runtime::{ContainerStats, CpuStats};
use serde_json::{Map, Value, json};
use vocabulary::Timestamp;

use super::{
    documents::rfc3339,
    traffic::{self, Interface},
    view::ViewState,
};
use crate::task::container::run_name;

/// What was read of a container.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    stats: ContainerStats,
    interfaces: Vec<Interface>,
}

/// The last samples of a task's containers, by their runs' names.
pub(super) type Samples = HashMap<String, Sample>;

/// Docker's time for what has not been.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// `null` while the container has no process.
pub(super) fn container(state: &ViewState, index: usize) -> Value {
    let spec = &state.spec.containers[index];
    let name = run_name(&spec.name, state.facts.containers[index].run);
    let Some(sandbox) = &state.sandbox else { return Value::Null };
    let Some(stats) = sandbox.stats(&name) else { return Value::Null };
    let pid = sandbox.statuses().get(&name).and_then(|status| status.pid);
    // Those of the machine are not the container's.
    let own = state.spec.network_mode != agent_protocol::spec::NetworkMode::Host;
    let interfaces = pid.filter(|_| own).map(|pid| traffic::of_process(pid.unsigned_abs()));
    let sample = Sample { stats, interfaces: interfaces.unwrap_or_default() };
    let before = state.samples().insert(name, sample.clone());
    document(&spec.name, &spec.runtime_id, &sample, before.as_ref())
}

/// Of every container, by its id.
pub(super) fn task(state: &ViewState) -> Value {
    let each = state.spec.containers.iter().enumerate();
    let all: Map<String, Value> =
        each.map(|(index, spec)| (spec.runtime_id.clone(), container(state, index))).collect();
    Value::Object(all)
}

fn document(name: &str, id: &str, sample: &Sample, before: Option<&Sample>) -> Value {
    let stats = &sample.stats;
    let blkio = |entries: &[container_runtime::BlkioEntry]| {
        let each = entries.iter().map(
            |entry| json!({"major": entry.major, "minor": entry.minor, "op": entry.op, "value": entry.value}),
        );
        each.collect::<Vec<_>>()
    };
    let mut document = json!({
        "read": rfc3339(stats.read_at),
        "preread": before.map_or_else(|| NEVER.to_owned(), |before| rfc3339(before.stats.read_at)),
        "name": name,
        "id": id,
        "num_procs": 0,
        "storage_stats": {},
        "pids_stats": {"current": stats.pids.current, "limit": stats.pids.limit},
        "blkio_stats": {
            "io_service_bytes_recursive": blkio(&stats.blkio_service_bytes),
            "io_serviced_recursive": blkio(&stats.blkio_serviced),
        },
        "cpu_stats": cpu(&stats.cpu),
        "precpu_stats": before.map_or_else(|| cpu(&CpuStats::default()), |before| cpu(&before.stats.cpu)),
        "memory_stats": {
            "usage": stats.memory.usage_bytes,
            "max_usage": stats.memory.peak_bytes,
            "limit": stats.memory.limit_bytes,
            "failcnt": stats.memory.failures,
            "stats": stats.memory.stat,
        },
    });
    if !sample.interfaces.is_empty() {
        document["networks"] = traffic::document(&sample.interfaces);
        if let Some((received, sent)) = before.and_then(|before| rates(before, sample)) {
            document["network_rate_stats"] = json!({"rx_bytes_per_sec": received, "tx_bytes_per_sec": sent});
        }
    }
    document
}

/// Bytes per second in each direction since the sample before; none when no time has passed.
fn rates(before: &Sample, now: &Sample) -> Option<(f64, f64)> {
    let seconds = elapsed_seconds(before.stats.read_at, now.stats.read_at)?;
    let (then, now) = (traffic::totals(&before.interfaces), traffic::totals(&now.interfaces));
    let rate = |then: u64, now: u64| now.saturating_sub(then) as f64 / seconds;
    Some((rate(then.0, now.0), rate(then.1, now.1)))
}

fn elapsed_seconds(from: Timestamp, to: Timestamp) -> Option<f64> {
    let seconds = to.since(from).as_secs_f64();
    (seconds > 0.0).then_some(seconds)
}

fn cpu(cpu: &CpuStats) -> Value {
    json!({
        "cpu_usage": {
            "total_usage": cpu.usage_ns,
            "usage_in_kernelmode": cpu.system_ns,
            "usage_in_usermode": cpu.user_ns,
        },
        "system_cpu_usage": cpu.machine_ns,
        "online_cpus": cpu.online_cpus,
        "throttling_data": {
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_time": cpu.throttled_ns,
        },
    })
}
