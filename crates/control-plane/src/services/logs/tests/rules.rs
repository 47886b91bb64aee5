//! The rules of PutLogEvents, as a function of a batch and the time.

use aws_shapes_logs::InputLogEvent;
use proptest::prelude::*;
use vocabulary::Timestamp;

use super::{DAY, HOUR, NOW};
use crate::services::logs::ingest::{Refused, accept};

fn batch(times: &[i64]) -> Vec<InputLogEvent> {
    times.iter().map(|at| InputLogEvent { message: Some(at.to_string()), timestamp: Some(*at) }).collect()
}

/// What is taken, and the three indices: too old, expired, too new.
fn check(times: &[i64], kept_days: Option<i64>, taken: &[i64], indices: [Option<usize>; 3]) {
    let oldest_kept = kept_days.map(|days| Timestamp::from_millis(NOW - days * DAY));
    let accepted = accept(batch(times), oldest_kept, Timestamp::from_millis(NOW)).unwrap();
    let times: Vec<i64> = accepted.events.iter().map(|event| event.timestamp.as_millis()).collect();
    assert_eq!(times, taken);
    assert_eq!([accepted.too_old_end, accepted.expired_end, accepted.too_new_start], indices);
}

#[test]
fn events_out_of_bounds_are_reported() {
    check(&[NOW - 1, NOW, NOW + HOUR], None, &[NOW - 1, NOW, NOW + HOUR], [None; 3]);
    check(&[NOW - 14 * DAY - 1, NOW - 14 * DAY], None, &[NOW - 14 * DAY], [Some(1), None, None]);
    check(&[NOW + 2 * HOUR, NOW + 2 * HOUR + 1], None, &[NOW + 2 * HOUR], [None, None, Some(1)]);
    check(&[NOW - 3 * DAY - 1, NOW - 3 * DAY], Some(3), &[NOW - 3 * DAY], [None, Some(1), None]);
    // Too old for every group is reported as that alone.
    check(&[NOW - 20 * DAY], Some(3), &[], [Some(1), None, None]);
    check(&[NOW + 3 * HOUR], None, &[], [None, None, Some(0)]);
}

#[test]
fn batches_are_refused_as_a_whole() {
    let refuse = |events| accept(events, None, Timestamp::from_millis(NOW)).unwrap_err();
    assert_eq!(refuse(batch(&[NOW, NOW - 1])), Refused::Order);
    assert_eq!(refuse(batch(&[NOW - DAY - 1, NOW])), Refused::Span);
    let big = |bytes: usize| vec![InputLogEvent { message: Some("x".repeat(bytes)), timestamp: Some(NOW) }];
    assert_eq!(refuse(big(1_048_576 - 25)), Refused::TooLarge(1_048_577));
    assert!(accept(big(1_048_576 - 26), None, Timestamp::from_millis(NOW)).is_ok());
    assert_eq!(
        Refused::TooLarge(1_048_577).to_string(),
        "Upload too large: 1048577 bytes exceeds limit of 1048576"
    );
}

proptest! {
    /// Every event is either taken or covered by one of the indices, and order is kept.
    #[test]
    fn nothing_is_lost_unreported(mut hours in prop::collection::vec(0i64..24, 0..20), start in -400i64..10, days in prop::option::of(1i64..20)) {
        hours.sort_unstable();
        let times: Vec<i64> = hours.iter().map(|hour| NOW + (start + hour) * HOUR).collect();
        let oldest_kept = days.map(|days| Timestamp::from_millis(NOW - days * DAY));
        let accepted = accept(batch(&times), oldest_kept, Timestamp::from_millis(NOW)).unwrap();
        let begin = accepted.too_old_end.max(accepted.expired_end).unwrap_or(0);
        let end = accepted.too_new_start.unwrap_or(times.len());
        let taken: Vec<i64> = accepted.events.iter().map(|event| event.timestamp.as_millis()).collect();
        prop_assert_eq!(taken, times.get(begin..end).unwrap_or_default());
    }
}
