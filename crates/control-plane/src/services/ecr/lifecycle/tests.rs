//! Examples after the user guide, and properties of every evaluation.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use vocabulary::Timestamp;

use super::{Candidate, Policy};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const NOW: Timestamp = Timestamp::from_millis(1000 * DAY_MS);

/// An image pushed so many days ago.
fn image(name: &str, tags: &[&str], days_ago: i64) -> Candidate {
    Candidate {
        digest: name.to_owned(),
        tags: tags.iter().map(ToString::to_string).collect(),
        pushed_at: Timestamp::from_millis(NOW.as_millis() - days_ago * DAY_MS),
        pulled_at: None,
        held: false,
    }
}

fn rule(priority: u32, selection: Value) -> Value {
    json!({ "rulePriority": priority, "selection": selection, "action": { "type": "expire" } })
}

fn policy(rules: Vec<Value>) -> Policy {
    Policy::parse(&json!({ "rules": rules }).to_string()).expect("a policy")
}

fn check(rules: Vec<Value>, images: &[Candidate], expected: &[(&str, u32)]) {
    let expired = policy(rules).evaluate(images, NOW);
    let expired =
        expired.iter().map(|e| (images[e.candidate].digest.as_str(), e.priority)).collect::<Vec<_>>();
    assert_eq!(expired, expected);
}

#[test]
fn by_age() {
    let images =
        [image("old", &[], 15), image("edge", &[], 14), image("new", &[], 1), image("tagged", &["a"], 90)];
    let untagged = json!({ "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14 });
    check(vec![rule(1, untagged)], &images, &[("old", 1)]);
}

#[test]
fn by_pull() {
    let mut used = image("used", &["a"], 90);
    used.pulled_at = Some(image("", &[], 3).pushed_at);
    let images = [used, image("unused", &["b"], 90)];
    let any = json!({ "tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 30 });
    check(vec![rule(1, any)], &images, &[("unused", 1)]);
}

#[test]
fn by_count_the_oldest_go() {
    let images = [image("a", &["v1"], 3), image("b", &["v2"], 1), image("c", &[], 2)];
    let any = json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1 });
    check(vec![rule(1, any)], &images, &[("a", 1), ("c", 1)]);
}

#[test]
fn every_prefix_and_pattern_has_to_match() {
    let images =
        [image("both", &["prod-1", "green"], 3), image("one", &["prod-2"], 2), image("none", &["dev"], 1)];
    let count = |list: &str, of: Value| {
        json!({ "tagStatus": "tagged", list: of, "countType": "sinceImagePushed",
        "countUnit": "days", "countNumber": 1 })
    };
    check(vec![rule(1, count("tagPrefixList", json!(["prod", "green"])))], &images, &[("both", 1)]);
    check(vec![rule(1, count("tagPatternList", json!(["prod-*"])))], &images, &[("both", 1), ("one", 1)]);
    check(vec![rule(1, count("tagPatternList", json!(["*od*1", "gr*n"])))], &images, &[("both", 1)]);
}

#[test]
fn a_rule_of_higher_priority_shields_what_it_selects() {
    let images = [image("prod", &["prod"], 50), image("other", &["dev"], 40), image("young", &["dev"], 1)];
    let prod = json!({ "tagStatus": "tagged", "tagPrefixList": ["prod"], "countType": "imageCountMoreThan",
        "countNumber": 1 });
    let any = json!({ "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30 });
    check(vec![rule(2, any), rule(1, prod)], &images, &[("other", 2)]);
}

#[test]
fn what_an_index_holds_stays() {
    let mut child = image("child", &[], 50);
    child.held = true;
    let any =
        json!({ "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1 });
    check(vec![rule(1, any)], &[child, image("index", &["v1"], 50)], &[("index", 1)]);
}

#[test]
fn bad_policies_are_named() {
    let good = json!({ "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1 });
    let with = |name: &str, value: Value| {
        let mut selection = good.clone();
        selection[name] = value;
        json!({ "rules": [rule(1, selection)] })
    };
    for (text, expected) in [
        ("nonsense".to_owned(), "Could not map policyString into LifecyclePolicy."),
        ("[]".to_owned(), "Could not map policyString into LifecyclePolicy."),
        ("{}".to_owned(), "object has missing required properties ([\"rules\"])"),
        (json!({ "rules": ["x"] }).to_string(), "instance type (string) does not match"),
        (
            json!({ "rules": [{ "rulePriority": 1 }] }).to_string(),
            "missing required properties ([\"selection\"])",
        ),
        (with("unknown", json!(1)).to_string(), "not allowed by the schema: ([\"unknown\"])"),
        (
            with("tagStatus", json!("x")).to_string(),
            "(x) not found in enum :(possible values: [\"any\", \"tagged\"",
        ),
        (with("countNumber", json!(0)).to_string(), "lower than the required minimum (minimum: 1, found: 0)"),
        (with("countType", json!("x")).to_string(), "instance failed to match exactly one schema"),
        (
            json!({ "rules": [rule(1, good.clone()), rule(1, good.clone())] }).to_string(),
            "priorities must be unique",
        ),
        (json!({ "rules": [rule(1, good.clone()), rule(2, good.clone())] }).to_string(), "Only one rule"),
    ] {
        let error = Policy::parse(&text).expect_err(&text).to_string();
        assert!(error.starts_with("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint"));
        assert!(error.contains(expected), "{error}");
    }
}

fn images() -> impl Strategy<Value = Vec<Candidate>> {
    let tags = proptest::sample::subsequence(vec!["a1", "a2", "b1"], 0..=3);
    proptest::collection::vec((tags, 0..60_i64, any::<bool>()), 0..12).prop_map(|images| {
        let named = images.into_iter().enumerate();
        named
            .map(|(at, (tags, days, held))| Candidate { held, ..image(&format!("{at:02}"), &tags, days) })
            .collect()
    })
}

fn rules() -> impl Strategy<Value = Vec<Value>> {
    (1..5_u32, 1..40_u32, 1..5_u32).prop_map(|(prefixed, days, all)| {
        vec![
            rule(
                1,
                json!({ "tagStatus": "tagged", "tagPrefixList": ["a"], "countType": "imageCountMoreThan",
                "countNumber": prefixed }),
            ),
            rule(
                2,
                json!({ "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days",
                "countNumber": days }),
            ),
            rule(9, json!({ "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": all })),
        ]
    })
}

proptest! {
    /// Each image goes at most once, none that an index holds goes, and applied again nothing more does.
    #[test]
    fn evaluations_are_safe_and_settle(images in images(), rules in rules()) {
        let policy = policy(rules);
        let expired = policy.evaluate(&images, NOW);
        let distinct = expired.iter().map(|expiry| expiry.candidate).collect::<BTreeSet<_>>();
        prop_assert_eq!(distinct.len(), expired.len());
        prop_assert!(expired.iter().all(|expiry| !images[expiry.candidate].held));
        let rest = images.iter().enumerate().filter(|(at, _)| !distinct.contains(at)).map(|(_, image)| image.clone());
        let rest = rest.collect::<Vec<_>>();
        prop_assert_eq!(policy.evaluate(&rest, NOW), vec![]);
    }
}
