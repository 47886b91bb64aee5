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
/// Powers of two of microseconds: up to 36 minutes.
const BUCKETS: usize = 32;

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
    /// Response times of targets: how many took at least 2ⁿ⁻¹ and less than 2ⁿ microseconds.
    pub response_times: Vec<u64>,
}

impl Counts {
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).copied().unwrap_or(0)
    }

    /// Every counter that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        self.counters.iter().map(|(counter, count)| (*counter, *count))
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
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        self.shards[thread].times[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
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
        let response_times =
            (0..BUCKETS).map(|bucket| sum(&|shard| shard.times[bucket].load(Ordering::Relaxed))).collect();
        Counts { counters, response_times }
    }
}
