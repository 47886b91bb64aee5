//! Resource use in the shape of Docker's stats, which the endpoint promises.

use container_runtime::ContainerStats;
use serde_json::{Map, Value, json};

use super::{documents::rfc3339, view::ViewState};
use crate::task::container::run_name;

/// `null` while the container has no process.
pub(super) fn container(state: &ViewState, index: usize) -> Value {
    let spec = &state.spec.containers[index];
    let name = run_name(&spec.name, state.facts.containers[index].run);
    let stats = state.sandbox.as_ref().and_then(|sandbox| sandbox.stats(&name));
    stats.map_or(Value::Null, |stats| document(&spec.name, &spec.runtime_id, &stats))
}

/// Of every container, by its id.
pub(super) fn task(state: &ViewState) -> Value {
    let each = state.spec.containers.iter().enumerate();
    let all: Map<String, Value> =
        each.map(|(index, spec)| (spec.runtime_id.clone(), container(state, index))).collect();
    Value::Object(all)
}

fn document(name: &str, id: &str, stats: &ContainerStats) -> Value {
    let cpu = &stats.cpu;
    let blkio = |entries: &[container_runtime::BlkioEntry]| {
        let each = entries.iter().map(
            |entry| json!({"major": entry.major, "minor": entry.minor, "op": entry.op, "value": entry.value}),
        );
        each.collect::<Vec<_>>()
    };
    json!({
        "read": rfc3339(stats.read_at),
        "name": name,
        "id": id,
        "num_procs": 0,
        "pids_stats": {"current": stats.pids.current, "limit": stats.pids.limit},
        "blkio_stats": {
            "io_service_bytes_recursive": blkio(&stats.blkio_service_bytes),
            "io_serviced_recursive": blkio(&stats.blkio_serviced),
        },
        "cpu_stats": {
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
        },
        "memory_stats": {
            "usage": stats.memory.usage_bytes,
            "max_usage": stats.memory.peak_bytes,
            "limit": stats.memory.limit_bytes,
            "failcnt": stats.memory.failures,
            "stats": stats.memory.stat,
        },
    })
}
