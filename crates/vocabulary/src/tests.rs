use std::time::Duration;

use crate::{AccountId, Arn, Ids, Region, Scope, SeededIds, Timestamp};

#[test]
fn arn_round_trips_with_slashes_and_colons_in_the_resource() {
    for text in [
        "arn:aws:ecs:us-east-1:000000000000:cluster/web",
        "arn:aws:iam::123456789012:role/path/name",
        "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/web:*",
    ] {
        assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
    }
    for text in
        ["", "cluster/web", "arn:aws:ecs:us-east-1:000000000000", "arn:aws::r:a:x", "arn:aws:ecs:r:a:"]
    {
        assert!(text.parse::<Arn>().is_err(), "{text}");
    }
}

#[test]
fn arn_gives_the_resource_of_its_kind_only() {
    let arn: Arn = "arn:aws:ecs:us-east-1:000000000000:task/web/0123".parse().unwrap();
    assert_eq!(arn.resource_of_kind("task"), Some("web/0123"));
    assert_eq!(arn.resource_of_kind("tas"), None);
    assert_eq!(arn.resource_of_kind("cluster"), None);
}

#[test]
fn identities_are_checked() {
    assert!("123456789012".parse::<AccountId>().is_ok());
    for text in ["", "12345678901", "1234567890123", "12345678901a"] {
        assert!(text.parse::<AccountId>().is_err(), "{text}");
    }
    assert!("us-gov-west-1".parse::<Region>().is_ok());
    for text in ["", "US-EAST-1", "1-us", "us/east"] {
        assert!(text.parse::<Region>().is_err(), "{text}");
    }
}

#[test]
fn scope_makes_arns() {
    let scope = Scope::new(AccountId::local(), "us-east-1".parse().unwrap());
    assert_eq!(scope.arn("ecs", "cluster/a").to_string(), "arn:aws:ecs:us-east-1:000000000000:cluster/a");
}

#[test]
fn ids_have_the_forms_aws_uses() {
    let mut ids = SeededIds::new(7);
    assert_eq!(ids.hex(17).len(), 17);
    let digits = ids.digits(19);
    assert!(
        digits.len() == 19 && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
    );
    let uuid = ids.uuid();
    assert_eq!(uuid.len(), 36);
    assert_eq!(&uuid[14..15], "4");
    assert_ne!(ids.uuid(), uuid);
    assert_eq!(SeededIds::new(7).hex(32), SeededIds::new(7).hex(32));
}

#[test]
fn timestamps_convert_without_loss() {
    let time = Timestamp::from_millis(1_700_000_000_123);
    assert_eq!(Timestamp::from_secs_f64(time.as_secs_f64()), time);
    assert_eq!((time + Duration::from_secs(2)).since(time), Duration::from_secs(2));
    assert_eq!(time.since(time + Duration::from_secs(2)), Duration::ZERO);
}
