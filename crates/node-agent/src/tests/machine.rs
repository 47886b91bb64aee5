//! A pretended machine: sandboxes that outlive the agent, output that can be written, failures on demand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use agent_protocol::{
    spec::{NetworkInterface, NetworkState},
    state::NetworkBinding,
};
use container_runtime::{
    AttachConfig, ContainerConfig, ContainerState, ContainerStats, ContainerStatus, Event, ExecConfig,
    ExecOutcome, Exit, FailureKind, LogPosition, LogRecord, LogStream, RuntimeError, Statuses, TaskSandbox,
    WindowSize,
};
use tokio::sync::watch;
use vocabulary::Timestamp;

use super::fixtures::local_image;
use crate::{node::Machine, ports::*};

/// What tests arrange and look at.
#[derive(Default)]
pub(crate) struct World {
    pub sandboxes: Mutex<HashMap<PathBuf, Arc<FakeSandbox>>>,
    pub attached: Mutex<BTreeSet<String>>,
    /// A port of the node that cannot be published, and why.
    pub bad_port: Mutex<Option<(u16, String)>>,
    /// Interfaces on the bridge, and their numbers.
    pub bridged: Mutex<BTreeMap<String, u16>>,
    pub network_states: Mutex<Vec<NetworkState>>,
    /// Interfaces of load balancers, each time that they were asked for.
    pub held: Mutex<Vec<NetworkInterface>>,
    pub network_removed: Mutex<bool>,
    pub released: Mutex<Vec<String>>,
    /// Image → what the pull fails with.
    pub bad_images: Mutex<HashMap<String, String>>,
    /// Images whose pull never ends.
    pub slow_images: Mutex<BTreeSet<String>>,
    /// What every image names for a container's end.
    pub stop_signal: Mutex<Option<String>>,
    /// Interfaces cannot be attached, for this reason.
    pub bad_network: Mutex<Option<String>>,
    /// How often detaching an interface fails yet.
    pub undetachable: Mutex<u32>,
    /// Collecting garbage never ends.
    pub slow_garbage: Mutex<bool>,
    /// How often garbage was collected.
    pub collections: Mutex<u32>,
    pub swept: Mutex<Vec<BTreeSet<String>>>,
}

pub(crate) fn machine(world: &Arc<World>) -> Machine {
    Machine {
        runtime: Arc::new(Fake(Arc::clone(world))),
        images: Arc::new(Fake(Arc::clone(world))),
        network: Arc::new(Fake(Arc::clone(world))),
    }
}

struct Fake(Arc<World>);

impl World {
    /// The only sandbox there is.
    pub(crate) fn sandbox(&self) -> Arc<FakeSandbox> {
        let sandboxes = self.sandboxes.lock().unwrap();
        assert_eq!(sandboxes.len(), 1);
        Arc::clone(sandboxes.values().next().unwrap())
    }
}

impl Runtime for Fake {
    fn launch(&self, sandbox: TaskSandbox) -> BoxFuture<'_, Result<Arc<dyn Sandbox>, RuntimeError>> {
        std::fs::create_dir_all(&sandbox.dir).unwrap();
        let made = Arc::new(FakeSandbox::new(sandbox.clone()));
        let before = self.0.sandboxes.lock().unwrap().insert(sandbox.dir, Arc::clone(&made));
        assert!(before.is_none(), "a sandbox is launched once");
        Box::pin(std::future::ready(Ok(made as Arc<dyn Sandbox>)))
    }

    fn adopt<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Adopted, RuntimeError>> {
        let found = self.0.sandboxes.lock().unwrap().get(dir).cloned();
        Box::pin(std::future::ready(match found {
            None => Err(RuntimeError::Invalid("no task".into())),
            Some(sandbox) if sandbox.state().dead => {
                Ok(Adopted::Dead { statuses: sandbox.statuses(), outputs: sandbox })
            }
            Some(sandbox) => Ok(Adopted::Running(sandbox)),
        }))
    }

    fn sweep(&self, known: BTreeSet<String>) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.0.swept.lock().unwrap().push(known);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Images for Fake {
    fn ensure(&self, request: ImageRequest) -> BoxFuture<'_, Result<LocalImage, String>> {
        if self.0.slow_images.lock().unwrap().contains(&request.image) {
            return Box::pin(std::future::pending());
        }
        let bad = self.0.bad_images.lock().unwrap().get(&request.image).cloned();
        let mut image = local_image();
        image.config.stop_signal = self.0.stop_signal.lock().unwrap().clone();
        Box::pin(std::future::ready(bad.map_or(Ok(image), Err)))
    }

    fn release<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, ()> {
        self.0.released.lock().unwrap().push(holder.to_owned());
        Box::pin(std::future::ready(()))
    }

    fn retain<'a>(&'a self, _: &'a BTreeSet<String>) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn collect_garbage(&self) -> BoxFuture<'_, ()> {
        *self.0.collections.lock().unwrap() += 1;
        match *self.0.slow_garbage.lock().unwrap() {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(())),
        }
    }
}

impl Network for Fake {
    fn apply(&self, state: NetworkState) -> BoxFuture<'_, Result<(), String>> {
        self.0.network_states.lock().unwrap().push(state);
        Box::pin(std::future::ready(Ok(())))
    }

    fn attach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<PathBuf, String>> {
        if let Some(reason) = self.0.bad_network.lock().unwrap().clone() {
            return Box::pin(std::future::ready(Err(reason)));
        }
        self.0.attached.lock().unwrap().insert(interface.interface_id.clone());
        Box::pin(std::future::ready(Ok(PathBuf::from("/run/netns").join(&interface.interface_id))))
    }

    fn attach_bridged<'a>(&'a self, endpoint: &'a BridgeEndpoint) -> BoxFuture<'a, Result<Bridged, String>> {
        let bad_port = self.0.bad_port.lock().unwrap().clone();
        let bad = bad_port.filter(|(bad, _)| endpoint.ports.iter().any(|port| port.host_port == Some(*bad)));
        let answer = match bad {
            Some((_, reason)) => Err(reason),
            None => {
                self.0.attached.lock().unwrap().insert(endpoint.id.clone());
                let mut bridged = self.0.bridged.lock().unwrap();
                let next = bridged.len() as u16;
                let number = *bridged.entry(endpoint.id.clone()).or_insert(next);
                let bindings = endpoint.ports.iter().zip(0..).map(|(port, index)| NetworkBinding {
                    bind_ip: "0.0.0.0".into(),
                    container_port: port.container_port,
                    host_port: port.host_port.unwrap_or(32_768 + 100 * number + index),
                    count: port.count(),
                    protocol: "tcp".into(),
                });
                Ok(Bridged {
                    netns: format!("/netns/{}", endpoint.id).into(),
                    address: [172, 29, 0, 4 + number as u8].into(),
                    bindings: bindings.collect(),
                })
            }
        };
        Box::pin(std::future::ready(answer))
    }

    fn detach_bridged<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.0.attached.lock().unwrap().remove(id);
        Box::pin(std::future::ready(Ok(())))
    }

    fn hold<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<PathBuf, String>> {
        self.0.held.lock().unwrap().push(interface.clone());
        self.attach(interface)
    }

    fn sockets(&self, _: &Path) -> std::io::Result<Arc<dyn InterfaceSockets>> {
        Ok(Arc::new(PlainSockets))
    }

    fn stream_in<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, std::io::Result<tokio::net::TcpSocket>> {
        Box::pin(std::future::ready(tokio::net::TcpSocket::new_v4()))
    }

    fn datagrams_in<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, std::io::Result<std::net::UdpSocket>> {
        let bound = std::net::UdpSocket::bind("127.0.0.1:0");
        let bound = bound.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Box::pin(std::future::ready(bound))
    }

    fn detach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<(), String>> {
        let mut undetachable = self.0.undetachable.lock().unwrap();
        if *undetachable > 0 {
            *undetachable -= 1;
            return Box::pin(std::future::ready(Err("busy".to_owned())));
        }
        self.0.attached.lock().unwrap().remove(&interface.interface_id);
        Box::pin(std::future::ready(Ok(())))
    }

    fn retain<'a>(&'a self, interface_ids: &'a BTreeSet<String>) -> BoxFuture<'a, Result<(), String>> {
        self.0.attached.lock().unwrap().retain(|id| interface_ids.contains(id));
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove_everything(&self) -> BoxFuture<'_, Result<(), String>> {
        *self.0.network_removed.lock().unwrap() = true;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Sockets of the machine itself.
struct PlainSockets;

impl InterfaceSockets for PlainSockets {
    fn stream(&self) -> BoxFuture<'_, std::io::Result<tokio::net::TcpSocket>> {
        Box::pin(std::future::ready(tokio::net::TcpSocket::new_v4()))
    }

    fn listen(
        &self,
        address: std::net::SocketAddrV4,
    ) -> BoxFuture<'_, std::io::Result<std::net::TcpListener>> {
        let listening = std::net::TcpListener::bind(address);
        let listening = listening.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Box::pin(std::future::ready(listening))
    }

    fn datagrams(
        &self,
        address: std::net::SocketAddrV4,
    ) -> BoxFuture<'_, std::io::Result<std::net::UdpSocket>> {
        let bound = std::net::UdpSocket::bind(address);
        let bound = bound.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Box::pin(std::future::ready(bound))
    }

    fn appear(&self, _: load_balancer::Appearance) -> BoxFuture<'_, std::io::Result<load_balancer::Lasting>> {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }
}

pub(crate) struct FakeSandbox {
    pub spec: TaskSandbox,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(crate) struct State {
    pub statuses: Statuses,
    pub history: Vec<Event>,
    pub outputs: BTreeMap<String, Output>,
    pub configs: BTreeMap<String, ContainerConfig>,
    /// How often each container was made.
    pub created: BTreeMap<String, u32>,
    pub removed: Vec<String>,
    pub signals: Vec<(String, i32)>,
    /// They ignore SIGTERM.
    pub stubborn: BTreeSet<String>,
    /// Name → why it does not start.
    pub unstartable: BTreeMap<String, String>,
    /// Exit code of health checks.
    pub check: i32,
    /// Processes that were talked to, and what happened to each.
    pub attached: Vec<Attached>,
    /// How many questions about statuses are one too many.
    pub panics: u32,
    /// How often shutting down fails yet.
    pub unremovable: u32,
    /// Killed.
    pub dead: bool,
    /// Shut down in order.
    pub over: bool,
}

#[derive(Debug)]
pub(crate) struct Attached {
    pub config: AttachConfig,
    pub sizes: Vec<WindowSize>,
    pub signals: Vec<i32>,
    pub over: bool,
}

#[derive(Default)]
pub(crate) struct Output {
    pub records: Vec<LogRecord>,
    pub ended: bool,
    pub acknowledged: LogPosition,
}

impl FakeSandbox {
    fn new(spec: TaskSandbox) -> FakeSandbox {
        FakeSandbox { spec, state: Arc::default(), changed: watch::Sender::new(0) }
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub(crate) fn prints(&self, name: &str, line: &str) {
        self.change(|state| {
            let output = state.outputs.entry(name.to_owned()).or_default();
            let next = LogPosition { segment: 1, offset: output.records.len() as u64 + 1 };
            let at = Timestamp::from_millis(1_700_000_000_000 + next.offset as i64);
            let (stream, line) = (LogStream::Stdout, line.as_bytes().to_vec());
            output.records.push(LogRecord { stream, at, line, partial: false, next });
        });
    }

    pub(crate) fn exits(&self, name: &str, code: i32, oom: bool) {
        self.change(|state| {
            let Some(status) = state.statuses.get_mut(name).filter(|status| !status.is_exited()) else {
                return;
            };
            status.state = ContainerState::Exited;
            status.exit = Some(Exit { code, signal: None, oom });
            let event = Event::Exited { name: name.to_owned(), status: Box::new(status.clone()) };
            state.history.push(event);
            state.outputs.entry(name.to_owned()).or_default().ended = true;
        });
    }

    /// The sandbox is killed, and its containers with it.
    pub(crate) fn dies(&self) {
        self.change(|state| {
            state.dead = true;
            for status in state.statuses.values_mut().filter(|status| !status.is_exited()) {
                status.state = ContainerState::Exited;
            }
            state.outputs.values_mut().for_each(|output| output.ended = true);
            state.history.push(Event::ShimDied { reason: "killed".into() });
        });
    }
}

fn refuse<'a, T: Send + 'a>(kind: FailureKind, message: &str) -> BoxFuture<'a, Result<T, RuntimeError>> {
    let message = message.to_owned();
    Box::pin(std::future::ready(Err(RuntimeError::Failed { kind, message })))
}

fn done<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, RuntimeError>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Sandbox for FakeSandbox {
    fn create(&self, config: ContainerConfig) -> BoxFuture<'_, Result<ContainerStatus, RuntimeError>> {
        let status = ContainerStatus {
            name: config.name.clone(),
            state: ContainerState::Created,
            pid: i32::try_from(std::process::id()).ok(),
            pid_start_ticks: None,
            created_at: Timestamp::default(),
            started_at: None,
            exited_at: None,
            exit: None,
            error: None,
            warnings: vec![],
            oom_kills: 0,
        };
        self.change(|state| {
            assert!(!state.statuses.contains_key(&config.name), "{} is made twice", config.name);
            *state.created.entry(config.name.clone()).or_default() += 1;
            state.statuses.insert(config.name.clone(), status.clone());
            state.configs.insert(config.name.clone(), config);
        });
        done(status)
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>> {
        if let Some(reason) = self.state().unstartable.get(name).cloned() {
            return refuse(FailureKind::CannotStart, &reason);
        }
        done(self.change(|state| {
            let status = state.statuses.get_mut(name).unwrap();
            status.state = ContainerState::Running;
            status.started_at = Some(Timestamp::from_millis(1_700_000_000_000));
            status.clone()
        }))
    }

    fn signal<'a>(&'a self, name: &'a str, signal: i32) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.change(|state| state.signals.push((name.to_owned(), signal)));
        if !self.state().stubborn.contains(name) {
            self.exits(name, 128 + signal, false);
        }
        done(())
    }

    fn kill_all<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.exits(name, 137, false);
        done(())
    }

    fn exec<'a>(&'a self, _: &'a str, _: ExecConfig) -> BoxFuture<'a, Result<ExecOutcome, RuntimeError>> {
        let exit_code = self.state().check;
        let (output, truncated) = (String::new(), false);
        done(ExecOutcome { exit_code, signal: None, timed_out: false, output, truncated, duration_ms: 1 })
    }

    fn attach<'a>(
        &'a self,
        _: &'a str,
        config: AttachConfig,
    ) -> BoxFuture<'a, Result<Conversation, RuntimeError>> {
        if config.args == ["nope"] {
            return refuse(FailureKind::CannotStart, "exec: not found");
        }
        let number = self.change(|state| {
            state.attached.push(Attached { config, sizes: Vec::new(), signals: Vec::new(), over: false });
            state.attached.len() - 1
        });
        let (input, theirs) = tokio::io::duplex(1 << 10);
        let (output, back) = tokio::io::duplex(1 << 10);
        let echoing = tokio::spawn(echo(theirs, back));
        let process = FakeProcess { state: Arc::clone(&self.state), number, echoing: Some(echoing) };
        done(Conversation {
            input: Box::new(input),
            output: Box::new(output),
            errors: None,
            process: Box::new(process),
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.change(|state| {
            state.statuses.remove(name);
            state.removed.push(name.to_owned());
        });
        done(())
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        if self.state().unremovable > 0 {
            self.state().unremovable -= 1;
            return refuse(FailureKind::Internal, "busy");
        }
        self.change(|state| {
            let in_order = state.statuses.values().all(ContainerStatus::is_exited);
            assert!(in_order || state.panics > 0, "shut down in order");
            state.over = true;
            state.outputs.values_mut().for_each(|output| output.ended = true);
        });
        done(())
    }

    fn statuses(&self) -> Statuses {
        let panics = self.state().panics;
        self.state().panics = panics.saturating_sub(1);
        assert_eq!(panics, 0, "as arranged");
        self.state().statuses.clone()
    }

    fn events(&self, _: Statuses) -> Box<dyn Events> {
        Box::new(FakeEvents { state: Arc::clone(&self.state), changes: self.changed.subscribe(), read: 0 })
    }

    fn stats(&self, _: &str) -> Option<ContainerStats> {
        None
    }
}

impl Outputs for FakeSandbox {
    fn tail(&self, name: &str, from: LogPosition) -> Box<dyn Tail> {
        let (state, changes) = (Arc::clone(&self.state), self.changed.subscribe());
        Box::new(FakeTail { state, changes, name: name.to_owned(), read: from.offset as usize })
    }
}

/// Says everything back until there is no more; its exit status is how many bytes that were, modulo 100.
async fn echo(mut input: tokio::io::DuplexStream, mut output: tokio::io::DuplexStream) -> i32 {
    let count = tokio::io::copy(&mut input, &mut output).await.unwrap_or(0);
    (count % 100) as i32
}

struct FakeProcess {
    state: Arc<Mutex<State>>,
    number: usize,
    echoing: Option<tokio::task::JoinHandle<i32>>,
}

impl Process for FakeProcess {
    fn resize(&self, size: WindowSize) -> std::io::Result<()> {
        self.state.lock().unwrap().attached[self.number].sizes.push(size);
        Ok(())
    }

    fn signal(&mut self, signal: i32) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.state.lock().unwrap().attached[self.number].signals.push(signal);
        done(())
    }

    fn ended(&mut self) -> BoxFuture<'_, Result<ExecOutcome, RuntimeError>> {
        Box::pin(async move {
            let Some(echoing) = &mut self.echoing else { return std::future::pending().await };
            let exit_code = echoing.await.unwrap_or(137);
            self.echoing = None;
            let (output, truncated) = (String::new(), false);
            Ok(ExecOutcome { exit_code, signal: None, timed_out: false, output, truncated, duration_ms: 1 })
        })
    }
}

impl Drop for FakeProcess {
    fn drop(&mut self) {
        self.state.lock().unwrap().attached[self.number].over = true;
        if let Some(echoing) = self.echoing.take() {
            echoing.abort();
        }
    }
}

struct FakeEvents {
    state: Arc<Mutex<State>>,
    changes: watch::Receiver<u64>,
    read: usize,
}

impl Events for FakeEvents {
    fn next(&mut self) -> BoxFuture<'_, Option<Event>> {
        Box::pin(async move {
            loop {
                {
                    let state = self.state.lock().unwrap();
                    if let Some(event) = state.history.get(self.read) {
                        self.read += 1;
                        return Some(event.clone());
                    }
                    if state.over {
                        return None;
                    }
                }
                self.changes.changed().await.ok()?;
            }
        })
    }
}

struct FakeTail {
    state: Arc<Mutex<State>>,
    changes: watch::Receiver<u64>,
    name: String,
    read: usize,
}

impl Tail for FakeTail {
    fn next_batch(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<LogRecord>, RuntimeError>> {
        Box::pin(async move {
            loop {
                {
                    let state = self.state.lock().unwrap();
                    let output = state.outputs.get(&self.name);
                    let records = output.map_or(&[][..], |output| &output.records[self.read..]);
                    if !records.is_empty() {
                        let records: Vec<_> = records.iter().take(limit).cloned().collect();
                        self.read += records.len();
                        return Ok(records);
                    }
                    if state.over || output.is_some_and(|output| output.ended) {
                        return Ok(Vec::new());
                    }
                }
                if self.changes.changed().await.is_err() {
                    return Ok(Vec::new());
                }
            }
        })
    }

    fn acknowledge(&self, position: LogPosition) {
        let mut state = self.state.lock().unwrap();
        state.outputs.entry(self.name.clone()).or_default().acknowledged = position;
    }
}
