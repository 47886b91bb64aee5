//! The data plane as a whole: takes configurations in, has targets checked, brings listeners in line, and reports.
//!
//! One task owns all of it and does one thing after another: a configuration, an answer of a target, a look at what drains. What carries
//! traffic runs beside it and is only given new plans. Of several configurations that wait, the newest counts.
//!
//! A draining target is reported as drained when it has had nothing in flight for a moment: what was given to it just before it began to
//! drain is counted by then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use routing::{
    config::{Action, Configuration, Listener, Outcome, Protocol, TargetGroup},
    health::{self, Checks},
    report::{Health, HealthState, TargetReport},
};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    Meters, Options, Sockets,
    application::ApplicationPlane,
    checks::{Answer, Checker, Question},
    network::{Closed, HealthMap, NetworkPlane, Place, place, socket_address},
    tls,
};

/// How often draining targets are looked at, and listeners that could not be opened are tried again.
const TICK: Duration = Duration::from_millis(100);
/// How long nothing must have been in flight on a draining target before it counts as drained. Far more than lies between the choice of a
/// target and its being counted.
const SETTLE: Duration = Duration::from_millis(200);
/// How long a listener may stay closed before that is worth a warning: a new interface takes a moment.
const TOLD_AFTER: Duration = Duration::from_secs(2);
/// Answers of targets that wait to be looked at. Beyond it checks wait.
const ANSWERS: usize = 1024;

/// What is said about targets and load balancers, whole each time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports {
    /// Of the configuration that is in force; 0 before the first.
    pub generation: u64,
    pub targets: Vec<TargetReport>,
    /// ARNs of the load balancers all of whose listeners listen.
    pub listening: Vec<String>,
}

/// A running data plane. It ends, with every connection, when it is dropped.
#[derive(Debug)]
pub struct DataPlane {
    configurations: watch::Sender<Arc<Configuration>>,
    reports: watch::Receiver<Arc<Reports>>,
    meters: Meters,
    running: AbortHandle,
}

impl DataPlane {
    /// Starts without any load balancer. Within a tokio runtime, which carries all of it.
    pub fn start(sockets: Arc<dyn Sockets>) -> DataPlane {
        DataPlane::start_with(sockets, Options::default())
    }

    /// The same, other than usual.
    pub fn start_with(sockets: Arc<dyn Sockets>, options: Options) -> DataPlane {
        let (configurations, configured) = watch::channel(Arc::default());
        let (publish, reports) = watch::channel(Arc::default());
        let plane = Plane::new(sockets, publish, options);
        let meters = plane.requests.meters();
        let running = tokio::spawn(plane.run(configured)).abort_handle();
        DataPlane { configurations, reports, meters, running }
    }

    /// What is counted of requests.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// Puts a configuration in force, in place of the one before it. One that is not newer is ignored.
    pub fn apply(&self, configuration: Configuration) {
        self.configurations.send_if_modified(|current| {
            let newer = configuration.generation > current.generation;
            if newer {
                *current = Arc::new(configuration);
            }
            newer
        });
    }

    /// What there is to report, now and whenever it changes.
    pub fn reports(&self) -> watch::Receiver<Arc<Reports>> {
        self.reports.clone()
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A target that is being asked.
struct Checked {
    question: Question,
    asked: u64,
    checks: Checks,
    asking: AbortHandle,
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// A listener that could not be opened yet.
struct Shut {
    load_balancer_arn: String,
    since: Instant,
    /// It was logged.
    told: bool,
}

struct Plane {
    sockets: Arc<dyn Sockets>,
    network: NetworkPlane,
    requests: ApplicationPlane,
    to_targets: Arc<rustls::ClientConfig>,
    configuration: Arc<Configuration>,
    checked: BTreeMap<Place, Checked>,
    /// Numbers questions.
    asked: u64,
    /// Draining targets, and since when nothing is in flight on them.
    draining: BTreeMap<Place, Option<Instant>>,
    /// Listeners that could not be opened.
    closed: BTreeMap<String, Shut>,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    publish: watch::Sender<Arc<Reports>>,
}

impl Plane {
    fn new(sockets: Arc<dyn Sockets>, publish: watch::Sender<Arc<Reports>>, options: Options) -> Plane {
        let to_targets = tls::to_targets();
        let log = options.log.clone();
        let requests = ApplicationPlane::new(Arc::clone(&sockets), Arc::clone(&to_targets), options);
        Plane {
            network: NetworkPlane::new(Arc::clone(&sockets), Arc::clone(&to_targets))
                .counting(requests.meters())
                .logging(log),
            requests,
            sockets,
            to_targets,
            configuration: Arc::default(),
            checked: BTreeMap::new(),
            asked: 0,
            draining: BTreeMap::new(),
            closed: BTreeMap::new(),
            answers: mpsc::channel(ANSWERS),
            publish,
        }
    }

    async fn run(mut self, mut configured: watch::Receiver<Arc<Configuration>>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waits = !self.draining.is_empty() || !self.closed.is_empty();
            let changed = tokio::select! {
                changed = configured.changed() => match changed {
                    Ok(()) => {
                        self.configuration = Arc::clone(&configured.borrow_and_update());
                        self.follow_targets();
                        true
                    }
                    Err(_) => return,
                },
                answer = self.answers.1.recv() => answer.is_some_and(|answer| self.take(&answer)),
                _ = ticks.tick(), if waits => !self.closed.is_empty(),
            };
            if changed {
                self.steer().await;
            }
            self.look_at_draining();
            self.report();
        }
    }

    /// Has every target checked that is to be, as its group says now.
    fn follow_targets(&mut self) {
        let configuration = Arc::clone(&self.configuration);
        let (mut wanted, mut draining) = (BTreeMap::new(), BTreeMap::new());
        for group in &configuration.target_groups {
            let interface = asking_interface(&configuration, group);
            for target in &group.targets {
                let place = place(group, target);
                if target.draining {
                    draining.insert(place.clone(), self.draining.get(&place).copied().flatten());
                }
                let (Some(check), Some(interface), Some(address)) =
                    (&group.health_check, &interface, socket_address(target))
                else {
                    continue;
                };
                let question = Question {
                    check: check.clone(),
                    version: version(group),
                    target: address,
                    interface: interface.clone(),
                    registration: target.registration,
                };
                wanted.insert(place, question);
            }
        }
        self.draining = draining;
        self.checked.retain(|place, checked| wanted.get(place) == Some(&checked.question));
        for (place, question) in wanted {
            if self.checked.contains_key(&place) {
                continue;
            }
            self.asked += 1;
            let checker = Checker {
                sockets: Arc::clone(&self.sockets),
                tls: Arc::clone(&self.to_targets),
                answers: self.answers.0.clone(),
            };
            let asking =
                tokio::spawn(checker.run(place.clone(), self.asked, question.clone())).abort_handle();
            let mut checks = Checks::new();
            checks.begin();
            self.checked.insert(place, Checked { question, asked: self.asked, checks, asking });
        }
    }

    /// Whether the target's state is another one now.
    fn take(&mut self, answer: &Answer) -> bool {
        let Some(checked) = self.checked.get_mut(&answer.place) else { return false };
        if checked.asked != answer.asked {
            return false;
        }
        let before = checked.checks.state();
        let check = &checked.question.check;
        checked.checks.observe(&answer.result, check.healthy_threshold, check.unhealthy_threshold);
        before != checked.checks.state()
    }

    /// Gives traffic its new plans.
    async fn steer(&mut self) {
        let health = self.health();
        let mut closed = self.network.apply(&self.configuration, &health, &server_tls).await;
        closed.extend(self.requests.apply(&self.configuration, &health).await);
        let before = std::mem::take(&mut self.closed);
        for Closed { load_balancer_arn, listener_arn, reason } in closed {
            let known = before.get(&listener_arn);
            let since = known.map_or_else(Instant::now, |known| known.since);
            let told = known.is_some_and(|known| known.told);
            let tell = !told && since.elapsed() >= TOLD_AFTER;
            if tell {
                tracing::warn!(listener_arn, reason, "a listener cannot be opened; it is tried again");
            }
            self.closed.insert(listener_arn, Shut { load_balancer_arn, since, told: told || tell });
        }
    }

    fn health(&self) -> HealthMap {
        let mut health: HealthMap =
            self.checked.iter().map(|(place, checked)| (place.clone(), checked.checks.state())).collect();
        for group in self.configuration.target_groups.iter().filter(|group| group.health_check.is_none()) {
            health
                .extend(group.targets.iter().map(|target| (place(group, target), HealthState::Unavailable)));
        }
        health
    }

    fn look_at_draining(&mut self) {
        let now = Instant::now();
        self.requests.cut_late();
        for (place, quiet_since) in &mut self.draining {
            match self.network.flows(place) + self.requests.flows(place) {
                0 => _ = quiet_since.get_or_insert(now),
                _ => *quiet_since = None,
            }
        }
    }

    fn report(&self) {
        let configuration = &self.configuration;
        let targets = configuration.target_groups.iter().flat_map(|group| {
            let used = asking_interface(configuration, group).is_some();
            group.targets.iter().map(move |target| {
                let place = place(group, target);
                let health = self.health_of(group, &place, target.draining, used);
                let quiet = self.draining.get(&place).copied().flatten();
                TargetReport {
                    target_group_arn: group.arn.clone(),
                    target_id: target.id.clone(),
                    port: target.port,
                    registration: target.registration,
                    health,
                    drained: target.draining && quiet.is_some_and(|since| since.elapsed() >= SETTLE),
                }
            })
        });
        let arns = configuration.load_balancers.iter().map(|balancer| &balancer.arn);
        let shut: BTreeSet<&String> = self.closed.values().map(|shut| &shut.load_balancer_arn).collect();
        let reports = Reports {
            generation: configuration.generation,
            targets: targets.collect(),
            listening: arns.filter(|arn| !shut.contains(arn)).cloned().collect(),
        };
        self.publish.send_if_modified(|before| {
            let differs = **before != reports;
            if differs {
                *before = Arc::new(reports);
            }
            differs
        });
    }

    fn health_of(&self, group: &TargetGroup, place: &Place, draining: bool, used: bool) -> Health {
        match self.checked.get(place) {
            _ if draining => health::draining(),
            _ if !used => health::unused(),
            _ if group.health_check.is_none() => health::unchecked(),
            Some(checked) => checked.checks.health(),
            None => Checks::new().health(),
        }
    }
}

/// The interface that the targets of a group are checked from; none while no listener forwards to it.
fn asking_interface(configuration: &Configuration, group: &TargetGroup) -> Option<String> {
    let forwards = |outcome: &Outcome| match &outcome.action {
        Action::Forward(forward) => forward.target_groups.iter().any(|share| share.arn == group.arn),
        Action::Redirect(_) | Action::FixedResponse(_) => false,
    };
    let refers = |listener: &Listener| {
        forwards(&listener.default) || listener.rules.iter().any(|rule| forwards(&rule.outcome))
    };
    let balancers = configuration.load_balancers.iter();
    let balancer = balancers.filter(|balancer| balancer.listeners.iter().any(refers));
    balancer.flat_map(|balancer| &balancer.interfaces).map(|interface| interface.id.clone()).next()
}

/// Of checks by HTTP, the version that the group's traffic has.
fn version(group: &TargetGroup) -> routing::config::ProtocolVersion {
    match group.protocol {
        Protocol::Http | Protocol::Https => group.version,
        _ => routing::config::ProtocolVersion::Http1,
    }
}

fn server_tls(listener: &Listener) -> Result<Arc<rustls::ServerConfig>, String> {
    tls::of_listener(listener, tls::protocols(listener.alpn_policy.as_deref()))
}

#[cfg(test)]
mod tests;
