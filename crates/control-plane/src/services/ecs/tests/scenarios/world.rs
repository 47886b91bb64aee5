//! One scenario: the control plane, the fleet, and everything that is still to happen, in order of time.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use agent_protocol::state::TaskStateChange;
use state_store::SqliteStore;
use vocabulary::Timestamp;

use super::{
    super::*,
    Random, checker,
    fleet::{Fleet, Next},
    traffic, user,
};
use crate::{
    reconcilers::services::look_at,
    services::ecs::records::{DesiredStatus, Task},
};

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rolling,
    /// Rolling, on container instances that are drained and come back.
    Instances,
    /// A task on each container instance.
    Daemon,
    /// Task sets, deployed by somebody else.
    TaskSets,
    /// Rolling, behind a load balancer.
    Balanced,
    BlueGreen,
    Linear,
    Canary,
}

impl Kind {
    pub fn test_name(self) -> &'static str {
        match self {
            Kind::Rolling => "rolling_services_survive_whatever_happens",
            Kind::Instances => "services_on_instances_survive_whatever_happens",
            Kind::Daemon => "daemons_survive_whatever_happens",
            Kind::TaskSets => "task_sets_survive_whatever_happens",
            Kind::Balanced => "balanced_services_survive_whatever_happens",
            Kind::BlueGreen => "blue_green_services_survive_whatever_happens",
            Kind::Linear => "linear_services_survive_whatever_happens",
            Kind::Canary => "canary_services_survive_whatever_happens",
        }
    }

    pub fn is_balanced(self) -> bool {
        self == Kind::Balanced || self.is_staged()
    }

    /// Whether its tasks run on container instances.
    pub fn is_on_machines(self) -> bool {
        matches!(self, Kind::Instances | Kind::Daemon)
    }

    /// Whether two revisions run side by side while traffic goes over.
    pub fn is_staged(self) -> bool {
        matches!(self, Kind::BlueGreen | Kind::Linear | Kind::Canary)
    }
}

/// The service that everything is about.
pub const SERVICE: &str = "web";
pub const KEY: &str = "default/web";

/// Something that will happen.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The reconciler looks at the service.
    Look,
    /// What the control plane said of a task reaches the node.
    Payload { key: String, sequence: i64, stop: bool },
    /// Something happens to a task on its node.
    Node { id: String, next: Next },
    /// What the node said reaches the control plane.
    Report(Box<TaskStateChange>),
    /// The load balancer says how its targets do, and targets that have drained go.
    Measure,
}

pub struct World {
    pub kind: Kind,
    pub fixture: Fixture,
    store: Arc<SqliteStore>,
    pub random: Random,
    pub fleet: Fleet,
    pub faulty: bool,
    /// The rule that the traffic comes by, and interfaces and address claims that are not the service's.
    pub listener: Option<String>,
    pub others: (usize, usize),
    /// Ids of the container instances.
    pub machines: Vec<String>,
    /// The desired count that was acknowledged last.
    pub acknowledged: u32,
    due: BTreeMap<(Timestamp, u64), Happening>,
    serial: u64,
    /// The last payload number that was said of each task.
    said: BTreeMap<String, i64>,
    /// The tables' revision when the reconciler last heard of a change.
    heard: i64,
    trace: bool,
}

impl World {
    pub async fn new(kind: Kind, seed: u64) -> World {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        crate::services::testing::seed_ids(seed);
        let fixture = Fixture::over(store.clone()).await;
        networks::ensure_default(&fixture.services, &scope()).await.unwrap();
        fixture.cluster("default").await;
        let mut world = World {
            kind,
            fixture,
            store,
            random: Random::new(seed),
            fleet: Fleet::default(),
            faulty: true,
            listener: None,
            others: (0, 0),
            machines: Vec::new(),
            acknowledged: 0,
            due: BTreeMap::new(),
            serial: 0,
            said: BTreeMap::new(),
            heard: 0,
            trace: std::env::var("SCENARIO_TRACE").is_ok(),
        };
        user::begin(&mut world).await;
        world
    }

    pub fn now(&self) -> Timestamp {
        self.fixture.now()
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>10} {}", self.now().as_millis() - crate::services::testing::NOW, what());
        }
    }

    pub fn after(&mut self, wait: Duration, happening: Happening) {
        self.serial += 1;
        self.due.insert((self.now() + wait, self.serial), happening);
    }

    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.fixture
            .services
            .state
            .read(|view| view.by_index::<Task>(&scope(), "service", KEY).map(|(_, task)| task).collect())
    }

    pub fn service_record(&self) -> Option<Arc<crate::services::ecs::services::records::Service>> {
        self.fixture.services.state.read(|view| view.get(&scope(), KEY))
    }

    /// Everything that is due by then happens.
    pub async fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        self.run_to(end).await;
        self.set_time(end);
    }

    async fn run_to(&mut self, end: Timestamp) {
        while self.due.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step().await;
        }
    }

    fn set_time(&mut self, to: Timestamp) {
        let by = to.as_millis() - self.now().as_millis();
        self.fixture.pass(by.max(0));
    }

    /// The next thing happens. False when there is none.
    async fn step(&mut self) -> bool {
        let Some(((at, _), happening)) = self.due.pop_first() else { return false };
        self.set_time(at);
        match happening {
            Happening::Look => self.look().await,
            Happening::Payload { key, sequence, stop } => {
                let task = self.fixture.services.state.read(|view| view.get::<Task>(&scope(), &key));
                if let Some(task) = task {
                    Fleet::payload(self, &task, sequence, stop);
                }
            }
            Happening::Node { id, next } => Fleet::happens(self, &id, next),
            Happening::Measure => traffic::measure(self).await,
            Happening::Report(change) => {
                self.tell(|| {
                    format!("report {} {:?} #{}", short(&change.task), change.status, change.sequence)
                });
                self.fixture.report(&change).await;
                self.after_change();
            }
        }
        checker::always(self).await;
        true
    }

    /// The reconciler works; now and then it is late, looks twice, or ends in the middle.
    async fn look(&mut self) {
        if self.faulty && self.random.chance(1) {
            return self.end_and_begin_again().await;
        }
        let before = checker::Before::of(self);
        let services = self.fixture.services.clone();
        let now = self.now();
        let wake_at = look_at(&services, None, &scope(), KEY, false, now).await.unwrap();
        before.compare(self);
        self.after_change();
        if let Some(wake_at) = wake_at {
            assert!(wake_at >= now, "it is to be looked at in the past, again and again");
            // Never at the same moment again and again without an end.
            let wait = wake_at.since(self.now()).max(Duration::from_millis(5));
            self.after(wait, Happening::Look);
        }
        if self.faulty && self.random.chance(5) {
            let pause = self.random.millis(0, 10);
            self.after(pause, Happening::Look);
        }
    }

    /// The process ends while it reconciles, and another takes up what is in the store.
    pub async fn end_and_begin_again(&mut self) {
        let polls = self.random.below(7);
        self.tell(|| format!("the control plane ends after {polls} steps"));
        let services = self.fixture.services.clone();
        let (now, scope) = (self.now(), scope());
        {
            let mut look = pin!(look_at(&services, None, &scope, KEY, false, now));
            let mut left = polls;
            poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                look.as_mut().poll(context).map(drop)
            })
            .await;
        }
        let passed = now.as_millis() - crate::services::testing::NOW;
        self.fixture = Fixture::over(self.store.clone()).await;
        self.fixture.pass(passed);
        // It says everything again, and looks at everything.
        self.said.clear();
        self.heard = 0;
        self.after_change();
    }

    /// What follows from a change of the tables: payloads go out, the service is looked at.
    pub fn after_change(&mut self) {
        for task in self.tasks() {
            let stop = task.desired_status == DesiredStatus::Stopped;
            let over = task.state.last_status == TaskStatus::Stopped;
            // As dispatch: a task that is being drained is not to be stopped yet.
            if over || self.said.get(&task.id).is_some_and(|said| *said >= task.payload_sequence) {
                continue;
            }
            self.said.insert(task.id.clone(), task.payload_sequence);
            let wait = match self.faulty && self.random.chance(5) {
                true => self.random.millis(5_000, 60_000),
                false => self.random.millis(5, 300),
            };
            let payload = Happening::Payload {
                key: task.key(),
                sequence: task.payload_sequence,
                stop: stop && !task.state.is_draining(),
            };
            self.after(wait, payload.clone());
            if self.faulty && self.random.chance(5) {
                let wait = self.random.millis(0, 20_000);
                self.after(wait, payload);
            }
        }
        let revision = self.fixture.services.state.revision();
        if std::mem::replace(&mut self.heard, revision) != revision {
            self.look_soon();
        }
    }

    pub fn look_soon(&mut self) {
        let wait = match self.faulty && self.random.chance(3) {
            true => self.random.millis(1_000, 20_000),
            false => self.random.millis(5, 20),
        };
        self.after(wait, Happening::Look);
    }

    pub fn cease_faults(&mut self) {
        self.tell(|| "faults cease".to_owned());
        self.faulty = false;
        self.fleet.works_now();
    }

    /// Until `done`.
    pub async fn run_until(&mut self, what: &str, done: impl Fn(&World) -> bool) {
        let end = self.now() + Duration::from_secs(3 * 3600);
        while !done(self) {
            assert!(self.now() < end, "never: {what}: {:#?}", self.service_record());
            assert!(self.step().await, "nothing happens any more: {:#?}", self.service_record());
        }
    }

    /// Until the service is as the waiter wants it and its deployment has ended.
    pub async fn run_until_settled(&mut self) {
        // Back-off, protection and the drains of what went before are over by then.
        let end = self.now() + Duration::from_secs(3 * 3600);
        while self.now() < end {
            if checker::is_settled(self.kind, &self.fixture.service(SERVICE).await) {
                return;
            }
            assert!(self.step().await, "nothing happens any more: {:#?}", self.service_record());
        }
        panic!("not settled: {:#?}\n{:#?}", self.fixture.service(SERVICE).await, self.service_record());
    }

    /// Until the deleted service is INACTIVE.
    pub async fn run_until_gone(&mut self) {
        let end = self.now() + Duration::from_secs(3 * 3600);
        while self.now() < end {
            let status = self.service_record().map(|service| service.status);
            if status == Some(crate::services::ecs::services::records::ServiceStatus::Inactive) {
                return;
            }
            assert!(self.step().await, "nothing happens any more: {:#?}", self.service_record());
        }
        panic!("not gone: {:#?}\n{:#?}", self.service_record(), self.tasks());
    }
}

/// Enough of an id or ARN to tell it from others.
pub fn short(id: &str) -> &str {
    let id = id.rsplit('/').next().unwrap_or(id);
    &id[..id.len().min(6)]
}
