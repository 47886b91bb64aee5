//! The real control plane on a simulated clock, against a simulated fleet that loses, repeats and delays what is said, whose tasks
//! fail as they please, while users ask for things and the control plane itself ends in the middle of what it does.
//!
//! Everything follows from a seed. After every step a checker holds the state against what must never be; in the end the
//! faults cease, and all that was acknowledged has to come true. A seed that fails says how it is replayed.

mod checker;
mod fleet;
mod machines;
mod sets;
mod traffic;
mod user;
mod world;

use std::time::Duration;

use vocabulary::{Ids, SeededIds};

use world::{Kind, World};

/// Choices that follow from the seed.
pub struct Random(SeededIds);

impl Random {
    fn new(seed: u64) -> Random {
        Random(SeededIds::new(seed))
    }

    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Milliseconds from `least` to `most`.
    fn millis(&mut self, least: u64, most: u64) -> Duration {
        let span = usize::try_from(most - least).unwrap() + 1;
        Duration::from_millis(least + self.below(span) as u64)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Seeds of each kind that once found something.
fn remembered(kind: Kind) -> &'static [u64] {
    match kind {
        // Tasks in zones that the load balancer was not in counted as healthy after a while.
        Kind::Balanced => &[20, 36],
        // A service whose tasks had found no place for a while was looked at without a pause.
        Kind::Instances => &[28],
        _ => &[],
    }
}

/// Which seeds are run; one alone with `SCENARIO_SEED`, as many as `SCENARIO_SEEDS` says instead of `count`.
fn seeds(kind: Kind, count: u64) -> Vec<u64> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("the seed or their number is a number"))
    };
    match (number("SCENARIO_SEED"), number("SCENARIO_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(many)) => (0..many).collect(),
        (None, None) => (0..count).chain(remembered(kind).iter().copied()).collect(),
    }
}

/// Says which seed it was, and what had happened, when a scenario panics.
struct Replay {
    kind: Kind,
    seed: u64,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "\nscenario {:?} failed with seed {seed}; replay it with\n  SCENARIO_SEED={seed} SCENARIO_TRACE=1 cargo nextest run -p control-plane {}\n",
                self.kind,
                self.kind.test_name(),
                seed = self.seed,
            );
        }
    }
}

async fn run(kind: Kind, count: u64) {
    for seed in seeds(kind, count) {
        let _replay = Replay { kind, seed };
        let mut world = World::new(kind, seed).await;
        for _ in 0..user::WISHES {
            let pause = world.random.millis(0, 90_000);
            world.run_for(pause).await;
            user::wish(&mut world).await;
        }
        world.cease_faults();
        machines::settle(&mut world).await;
        user::last_wish(&mut world).await;
        world.run_until_settled().await;
        checker::fulfilled(&mut world).await;
        user::delete(&mut world).await;
        world.run_until_gone().await;
        checker::nothing_left(&world);
    }
}

#[tokio::test]
async fn rolling_services_survive_whatever_happens() {
    run(Kind::Rolling, 20).await;
}

#[tokio::test]
async fn services_on_instances_survive_whatever_happens() {
    run(Kind::Instances, 12).await;
}

#[tokio::test]
async fn daemons_survive_whatever_happens() {
    run(Kind::Daemon, 12).await;
}

#[tokio::test]
async fn task_sets_survive_whatever_happens() {
    run(Kind::TaskSets, 20).await;
}

#[tokio::test]
async fn balanced_services_survive_whatever_happens() {
    run(Kind::Balanced, 8).await;
}

#[tokio::test]
async fn blue_green_services_survive_whatever_happens() {
    run(Kind::BlueGreen, 6).await;
}

#[tokio::test]
async fn linear_services_survive_whatever_happens() {
    run(Kind::Linear, 4).await;
}

#[tokio::test]
async fn canary_services_survive_whatever_happens() {
    run(Kind::Canary, 4).await;
}
