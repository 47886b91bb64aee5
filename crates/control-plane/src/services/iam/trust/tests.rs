use super::{Assumer, Question, allows, like};
use crate::services::iam::policy_document::{Use, parse};

const ACCOUNT: &str = "111122223333";
const BOB: &str = "arn:aws:iam::111122223333:user/bob";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/ops/monday";
const OPS: &str = "arn:aws:iam::111122223333:role/team/ops";

/// Whether a policy of these statements lets `assumer` in.
fn admitted(statements: &str, assumer: Assumer<'_>, context: &[(&str, &str)]) -> bool {
    let document = parse(&format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#), Use::Trust);
    allows(&document.unwrap(), &Question { action: "sts:AssumeRole", assumer, context })
}

fn bob() -> Assumer<'static> {
    Assumer::Aws { account: ACCOUNT, arn: BOB, role_arn: None }
}

fn session() -> Assumer<'static> {
    Assumer::Aws { account: ACCOUNT, arn: SESSION, role_arn: Some(OPS) }
}

fn allow(principal: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole","Condition":{{{condition}}}}}"#
    )
}

#[test]
fn principals_are_recognized() {
    for (principal, who, expected) in [
        (r#""*""#, bob(), true),
        (r#"{"AWS":"*"}"#, bob(), true),
        (r#"{"AWS":"111122223333"}"#, bob(), true),
        (r#"{"AWS":"arn:aws:iam::111122223333:root"}"#, bob(), true),
        (r#"{"AWS":"arn:aws:iam::444455556666:root"}"#, bob(), false),
        (r#"{"AWS":"arn:aws:iam::111122223333:user/bob"}"#, bob(), true),
        (r#"{"AWS":"arn:aws:iam::111122223333:user/bobby"}"#, bob(), false),
        (r#"{"AWS":"arn:aws:iam::111122223333:role/team/ops"}"#, session(), true),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/ops/monday"}"#, session(), true),
        (r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/ops/tuesday"}"#, session(), false),
        (r#"{"Service":"ecs-tasks.amazonaws.com"}"#, Assumer::Service("ecs-tasks.amazonaws.com"), true),
        (r#"{"Service":"ec2.amazonaws.com"}"#, Assumer::Service("ecs-tasks.amazonaws.com"), false),
        (r#"{"Service":"ecs-tasks.amazonaws.com"}"#, bob(), false),
        (r#"{"AWS":"111122223333"}"#, Assumer::Service("ecs-tasks.amazonaws.com"), false),
    ] {
        assert_eq!(admitted(&allow(principal, ""), who.clone(), &[]), expected, "{principal} {who:?}");
    }
}

#[test]
fn conditions_have_to_hold() {
    let context =
        [("sts:ExternalId", "xyz"), ("aws:SourceArn", "arn:aws:ecs:eu-west-1:111122223333:task/c/1")];
    for (condition, expected) in [
        (r#""StringEquals":{"sts:ExternalId":"xyz"}"#, true),
        (r#""StringEquals":{"STS:externalid":["abc","xyz"]}"#, true),
        (r#""StringEquals":{"sts:ExternalId":"XYZ"}"#, false),
        (r#""StringEqualsIgnoreCase":{"sts:ExternalId":"XYZ"}"#, true),
        (r#""StringNotEquals":{"sts:ExternalId":["abc","xyz"]}"#, false),
        (r#""StringLike":{"sts:ExternalId":"x?z*"}"#, true),
        (r#""ArnLike":{"aws:SourceArn":"arn:aws:ecs:*:111122223333:*"}"#, true),
        (r#""ArnLike":{"aws:SourceArn":"arn:aws:*:111122223333:*"}"#, false),
        (r#""StringEquals":{"aws:SourceAccount":"111122223333"}"#, false),
        (r#""StringEqualsIfExists":{"aws:SourceAccount":"444455556666"}"#, true),
        (r#""StringNotEquals":{"aws:SourceAccount":"444455556666"}"#, true),
        (r#""Null":{"sts:ExternalId":"false"}"#, true),
        (r#""Null":{"sts:ExternalId":"true"}"#, false),
        (r#""StringEquals":{"sts:ExternalId":"xyz"},"StringLike":{"sts:ExternalId":"a*"}"#, false),
        (r#""ForAnyValue:StringEquals":{"aws:TagKeys":"a"}"#, false),
        (r#""ForAllValues:StringEquals":{"aws:TagKeys":"a"}"#, true),
        // Not known here: lets nobody in.
        (r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#, false),
    ] {
        assert_eq!(admitted(&allow(r#""*""#, condition), bob(), &context), expected, "{condition}");
    }
}

#[test]
fn a_denial_wins() {
    let deny = |principal: &str, condition: &str| {
        let rest = format!(r#""Action":"sts:AssumeRole","Condition":{{{condition}}}"#);
        format!(r#"[{},{{"Effect":"Deny",{principal},{rest}}}]"#, allow(r#""*""#, ""))
    };
    assert!(!admitted(&deny(r#""Principal":{"AWS":"111122223333"}"#, ""), bob(), &[]));
    assert!(admitted(&deny(r#""Principal":{"AWS":"444455556666"}"#, ""), bob(), &[]));
    assert!(!admitted(&deny(r#""NotPrincipal":{"AWS":"444455556666"}"#, ""), bob(), &[]));
    // Not known here: keeps people out.
    let unknown = r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#;
    assert!(!admitted(&deny(r#""Principal":"*""#, unknown), bob(), &[]));
}

#[test]
fn other_actions_do_not_count() {
    let other = r#"{"Effect":"Allow","Principal":"*","Action":["sts:TagSession","sts:AssumeRoleWithSAML"]}"#;
    assert!(!admitted(other, bob(), &[]));
    let any = r#"{"Effect":"Allow","Principal":"*","Action":"sts:*"}"#;
    assert!(admitted(any, bob(), &[]));
}

/// The obvious definition, exponential.
fn like_by_definition(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            like_by_definition(rest, text) || (!text.is_empty() && like_by_definition(pattern, &text[1..]))
        }
        (Some((b'?', rest)), Some((_, text))) => like_by_definition(rest, text),
        (Some((wanted, rest)), Some((found, text))) => wanted == found && like_by_definition(rest, text),
        _ => false,
    }
}

proptest::proptest! {
    #[test]
    fn wildcards_match_what_they_are_defined_to(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        proptest::prop_assert_eq!(like(&pattern, &text), like_by_definition(pattern.as_bytes(), text.as_bytes()));
    }
}
