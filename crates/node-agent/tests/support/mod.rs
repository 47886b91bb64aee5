//! A host in a network namespace of its own, with an agent on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_protocol::{
    AcsMessage, AgentMessage, Answer, ControlPlane, LogBatch, LogDestination, RegistryLogin,
    RegistryLoginRequest, acs,
    spec::*,
    state::{AttachmentStateChange, TaskStateChange, TaskStatus},
    tcs::PublishMetricsRequest,
};
use host_network::NetworkConfig;
use node_agent::{
    AgentConfig, AgentHandle, BoxFuture, ImageRequest, Images, LocalImage, Machine, NodeAgent, ShutdownMode,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, watch},
};
use vocabulary::{AccountId, Seal, Timestamp};

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `test` on a thread whose network namespace is the host, and removes everything afterwards, also when it fails.
pub fn in_a_host_of_its_own(test: impl AsyncFnOnce(&mut Host) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut host = Host::new().await;
            let local = tokio::task::LocalSet::new();
            let outcome = local
                .run_until(async {
                    use futures_util::FutureExt;
                    std::panic::AssertUnwindSafe(test(&mut host)).catch_unwind().await
                })
                .await;
            // Should the agent hang, the sweep below does without it.
            let ending = host.end(ShutdownMode::RemoveEverything { grace: Duration::ZERO });
            let ended = tokio::time::timeout(PATIENCE, ending).await;
            host.sweep().await;
            if ended.is_err() && outcome.is_ok() {
                panic!("the agent did not end");
            }
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
            host.assert_nothing_left();
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

pub struct Host {
    root: tempfile::TempDir,
    cgroup_root: String,
    control: Arc<Control>,
    agent: Option<(AgentHandle, mpsc::Sender<AcsMessage>)>,
}

impl Host {
    async fn new() -> Host {
        let root = tempfile::Builder::new().prefix("lsh-na-").tempdir_in("/var/tmp").unwrap();
        make_image(&root.path().join("image"));
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let cgroup_root = format!("/longshore-test-{}-na{number}", std::process::id());
        let mut host = Host { root, cgroup_root, control: Arc::default(), agent: None };
        host.start().await;
        host.send(AcsMessage::NetworkState(network_state())).await;
        host
    }

    async fn start(&mut self) {
        let path = self.root.path();
        let exe = match (std::env::var_os("SHIM_EXE"), option_env!("CARGO_BIN_EXE_node-agent-shim")) {
            (Some(exe), _) => PathBuf::from(exe),
            (None, Some(exe)) => PathBuf::from(exe),
            // Examples are not told where the binary is: beside their own directory.
            (None, None) => {
                std::env::current_exe().unwrap().with_file_name("../node-agent-shim").canonicalize().unwrap()
            }
        };
        let mut config = AgentConfig::new(path.join("data"), path.join("run"), exe, Arc::new(Backwards));
        config.cgroup_root.clone_from(&self.cgroup_root);
        let mut network = NetworkConfig::new(path.join("net"));
        network.warm_namespaces = 2;
        // In one process, what an earlier agent held is let go a moment after it has ended.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut machine = loop {
            match Machine::real(&config, network.clone()).await {
                Ok(machine) => break machine,
                Err(error) if tokio::time::Instant::now() > deadline => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        machine.images = Arc::new(Directory(path.join("image")));
        let (sender, messages) = mpsc::channel(16);
        let control = Arc::new(Link(Arc::clone(&self.control)));
        let agent = NodeAgent::start_on(machine, config, control, messages).await.unwrap();
        self.agent = Some((agent, sender));
    }

    pub async fn end(&mut self, mode: ShutdownMode) {
        if let Some((agent, _sender)) = self.agent.take() {
            agent.shutdown(mode).await;
        }
    }

    /// What an agent that could not be started left running.
    async fn sweep(&self) {
        let runtime = container_runtime::Runtime::new(container_runtime::RuntimeConfig {
            exe: PathBuf::from("/bin/false"),
            shim_args: vec![],
            run_dir: self.root.path().join("run/shims"),
            cgroup_root: self.cgroup_root.clone(),
        });
        runtime.unwrap().sweep(&BTreeSet::new()).await.unwrap();
        let namespaces = self.root.path().join("net/netns");
        if std::fs::read_dir(namespaces).is_ok_and(|mut entries| entries.next().is_some()) {
            let network = host_network::Network::start(NetworkConfig::new(self.root.path().join("net")));
            network.await.unwrap().teardown().await.unwrap();
        }
    }

    pub async fn restart(&mut self) {
        self.end(ShutdownMode::LeaveRunning).await;
        self.start().await;
    }

    async fn send(&self, message: AcsMessage) {
        self.agent.as_ref().unwrap().1.send(message).await.unwrap();
    }

    pub async fn run(&self, spec: TaskSpec, sequence: i64) {
        let task = acs::Task {
            arn: Some(spec.task_arn.clone()),
            desired_status: Some("RUNNING".into()),
            longshore: Some(Box::new(spec)),
            ..acs::Task::default()
        };
        self.payload(task, sequence).await;
    }

    pub async fn stop(&self, id: &str, sequence: i64) {
        let task = acs::Task {
            arn: Some(task_arn(id)),
            desired_status: Some("STOPPED".into()),
            ..acs::Task::default()
        };
        self.payload(task, sequence).await;
    }

    async fn payload(&self, task: acs::Task, sequence: i64) {
        self.send(AcsMessage::Payload(acs::PayloadMessage {
            seq_num: Some(sequence),
            tasks: Some(vec![task]),
            ..acs::PayloadMessage::default()
        }))
        .await;
    }

    pub async fn status(&self, id: &str, status: TaskStatus) -> TaskStateChange {
        let arn = task_arn(id);
        self.control
            .until(&format!("{id} {status}"), |said| {
                let mut own = said.changes.iter().rev().filter(|change| change.task == arn);
                own.find(|change| change.status == status).cloned()
            })
            .await
    }

    pub fn lines(&self, id: &str) -> Vec<String> {
        lines(&self.control.said.lock().unwrap(), id)
    }

    pub async fn lines_until(&self, id: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.control.until("lines", |said| Some(lines(said, id)).filter(|lines| wanted(lines))).await
    }

    /// What a web server answers; it may still be on its way up.
    pub async fn get(&self, address: &str) -> String {
        let asking = async {
            loop {
                if let Ok(mut stream) = tokio::net::TcpStream::connect(address).await {
                    let request = b"GET / HTTP/1.0\r\n\r\n";
                    let mut answer = String::new();
                    if stream.write_all(request).await.is_ok()
                        && stream.read_to_string(&mut answer).await.is_ok()
                    {
                        return answer;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("an answer")
    }

    /// No process, mount, cgroup, namespace or directory of a task.
    pub fn assert_nothing_left(&self) {
        let path = self.root.path().to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut left: Vec<String> =
            mounts.lines().filter(|line| line.contains(path)).map(str::to_owned).collect();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let root = hierarchy.path().join(self.cgroup_root.trim_start_matches('/'));
            let groups = std::fs::read_dir(&root).into_iter().flatten().flatten();
            let groups = groups.filter(|entry| entry.path().is_dir() && entry.file_name() != "shims");
            left.extend(groups.map(|entry| entry.path().display().to_string()));
        }
        for dir in ["data/tasks", "run/shims", "net/netns"] {
            let entries = std::fs::read_dir(self.root.path().join(dir)).into_iter().flatten().flatten();
            // Made once for all containers, and there for the next ones.
            let entries = entries.filter(|entry| entry.file_name() != ".mount-points");
            left.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        assert_eq!(left, Vec::<String>::new());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let root = hierarchy.path().join(self.cgroup_root.trim_start_matches('/'));
            // A shim that was just told to end leaves its cgroup in a moment.
            for _ in 0..100 {
                let _ = std::fs::remove_dir(root.join("shims"));
                if std::fs::remove_dir(&root).is_ok() || !root.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn lines(said: &Said, id: &str) -> Vec<String> {
    said.lines
        .iter()
        .filter(|(stream, _)| stream.ends_with(&format!("/{id}")))
        .map(|(_, line)| line.clone())
        .collect()
}

pub fn task_arn(id: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:task/web/{id}")
}

/// A container that runs a shell script and logs to a group.
pub fn shell(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.into(),
        image: "busybox".into(),
        runtime_id: format!("id-{name}"),
        essential: true,
        command: Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
        // As the first process of a namespace a program hears only the signals that it handles.
        linux_parameters: LinuxParameters { init_process_enabled: true, ..LinuxParameters::default() },
        log: LogConfiguration::Awslogs(Awslogs {
            group: "/ecs/test".into(),
            region: None,
            stream_prefix: Some("p".into()),
            create_group: true,
            datetime_format: None,
            multiline_pattern: None,
            mode: LogMode::Blocking,
        }),
        ..ContainerSpec::default()
    }
}

pub fn task(id: &str, last_octet: u8, containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec {
        task_arn: task_arn(id),
        task_id: id.into(),
        cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/web".into(),
        cluster_name: "web".into(),
        account: AccountId::local(),
        region: "us-east-1".parse().unwrap(),
        availability_zone: "us-east-1a".into(),
        family: "hello".into(),
        revision: 1,
        service_name: None,
        launch_type: LaunchType::Fargate,
        cpu_units: Some(1024),
        memory_mib: Some(512),
        network_mode: NetworkMode::Awsvpc,
        pid_mode: PidMode::Private,
        ipc_mode: IpcMode::Private,
        network_interface: Some(NetworkInterface {
            interface_id: format!("eni-{id}"),
            attachment_arn: format!("arn:attachment/{id}"),
            vpc_id: "vpc-1".into(),
            subnet_id: "subnet-1".into(),
            mac_address: format!("02:00:00:00:00:{last_octet:02x}").parse().unwrap(),
            private_address: [172, 31, 0, last_octet].into(),
            subnet_cidr: "172.31.0.0/20".parse().unwrap(),
            router_address: [172, 31, 0, 1].into(),
            dns_servers: vec![[172, 31, 0, 2].into()],
            dns_search_domains: vec![],
            private_dns_name: format!("ip-172-31-0-{last_octet}.us-east-1.compute.internal"),
            public_address: None,
            security_group_ids: vec!["sg-1".into()],
        }),
        task_role: Some(RoleCredentials {
            credentials_id: format!("cred-{id}"),
            role_arn: "arn:aws:iam::000000000000:role/r".into(),
            access_key_id: "ASIAEXAMPLE".into(),
            secret_access_key: "secret".into(),
            session_token: "token".into(),
            expiration: Timestamp::from_millis(1_900_000_000_000),
        }),
        execution_role: None,
        awaits_secrets: false,
        ephemeral_storage_gib: None,
        volumes: vec![],
        containers,
        created_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

fn network_state() -> NetworkState {
    let anywhere = |protocol| SecurityRule { protocol, peer: RulePeer::Cidr("0.0.0.0/0".parse().unwrap()) };
    NetworkState {
        generation: 1,
        vpcs: vec![Vpc {
            vpc_id: "vpc-1".into(),
            cidr: "172.31.0.0/16".parse().unwrap(),
            subnets: vec!["172.31.0.0/20".parse().unwrap()],
        }],
        security_groups: vec![SecurityGroup {
            group_id: "sg-1".into(),
            ingress: vec![anywhere(RuleProtocol::Tcp { from_port: 8080, to_port: 8080 })],
            egress: vec![anywhere(RuleProtocol::All)],
            member_addresses: vec![],
        }],
    }
}

/// Every image is the directory.
struct Directory(PathBuf);

impl Images for Directory {
    fn ensure(&self, _: ImageRequest) -> BoxFuture<'_, Result<LocalImage, String>> {
        Box::pin(std::future::ready(Ok(LocalImage {
            manifest_digest: "sha256:m".into(),
            config_digest: "sha256:c".into(),
            config: Default::default(),
            lower_dirs: vec![self.0.clone()],
        })))
    }

    fn release<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn retain<'a>(&'a self, _: &'a BTreeSet<String>) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn collect_garbage(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The least root file system: busybox.
fn make_image(image: &Path) {
    for dir in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
        std::fs::create_dir_all(image.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", image.join("bin/busybox"))
        .expect("busybox (Debian package busybox-static)");
    for applet in ["sh", "echo", "cat", "wget", "httpd", "sleep", "tail", "mkdir", "true"] {
        std::os::unix::fs::symlink("busybox", image.join("bin").join(applet)).unwrap();
    }
}

#[derive(Default)]
struct Control {
    said: Mutex<Said>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Said {
    changes: Vec<TaskStateChange>,
    /// Stream and message.
    lines: Vec<(String, String)>,
    attachments: BTreeMap<String, AttachmentStateChange>,
}

impl Control {
    async fn until<T>(&self, what: &str, wanted: impl Fn(&Said) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = wanted(&self.said.lock().unwrap()) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| {
            let said = self.said.lock().unwrap();
            let found = format!("{:?}\n{:?}", said.changes.last(), said.lines);
            drop(said);
            panic!("{what} did not come; last: {found}")
        })
    }

    fn take(&self, take: impl FnOnce(&mut Said)) -> Answer<'static, ()> {
        take(&mut self.said.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Link(Arc<Control>);

impl ControlPlane for Link {
    fn submit_task_state(&self, change: TaskStateChange) -> Answer<'_, ()> {
        self.0.take(|said| said.changes.push(change))
    }

    fn submit_attachment_state(&self, change: AttachmentStateChange) -> Answer<'_, ()> {
        self.0.take(|said| drop(said.attachments.insert(change.attachment_arn.clone(), change)))
    }

    fn send(&self, _: AgentMessage) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn create_log_stream(&self, _: LogDestination) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn put_logs(&self, batch: LogBatch) -> Answer<'_, ()> {
        self.0.take(|said| {
            let stream = batch.destination.stream;
            said.lines.extend(batch.events.into_iter().map(|event| (stream.clone(), event.message)));
        })
    }

    fn registry_login(&self, _: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn publish_metrics(&self, _: PublishMetricsRequest) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// No cipher, but bound to its place and not to be read by the eye.
#[derive(Debug)]
pub struct Backwards;

impl Seal for Backwards {
    fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        [context.as_bytes(), &[0], plain].concat().into_iter().rev().collect()
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let whole: Vec<u8> = sealed.iter().rev().copied().collect();
        whole.strip_prefix([context.as_bytes(), &[0]].concat().as_slice()).map(<[u8]>::to_vec)
    }
}
