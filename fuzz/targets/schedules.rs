//! Rotation schedules, `rate(…)` and `cron(…)`: read or refused, and what comes next comes later, on the hour for cron.
#![no_main]

#[path = "../../crates/control-plane/src/services/secretsmanager/schedule.rs"]
mod schedule;

use libfuzzer_sys::fuzz_target;
use longshore_fuzz::two;
use schedule::Schedule;
use vocabulary::Timestamp;

fuzz_target!(|text: &str| {
    let (now, text) = two(text);
    let now: i64 = now.parse().unwrap_or(1_795_253_752_000);
    let Ok(schedule) = Schedule::parse(text) else { return };
    assert_eq!(Schedule::parse(text).as_ref(), Ok(&schedule));
    // From the year 1 to the year 9999.
    let now = Timestamp::from_millis(now.rem_euclid(315_000_000_000_000) - 62_000_000_000_000);
    let Some(next) = schedule.next(now) else { return };
    assert!(next > now);
    match schedule {
        Schedule::Rate(period) => assert_eq!(next.since(now), period),
        Schedule::Cron(_) => {
            assert_eq!(next.as_millis().rem_euclid(3_600_000), 0);
            // Nothing lies between: a moment before the next time, that is still the next time.
            let before = Timestamp::from_millis(next.as_millis() - 1000);
            assert_eq!(schedule.next(before.max(now)), Some(next));
        }
    }
});
