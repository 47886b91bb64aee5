//! Sources: connections of one interface that their target sees coming from somebody else.
//!
//! A load balancer connects to its targets from its own address. Where the target is to see the client's, the router in between, which this
//! machine is, translates the source on the way to the target, and the destination of what the target answers on the way back: so answers
//! find the load balancer without a mark, a rule of routing or an exception from the checks that tie interfaces to their addresses, and also
//! where the client's address is one of this machine. It is done for a flow when its socket is bound and before it connects; a map has
//! one element for each.
//!
//! The map stands in a table of its own (`TABLE-sources`), because the other one is replaced as a whole now and then, and with it a flow
//! would be lost that is about to begin. What is left of an earlier process goes with the start, everything with the teardown.
//!
//! A target cannot tell two flows from one address and port apart, so a second one to the same target is refused while the first lasts,
//! whichever load balancer it came to. What the kernel remembers of a flow that has ended is forgotten when its successor begins.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::oneshot;

use crate::{
    error::{During, NetworkError},
    netlink::{Connections, Data, Element, Nftables},
    spec::Transport,
};

/// Jobs that are carried out together, as one transaction: a netlink socket takes 128 requests at once.
const BATCH: usize = 64;

/// A flow from `own` to `target` that is to look like one from `client`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Appearance {
    pub protocol: Transport,
    /// What the socket is bound to.
    pub own: SocketAddrV4,
    pub target: SocketAddrV4,
    pub client: SocketAddrV4,
}

/// Makes flows appear as others.
#[derive(Debug, Clone)]
pub struct Sources {
    jobs: mpsc::Sender<Job>,
    next: Arc<AtomicU64>,
}

/// A flow appears as another until this is dropped.
#[derive(Debug)]
pub struct Appearing {
    id: u64,
    jobs: mpsc::Sender<Job>,
}

impl Drop for Appearing {
    fn drop(&mut self) {
        // The thread ends when nobody could ask it for anything any more; then the table is about to go too.
        let _ = self.jobs.send(Job::End(self.id));
    }
}

#[derive(Debug)]
enum Job {
    Begin(u64, Appearance, oneshot::Sender<io::Result<()>>),
    End(u64),
    /// All flows of this address.
    Forget(Ipv4Addr),
}

impl Sources {
    /// Starts the thread, in the calling thread's namespace. The table is made by whoever loads [`table`].
    pub(crate) fn start(table: &str) -> Result<Sources, NetworkError> {
        let failed = || "cannot open a netlink socket".to_owned();
        let elements = Nftables::open(&name(table)).during(failed)?;
        let connections = Connections::open().during(failed)?;
        let (jobs, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("lsh-sources".to_owned())
            .spawn(move || Keeper::new(elements, connections).run(&receiver))
            .map_err(NetworkError::Namespace)?;
        Ok(Sources { jobs, next: Arc::default() })
    }

    /// Has a flow that is about to begin appear as another, where its target is an interface of this network; anywhere else it appears as what
    /// it is.
    ///
    /// # Errors
    /// `AddrInUse` when the socket's own address and target belong to another flow: another port will do. `AddrNotAvailable` when the
    /// target could not tell the flow from another one, or from its own: no port will do.
    pub async fn appear(&self, appearance: Appearance) -> io::Result<Appearing> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        // Before anything is asked, so that it is undone also when the caller gives up waiting.
        let appearing = Appearing { id, jobs: self.jobs.clone() };
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Begin(id, appearance, answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())??;
        Ok(appearing)
    }

    /// Gives up all flows of an address whose interface is going: sockets may last longer, and its next holder is nobody's load balancer.
    pub(crate) fn forget(&self, own: Ipv4Addr) {
        // Without the thread there is nothing left to give up.
        let _ = self.jobs.send(Job::Forget(own));
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that keeps sources has ended")
}

/// The table's name, beside the network's own.
pub(crate) fn name(table: &str) -> String {
    format!("{table}-sources")
}

/// The table, empty, in place of whatever stood there.
pub(crate) fn table(table: &str, prefix: &str) -> String {
    let name = name(table);
    let own = format!("iifname \"{prefix}-*\" oifname \"{prefix}-*\"");
    let map = "{ type ipv4_addr . inet_service . ipv4_addr . inet_service : ipv4_addr . inet_service; }";
    // Ahead of the network's own translation of sources: the first that matches counts.
    format!(
        "add table inet {name}
delete table inet {name}
table inet {name} {{
map flows-tcp {map}
map flows-udp {map}
chain appear {{
    type nat hook postrouting priority 99; policy accept;
    {own} snat ip to ip saddr . tcp sport . ip daddr . tcp dport map @flows-tcp
    {own} snat ip to ip saddr . udp sport . ip daddr . udp dport map @flows-udp
}}
}}
"
    )
}

fn element(appearance: &Appearance) -> Element {
    // Fields are padded to four bytes each.
    let field = |address: SocketAddrV4| {
        let mut bytes = address.ip().octets().to_vec();
        bytes.extend(address.port().to_be_bytes());
        bytes.extend([0, 0]);
        bytes
    };
    let set = match appearance.protocol {
        Transport::Tcp => "flows-tcp",
        Transport::Udp => "flows-udp",
    };
    let key = [field(appearance.own), field(appearance.target)].concat();
    Element { set: set.to_owned(), key, data: Data::Value(field(appearance.client)) }
}

type Pair = (Transport, SocketAddrV4, SocketAddrV4);

fn as_sent(appearance: &Appearance) -> Pair {
    (appearance.protocol, appearance.own, appearance.target)
}

fn as_seen(appearance: &Appearance) -> Pair {
    (appearance.protocol, appearance.client, appearance.target)
}

struct Keeper {
    elements: Nftables,
    connections: Connections,
    held: HashMap<u64, Appearance>,
    /// Of those that are held.
    sent: HashSet<Pair>,
    seen: HashSet<Pair>,
    /// Own addresses of flows there have been: what the kernel remembers of these is ours. As many as load balancers had interfaces.
    known: BTreeSet<Ipv4Addr>,
}

/// What is to be changed in one transaction.
#[derive(Default)]
struct Change {
    ended: Vec<Element>,
    begun: Vec<(u64, Element, oneshot::Sender<io::Result<()>>)>,
}

impl Keeper {
    fn new(elements: Nftables, connections: Connections) -> Keeper {
        let (held, sent, seen, known) = Default::default();
        Keeper { elements, connections, held, sent, seen, known }
    }

    fn run(&mut self, jobs: &mpsc::Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut change = Change::default();
            for job in std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1)) {
                match job {
                    Job::Begin(id, appearance, answer) => match self.begin(id, appearance) {
                        Ok(element) => change.begun.push((id, element, answer)),
                        // Whoever asked may have given up.
                        Err(error) => drop(answer.send(Err(error))),
                    },
                    Job::End(id) => {
                        let Some(appearance) = self.let_go(id) else { continue };
                        if change.begun.iter().any(|(begun, ..)| *begun == id) {
                            self.carry_out(std::mem::take(&mut change));
                        }
                        change.ended.push(element(&appearance));
                    }
                    Job::Forget(own) => {
                        self.carry_out(std::mem::take(&mut change));
                        for ended in self.forget(own).chunks(BATCH) {
                            self.carry_out(Change { ended: ended.to_vec(), ..Change::default() });
                        }
                    }
                }
            }
            self.carry_out(change);
        }
    }

    fn begin(&mut self, id: u64, appearance: Appearance) -> io::Result<Element> {
        let (sent, seen) = (as_sent(&appearance), as_seen(&appearance));
        if appearance.client.ip() == appearance.target.ip() {
            let text = "no machine takes packets from its own address";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        if self.sent.contains(&sent) {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        if self.seen.contains(&seen) {
            let text = "the target has a connection from the client's address and port";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        self.known.insert(*appearance.own.ip());
        if let Err(error) = self.forget_earlier(&appearance) {
            tracing::debug!(?appearance, %error, "what is remembered of an earlier flow could not be forgotten");
        }
        self.sent.insert(sent);
        self.seen.insert(seen);
        self.held.insert(id, appearance);
        Ok(element(&appearance))
    }

    /// Translations are remembered for minutes after a flow's end. One of the same socket address would be taken for the new flow's, one
    /// with the same client would stand in its way.
    fn forget_earlier(&mut self, appearance: &Appearance) -> Result<(), crate::netlink::NetlinkError> {
        let Appearance { protocol, own, target, client } = *appearance;
        self.connections.forget(protocol, own, target)?;
        match self.connections.begun_by(protocol, target, client)? {
            Some(begun_by) if self.known.contains(&begun_by) => {
                self.connections.forget(protocol, target, client)
            }
            // A datagram that the target sent the client by itself would keep the flow's own from it.
            Some(begun_by) if begun_by == *target.ip() && protocol == Transport::Udp => {
                self.connections.forget(protocol, target, client)
            }
            // A connection that is really the client's stays.
            _ => Ok(()),
        }
    }

    fn let_go(&mut self, id: u64) -> Option<Appearance> {
        let appearance = self.held.remove(&id)?;
        self.sent.remove(&as_sent(&appearance));
        self.seen.remove(&as_seen(&appearance));
        Some(appearance)
    }

    /// What there is of an address is to be ended.
    fn forget(&mut self, own: Ipv4Addr) -> Vec<Element> {
        self.known.remove(&own);
        let of_it = |(id, held): (&u64, &Appearance)| (*held.own.ip() == own).then_some(*id);
        let ids: Vec<u64> = self.held.iter().filter_map(of_it).collect();
        ids.into_iter().filter_map(|id| self.let_go(id)).map(|appearance| element(&appearance)).collect()
    }

    fn carry_out(&mut self, change: Change) {
        let added: Vec<Element> = change.begun.iter().map(|(_, element, _)| element.clone()).collect();
        let together = self.elements.change(&change.ended, &added);
        if together.is_err() {
            for element in change.ended {
                if let Err(error) = self.elements.change(&[element], &[]) {
                    tracing::debug!(%error, "a source could not be given up: its table is gone");
                }
            }
        }
        for (id, element, answer) in change.begun {
            let begun = if together.is_ok() { Ok(()) } else { self.elements.change(&[], &[element]) };
            if begun.is_err() {
                self.let_go(id);
            }
            // Whoever asked may have given up, and says so.
            let _ = answer.send(begun.map_err(io::Error::from));
        }
    }
}
