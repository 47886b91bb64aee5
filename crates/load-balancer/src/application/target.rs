//! What is known of a target while it is configured: it outlives configurations, its numbers are shared by all threads.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use routing::{choose::Candidate, config::Target, report::HealthState, sticky};

use crate::network::Place;

#[derive(Debug)]
pub(crate) struct TargetState {
    /// Of this process; never used again.
    pub number: u64,
    pub address: SocketAddr,
    pub zone: Option<String>,
    /// What stands for it in cookies.
    pub mark: u64,
    outstanding: AtomicU32,
    pub draining: AtomicBool,
    /// What is in flight has to end now.
    pub cut: AtomicBool,
    healthy: AtomicBool,
    /// Milliseconds since `origin`; only of use while healthy.
    healthy_since_ms: AtomicU64,
    origin: Instant,
}

impl TargetState {
    /// `origin` is the beginning of the data plane.
    pub(crate) fn new(place: &Place, target: &Target, number: u64, origin: Instant) -> TargetState {
        TargetState {
            number,
            address: SocketAddr::new(target.address, target.port),
            zone: target.zone.clone(),
            mark: sticky::mark(&[&place.0, &target.id, &target.port.to_string()]),
            outstanding: AtomicU32::new(0),
            draining: AtomicBool::new(target.draining),
            cut: AtomicBool::new(false),
            healthy: AtomicBool::new(false),
            healthy_since_ms: AtomicU64::new(0),
            origin,
        }
    }

    pub(crate) fn set_health(&self, state: HealthState) {
        let healthy = matches!(state, HealthState::Healthy | HealthState::Unavailable);
        if healthy && !self.is_healthy() {
            self.healthy_since_ms.store(self.origin.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Requests in flight.
    pub(crate) fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Acquire)
    }

    /// As the choice sees it, from a node in that zone.
    pub(crate) fn candidate(&self, zone: &str, slow_start: bool) -> Candidate {
        Candidate {
            healthy: self.is_healthy(),
            draining: self.draining.load(Ordering::Acquire),
            in_zone: self.zone.as_deref().is_none_or(|own| own == zone),
            outstanding: self.outstanding(),
            healthy_for_seconds: slow_start.then(|| {
                let since = self.healthy_since_ms.load(Ordering::Relaxed);
                (self.origin.elapsed().as_millis() as u64).saturating_sub(since) as f64 / 1000.0
            }),
        }
    }
}

/// A request in flight. Counted from the choice on, so that a target is not let go in between.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<TargetState>);

impl InFlight {
    pub(crate) fn begin(target: &Arc<TargetState>) -> InFlight {
        target.outstanding.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(target))
    }

    pub(crate) fn target(&self) -> &Arc<TargetState> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}
