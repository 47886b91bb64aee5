//! The cluster query language: what it selects, and what it refuses.

use super::*;
use crate::query::{Expression, QueryError};

/// Three instances: `a` in zone 1 runs two tasks of a service, `b` in zone 2 one database, `c` in zone 2 nothing; the agent of
/// `c` is away.
fn three() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.set_instance(Instance {
        ec2_instance_id: Some("i-abcd1234".to_owned()),
        agent_version: Some("v1.14.4".to_owned()),
        ..with(instance("a", "us-east-1a"), &[("ecs.instance-type", "t2.small"), ("rank", "9")])
    });
    fleet.set_instance(Instance {
        registered_at: Timestamp::from_millis(1_529_360_908_000),
        ..with(instance("b", "us-east-1b"), &[("ecs.instance-type", "g2.2xlarge"), ("rank", "10")])
    });
    fleet.set_instance(Instance {
        connected: false,
        ..with(instance("c", "us-east-1b"), &[("ecs.instance-type", "g2.8xlarge"), ("stack", "prod (blue)")])
    });
    let small = demand(1, 1);
    fleet.set_task("1", held("a", "service:production", &small));
    fleet.set_task("2", held("a", "service:production", &small));
    fleet.set_task("3", held("b", "database", &small));
    fleet
}

fn with(mut instance: Instance, attributes: &[(&str, &str)]) -> Instance {
    for (name, value) in attributes {
        instance.attributes.insert((*name).to_owned(), Some((*value).to_owned()));
    }
    instance
}

#[track_caller]
fn check(expression: &str, expected: &[&str]) {
    let parsed: Expression = expression.parse().unwrap_or_else(|error| panic!("{expression}: {error}"));
    assert_eq!(three().select(&parsed), expected, "{expression}");
}

#[test]
fn attributes() {
    check("attribute:ecs.instance-type == t2.small", &["a"]);
    check("attribute:ecs.instance-type equals 't2.small'", &["a"]);
    check("attribute:ecs.instance-type==t2.small", &["a"]);
    check("attribute:ecs.instance-type != t2.small", &["b", "c"]);
    check("attribute:ecs.availability-zone in [us-east-1a, us-east-1c]", &["a"]);
    check("attribute:ecs.availability-zone !in [us-east-1a,us-east-1c]", &["b", "c"]);
    check("attribute:ecs.availability-zone not_in [us-east-1a]", &["b", "c"]);
    check("attribute:ecs.instance-type =~ g2.*", &["b", "c"]);
    check("attribute:ecs.instance-type =~ g2", &[]);
    check("attribute:ecs.instance-type matches '(t2|m4)\\..*'", &["a"]);
    check("attribute:ecs.instance-type !~ g2.*", &["a"]);
    check("attribute:stack exists", &["c"]);
    check("attribute:stack !exists", &["a", "b"]);
    check("attribute:stack not_exists", &["a", "b"]);
    check("attribute:stack == \"prod (blue)\"", &["c"]);
    check("attribute:bare exists", &["a", "b", "c"]);
    // By number when both are numbers, else as text.
    check("attribute:rank > 9", &["b"]);
    check("attribute:rank >= 9", &["a", "b"]);
    check("attribute:ecs.availability-zone < us-east-1b", &["a"]);
    check("attribute:rank greater_than 9.5 or attribute:rank less_than 9.5", &["a", "b"]);
}

#[test]
fn what_agents_and_machines_are() {
    check("agentConnected == true", &["a", "b"]);
    check("agentConnected != true", &["c"]);
    check("agentConnected in [false]", &["c"]);
    check("agentVersion < 1.14.5", &["a"]);
    check("agentVersion >= 1.14.5", &["b", "c"]);
    check("agentVersion == 1.14.4", &["a"]);
    check("ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']", &["a"]);
    check("ec2InstanceId =~ i-.", &["b", "c"]);
    check("registeredAt < 2018-06-19", &["b"]);
    check("registeredAt == 2018-06-18T22:28:28Z", &["b"]);
    check("registeredAt == 2018-06-19T00:28:28+02:00", &["b"]);
    check("registeredAt > 2018-06-18T22:28:28", &["a", "c"]);
    check("registeredAt >= 2018-06-18T22:28:28", &["a", "b", "c"]);
}

#[test]
fn tasks() {
    check("task:group == service:production", &["a"]);
    check("not(task:group == database)", &["a", "c"]);
    check("task:group != database", &["a", "c"]);
    check("task:group in [database, other]", &["b"]);
    check("task:group =~ service:.*", &["a"]);
    check("task:group exists", &["a", "b"]);
    check("runningTasksCount == 1", &["b"]);
    check("runningTasksCount < 2", &["b", "c"]);
    check("runningTasksCount != 0", &["a", "b"]);
}

#[test]
fn a_task_that_is_to_stop_still_runs_but_is_not_of_its_group_any_more() {
    let mut fleet = three();
    fleet.set_task("3", Held { wanted: false, ..held("b", "database", &demand(1, 1)) });
    assert_eq!(fleet.select(&"task:group == database".parse().unwrap()), [""; 0]);
    assert_eq!(fleet.select(&"runningTasksCount == 1".parse().unwrap()), ["b"]);
}

#[test]
fn compounds() {
    check(
        "attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d",
        &["b", "c"],
    );
    check("attribute:rank == 9 || attribute:rank == 10 && agentConnected == false", &["a"]);
    check("(attribute:rank == 9 or attribute:rank == 10) and agentConnected == true", &["a", "b"]);
    check("!(attribute:rank == 9) && !attribute:stack exists", &["b"]);
    check("not not attribute:rank == 9", &["a"]);
    check("NOT attribute:rank == 9 AND agentConnected == true", &["b"]);
}

#[test]
fn facts_that_change_are_seen() {
    let mut fleet = three();
    let query: Expression = "attribute:colour == red".parse().unwrap();
    assert_eq!(fleet.select(&query), [""; 0]);
    fleet.set_instance(with(instance("c", "us-east-1b"), &[("colour", "red")]));
    assert_eq!(fleet.select(&query), ["c"]);
    fleet.set_instance(with(instance("d", "us-east-1b"), &[("colour", "red")]));
    assert_eq!(fleet.select(&query), ["c", "d"]);
    fleet.remove_instance("c");
    assert_eq!(fleet.select(&query), ["d"]);
}

#[test]
fn mistakes_are_named() {
    #[track_caller]
    fn wrong(expression: &str, expected: QueryError) {
        assert_eq!(expression.parse::<Expression>().unwrap_err(), expected, "{expression}");
    }
    let unexpected = |text: &str| QueryError::Unexpected(text.to_owned());
    let not_allowed = |subject: &str, operator: &str| QueryError::OperatorNotAllowed {
        subject: subject.to_owned(),
        operator: operator.to_owned(),
    };
    wrong("", QueryError::Incomplete);
    wrong("attribute:a", QueryError::Incomplete);
    wrong("attribute:a ==", QueryError::Incomplete);
    wrong("attribute:a == b c", unexpected("c"));
    wrong("attribute:a = b", unexpected("="));
    wrong("attribute:a is b", unexpected("is"));
    wrong("attribute:a == 'b", QueryError::OpenQuote);
    wrong("attribute: == b", QueryError::UnknownSubject("attribute:".to_owned()));
    wrong("colour == red", QueryError::UnknownSubject("colour".to_owned()));
    wrong("(attribute:a == b", QueryError::Incomplete);
    wrong("attribute:a == b)", unexpected(")"));
    wrong("attribute:a in b", unexpected("b"));
    wrong("attribute:a in []", unexpected("]"));
    wrong("attribute:a in [b,]", unexpected("]"));
    wrong("attribute:a in [b", QueryError::Incomplete);
    wrong("attribute:a =~ '['", QueryError::WrongPattern("[".to_owned()));
    wrong("attribute:a =~ 'b)|(c'", QueryError::WrongPattern("b)|(c".to_owned()));
    wrong("runningTasksCount =~ 1", not_allowed("runningTasksCount", "=~"));
    wrong("runningTasksCount == many", QueryError::WrongValue("many".to_owned()));
    wrong("registeredAt > 2018-02-30", QueryError::WrongValue("2018-02-30".to_owned()));
    wrong("registeredAt > 18-2-3", QueryError::WrongValue("18-2-3".to_owned()));
    wrong("agentVersion > new", QueryError::WrongValue("new".to_owned()));
    wrong("agentConnected > true", not_allowed("agentConnected", ">"));
    wrong("task:group > a", not_allowed("task:group", ">"));
    wrong(&format!("attribute:a == {}", "b".repeat(2000)), QueryError::TooLong);
    wrong(&format!("{}attribute:a == b", "(".repeat(100)), QueryError::TooDeep);
    wrong(&format!("{}attribute:a == b", "!".repeat(100)), QueryError::TooDeep);
    wrong("attribute:a =~ 'x{1000}{1000}'", QueryError::WrongPattern("x{1000}{1000}".to_owned()));
}
