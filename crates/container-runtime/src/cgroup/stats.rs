//! What the kernel counts for a container or a task, in the shape of Docker's stats so that the metadata endpoint can answer in it.

use super::{Hierarchies, field};
use crate::error::RuntimeError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;
use vocabulary::Timestamp;

/// Counters at one moment. What this machine's cgroups do not count is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStats {
    pub read_at: Timestamp,
    pub cpu: CpuStats,
    pub memory: MemoryStats,
    pub pids: PidsStats,
    pub blkio_service_bytes: Vec<BlkioEntry>,
    pub blkio_serviced: Vec<BlkioEntry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    pub usage_ns: u64,
    pub user_ns: u64,
    pub system_ns: u64,
    /// All processors of the machine together, idle time included: the denominator of Docker's percentage.
    pub machine_ns: u64,
    pub online_cpus: u32,
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Page cache included.
    pub usage_bytes: u64,
    pub peak_bytes: Option<u64>,
    /// Of this cgroup; `None` is unlimited.
    pub limit_bytes: Option<u64>,
    pub failures: u64,
    /// The kernel's own `memory.stat`.
    pub stat: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidsStats {
    pub current: u64,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioEntry {
    pub major: u64,
    pub minor: u64,
    /// `Read` or `Write`.
    pub op: String,
    pub value: u64,
}

/// `/proc/stat` counts in hundredths of a second on every Linux that containers run on.
const NS_PER_TICK: u64 = 10_000_000;
/// v1 writes "unlimited" as the largest multiple of the page size.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// `None` when there is no such cgroup.
pub(crate) fn read(path: &str) -> Result<Option<ContainerStats>, RuntimeError> {
    let hierarchies = Hierarchies::get();
    let Some(memory) = hierarchies.dir("memory", path) else { return Ok(None) };
    if !memory.exists() {
        return Ok(None);
    }
    let mut stats = if hierarchies.unified { unified(&memory) } else { legacy(hierarchies, path, &memory) };
    machine(&mut stats.cpu);
    Ok(Some(stats))
}

fn empty() -> ContainerStats {
    ContainerStats {
        read_at: SystemTime::now().into(),
        cpu: CpuStats::default(),
        memory: MemoryStats::default(),
        pids: PidsStats::default(),
        blkio_service_bytes: Vec::new(),
        blkio_serviced: Vec::new(),
    }
}

fn legacy(hierarchies: &Hierarchies, path: &str, memory: &Path) -> ContainerStats {
    let mut stats = empty();
    if let Some(dir) = hierarchies.dir("cpuacct", path) {
        stats.cpu.usage_ns = number(&dir, "cpuacct.usage").unwrap_or(0);
        stats.cpu.user_ns = number(&dir, "cpuacct.usage_user").unwrap_or(0);
        stats.cpu.system_ns = number(&dir, "cpuacct.usage_sys").unwrap_or(0);
    }
    if let Some(dir) = hierarchies.dir("cpu", path) {
        let text = text(&dir, "cpu.stat");
        stats.cpu.periods = field(&text, "nr_periods").unwrap_or(0);
        stats.cpu.throttled_periods = field(&text, "nr_throttled").unwrap_or(0);
        stats.cpu.throttled_ns = field(&text, "throttled_time").unwrap_or(0);
    }
    stats.memory = MemoryStats {
        usage_bytes: number(memory, "memory.usage_in_bytes").unwrap_or(0),
        peak_bytes: number(memory, "memory.max_usage_in_bytes"),
        limit_bytes: number(memory, "memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED_BYTES),
        failures: number(memory, "memory.failcnt").unwrap_or(0),
        stat: pairs(&text(memory, "memory.stat")),
    };
    if let Some(dir) = hierarchies.dir("pids", path) {
        stats.pids = pids(&dir);
    }
    if let Some(dir) = hierarchies.dir("blkio", path) {
        stats.blkio_service_bytes = legacy_blkio(&text(&dir, "blkio.throttle.io_service_bytes_recursive"));
        stats.blkio_serviced = legacy_blkio(&text(&dir, "blkio.throttle.io_serviced_recursive"));
    }
    stats
}

fn unified(dir: &Path) -> ContainerStats {
    let mut stats = empty();
    let cpu = text(dir, "cpu.stat");
    let micros = |key| field(&cpu, key).unwrap_or(0).saturating_mul(1000);
    stats.cpu = CpuStats {
        usage_ns: micros("usage_usec"),
        user_ns: micros("user_usec"),
        system_ns: micros("system_usec"),
        periods: field(&cpu, "nr_periods").unwrap_or(0),
        throttled_periods: field(&cpu, "nr_throttled").unwrap_or(0),
        throttled_ns: micros("throttled_usec"),
        ..CpuStats::default()
    };
    stats.memory = MemoryStats {
        usage_bytes: number(dir, "memory.current").unwrap_or(0),
        peak_bytes: number(dir, "memory.peak"),
        limit_bytes: number(dir, "memory.max"),
        failures: field(&text(dir, "memory.events"), "max").unwrap_or(0),
        stat: pairs(&text(dir, "memory.stat")),
    };
    stats.pids = pids(dir);
    let io = text(dir, "io.stat");
    stats.blkio_service_bytes = unified_blkio(&io, "rbytes", "wbytes");
    stats.blkio_serviced = unified_blkio(&io, "rios", "wios");
    stats
}

fn pids(dir: &Path) -> PidsStats {
    PidsStats { current: number(dir, "pids.current").unwrap_or(0), limit: number(dir, "pids.max") }
}

fn machine(cpu: &mut CpuStats) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guest time is within user's.
    let ticks = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    cpu.machine_ns = ticks.filter_map(|t| t.parse::<u64>().ok()).sum::<u64>().saturating_mul(NS_PER_TICK);
    let processors = text.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).count();
    cpu.online_cpus = u32::try_from(processors).unwrap_or(u32::MAX);
}

fn text(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

/// `None` when there is no such file or it says `max`.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file).trim().parse().ok()
}

fn pairs(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(k, v)| Some((k.to_owned(), v.trim().parse().ok()?)))
        .collect()
}

/// Lines of `8:0 Read 4096`.
fn legacy_blkio(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let op = words.next().filter(|op| matches!(*op, "Read" | "Write"))?;
        let value = words.next()?.parse().ok()?;
        Some(BlkioEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, op: op.to_owned(), value })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines of `8:0 rbytes=4096 wbytes=0 …`.
fn unified_blkio(text: &str, read: &str, write: &str) -> Vec<BlkioEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let op = if key == read {
                "Read"
            } else if key == write {
                "Write"
            } else {
                continue;
            };
            let Ok(value) = value.parse() else { continue };
            entries.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    entries
}
