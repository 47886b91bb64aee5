//! The fleets of the clusters that place tasks, kept in step with the tables.
//!
//! A fleet is made of the tables when its cluster first needs one, and brought up to date by what has changed since whenever it
//! is used: nothing runs in between. Tasks that a transaction has chosen places for are reserved in the fleet until its
//! attempt is over, so that several transactions at once choose different places. The tables may show a change a moment before
//! subscribers hear of it; that a fleet lacks a placement which a transaction can see is noticed by the count of placements
//! in the instance's record.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use placement::{Fleet, Held, Plan, Reason, Request};
use state_store::{AllChanges, Notice, State, Touched, Tx, View};
use vocabulary::Scope;

use super::shapes;
use crate::services::{
    Services,
    ecs::{
        records::{ContainerInstance, InstanceLoad, Task, task_key},
        tasks::launch::Launch,
    },
};

/// How often a fleet that lacks what the transaction sees is looked at again before it is made anew: the news is on its
/// way from the next line of another thread.
const LOOKS: usize = 1000;

/// The fleets of all clusters. Clones share them.
#[derive(Clone, Default)]
pub struct Fleets(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// None until the first fleet is needed.
    changes: Option<AllChanges>,
    fleets: HashMap<(Scope, String), Known>,
}

/// What is known of a cluster.
#[derive(Default)]
pub struct Known {
    pub fleet: Fleet,
    /// Placements on each instance, as its record counts them.
    placements: HashMap<String, u64>,
}

impl Fleets {
    /// Works with the fleet of a cluster, as the tables are now or a moment ago.
    pub fn with<R>(
        &self,
        state: &State,
        scope: &Scope,
        cluster: &str,
        work: impl FnOnce(&mut Known) -> R,
    ) -> R {
        let mut inner = self.lock();
        inner.catch_up(state);
        let key = (scope.clone(), cluster.to_owned());
        let known = inner.fleets.entry(key).or_insert_with(|| Known::load(&state.view(), scope, cluster));
        work(known)
    }

    fn forget(&self, scope: &Scope, cluster: &str) {
        self.lock().fleets.remove(&(scope.clone(), cluster.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes in what has changed since the last time.
    fn catch_up(&mut self, state: &State) {
        let changes = self.changes.get_or_insert_with(|| state.changes());
        let mut touched = Vec::new();
        // Unconstrained: what is there is taken, however much this task has done already.
        while let Some(notice) = tokio::task::unconstrained(changes.next()).now_or_never() {
            match notice {
                Ok(Notice::Changes(more)) => touched.extend(more.into_iter().filter(concerns_placement)),
                Ok(Notice::Resync) => {
                    self.fleets.clear();
                    touched.clear();
                }
                // The tables no longer follow the store; whoever commits is told so.
                Err(_) => break,
            }
        }
        if touched.is_empty() {
            return;
        }
        let view = state.view();
        for one in touched {
            let Some((cluster, id)) = one.id.split_once('/') else { continue };
            let Some(known) = self.fleets.get_mut(&(one.scope.clone(), cluster.to_owned())) else { continue };
            known.take(&view, &one, cluster, id);
        }
    }
}

fn concerns_placement(touched: &Touched) -> bool {
    touched.service == "ecs"
        && matches!(touched.kind, "task" | "container-instance" | "attribute" | "instance-load")
}

impl Known {
    fn load(view: &View, scope: &Scope, cluster: &str) -> Known {
        let mut known = Known::default();
        let prefix = format!("{cluster}/");
        for (_, record) in view.scan_prefix::<ContainerInstance>(scope, &prefix) {
            known.fleet.set_instance(shapes::instance(view, scope, &record));
        }
        for (key, load) in view.scan_prefix::<InstanceLoad>(scope, &prefix) {
            known.placements.insert(key[prefix.len()..].to_owned(), load.placements);
        }
        for (_, task) in view.scan_prefix::<Task>(scope, &prefix) {
            if let Some(held) = shapes::held(&task) {
                known.fleet.set_task(&task.id, held);
            }
        }
        known
    }

    /// Takes a change in, as the record is now.
    fn take(&mut self, view: &View, touched: &Touched, cluster: &str, id: &str) {
        let scope = &touched.scope;
        match touched.kind {
            "task" => match view.get::<Task>(scope, &touched.id).as_deref().and_then(shapes::held) {
                Some(held) => self.fleet.set_task(id, held),
                None => self.fleet.remove_task(id),
            },
            "instance-load" => match view.get::<InstanceLoad>(scope, &touched.id) {
                Some(load) => _ = self.placements.insert(id.to_owned(), load.placements),
                None => _ = self.placements.remove(id),
            },
            _ => {
                // An attribute's id goes on behind its instance's.
                let id = id.split('/').next().unwrap_or_default();
                match view.get::<ContainerInstance>(scope, &format!("{cluster}/{id}")) {
                    Some(record) => self.fleet.set_instance(shapes::instance(view, scope, &record)),
                    None => self.fleet.remove_instance(id),
                }
            }
        }
    }
}

/// Chooses places with a fleet that has everything which the transaction sees.
pub fn choose(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    request: &Request<'_>,
    count: usize,
    seed: u64,
) -> Plan {
    up_to_date(tx, services, launch, |known| {
        let plan = known.fleet.plan(request, count, seed);
        let chosen = plan.chosen.clone();
        (plan, chosen)
    })
}

/// Whether one instance takes the task, by a fleet that has everything which the transaction sees.
pub fn check(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    request: &Request<'_>,
    instance: &str,
) -> Result<(), Option<Reason>> {
    up_to_date(tx, services, launch, |known| {
        (known.fleet.check(request, instance), vec![instance.to_owned()])
    })
}

/// Asks a fleet, again until it knows of all placements on the instances that the answer names.
fn up_to_date<R>(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    ask: impl Fn(&mut Known) -> (R, Vec<String>),
) -> R {
    let (scope, cluster) = (launch.scope, &launch.cluster.name);
    Reserved::belongs(tx, services, scope, cluster);
    let mut looks = 0;
    loop {
        let (answer, named, known) = services.placing.with(&services.state, scope, cluster, |known| {
            Reserved::renew(tx, known);
            let (answer, named) = ask(known);
            let placements: Vec<u64> =
                named.iter().map(|id| known.placements.get(id).copied().unwrap_or(0)).collect();
            (answer, named, placements)
        });
        let behind = named.iter().zip(known).any(|(id, known)| {
            let seen = tx.get::<InstanceLoad>(scope, &format!("{cluster}/{id}"));
            let own = tx.notes::<Reserved>().placed.get(id).copied().unwrap_or(0);
            seen.map_or(0, |load| load.placements) > known + own
        });
        if !behind {
            return answer;
        }
        looks += 1;
        if looks == LOOKS {
            // Made anew of the tables, it lacks nothing.
            services.placing.forget(scope, cluster);
        }
        std::thread::yield_now();
    }
}

/// What an attempt of a transaction has chosen places for. Dropped with the attempt, when the tasks are in the tables or
/// never will be.
#[derive(Default)]
pub struct Reserved {
    held: Vec<(String, Held)>,
    placed: HashMap<String, u64>,
    of: Option<(Fleets, State, Scope, String)>,
}

impl Reserved {
    /// Notes a task that the transaction makes.
    pub fn note(tx: &mut Tx, task: &str, held: Held) {
        let own = tx.notes::<Reserved>();
        *own.placed.entry(held.instance.clone()).or_insert(0) += 1;
        own.held.push((task.to_owned(), held));
    }

    /// Has the fleet know of the tasks that were noted.
    pub fn settle(tx: &mut Tx, services: &Services, scope: &Scope, cluster: &str) {
        Reserved::belongs(tx, services, scope, cluster);
        services.placing.with(&services.state, scope, cluster, |known| Reserved::renew(tx, known));
    }

    /// Notes which fleet is to forget the tasks once the attempt is over.
    fn belongs(tx: &mut Tx, services: &Services, scope: &Scope, cluster: &str) {
        tx.notes::<Reserved>().of.get_or_insert_with(|| {
            (services.placing.clone(), services.state.clone(), scope.clone(), cluster.to_owned())
        });
    }

    /// Has a fleet, which may have been made anew, know of the attempt's own tasks.
    fn renew(tx: &mut Tx, known: &mut Known) {
        for (task, held) in &tx.notes::<Reserved>().held {
            if !known.fleet.holds(task) {
                known.fleet.set_task(task, held.clone());
            }
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let Some((fleets, state, scope, cluster)) = self.of.take() else { return };
        let view = state.view();
        let gone =
            self.held.iter().filter(|(id, _)| view.get::<Task>(&scope, &task_key(&cluster, id)).is_none());
        let gone: Vec<&String> = gone.map(|(id, _)| id).collect();
        if gone.is_empty() {
            return;
        }
        let mut inner = fleets.lock();
        if let Some(known) = inner.fleets.get_mut(&(scope, cluster)) {
            gone.into_iter().for_each(|id| known.fleet.remove_task(id));
        }
    }
}
