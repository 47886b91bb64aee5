//! Access logs on their way: lines gather for each load balancer, and go up every five minutes (of a classic one that says so every hour),
//! when there are many, and when the agent ends. Who gets them makes files of them and puts these into the load balancer's bucket.
//!
//! Where they go is decided when they are taken: what waits when a log is switched off, or its load balancer deleted, is dropped there.
//!
//! The threads that carry requests never wait here. What is held is bounded: lines beyond that are dropped, counted and told, as AWS's logs are
//! delivered as well as it can be and not as a record of everything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent_protocol::{AccessLogLines, ControlError, LogKind};
use load_balancer::AccessLog;
use routing::config::Configuration;
use tokio::sync::Notify;

use crate::{node::Node, retry::Backoff};

/// As on AWS.
const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Lines of one load balancer that go up at once.
const FULL_BYTES: usize = 1 << 20;
/// Lines of all load balancers that wait.
const MOST_BYTES: usize = 32 << 20;
/// How often lines that cannot be delivered are offered again; then they go.
const MOST_ATTEMPTS: usize = 5;

/// Takes lines from the data plane.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    full: Notify,
}

/// A load balancer's ARN, and which of its logs.
type Log = (String, LogKind);

#[derive(Debug, Default)]
struct Waiting {
    by_log: BTreeMap<Log, String>,
    bytes: usize,
    dropped: u64,
    /// Of load balancers with another than [`INTERVAL`], in such: by ARN.
    intervals: BTreeMap<String, u64>,
}

/// What is to go up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    All,
    /// What has gathered for its interval, at the end of so many.
    Due(u64),
    /// Of load balancers alone that have much.
    Full,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the load balancers' own intervals.
    pub(super) fn follow(&self, configuration: &Configuration) {
        let own = configuration.load_balancers.iter().filter_map(|balancer| {
            let minutes = u64::from(balancer.attributes.access_logs.as_ref()?.interval_minutes);
            Some((balancer.arn.clone(), minutes * 60 / INTERVAL.as_secs())).filter(|(_, times)| *times > 1)
        });
        self.lock().intervals = own.collect();
    }

    fn take(&self, what: Taken) -> Vec<(Log, String)> {
        let mut waiting = self.lock();
        let Waiting { by_log, intervals, .. } = &mut *waiting;
        let goes = |(arn, _): &Log, lines: &mut String| match what {
            Taken::All => true,
            Taken::Due(tick) => tick.is_multiple_of(intervals.get(arn).copied().unwrap_or(1)),
            Taken::Full => lines.len() >= FULL_BYTES,
        };
        let taken: Vec<(Log, String)> = by_log.extract_if(.., goes).collect();
        waiting.bytes -= taken.iter().map(|(_, lines)| lines.len()).sum::<usize>();
        let dropped = std::mem::take(&mut waiting.dropped);
        drop(waiting);
        if dropped > 0 {
            tracing::warn!(dropped, "lines of access logs were dropped: there were more than can wait");
        }
        taken
    }
}

impl AccessLog for Lines {
    fn record(&self, load_balancer_arn: &str, line: String) {
        self.add((load_balancer_arn.to_owned(), LogKind::Access), &line);
    }

    fn record_connection(&self, load_balancer_arn: &str, line: String) {
        self.add((load_balancer_arn.to_owned(), LogKind::Connection), &line);
    }
}

impl Lines {
    fn add(&self, log: Log, line: &str) {
        let mut waiting = self.lock();
        if waiting.bytes + line.len() + 1 > MOST_BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += line.len() + 1;
        let lines = waiting.by_log.entry(log).or_default();
        lines.push_str(line);
        lines.push('\n');
        if lines.len() >= FULL_BYTES {
            self.full.notify_one();
        }
    }
}

/// Delivers lines until it is dropped.
pub(super) async fn run(node: Arc<Node>, lines: Arc<Lines>) {
    let mut every = tokio::time::interval(INTERVAL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    every.tick().await;
    let mut ticks = 0;
    loop {
        let what = tokio::select! {
            _ = every.tick() => {
                ticks += 1;
                Taken::Due(ticks)
            }
            () = lines.full.notified() => Taken::Full,
        };
        deliver(&node, &lines, what).await;
    }
}

/// Delivers what waits, or as much of it as is taken.
pub(super) async fn deliver(node: &Node, lines: &Lines, what: Taken) {
    for ((load_balancer_arn, kind), lines) in lines.take(what) {
        let message = AccessLogLines { load_balancer_arn, kind, lines };
        let mut backoff = Backoff::default();
        for attempt in 1.. {
            match node.control.deliver_access_log(message.clone()).await {
                Ok(()) => break,
                Err(ControlError::Unavailable(reason)) if attempt < MOST_ATTEMPTS => {
                    tracing::debug!(reason, "lines of an access log were not taken");
                    backoff.wait().await;
                }
                Err(error) => {
                    let arn = &message.load_balancer_arn;
                    tracing::warn!(arn, %error, "lines of an access log could not be delivered and are lost");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_protocol::LogKind;
    use load_balancer::AccessLog;

    use super::{FULL_BYTES, Lines, MOST_BYTES, Taken};

    #[test]
    fn lines_gather_by_load_balancer() {
        let lines = Lines::default();
        lines.record("b", "one".to_owned());
        lines.record("a", "two".to_owned());
        lines.record("b", "three".to_owned());
        assert_eq!(lines.take(Taken::Full), []);
        let taken = lines.take(Taken::All);
        let access = |arn: &str, lines: &str| ((arn.to_owned(), LogKind::Access), lines.to_owned());
        assert_eq!(taken, [access("a", "two\n"), access("b", "one\nthree\n")]);
        assert_eq!(lines.lock().bytes, 0);
        lines.record("a", "one".to_owned());
        lines.record_connection("a", "two".to_owned());
        let connections = (("a".to_owned(), LogKind::Connection), "two\n".to_owned());
        assert_eq!(lines.take(Taken::All), [access("a", "one\n"), connections]);
    }

    #[test]
    fn each_has_its_interval() {
        let lines = Lines::default();
        lines.lock().intervals.insert("hourly".to_owned(), 12);
        let mut went = Vec::new();
        for tick in 1..=24 {
            lines.record("hourly", "one".to_owned());
            lines.record("other", "one".to_owned());
            for ((arn, _), taken) in lines.take(Taken::Due(tick)) {
                went.push((arn, tick, taken.lines().count()));
            }
        }
        let hourly: Vec<_> =
            went.iter().filter(|(arn, ..)| arn == "hourly").map(|one| (one.1, one.2)).collect();
        assert_eq!(hourly, [(12, 12), (24, 12)]);
        let other: Vec<_> = went.iter().filter(|(arn, ..)| arn == "other").map(|one| one.2).collect();
        assert_eq!(other, [1; 24]);
        assert_eq!(lines.lock().bytes, 0);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let lines = Lines::default();
        let line = "x".repeat(FULL_BYTES);
        for _ in 0..100 {
            lines.record("a", line.clone());
        }
        lines.record("b", "short".to_owned());
        let waiting = lines.lock();
        assert!(waiting.bytes <= MOST_BYTES);
        assert!(waiting.dropped > 0);
        drop(waiting);
        let full: Vec<String> = lines.take(Taken::Full).into_iter().map(|((arn, _), _)| arn).collect();
        assert_eq!(full, ["a"], "what is not full waits");
    }
}
