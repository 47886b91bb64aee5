//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use control_plane::StoreChoice;
use vocabulary::{AccountId, Region};

use crate::commands::{self, exec::forward::Forward};

// Under which options are listed.
const STORAGE: &str = "Storage";
const FRONT_DOOR: &str = "Front door";
const AGENTS: &str = "Agents on other machines";
const CONTROL_PLANE: &str = "Control plane";
const INSTANCE: &str = "This instance";
const TASKS: &str = "Tasks";
const LOG: &str = "Log";

/// The AWS container services on machines you own.
///
/// Start the platform with `sudo longshore up`, then point any AWS client at it, in another terminal:
///
///   eval "$(longshore env)"
///   aws ecs create-cluster --cluster-name lab
///
/// Its web console is at http://localhost:4566/. `sudo longshore demo` shows all of it at work.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    verbatim_doc_comment
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole platform on this machine, in the foreground.
    ///
    /// Ctrl-C stops the platform and leaves running tasks alone; the next start takes them over. With --ephemeral nothing
    /// is kept and nothing is left behind. Needs root.
    Up(UpArgs),
    /// Make this machine a container instance of a cluster, in the foreground.
    ///
    /// It runs the tasks that are placed on it (launch type EC2, or EXTERNAL with --external), beside a platform on the same machine or far from it.
    /// Ctrl-C stops the agent and leaves its tasks running; the next start takes them over. The key comes from AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Needs root: sudo -E longshore agent.
    Agent(AgentArgs),
    /// Print what a shell needs to reach the platform: eval "$(longshore env)".
    ///
    /// Endpoint, region and keys, as variables that the AWS CLI and the SDKs read. At a strict door it prints the root's key, which root alone
    /// may read: eval "$(sudo longshore env)".
    Env(EnvArgs),
    /// Check this machine for what the platform needs.
    ///
    /// Says what to do about what is missing. Tries namespaces, overlay mounts, cgroups, nftables and the rest, and removes what it made. Ends
    /// with 1 when something is missing. Needs root.
    Doctor,
    /// Run a command in a container of a running task.
    ///
    /// The task has to be run with --enable-execute-command. Its exit status becomes this command's. With -t it gets a terminal. With --forward
    /// no command runs: connections to a port here go on within the task. Endpoint and key come from the environment: eval "$(longshore env)".
    Exec(ExecArgs),
    /// Take the capacity of a task on FARGATE_SPOT back, as AWS may at any time.
    ///
    /// To see how an application and its service take it: its containers get SIGTERM at once and SIGKILL after their stopTimeout. Endpoint
    /// and key come from the environment: eval "$(longshore env)".
    Interrupt(InterruptArgs),
    /// Check the audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show the platform at work.
    ///
    /// Builds an image, pushes it, runs it, fetches its page and reads its log. Everything is done by the AWS CLI, buildah and curl, on a platform of the demo's own that keeps nothing; each command is printed as it is
    /// run. Needs root.
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Keep nothing: on exit every task, image and setting is gone.
    #[arg(long, help_heading = STORAGE)]
    pub ephemeral: bool,
    /// Where images, logs and state lie.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/longshore", conflicts_with = "ephemeral", help_heading = STORAGE)]
    pub data_dir: PathBuf,
    /// The file of the root key, under which everything secret is sealed: 32 random bytes, readable by its owner alone. Made when it is not
    /// there. `root.key` in the data directory when not given.
    #[arg(long, value_name = "FILE", conflicts_with = "ephemeral", env = "LONGSHORE_ROOT_KEY", help_heading = STORAGE)]
    pub root_key: Option<PathBuf>,
    /// Where the front door listens: APIs, registry, web console. On any other address than loopback's it has TLS and wants issued keys.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4566", env = "LONGSHORE_LISTEN", help_heading = FRONT_DOOR)]
    pub listen: SocketAddr,
    /// TLS and issued keys on loopback, too.
    #[arg(long, help_heading = FRONT_DOOR)]
    pub strict: bool,
    /// The front door's certificate and those that lead to a known authority, in PEM. Without it the platform makes one of its own.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = FRONT_DOOR)]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = FRONT_DOOR)]
    pub tls_key: Option<PathBuf>,
    /// The name by which clients reach the front door; part of repository URIs. The address when not given.
    #[arg(long, value_name = "HOST[:PORT]", help_heading = FRONT_DOOR)]
    pub public_name: Option<String>,
    /// A further door, for `longshore agent` on other machines: issued keys only, nothing but what agents ask, and TLS, on loopback
    /// excepted.
    #[arg(long, value_name = "ADDR:PORT", help_heading = AGENTS)]
    pub agent_listen: Option<SocketAddr>,
    /// Take TLS away from the agents' door. For networks that you trust.
    #[arg(long, requires = "agent_listen", help_heading = AGENTS)]
    pub agent_plain: bool,
    /// An account beside --account whose root gets an access key at a strict door, for `longshore env --account`. May be given several times.
    #[arg(long = "root-account", value_name = "ID", help_heading = FRONT_DOOR)]
    pub root_accounts: Vec<AccountId>,
    /// The account that clients act for unless their access key names another: 12 digits.
    #[arg(long, value_name = "ID", default_value = "000000000000", env = "LONGSHORE_ACCOUNT", help_heading = FRONT_DOOR)]
    pub account: AccountId,
    /// The region of requests that name none.
    #[arg(long, value_name = "NAME", default_value = "us-east-1", env = "LONGSHORE_REGION", help_heading = FRONT_DOOR)]
    pub region: Region,
    /// Where state is kept: `sqlite`, or `etcd://HOST:PORT[,HOST:PORT…]`.
    #[arg(long, value_name = "STORE", default_value = "sqlite", value_parser = parse_store, help_heading = STORAGE)]
    pub store: StoreChoice,
    /// Range that public addresses are taken from.
    #[arg(long, value_name = "CIDR", default_value_t = addressing::DEFAULT_PUBLIC_RANGE, help_heading = TASKS)]
    pub public_pool: addressing::Cidr,
    /// Seconds after which a session in a container (ECS Exec) ends when nothing happens in it.
    #[arg(long, value_name = "SECONDS", default_value_t = 1200, value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = TASKS)]
    pub session_idle_timeout: u64,
    /// Seconds for which the credentials of a task's role hold, 30 to 43200. They are renewed an hour before their end, shorter ones when half
    /// of it has passed; the shorter, the less a stolen key is worth, and the more often programs fetch new ones.
    #[arg(long, value_name = "SECONDS", default_value_t = 21_600, value_parser = clap::value_parser!(u64).range(30..=43_200), help_heading = TASKS)]
    pub task_credentials_lifetime: u64,
    /// Say more in the log: -v for every call, -vv for what happens inside. LONGSHORE_LOG takes filters.
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = LOG)]
    pub verbose: u8,
    /// Write the log as JSON lines.
    #[arg(long, help_heading = LOG)]
    pub log_json: bool,
}

#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The cluster to join; it has to be there.
    #[arg(long, value_name = "NAME", default_value = "default", env = "ECS_CLUSTER", help_heading = CONTROL_PLANE)]
    pub cluster: String,
    /// The control plane: its front door on the same machine, or its --agent-listen address.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4566", env = "AWS_ENDPOINT_URL", help_heading = CONTROL_PLANE)]
    pub endpoint: String,
    /// The certificate of the control plane's authority, in PEM; the machine's own are trusted as well.
    #[arg(long, value_name = "FILE", env = "AWS_CA_BUNDLE", help_heading = CONTROL_PLANE)]
    pub ca: Option<PathBuf>,
    /// The region of the cluster.
    #[arg(long, value_name = "NAME", default_value = "us-east-1", env = "AWS_REGION", help_heading = CONTROL_PLANE)]
    pub region: Region,
    /// Where images, volumes and what is known of tasks lie.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/longshore-agent",
        conflicts_with = "ephemeral", help_heading = STORAGE)]
    pub data_dir: PathBuf,
    /// Sockets and namespaces; for what does not outlive a reboot.
    #[arg(long, value_name = "DIR", default_value = "/run/longshore-agent", help_heading = STORAGE)]
    pub run_dir: PathBuf,
    /// Keep nothing: on exit every task ends, the machine leaves the cluster, and everything is removed.
    #[arg(long, help_heading = STORAGE)]
    pub ephemeral: bool,
    /// An attribute of the instance, for placement constraints. May be given several times.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute, help_heading = INSTANCE)]
    pub attributes: Vec<(String, String)>,
    /// The capacity provider of the cluster that the machine belongs to.
    #[arg(long, value_name = "NAME", help_heading = INSTANCE)]
    pub capacity_provider: Option<String>,
    /// The availability zone that the machine counts to. `REGIONa` when not given.
    #[arg(long, value_name = "ZONE", help_heading = INSTANCE)]
    pub availability_zone: Option<String>,
    /// The machine's name, `i-…` (`mi-…` with --external). Made up and kept when not given.
    #[arg(long, value_name = "ID", help_heading = INSTANCE)]
    pub instance_id: Option<String>,
    /// The address by which published ports are reached. The machine's own on the way to the control plane when not given.
    #[arg(long, value_name = "ADDR", help_heading = INSTANCE)]
    pub address: Option<std::net::Ipv4Addr>,
    /// The instance profile of the machine: its role is what programs and containers find at 169.254.169.254.
    #[arg(long, value_name = "NAME", conflicts_with = "external", help_heading = INSTANCE)]
    pub instance_profile: Option<String>,
    /// How far the instance metadata service answers: 1 for the machine's own programs, 2 for its containers as well.
    #[arg(long, value_name = "HOPS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64), help_heading = INSTANCE)]
    pub metadata_hop_limit: u8,
    /// For tasks of launch type EXTERNAL.
    #[arg(long, help_heading = INSTANCE)]
    pub external: bool,
    /// Memory that is not offered to tasks, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, help_heading = INSTANCE)]
    pub reserved_memory: u32,
    /// What tasks find as AWS_ENDPOINT_URL. Beside a platform: its door for tasks.
    #[arg(long, value_name = "URL", help_heading = TASKS)]
    pub task_endpoint: Option<String>,
    /// Say more in the log: -v for every call, -vv for what happens inside. LONGSHORE_LOG takes filters.
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = LOG)]
    pub verbose: u8,
    /// Write the log as JSON lines.
    #[arg(long, help_heading = LOG)]
    pub log_json: bool,
}

#[derive(Debug, Args)]
pub struct EnvArgs {
    /// Where an open front door listens: 127.0.0.1:4566 when not given. What a strict door needs is known by the platform of this machine.
    #[arg(long, value_name = "ADDR:PORT", env = "LONGSHORE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// The account to act for.
    #[arg(long, value_name = "ID", default_value = "000000000000", env = "LONGSHORE_ACCOUNT")]
    pub account: AccountId,
    /// The region to use.
    #[arg(long, value_name = "NAME", default_value = "us-east-1", env = "LONGSHORE_REGION")]
    pub region: Region,
}

// A task, for commands that act on one. A doc comment here would become that of the commands.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// The task: its id or ARN.
    #[arg(value_name = "TASK")]
    pub task: String,
    /// The task's cluster; that of the ARN when not given, else `default`.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
}

// The control plane, for commands that are its clients.
#[derive(Debug, Args)]
pub struct PlatformArgs {
    /// The control plane.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4566", env = "AWS_ENDPOINT_URL")]
    pub endpoint: String,
    /// The certificate of the control plane's authority, in PEM; the machine's own are trusted as well.
    #[arg(long, value_name = "FILE", env = "AWS_CA_BUNDLE")]
    pub ca: Option<PathBuf>,
    /// The region of the task.
    #[arg(long, value_name = "NAME", default_value = "us-east-1", env = "AWS_REGION")]
    pub region: Region,
}

#[derive(Debug, Args)]
pub struct ExecArgs {
    #[command(flatten)]
    pub of: TaskArgs,
    /// The container, where the task has several.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input on to the command.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal. Needs one here.
    #[arg(short, long)]
    pub tty: bool,
    /// Instead of running a command, forward connections to 127.0.0.1:LOCAL to the port REMOTE of the container, or of a HOST that the task
    /// reaches. LOCAL 0 takes a free port. May be given several times.
    #[arg(long, value_name = "LOCAL:[HOST:]REMOTE", conflicts_with_all = ["interactive", "tty", "command"])]
    pub forward: Vec<Forward>,
    #[command(flatten)]
    pub platform: PlatformArgs,
    /// The command and its arguments.
    #[arg(last = true, required_unless_present = "forward", value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct InterruptArgs {
    #[command(flatten)]
    pub of: TaskArgs,
    #[command(flatten)]
    pub platform: PlatformArgs,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Hold the trail's events against its chain, and tell what was altered, added or removed since it was written.
    ///
    /// It reads the files of the data directory, whether a platform runs or not, and ends with 1 when something is wrong. What it prints as the
    /// head stands for all that was written so far: kept elsewhere and given with --head later, it shows also that the newest
    /// events were not cut off and the trail was not written anew.
    Verify(AuditVerifyArgs),
}

#[derive(Debug, Args)]
pub struct AuditVerifyArgs {
    /// Where images, logs and state lie.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/longshore")]
    pub data_dir: PathBuf,
    /// The file of the root key. `root.key` in the data directory when not given.
    #[arg(long, value_name = "FILE", env = "LONGSHORE_ROOT_KEY")]
    pub root_key: Option<PathBuf>,
    /// A head that was printed before: the trail has to have grown from it.
    #[arg(long, value_name = "HEX")]
    pub head: Option<String>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop and clean up when everything was shown, instead of running on until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Where the demo's own platform listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4566", env = "LONGSHORE_LISTEN")]
    pub listen: SocketAddr,
}

impl Cli {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(args) => commands::up::run(args),
            Command::Agent(args) => commands::agent::run(args),
            Command::Env(args) => commands::env::run(&args),
            Command::Doctor => commands::doctor::run(),
            Command::Exec(args) => commands::exec::run(args),
            Command::Interrupt(args) => commands::interrupt::run(&args),
            Command::Audit(AuditCommand::Verify(args)) => commands::audit::verify(&args),
            Command::Demo(args) => commands::demo::run(&args),
        }
    }
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
    match name.is_empty() {
        true => Err("give NAME=VALUE".to_owned()),
        false => Ok((name.to_owned(), value.to_owned())),
    }
}

fn parse_store(text: &str) -> Result<StoreChoice, String> {
    if text == "sqlite" {
        return Ok(StoreChoice::Sqlite);
    }
    let members = text.strip_prefix("etcd://").ok_or("give `sqlite` or `etcd://HOST:PORT[,HOST:PORT…]`")?;
    let members: Vec<String> = members.split(',').map(str::to_owned).collect();
    if members.iter().any(|member| !member.contains(':')) {
        return Err("every etcd member needs HOST:PORT".to_owned());
    }
    Ok(StoreChoice::Etcd(members))
}
