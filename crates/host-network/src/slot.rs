//! A slot is a network namespace with a veth pair into it, made before any task needs it: what is slow in attaching
//! an interface (2–5 ms: namespace, veth, settings) is done ahead, and what is left is fast.
//!
//! The pool keeps a number of slots ready on a thread of its own, and takes slots down there too. It refills only
//! after a short calm, so that refilling does not compete with a burst of starting tasks for the kernel's one lock
//! over links; when most are gone it does not wait. When it is empty, the taker makes a slot itself.

use std::{
    collections::VecDeque,
    net::Ipv4Addr,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU32, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use addressing::MacAddress;
use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::{
    error::{During, NetworkError, OnFile},
    namespace,
    netlink::{NetlinkError, Rtnetlink, forget_connections, route},
    sysctl,
};

/// The host's end of every pair: one address for all, so that tasks can know their router's in advance.
pub(crate) const HOST_MAC: [u8; 6] = [0x02, 0x6c, 0x73, 0x68, 0x00, 0x01];
/// The link group that doomed links are put in.
const DOOMED_GROUP: u32 = 0x6c73_6864;
/// How long no slot must have been taken before the pool is filled again, and how long it waits after the start.
const CALM: Duration = Duration::from_millis(30);
/// After a failure to make a slot, the pool waits this long.
const RETRY: Duration = Duration::from_secs(2);

/// A namespace with `lo` and, still down and without address, `eth0`.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Name of the host's end, and of the file that keeps the namespace.
    pub name: String,
    pub netns: PathBuf,
    pub host_index: u32,
    pub inner_index: u32,
    /// Configures what is inside.
    pub inside: Rtnetlink,
}

/// What is left to take down of a slot.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub host_index: Option<u32>,
    pub netns: Option<PathBuf>,
    /// Addresses whose connections are to be forgotten.
    pub addresses: Vec<Ipv4Addr>,
    pub done: Option<oneshot::Sender<Result<(), NetworkError>>>,
}

/// How slots are named and where namespaces are kept.
#[derive(Debug)]
pub(crate) struct SlotNames {
    prefix: String,
    directory: PathBuf,
    next: AtomicU32,
}

impl SlotNames {
    pub(crate) fn new(prefix: &str, directory: PathBuf) -> SlotNames {
        SlotNames { prefix: prefix.to_owned(), directory, next: AtomicU32::new(1) }
    }

    /// Makes sure that `name`, found on the machine, is not given again.
    pub(crate) fn skip(&self, name: &str) {
        let number = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('-'));
        if let Some(number) = number.and_then(|number| u32::from_str_radix(number, 16).ok()) {
            self.next.fetch_max(number.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn fresh(&self) -> String {
        // 15 bytes at most: a prefix of up to 6, a hyphen, 8 digits.
        format!("{}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn netns(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Slot {
    /// Makes a slot from nothing. `host` belongs to the calling thread's namespace. Leaves nothing on failure.
    pub(crate) fn create(names: &SlotNames, host: &mut Rtnetlink) -> Result<Slot, NetworkError> {
        let name = names.fresh();
        let netns = names.netns(&name);
        let made = Slot::create_named(&name, &netns, host);
        if made.is_err() {
            let link = host.link(&name).ok().flatten();
            let host_index = link.map(|link| link.index);
            let doomed = Doomed { host_index, netns: Some(netns), addresses: vec![], done: None };
            if let Err(error) = doomed.take_down(host) {
                tracing::warn!(%name, %error, "a namespace that could not be prepared could not be removed either");
            }
        }
        made
    }

    fn create_named(name: &str, netns: &Path, host: &mut Rtnetlink) -> Result<Slot, NetworkError> {
        let mut inside = namespace::create(netns, namespace::prepare_inside)?;
        let file = std::fs::File::open(netns).on_file("cannot open", netns)?;
        let mac = MacAddress::new(HOST_MAC).expect("a unicast address");
        host.request_all(vec![route::add_veth(name, mac, "eth0", file.as_raw_fd())])
            .during(|| format!("cannot make the interface pair {name}"))?;
        let missing = |end: &str| NetworkError::Netlink {
            what: format!("cannot find {end} of the interface pair {name}"),
            source: NetlinkError::Socket(Errno::ENODEV),
        };
        let host_index =
            host.link(name).during(|| format!("cannot find {name}"))?.ok_or_else(|| missing(name))?.index;
        let inner_index = inside
            .link("eth0")
            .during(|| "cannot find eth0".to_owned())?
            .ok_or_else(|| missing("eth0"))?
            .index;
        let settings = [
            ("ipv4/conf", "forwarding", "1"),
            ("ipv4/conf", "proxy_arp", "1"),
            ("ipv4/conf", "rp_filter", "1"),
            ("ipv4/conf", "send_redirects", "0"),
            // The kernel would otherwise answer for others only after up to 0.8 s.
            ("ipv4/neigh", "proxy_delay", "0"),
        ];
        for (family, setting, value) in settings {
            sysctl::write(&format!("net/{family}/{name}/{setting}"), value)?;
        }
        sysctl::write_if_present(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        Ok(Slot { name: name.to_owned(), netns: netns.to_owned(), host_index, inner_index, inside })
    }

    pub(crate) fn doomed(self) -> Doomed {
        Doomed { host_index: Some(self.host_index), netns: Some(self.netns), addresses: vec![], done: None }
    }
}

impl Doomed {
    fn take_down(&self, host: &mut Rtnetlink) -> Result<(), NetworkError> {
        if let Some(index) = self.host_index {
            host.request_gone(route::delete_link(index)).during(|| format!("cannot delete link {index}"))?;
        }
        match &self.netns {
            Some(netns) => namespace::drop_kept(netns),
            None => Ok(()),
        }
    }
}

/// Slots ready to be taken, and the thread that makes and takes them down.
#[derive(Debug)]
pub(crate) struct SlotPool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    names: SlotNames,
    target: usize,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug)]
struct Work {
    ready: VecDeque<Slot>,
    doomed: Vec<Doomed>,
    last_taken: Option<Instant>,
    /// Takers have left less than a quarter.
    running_out: bool,
    failed_at: Option<Instant>,
    /// No more slots are made; the thread ends when nothing doomed is left.
    stopping: bool,
}

impl SlotPool {
    /// Starts the thread, in the calling thread's namespace.
    pub(crate) fn start(names: SlotNames, target: usize) -> Result<SlotPool, NetworkError> {
        let work = Work {
            ready: VecDeque::new(),
            doomed: vec![],
            last_taken: Some(Instant::now()),
            running_out: false,
            failed_at: None,
            stopping: false,
        };
        let shared = Arc::new(Shared { names, target, work: Mutex::new(work), changed: Condvar::new() });
        let mut host = Rtnetlink::open().during(|| "cannot open a netlink socket".to_owned())?;
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("lsh-slots".to_owned())
            .spawn(move || theirs.run(&mut host))
            .map_err(NetworkError::Namespace)?;
        Ok(SlotPool { shared, thread: Some(thread) })
    }

    pub(crate) fn names(&self) -> &SlotNames {
        &self.shared.names
    }

    /// A ready slot, or a new one made here and now.
    pub(crate) fn take(&self, host: &mut Rtnetlink) -> Result<Slot, NetworkError> {
        let ready = {
            let mut work = self.shared.lock();
            let taken = work.ready.pop_front();
            work.last_taken = Some(Instant::now());
            work.running_out = work.ready.len() < self.shared.target / 4;
            taken
        };
        self.shared.changed.notify_all();
        match ready {
            Some(slot) => Ok(slot),
            None => Slot::create(&self.shared.names, host),
        }
    }

    pub(crate) fn ready(&self) -> usize {
        self.shared.lock().ready.len()
    }

    pub(crate) fn doom(&self, doomed: Doomed) {
        self.shared.lock().doomed.push(doomed);
        self.shared.changed.notify_all();
    }

    /// Takes down every ready slot and everything doomed, and ends the thread.
    pub(crate) fn empty_and_stop(&mut self) {
        {
            let mut work = self.shared.lock();
            work.stopping = true;
            let ready: Vec<_> = work.ready.drain(..).map(Slot::doomed).collect();
            work.doomed.extend(ready);
        }
        self.join();
    }

    fn join(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that prepares namespaces panicked");
        }
    }
}

impl Drop for SlotPool {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, host: &mut Rtnetlink) {
        while let Some(doomed) = self.next(host) {
            take_down_all(doomed, host);
        }
    }

    /// Makes slots until something is doomed, and returns that; `None` when stopped and nothing is left.
    fn next(&self, host: &mut Rtnetlink) -> Option<Vec<Doomed>> {
        let mut work = self.lock();
        loop {
            if !work.doomed.is_empty() {
                return Some(std::mem::take(&mut work.doomed));
            }
            if work.stopping {
                return None;
            }
            if work.ready.len() >= self.target {
                work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = Instant::now();
            let calm = work.last_taken.filter(|_| !work.running_out).map(|at| at + CALM);
            let not_before = [calm, work.failed_at.map(|at| at + RETRY)];
            let wait = not_before.into_iter().flatten().max().map(|at| at.saturating_duration_since(now));
            if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                work = self.changed.wait_timeout(work, wait).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            drop(work);
            let made = Slot::create(&self.names, host);
            work = self.lock();
            match made {
                Ok(slot) if work.stopping => work.doomed.push(slot.doomed()),
                Ok(slot) => {
                    work.failed_at = None;
                    work.ready.push_back(slot);
                    work.running_out &= work.ready.len() < self.target / 4;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot prepare a network namespace ahead");
                    work.failed_at = Some(Instant::now());
                }
            }
        }
    }
}

/// Deletes the links of all together (the kernel waits once for all instead of once for each), then the rest.
fn take_down_all(doomed: Vec<Doomed>, host: &mut Rtnetlink) {
    let mut grouped = false;
    for index in doomed.iter().filter_map(|one| one.host_index) {
        match host.request_gone(route::set_link_group(index, DOOMED_GROUP)) {
            Ok(()) => grouped = true,
            Err(error) => tracing::warn!(index, %error, "cannot mark a link for deletion"),
        }
    }
    if grouped && let Err(error) = host.request_gone(route::delete_link_group(DOOMED_GROUP)) {
        tracing::warn!(%error, "cannot delete links together");
    }
    let addresses: Vec<_> = doomed.iter().flat_map(|one| one.addresses.iter().copied()).collect();
    if let Err(error) = forget_connections(&addresses) {
        tracing::warn!(?addresses, %error, "cannot forget the connections of released addresses");
    }
    for mut one in doomed {
        // Deletes again what the group deletion missed; an index that is gone is not an error.
        let result = one.take_down(host);
        match (one.done.take(), result) {
            (Some(done), result) => {
                // The one who asked may have given up waiting.
                let _ = done.send(result);
            }
            (None, Err(error)) => tracing::warn!(%error, "cannot remove a network namespace"),
            (None, Ok(())) => {}
        }
    }
}
