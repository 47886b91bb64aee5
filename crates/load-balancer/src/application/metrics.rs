//! What is counted, by the names that CloudWatch has for it.
//!
//! Every thread counts for itself, so that counting never waits; a snapshot adds the threads up. Numbers only grow: who publishes them takes
//! differences.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

macro_rules! counters {
    ($($name:ident = $text:literal),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Counter { $($name),* }

        impl Counter {
            pub const ALL: &[Counter] = &[$(Counter::$name),*];

            /// The metric's name.
            pub fn name(self) -> &'static str {
                match self { $(Counter::$name => $text),* }
            }
        }
    };
}

counters! {
    ActiveConnections = "ActiveConnectionCount",
    NewConnections = "NewConnectionCount",
    RejectedConnections = "RejectedConnectionCount",
    ClientTlsErrors = "ClientTLSNegotiationErrorCount",
    Requests = "RequestCount",
    GrpcRequests = "GrpcRequestCount",
    ProcessedBytes = "ProcessedBytes",
    NonSticky = "NonStickyRequestCount",
    RuleEvaluations = "RuleEvaluations",
    Redirects = "HTTP_Redirect_Count",
    FixedResponses = "HTTP_Fixed_Response_Count",
    NonCompliant = "DesyncMitigationMode_NonCompliant_Request_Count",
    DroppedHeaders = "DroppedInvalidHeaderRequestCount",
    Elb3xx = "HTTPCode_ELB_3XX_Count",
    Elb4xx = "HTTPCode_ELB_4XX_Count",
    Elb5xx = "HTTPCode_ELB_5XX_Count",
    Elb500 = "HTTPCode_ELB_500_Count",
    Elb502 = "HTTPCode_ELB_502_Count",
    Elb503 = "HTTPCode_ELB_503_Count",
    Elb504 = "HTTPCode_ELB_504_Count",
    Target2xx = "HTTPCode_Target_2XX_Count",
    Target3xx = "HTTPCode_Target_3XX_Count",
    Target4xx = "HTTPCode_Target_4XX_Count",
    Target5xx = "HTTPCode_Target_5XX_Count",
    TargetConnectionErrors = "TargetConnectionErrorCount",
    TargetTlsErrors = "TargetTLSNegotiationErrorCount",
    ResponseTimeCount = "TargetResponseTime.SampleCount",
    ResponseTimeMicroseconds = "TargetResponseTime.SumMicroseconds",
}

const COUNTERS: usize = Counter::ALL.len();
/// Steps of response times: four to each power of two of microseconds, up to an hour.
const BUCKETS: usize = 128;

/// Where a time is counted.
fn bucket(microseconds: u64) -> usize {
    let bits = (u64::BITS - microseconds.leading_zeros()) as usize;
    // The two bits behind the first one; up to three microseconds all are told apart.
    let step = match bits {
        0..=2 => microseconds as usize,
        _ => (bits - 2) * 4 + (microseconds >> (bits - 3)) as usize - 4,
    };
    step.min(BUCKETS - 1)
}

/// The middle of what is counted there, in seconds.
fn middle(bucket: usize) -> f64 {
    let microseconds = match bucket {
        0..4 => bucket as f64,
        _ => (4.0 + (bucket % 4) as f64 + 0.5) * 2.0_f64.powi((bucket / 4) as i32 - 1),
    };
    microseconds / 1e6
}

/// One thread's numbers, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    counters: [AtomicU64; COUNTERS],
    times: [AtomicU64; BUCKETS],
}

/// The numbers of a load balancer or a target group.
#[derive(Debug)]
pub(crate) struct Metrics {
    shards: Box<[Shard]>,
}

/// What had been counted at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    counters: BTreeMap<Counter, u64>,
    /// Response times of targets, by [`Counts::response_times`]'s steps.
    times: Vec<u64>,
}

impl Counts {
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }

    /// Every counter that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        self.counters.iter().map(|(counter, count)| (*counter, *count))
    }

    /// Response times of targets in seconds, each an eighth off at most, and how often they were measured since `earlier`.
    pub fn response_times(&self, earlier: Option<&Counts>) -> impl Iterator<Item = (f64, u64)> {
        let before =
            |bucket: usize| earlier.and_then(|earlier| earlier.times.get(bucket)).copied().unwrap_or(0);
        let times = self.times.iter().enumerate();
        let since: Vec<(f64, u64)> = times
            .map(|(bucket, count)| (middle(bucket), count.saturating_sub(before(bucket))))
            .filter(|(_, count)| *count > 0)
            .collect();
        since.into_iter()
    }
}

impl Metrics {
    pub(crate) fn new(threads: usize) -> Metrics {
        let shard = |_| Shard {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            times: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        Metrics { shards: (0..threads).map(shard).collect() }
    }

    pub(crate) fn add(&self, thread: usize, counter: Counter, count: u64) {
        self.shards[thread].counters[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one(&self, thread: usize, counter: Counter) {
        self.add(thread, counter, 1);
    }

    pub(crate) fn one_less(&self, thread: usize, counter: Counter) {
        self.shards[thread].counters[counter as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer of the load balancer itself.
    pub(crate) fn own_answer(&self, thread: usize, status: u16) {
        match status {
            300..=399 => self.one(thread, Counter::Elb3xx),
            400..=499 => self.one(thread, Counter::Elb4xx),
            500..=599 => self.one(thread, Counter::Elb5xx),
            _ => {}
        }
        match status {
            500 => self.one(thread, Counter::Elb500),
            502 => self.one(thread, Counter::Elb502),
            503 => self.one(thread, Counter::Elb503),
            504 => self.one(thread, Counter::Elb504),
            _ => {}
        }
    }

    /// An answer of a target, and how long it took to begin.
    pub(crate) fn target_answer(&self, thread: usize, status: u16, took: Duration) {
        match status {
            200..=299 => self.one(thread, Counter::Target2xx),
            300..=399 => self.one(thread, Counter::Target3xx),
            400..=499 => self.one(thread, Counter::Target4xx),
            500..=599 => self.one(thread, Counter::Target5xx),
            _ => {}
        }
        let microseconds = took.as_micros() as u64;
        self.one(thread, Counter::ResponseTimeCount);
        self.add(thread, Counter::ResponseTimeMicroseconds, microseconds);
        self.shards[thread].times[bucket(microseconds)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let sum = |part: &dyn Fn(&Shard) -> u64| {
            // A connection may end on another thread than it began on: the sum is right, the parts may wrap.
            self.shards.iter().fold(0_u64, |sum, shard| sum.wrapping_add(part(shard)))
        };
        let counters = Counter::ALL
            .iter()
            .map(|counter| {
                (*counter, sum(&|shard| shard.counters[*counter as usize].load(Ordering::Relaxed)))
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        let times =
            (0..BUCKETS).map(|bucket| sum(&|shard| shard.times[bucket].load(Ordering::Relaxed))).collect();
        Counts { counters, times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_about_as_they_were() {
        for microseconds in (0..5_000_u64).chain((0..30).map(|power| 7 << power)) {
            let told = middle(bucket(microseconds)) * 1e6;
            let off = (told - microseconds as f64).abs();
            assert!(off <= microseconds as f64 / 7.99, "{microseconds} is told as {told}");
        }
        assert!((1..5_000).all(|microseconds| bucket(microseconds - 1) <= bucket(microseconds)));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_told_before_is_not_told_again() {
        let metrics = Metrics::new(2);
        metrics.target_answer(0, 200, Duration::from_millis(8));
        let earlier = metrics.counts();
        metrics.target_answer(1, 200, Duration::from_millis(8));
        metrics.target_answer(1, 503, Duration::from_secs(2));
        let since: Vec<u64> =
            metrics.counts().response_times(Some(&earlier)).map(|(_, count)| count).collect();
        assert_eq!(since, [1, 1]);
        assert_eq!(metrics.counts().response_times(None).map(|(_, count)| count).sum::<u64>(), 3);
    }
}
