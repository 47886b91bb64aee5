//! Which target a new flow goes to, and what becomes of flows when their target leaves.
//!
//! A flow is what a client's address and port and the address and port that it reached make one; it stays with its target for as long as it
//! lasts. The target follows from a hash of it over those that may be used (the highest random weight wins), so that
//! flows spread evenly, a client that is sticky by its address finds the same target again without anything being
//! remembered, and a target that comes or goes moves only the flows that are its own.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

/// A target as flows see it. It lives on, with its flows, from configuration to configuration.
#[derive(Debug)]
pub(crate) struct Backend {
    pub address: SocketAddrV4,
    flows: AtomicUsize,
    cut: watch::Sender<bool>,
    /// `deregistration_delay.connection_termination.enabled`
    ends_with_registration: AtomicBool,
}

impl Backend {
    pub(crate) fn new(address: SocketAddrV4) -> Arc<Backend> {
        let (flows, cut, ends_with_registration) = Default::default();
        Arc::new(Backend { address, flows, cut, ends_with_registration })
    }

    /// Says whether its flows end when it is no longer a target.
    pub(crate) fn set_ends_with_registration(&self, ends: bool) {
        self.ends_with_registration.store(ends, Ordering::Relaxed);
    }

    /// It is no longer a target.
    pub(crate) fn leave(&self) {
        if self.ends_with_registration.load(Ordering::Relaxed) {
            self.cut(true);
        }
    }

    /// How many flows it has.
    pub(crate) fn flows(&self) -> usize {
        self.flows.load(Ordering::Acquire)
    }

    /// Ends all its flows, and those still to come, until it is taken back.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_if_modified(|now| std::mem::replace(now, cut) != cut);
    }

    /// Counts a flow until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> FlowGuard {
        self.flows.fetch_add(1, Ordering::AcqRel);
        FlowGuard { cut: self.cut.subscribe(), backend: Arc::clone(self) }
    }
}

/// A flow that goes on.
#[derive(Debug)]
pub(crate) struct FlowGuard {
    backend: Arc<Backend>,
    cut: watch::Receiver<bool>,
}

impl FlowGuard {
    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Returns when the flow has to end.
    pub(crate) async fn cut(&mut self) {
        // The sender lives in the backend, which lives as long as this.
        if self.cut.wait_for(|cut| *cut).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }
}

impl Drop for FlowGuard {
    fn drop(&mut self) {
        self.backend.flows.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Targets that flows may go to, as they are now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    /// Its share among the pools of a listener.
    pub weight: u32,
    /// The client's address alone decides (`stickiness.type` = `source_ip`).
    pub by_source: bool,
    /// Each backend, and what its place in the hash is: an order of its own that other targets do not disturb.
    pub backends: Vec<Arc<Backend>>,
}

/// A flow's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub client: SocketAddrV4,
    pub reached: SocketAddrV4,
}

/// Where a new flow goes: the pool's place and a target that was not tried before. `None` when there is none.
pub(crate) fn choose<'a>(
    pools: &'a [Pool],
    ends: Ends,
    tried: &[SocketAddrV4],
) -> Option<(usize, &'a Arc<Backend>)> {
    let usable = |pool: &Pool| pool.backends.iter().any(|backend| !tried.contains(&backend.address));
    // A pool without a usable target leaves its share to the others.
    let shares = || pools.iter().enumerate().filter(|(_, pool)| pool.weight > 0 && usable(pool));
    let total: u64 = shares().map(|(_, pool)| u64::from(pool.weight)).sum();
    let mut ticket = number(&ends).checked_rem(total)?;
    let (place, pool) = shares().find(|(_, pool)| {
        let weight = u64::from(pool.weight);
        let drawn = ticket < weight;
        ticket = ticket.saturating_sub(weight);
        drawn
    })?;
    let left = pool.backends.iter().filter(|backend| !tried.contains(&backend.address));
    let chosen = left.max_by_key(|backend| {
        let of_source: Option<Ipv4Addr> = pool.by_source.then(|| *ends.client.ip());
        match of_source {
            Some(source) => number(&(source, backend.address)),
            None => number(&(ends, backend.address)),
        }
    })?;
    Some((place, chosen))
}

/// The same for the same thing in every process: flows that are sticky stay so over a restart.
fn number(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn pool(weight: u32, by_source: bool, targets: &[u8]) -> Pool {
        let address = |last: &u8| SocketAddrV4::new(Ipv4Addr::new(172, 31, 0, *last), 80);
        Pool { weight, by_source, backends: targets.iter().map(address).map(Backend::new).collect() }
    }

    fn flow(client: u8, port: u16) -> Ends {
        Ends {
            client: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, client), port),
            reached: "198.18.0.1:443".parse().expect("an address"),
        }
    }

    fn counted(pools: &[Pool], flows: impl Iterator<Item = Ends>) -> HashMap<SocketAddrV4, u32> {
        let mut counts = HashMap::new();
        for ends in flows {
            let (_, backend) = choose(pools, ends, &[]).expect("a target");
            *counts.entry(backend.address).or_default() += 1;
        }
        counts
    }

    #[test]
    fn flows_spread_and_stay() {
        let pools = [pool(1, false, &[1, 2, 3])];
        let counts = counted(&pools, (0..3000).map(|port| flow(1, port)));
        assert!(counts.len() == 3 && counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
        let again = |port| choose(&pools, flow(1, port), &[]).expect("a target").1.address;
        assert!((0..100).all(|port| again(port) == again(port)));
        // One that goes moves only its own.
        let fewer = [pool(1, false, &[1, 3])];
        for port in 0..500 {
            let (before, after) =
                (again(port), choose(&fewer, flow(1, port), &[]).expect("a target").1.address);
            assert!(before == after || before.ip().octets()[3] == 2);
        }
    }

    #[test]
    fn a_sticky_client_keeps_its_target() {
        let pools = [pool(1, true, &[1, 2, 3, 4])];
        assert_eq!(counted(&pools, (0..200).map(|port| flow(9, port))).len(), 1);
        assert_eq!(counted(&pools, (0..200).map(|client| flow(client, 5))).len(), 4);
    }

    #[test]
    fn weights_share_and_nothing_is_tried_twice() {
        let pools = [pool(3, false, &[1]), pool(1, false, &[2]), pool(0, false, &[3])];
        let counts = counted(&pools, (0..4000).map(|port| flow(1, port)));
        let of =
            |last| counts.get(&SocketAddrV4::new(Ipv4Addr::new(172, 31, 0, last), 80)).copied().unwrap_or(0);
        assert!((2800..3200).contains(&of(1)) && of(2) == 4000 - of(1) && of(3) == 0, "{counts:?}");
        let first = choose(&pools, flow(1, 1), &[]).expect("a target").1.address;
        let second = choose(&pools, flow(1, 1), &[first]).expect("another").1.address;
        assert_ne!(first, second);
        assert!(choose(&pools, flow(1, 1), &[first, second]).is_none());
        assert!(choose(&[], flow(1, 1), &[]).is_none());
    }

    #[tokio::test]
    async fn flows_are_counted_and_cut() {
        let backend = Backend::new("172.31.0.1:80".parse().expect("an address"));
        let mut guard = backend.begin();
        assert_eq!((backend.flows(), guard.is_cut()), (1, false));
        backend.cut(true);
        guard.cut().await;
        assert!(guard.is_cut() && backend.begin().is_cut());
        backend.cut(false);
        assert!(!guard.is_cut());
        assert_eq!(guard.backend().address, backend.address);
        drop(guard);
        assert_eq!(backend.flows(), 0);
    }
}
