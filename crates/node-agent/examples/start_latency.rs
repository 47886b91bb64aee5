//! How long a task takes from its payload to the first line of its own code at the control plane, image present, network included.
//!
//! ```text
//! cargo run --release -p node-agent --example start_latency -- [ROUNDS]
//! ```
//! As root, with busybox-static installed.

#[allow(dead_code)]
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use agent_protocol::state::TaskStatus;
use support::{in_a_host_of_its_own, shell, task};

/// How many tasks are started at once in the second part.
const BURST: u8 = 20;

fn main() {
    let rounds: u8 = std::env::args().nth(1).map_or(50, |text| text.parse().expect("a number of rounds"));
    in_a_host_of_its_own(async move |host| {
        let (mut lines, mut gone) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let id = format!("t{round}");
            let spec = task(&id, 10 + round, vec![shell("app", "echo ready")]);
            let start = Instant::now();
            host.run(spec, 1).await;
            host.lines_until(&id, |lines| !lines.is_empty()).await;
            lines.push(start.elapsed());
            host.status(&id, TaskStatus::Stopped).await;
            gone.push(start.elapsed());
        }
        println!("one task at a time");
        print("payload → first line", lines);
        print("payload → STOPPED", gone);

        let ids: Vec<String> = (0..BURST).map(|number| format!("b{number}")).collect();
        let start = Instant::now();
        for (id, number) in ids.iter().zip(0..) {
            host.run(task(id, 10 + number, vec![shell("app", "echo ready")]), 1).await;
        }
        let mut lines = Vec::new();
        for id in &ids {
            host.lines_until(id, |lines| !lines.is_empty()).await;
            lines.push(start.elapsed());
        }
        println!("{BURST} tasks at once");
        print("payload → first line", lines);
        for id in &ids {
            host.status(id, TaskStatus::Stopped).await;
        }
    });
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let millis = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("  {what:22} p50 {:6.2} ms  p95 {:6.2} ms  max {:6.2} ms", millis(50), millis(95), millis(100));
}
