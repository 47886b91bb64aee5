//! Placements per second on 5,000 simulated instances: the core alone, and through `launch` with every task committed.
//! `cargo bench -p control-plane --bench placement [-- INSTANCES TASKS]`.
//!
//! One service at a time, as the reconciler works, and mixed: many services at once, a few tasks each. The floor is the same
//! records, committed in transactions of the same size with nothing chosen; on disk every commit is synced.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as ecs;
use control_plane::{
    AwsJson, Config, ControlPlane,
    gateway::ApiError,
    services::{
        Services,
        ecs::{
            records::{
                Cluster, ContainerInstance, DefinitionStatus, InstanceLoad, InstanceStatus, Task,
                TaskDefinition, definition_id,
            },
            tasks::launch::{Launch, Where, launch},
        },
        tagging::Tags,
    },
};
use placement::{Demand, ENI_UNLIMITED, Fleet, Held, Instance, Phase, Request, Standing, Strategy};
use vocabulary::{AccountId, Scope, Timestamp};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Tasks of one transaction: each writes itself and its instance's count, and 128 writes have room.
const BATCH: usize = 60;

/// Tasks that a service gets at once when many do.
const FEW: usize = 10;

struct Scenario {
    name: &'static str,
    services: usize,
    /// Tasks in a transaction.
    batch: usize,
    /// Transactions under way at the same time.
    at_once: usize,
    /// The services take turns; otherwise one gets all its tasks before the next.
    in_turn: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "one service at a time", services: 100, batch: BATCH, at_once: 1, in_turn: false },
    Scenario {
        name: "one service at a time, two batches under way",
        services: 100,
        batch: BATCH,
        at_once: 2,
        in_turn: false,
    },
    Scenario { name: "mixed", services: 1000, batch: FEW, at_once: 16, in_turn: true },
];

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let (instances, tasks) = match numbers[..] {
        [instances, tasks, ..] => (instances, tasks),
        _ => (5_000, 100_000),
    };
    println!("{instances} instances, {tasks} tasks");
    core(instances, tasks, "one service at a time", 100, BATCH);
    core(instances, tasks, "mixed", 1000, 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for (ephemeral, kept) in [(true, "in memory"), (false, "on disk")] {
            for scenario in SCENARIOS {
                let Scenario { name, services, batch, at_once, .. } = *scenario;
                let directory = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
                let platform = Platform::start(directory.path(), ephemeral, instances, services).await;
                let placed = platform.place(tasks, scenario).await;
                let floor = platform.floor(tasks / 10, batch, at_once).await;
                println!(
                    "{name}, committed {kept}: {placed:.0} placements/s; the same records with nothing chosen: {floor:.0}/s, ratio {:.2}",
                    placed / floor
                );
                platform.plane.stop().await;
            }
        }
    });
}

/// The core alone: what is planned is taken for committed at once.
fn core(instances: usize, tasks: usize, name: &str, services: usize, batch: usize) {
    let mut fleet = Fleet::new();
    for number in 0..instances {
        fleet.set_instance(simulated(number));
    }
    let strategies = Strategy::service_default();
    let begun = Instant::now();
    let (mut placed, mut turn) = (0, 0);
    while placed < tasks {
        // One after another, or each in its turn.
        let service = if batch == 1 { turn % services } else { placed * services / tasks };
        let (group, demand) = (format!("service:{service}"), demand(service));
        let request = Request {
            group: &group,
            demand: &demand,
            required: &[],
            constraints: &[],
            strategies: &strategies,
            external: false,
        };
        let plan = fleet.plan(&request, batch.min(tasks - placed), turn as u64);
        assert!(plan.shortfall.is_none(), "{:?}", plan.shortfall.map(|shortfall| shortfall.text()));
        for instance in plan.chosen {
            let held = Held {
                instance,
                group: group.clone(),
                demand: demand.clone(),
                wanted: true,
                phase: Phase::Pending,
            };
            fleet.set_task(&placed.to_string(), held);
            placed += 1;
        }
        turn += 1;
    }
    let rate = placed as f64 / begun.elapsed().as_secs_f64();
    println!("{name}, {batch} at a time, nothing committed, one core: {rate:.0} placements/s");
}

/// What a task of a service takes: 20 on an instance, on average.
fn demand(service: usize) -> Demand {
    Demand { cpu: 64 << (service % 3), memory: 128 << (service % 4), ..Demand::default() }
}

const CPU: i32 = 16 * 1024;
const MEMORY: i32 = 64 * 1024;

fn simulated(number: usize) -> Instance {
    Instance {
        id: id(number),
        ec2_instance_id: None,
        standing: Standing::Active,
        connected: true,
        external: false,
        agent_version: None,
        registered_at: NOW,
        cpu: CPU.unsigned_abs(),
        memory: MEMORY.unsigned_abs(),
        reserved_ports: Vec::new(),
        enis: ENI_UNLIMITED,
        gpus: 0,
        attributes: BTreeMap::from([(
            Instance::ZONE.to_owned(),
            Some(ZONES[number % ZONES.len()].to_owned()),
        )]),
    }
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

/// A control plane with registered instances and definitions.
struct Platform {
    plane: ControlPlane,
    services: Arc<Services>,
    scope: Scope,
    cluster: Cluster,
    definitions: Vec<TaskDefinition>,
}

impl Platform {
    async fn start(directory: &Path, ephemeral: bool, instances: usize, services: usize) -> Platform {
        let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
        let config = Config { ephemeral, ..Config::local(scope.region.clone(), directory.to_owned()) };
        let plane = ControlPlane::start(config).await.expect("a control plane");
        let cluster = Cluster {
            name: "fleet".to_owned(),
            active: true,
            created_at: NOW,
            settings: Vec::new(),
            capacity_providers: Vec::new(),
            default_strategy: AwsJson(ecs::Cluster::default()),
            tags: Tags::new(),
        };
        let definitions: Vec<TaskDefinition> = (0..services).map(definition).collect();
        let all = plane.services();
        let own = Platform { services: all, plane, scope, cluster, definitions };
        own.write(|tx, scope| tx.put(scope, &own.cluster.name, own.cluster.clone())).await;
        for some in (0..instances).collect::<Vec<_>>().chunks(100) {
            own.write(|tx, scope| {
                for number in some {
                    tx.put(scope, &format!("fleet/{}", id(*number)), registered(*number));
                }
            })
            .await;
        }
        for some in own.definitions.chunks(100) {
            own.write(|tx, scope| {
                for definition in some {
                    let key = definition_id(&definition.family, definition.revision);
                    tx.put(scope, &key, definition.clone());
                }
            })
            .await;
        }
        own
    }

    async fn write(&self, write: impl Fn(&mut state_store::Tx, &Scope)) {
        let write = |tx: &mut state_store::Tx| {
            write(tx, &self.scope);
            Ok::<_, ApiError>(())
        };
        self.services.state.transact(write).await.expect("a commit");
    }

    /// Places `tasks` tasks; returns placements per second.
    async fn place(&self, tasks: usize, scenario: &Scenario) -> f64 {
        let Scenario { batch, at_once, in_turn, .. } = *scenario;
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let worker = || async {
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if first >= tasks {
                    return;
                }
                let services = self.definitions.len();
                let service = if in_turn { first / batch % services } else { first * services / tasks };
                self.launch(service, batch.min(tasks - first)).await;
            }
        };
        futures_util::future::join_all((0..at_once).map(|_| worker())).await;
        let rate = tasks as f64 / begun.elapsed().as_secs_f64();
        assert_eq!(self.services.state.view().count_all::<Task>(), tasks);
        rate
    }

    async fn launch(&self, service: usize, count: usize) {
        let group = format!("service:{service}");
        let attempt = |tx: &mut state_store::Tx| {
            let launch_of = Launch {
                scope: &self.scope,
                cluster: &self.cluster,
                definition: &self.definitions[service],
                count,
                place: Where::LaunchType(LaunchType::Ec2),
                network: None,
                overrides: &AwsJson(ecs::TaskOverride::default()),
                constraints: &[],
                strategies: &[],
                group: Some(&group),
                started_by: Some("ecs-svc/1234567890123456789"),
                tags: &Tags::new(),
                enable_execute_command: false,
                platform_version: None,
                load_balanced: false,
            };
            let launched = launch(tx, &self.services, &launch_of, NOW, &mut self.services.ids())?;
            assert_eq!(launched.tasks.len(), count, "{:?}", launched.unplaced);
            Ok::<_, ApiError>(())
        };
        self.services.state.transact(attempt).await.expect("a commit");
    }

    /// Commits records like those of placements, with nothing chosen; per second.
    async fn floor(&self, tasks: usize, batch: usize, at_once: usize) -> f64 {
        let view = self.services.state.view();
        let task = view.scan_all::<Task>().next().expect("a task").value;
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let worker = || async {
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if first >= tasks {
                    return;
                }
                self.write(|tx, scope| {
                    for number in first..first + batch {
                        let mut task = (*task).clone();
                        // Elsewhere, so that no fleet is touched.
                        task.cluster = "floor".to_owned();
                        task.id = id(number);
                        let key = format!("floor/{}", task.id);
                        tx.get::<InstanceLoad>(scope, &key);
                        tx.put(scope, &key, InstanceLoad { placements: 1 });
                        tx.put(scope, &task.key(), task);
                    }
                })
                .await;
            }
        };
        futures_util::future::join_all((0..at_once).map(|_| worker())).await;
        tasks as f64 / begun.elapsed().as_secs_f64()
    }
}

fn registered(number: usize) -> ContainerInstance {
    let whole = |name: &str, value| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        integer_value: Some(value),
        ..ecs::Resource::default()
    };
    let zone = ecs::Attribute {
        name: Some(Instance::ZONE.to_owned()),
        value: Some(ZONES[number % ZONES.len()].to_owned()),
        ..ecs::Attribute::default()
    };
    ContainerInstance {
        id: id(number),
        cluster: "fleet".to_owned(),
        ec2_instance_id: None,
        status: InstanceStatus::Active,
        agent_connected: true,
        private_address: None,
        registered_at: NOW,
        version: 1,
        description: AwsJson(ecs::ContainerInstance {
            registered_resources: Some(vec![whole("CPU", CPU), whole("MEMORY", MEMORY)]),
            attributes: Some(vec![zone]),
            ..ecs::ContainerInstance::default()
        }),
        tags: Tags::new(),
    }
}

/// A definition with one container.
fn definition(service: usize) -> TaskDefinition {
    let demand = demand(service);
    let container = ecs::ContainerDefinition {
        name: Some("app".to_owned()),
        image: Some("public.example/app:1".to_owned()),
        cpu: i32::try_from(demand.cpu).ok(),
        memory: i32::try_from(demand.memory).ok(),
        ..ecs::ContainerDefinition::default()
    };
    TaskDefinition {
        family: format!("app-{service}"),
        revision: 1,
        status: DefinitionStatus::Active,
        registered_at: NOW,
        registered_by: "arn:aws:iam::000000000000:root".to_owned(),
        deregistered_at: None,
        delete_requested_at: None,
        definition: AwsJson(ecs::TaskDefinition {
            compatibilities: Some(vec![ecs::Compatibility::Ec2]),
            container_definitions: Some(vec![container]),
            network_mode: Some(ecs::NetworkMode::Bridge),
            ..ecs::TaskDefinition::default()
        }),
        tags: Tags::new(),
    }
}
