//! `longshore doctor`: what this machine lacks, and what to do about it.
//!
//! Every check tries the thing itself where that leaves no trace; a kernel's configuration file says less than an attempt. Exit status
//! 1 when something that tasks need is missing.

use std::{fs, io::IsTerminal, path::Path, process::ExitCode};

use host_network::{Finding, NetworkConfig, Verdict, probe};

pub fn run() -> anyhow::Result<ExitCode> {
    let mut findings =
        vec![root(), overlay(), cgroups(), seccomp(), user_limits(), disk(Path::new("/var/lib"))];
    if rustix::process::geteuid().is_root() {
        findings.extend(probe(&NetworkConfig::new("/run/longshore/net")));
    }
    let colour = std::io::stdout().is_terminal();
    for finding in &findings {
        println!("{}", line(finding, colour));
    }
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fine);
    println!();
    match worst {
        Verdict::Fine => println!("This machine has all that Longshore needs."),
        Verdict::Limited => println!("Longshore runs here, with the limits above."),
        Verdict::Missing => println!("Tasks cannot run here until what is missing above is there."),
    }
    Ok(if worst == Verdict::Missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(finding: &Finding, colour: bool) -> String {
    let (mark, code) = match finding.verdict {
        Verdict::Fine => ("ok     ", "32"),
        Verdict::Limited => ("limited", "33"),
        Verdict::Missing => ("missing", "31"),
    };
    let mark = if colour { format!("\x1b[{code}m{mark}\x1b[0m") } else { mark.to_owned() };
    let remedy = if finding.remedy.is_empty() {
        String::new()
    } else {
        format!("\n           → {}", finding.remedy)
    };
    format!("  {mark}  {}: {}{remedy}", finding.subject, finding.detail)
}

fn finding(
    subject: &'static str,
    verdict: Verdict,
    detail: impl Into<String>,
    remedy: &'static str,
) -> Finding {
    let remedy = if verdict == Verdict::Fine { "" } else { remedy };
    Finding { subject, verdict, detail: detail.into(), remedy }
}

fn root() -> Finding {
    let (verdict, detail) = if rustix::process::geteuid().is_root() {
        (Verdict::Fine, "running as root")
    } else {
        (Verdict::Missing, "not running as root; the network was not looked at")
    };
    finding(
        "privileges",
        verdict,
        detail,
        "Run with sudo: containers take network interfaces, cgroups and mounts.",
    )
}

fn overlay() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let remedy = "Load the module: modprobe overlay (CONFIG_OVERLAY_FS).";
    if known.split_whitespace().any(|word| word == "overlay") {
        finding("overlay file system", Verdict::Fine, "known to the kernel", remedy)
    } else {
        finding(
            "overlay file system",
            Verdict::Missing,
            "unknown to the kernel; container images need it",
            remedy,
        )
    }
}

/// The controllers that limits need, by whichever version of cgroups has them.
fn cgroups() -> Finding {
    const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
    const REMEDY: &str =
        "Mount cgroup v2 (mount -t cgroup2 none /sys/fs/cgroup) with the cpu, memory and pids controllers.";
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|name| !unified.split_whitespace().any(|have| have == *name)).collect();
    if missing.is_empty() {
        return finding("cgroups", Verdict::Fine, "version 2", REMEDY);
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounted = |name: &str| {
        let mut cgroup_mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        cgroup_mounts.any(|fields| {
            fields.get(2) == Some(&"cgroup")
                && fields.get(3).is_some_and(|options| options.split(',').any(|option| option == name))
        })
    };
    let absent: Vec<&str> = NEEDED.into_iter().filter(|name| !mounted(name)).collect();
    if absent.is_empty() {
        finding("cgroups", Verdict::Fine, "version 1", REMEDY)
    } else {
        finding("cgroups", Verdict::Missing, format!("no {} controller", absent.join(", ")), REMEDY)
    }
}

fn seccomp() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let verdict = if actions.contains("errno") { Verdict::Fine } else { Verdict::Missing };
    let detail = if verdict == Verdict::Fine {
        "filters work"
    } else {
        "the kernel has no seccomp filters; containers run under one"
    };
    finding("seccomp", verdict, detail, "Use a kernel with CONFIG_SECCOMP_FILTER.")
}

/// The descriptors that a container may be given: FARGATE's default is 65,535.
fn user_limits() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let verdict = if hard >= 65_535 { Verdict::Fine } else { Verdict::Limited };
    let detail = format!("{hard} open files at most");
    finding(
        "resource limits",
        verdict,
        detail,
        "Raise the hard limit (ulimit -Hn 65535); containers asking for more get what there is.",
    )
}

fn disk(path: &Path) -> Finding {
    const LEAST: u64 = 2 << 30;
    let remedy = "Free some space, or choose another place with --data-dir.";
    match rustix::fs::statvfs(path) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let verdict = if free >= LEAST { Verdict::Fine } else { Verdict::Limited };
            finding("disk", verdict, format!("{} GiB free in {}", free >> 30, path.display()), remedy)
        }
        Err(error) => finding("disk", Verdict::Limited, format!("{}: {error}", path.display()), remedy),
    }
}
