//! Documents that are nearly right, by the thousand: whatever is taken can be evaluated, and means the same however it is written.

use policy::{Context, Policies, Policy, Principal, Request};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// What may stand anywhere, and hardly ever should.
fn odd() -> impl Strategy<Value = Value> {
    let words = &["s3", ":", "s3:", "arn:moon:s3:::b", "bucket", "arn:aws", "10.0.0.0/99", "x"][..];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z:*?${}]{0,12}".prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[]])),
        Just(json!({"AWS": ["*", null]})),
    ]
}

fn texts(pool: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => prop::sample::select(pool).prop_map(Value::from),
        10 => prop::collection::vec(prop::sample::select(pool), 1..4).prop_map(Value::from),
        1 => odd(),
    ]
}

const ACTIONS: &[&str] = &["*", "s3:*", "s3:Get*", "sts:AssumeRole", "s3:GetObject"];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s3:::bucket/*",
    "arn:aws:s3:::${aws:username}/*",
    "arn:aws:s3",
    "arn:aws:iam::111122223333:role/app",
    "arn:*:s3:::b",
];
const PRINCIPALS: &[&str] = &["*", "111122223333", "arn:aws:iam::111122223333:user/ann"];
/// Operators, and what each can compare.
const TESTS: &[(&str, &[&str])] = &[
    ("StringEquals", &["a", "${aws:username}", "*", "", "${"]),
    ("StringLikeIfExists", &["a*", "${aws:username, 'x'}"]),
    ("ForAllValues:StringEquals", &["a", "b"]),
    ("ForAnyValue:ArnLike", &["arn:aws:s3:::*", "*"]),
    ("stringnotequals", &["a"]),
    ("NumericLessThan", &["7", "-1.5e3", "0"]),
    (
        "DateGreaterThan",
        &["2026-11-21", "2026-11-21T10:00:00Z", "1795255200", "2026-1-2", "2026-11-21t1:2:3.5z"],
    ),
    ("Bool", &["true", "FALSE"]),
    ("IpAddress", &["10.0.0.0/8", "::/0", "10.1.2.3"]),
    ("NotIpAddress", &["10.0.0.0/8"]),
    ("Null", &["true", "false"]),
    ("BinaryEquals", &["YQ=="]),
];
const OPERATORS: &[&str] = &[
    "NullIfExists",
    "ForSome:StringEquals",
    "StringMatches",
    "NumericEquals",
    "DateEquals",
    "Bool",
    "IpAddress",
];

fn conditions() -> impl Strategy<Value = Value> {
    let key =
        || prop::sample::select(&["aws:username", "aws:SourceIp", "aws:CurrentTime", "AWS:TagKeys", "k"][..]);
    let right = (prop::sample::select(TESTS), key()).prop_flat_map(|((operator, values), key)| {
        texts(values).prop_map(move |values| (operator.to_owned(), json!({key: values})))
    });
    // What does not fit together, or is nothing at all.
    let wrong = (prop::sample::select(OPERATORS), key(), odd(), any::<bool>()).prop_map(
        |(operator, key, value, keyed)| {
            (operator.to_owned(), if keyed { json!({key: value}) } else { value })
        },
    );
    let one = prop_oneof![20 => right, 1 => wrong];
    prop::collection::vec(one, 0..3).prop_map(|all| Value::from(all.into_iter().collect::<Map<_, _>>()))
}

fn statements() -> impl Strategy<Value = Value> {
    let effect =
        prop_oneof![20 => prop::sample::select(&["Allow", "Deny"][..]).prop_map(Value::from), 1 => odd()];
    let named = prop_oneof![
        10 => Just(json!("*")),
        20 => texts(PRINCIPALS).prop_map(|names| json!({"AWS": names})),
        5 => Just(json!({"Service": ["ecs-tasks.amazonaws.com"]})),
        1 => odd(),
    ];
    // Of a role, of a resource, of somebody, or of nothing in particular: in turn whether the action is a role's, and whether resources and
    // principals are named.
    let shape = prop_oneof![
        2 => Just((true, false, true)),
        2 => Just((false, true, true)),
        2 => Just((false, true, false)),
        1 => any::<(bool, bool, bool)>(),
    ];
    let negated = prop::array::uniform3(prop::bool::weighted(0.15));
    let sid = prop::option::weighted(0.3, prop::sample::select(&["A1", "", "A2"][..]));
    let odds = (prop::option::weighted(0.5, conditions()), prop::option::weighted(0.02, odd()));
    let members = (shape, negated, (effect, sid), texts(ACTIONS), texts(RESOURCES), named, odds);
    members.prop_map(|(shape, negated, (effect, sid), actions, resource, named, (conditions, unknown))| {
        let (of_role, resources, principals) = shape;
        let mut statement = Map::new();
        let mut put = |name: &str, negated: bool, value: Option<Value>| {
            let name = if negated { format!("Not{name}") } else { name.to_owned() };
            value.map(|value| statement.insert(name, value));
        };
        put("Effect", false, Some(effect));
        put("Action", negated[0] && !of_role, Some(if of_role { json!("sts:AssumeRole") } else { actions }));
        put("Resource", negated[1], resources.then_some(resource));
        put("Principal", negated[2] && !of_role, principals.then_some(named));
        put("Sid", false, sid.map(Value::from));
        put("Condition", false, conditions);
        put("Unknown", false, unknown);
        Value::from(statement)
    })
}

fn documents() -> impl Strategy<Value = Value> {
    let version = prop_oneof![20 => Just("2012-10-17"), 3 => Just("2008-10-17"), 1 => Just("2013")];
    let all = prop_oneof![
        10 => statements(),
        10 => prop::collection::vec(statements(), 0..3).prop_map(Value::from),
        1 => odd(),
    ];
    (prop::option::weighted(0.9, version), all).prop_map(|(version, statements)| {
        let mut document = Map::new();
        version.map(|version| document.insert("Version".to_owned(), version.into()));
        document.insert("Statement".to_owned(), statements);
        Value::from(document)
    })
}

const KINDS: [Use; 4] = [Use::Managed, Use::Inline, Use::Trust, Use::Resource];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What is let in can be compiled, or its owner would learn of it when it is too late; evaluating it comes to an end.
    #[test]
    fn what_is_taken_can_be_evaluated(document in documents()) {
        for kind in KINDS {
            let Ok(parsed) = parse(&document.to_string(), kind) else { continue };
            let compiled = Policy::new("p", parsed.version, &parsed.statements);
            prop_assert!(compiled.is_ok(), "{kind:?} {document}: {compiled:?}");
            let compiled = compiled.unwrap();
            let (context, who) = (
                Context::new().with("aws:username", "ann").with("aws:SourceIp", "10.1.2.3"),
                Principal::root("111122223333".parse().unwrap()),
            );
            let request = Request {
                principal: &who,
                action: "s3:GetObject",
                resource: "arn:aws:s3:::bucket/key",
                resource_account: None,
                context: &context,
            };
            let identity = [&compiled];
            let decision = policy::decide(
                &request,
                &Policies { identity: &identity, resource: Some(&compiled), ..Policies::default() },
            );
            // Only a statement that denies can take anything from the root.
            let denies = parsed.statements.iter().any(|statement| statement.effect == Effect::Deny);
            prop_assert!(decision.is_allowed() || denies, "{document}");
        }
    }

    /// Blanks and the order of members mean nothing; a single statement is a list of one.
    #[test]
    fn how_it_is_written_means_nothing(document in documents()) {
        let pretty = serde_json::to_string_pretty(&document).unwrap();
        let mut listed = document.clone();
        if listed["Statement"].is_object() {
            listed["Statement"] = json!([document["Statement"]]);
        }
        for kind in KINDS {
            let plain = parse(&document.to_string(), kind);
            prop_assert_eq!(&parse(&pretty, kind), &plain);
            prop_assert_eq!(&parse(&listed.to_string(), kind), &plain, "{}", listed);
        }
    }
}

/// The generator is worth something only when it gets past the parser often enough.
#[test]
fn many_documents_are_taken() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let strategy = documents();
    let mut taken = KINDS.map(|kind| (kind, 0));
    for _ in 0..2000 {
        let text = strategy.new_tree(&mut runner).unwrap().current().to_string();
        for (kind, count) in &mut taken {
            *count += usize::from(parse(&text, *kind).is_ok());
        }
    }
    assert!(taken.iter().all(|(_, count)| *count > 60), "{taken:?}");
}
