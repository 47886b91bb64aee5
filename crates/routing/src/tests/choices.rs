use proptest::prelude::*;

use crate::{
    choose::{self, Candidate, Turn},
    config::{Algorithm, TargetGroupAttributes},
    sticky,
};

const HEALTHY: Candidate =
    Candidate { healthy: true, draining: false, in_zone: true, outstanding: 0, healthy_for_seconds: None };

fn eligible(candidates: &[Candidate], attributes: &TargetGroupAttributes, cross_zone: bool) -> Vec<u32> {
    let mut places = vec![7, 7];
    choose::eligible(candidates.iter().copied(), attributes, cross_zone, &mut places);
    places
}

#[test]
fn who_may_get_a_request() {
    let usual = TargetGroupAttributes::default();
    let sick = Candidate { healthy: false, ..HEALTHY };
    let leaving = Candidate { draining: true, ..HEALTHY };
    let elsewhere = Candidate { in_zone: false, ..HEALTHY };
    assert_eq!(eligible(&[HEALTHY, sick, leaving, elsewhere], &usual, true), [0, 3]);
    assert_eq!(eligible(&[HEALTHY, sick, leaving, elsewhere], &usual, false), [0]);
    // Nobody is healthy: everybody gets requests, but for those that are leaving.
    assert_eq!(eligible(&[sick, leaving, sick], &usual, true), [0, 2]);
    assert_eq!(eligible(&[leaving], &usual, true), [0; 0]);
    // Fewer healthy than asked for.
    let two = TargetGroupAttributes { minimum_healthy_count: 2, ..usual.clone() };
    assert_eq!(eligible(&[HEALTHY, sick, sick], &two, true), [0, 1, 2]);
    assert_eq!(eligible(&[HEALTHY, HEALTHY, sick], &two, true), [0, 1]);
    let half = TargetGroupAttributes { minimum_healthy_percentage: Some(50), ..usual };
    assert_eq!(eligible(&[HEALTHY, sick, sick], &half, true), [0, 1, 2]);
    assert_eq!(eligible(&[HEALTHY, sick], &half, true), [0]);
}

#[test]
fn a_target_that_starts_slowly_gets_a_growing_share() {
    let attributes = TargetGroupAttributes { slow_start_seconds: 100, ..TargetGroupAttributes::default() };
    let share = |age: f64| {
        let young = Candidate { healthy_for_seconds: Some(age), ..HEALTHY };
        let candidates = [HEALTHY, young];
        let picks = (0..10_000_u64)
            .map(|at| Turn { number: at as usize, random: at.wrapping_mul(u64::MAX / 10_000) });
        let chosen =
            picks.map(|turn| choose::target(&[0, 1], &attributes, |place| candidates[place as usize], turn));
        chosen.filter(|place| *place == Some(1)).count() as f64 / 10_000.0
    };
    for (age, expected) in [(0.0, 0.1 / 1.1), (50.0, 0.5 / 1.5), (100.0, 0.5), (1000.0, 0.5)] {
        assert!((share(age) - expected).abs() < 0.01, "{age}: {}", share(age));
    }
}

#[test]
fn weights_are_kept_to() {
    let weights = [1, 0, 3];
    let mut counts = [0; 3];
    for random in 0..400 {
        counts[choose::group(&weights, random).expect("some")] += 1;
    }
    assert_eq!(counts, [100, 0, 300]);
    assert_eq!(choose::group(&[0, 0], 1), None);
    assert_eq!(choose::group(&[], 1), None);
}

#[test]
fn cookies_are_read_back_for_as_long_as_they_hold() {
    let mark = sticky::mark(&["group", "10.0.0.1", "80"]);
    assert_ne!(mark, sticky::mark(&["group", "10.0.0.18", "0"]));
    let value = sticky::value(mark, 1000);
    let header = format!("a=b; AWSALB={value}; AWSALBTG=x");
    let found: Vec<_> = sticky::cookies(header.as_bytes(), sticky::TARGET_COOKIE).collect();
    assert_eq!(found, [value.as_bytes()]);
    assert_eq!(sticky::read(found[0], 60, 1059), Some(mark));
    assert_eq!(sticky::read(found[0], 60, 1060), None);
    assert_eq!(sticky::read(found[0], 0, u64::MAX), Some(mark));
    for bad in [
        "",
        "x",
        "+0000000000000000000000000000000",
        &value[1..],
        &format!("{value}0"),
        &"g".repeat(32),
        &"ü".repeat(16),
    ] {
        assert_eq!(sticky::read(bad.as_bytes(), 0, 0), None, "{bad}");
    }
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (any::<bool>(), any::<bool>(), any::<bool>(), 0..5_u32, proptest::option::of(0.0..200.0_f64));
    let one = one.prop_map(|(healthy, draining, in_zone, outstanding, healthy_for_seconds)| Candidate {
        healthy,
        draining,
        in_zone,
        outstanding,
        healthy_for_seconds,
    });
    proptest::collection::vec(one, 0..12)
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::RoundRobin),
        Just(Algorithm::LeastOutstandingRequests),
        Just(Algorithm::WeightedRandom { anomaly_mitigation: false }),
    ]
}

proptest! {
    /// Nobody who is leaving or in another zone is ever chosen, the sick only when too few are well, and somebody is chosen whenever anybody may be.
    #[test]
    fn choices_are_safe(
        candidates in candidates(),
        algorithm in algorithms(),
        cross_zone: bool,
        slow_start_seconds in prop_oneof![Just(0_u32), 30..900_u32],
        minimum_healthy_count in 1..4_u32,
        number: usize,
        random: u64,
    ) {
        let attributes = TargetGroupAttributes {
            algorithm, slow_start_seconds, minimum_healthy_count, ..TargetGroupAttributes::default()
        };
        let places = eligible(&candidates, &attributes, cross_zone);
        let serving = |candidate: &&Candidate| !candidate.draining && (cross_zone || candidate.in_zone);
        let healthy = candidates.iter().filter(serving).filter(|candidate| candidate.healthy).count();
        let chosen = choose::target(&places, &attributes, |place| candidates[place as usize], Turn { number, random });
        prop_assert_eq!(chosen.is_some(), candidates.iter().filter(serving).count() > 0);
        if let Some(place) = chosen {
            let candidate = candidates[place as usize];
            prop_assert!(serving(&&candidate));
            prop_assert!(candidate.healthy || healthy < minimum_healthy_count as usize);
            if algorithm == Algorithm::LeastOutstandingRequests && slow_start_seconds == 0 {
                prop_assert!(places.iter().all(|other| candidates[*other as usize].outstanding >= candidate.outstanding));
            }
        }
    }

    /// Round robin gives everyone the same.
    #[test]
    fn turns_are_even(count in 1..9_usize, rounds in 1..5_usize, from in 0..1000_usize) {
        let places: Vec<u32> = (0..count as u32).collect();
        let mut counts = vec![0; count];
        for number in from..from + rounds * count {
            let chosen = choose::target(&places, &TargetGroupAttributes::default(), |_| HEALTHY, Turn { number, random: 0 });
            counts[chosen.expect("somebody") as usize] += 1;
        }
        prop_assert!(counts.iter().all(|times| *times == rounds));
    }
}
