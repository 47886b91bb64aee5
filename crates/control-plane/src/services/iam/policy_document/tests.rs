use super::{
    Clause, Condition, Effect, LanguageVersion, NamedPrincipal as Principal, Quantifier, Use, parse,
};

#[track_caller]
fn refused(text: &str, kind: Use, message: &str) {
    match parse(text, kind) {
        Ok(document) => panic!("{text} was taken: {document:?}"),
        Err(error) => assert_eq!(error.0, message, "{text}"),
    }
}

/// A document around one statement.
fn document(statement: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#)
}

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";

#[test]
fn a_document_is_taken_apart() {
    let text = r#"{"Version":"2012-10-17","Id":"i","Statement":[
        {"Sid":"one","Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"*"},
        {"Effect":"Deny","NotAction":"iam:*","NotResource":["arn:aws:s3:::bucket/*"],
         "Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["a","b"]},"bool":{"aws:SecureTransport":false}}}]}"#;
    let document = parse(text, Use::Managed).unwrap();
    assert_eq!(document.version, LanguageVersion::V2012);
    assert_eq!(document.id.as_deref(), Some("i"));
    let [first, second] = document.statements.as_slice() else { panic!("two statements") };
    assert_eq!((first.sid.as_deref(), first.effect), (Some("one"), Effect::Allow));
    let actions = vec!["s3:Get*".to_owned(), "s3:List*".to_owned()];
    assert_eq!(first.actions, Clause { negated: false, members: actions });
    assert_eq!(second.actions, Clause { negated: true, members: vec!["iam:*".to_owned()] });
    assert!(second.resources.as_ref().unwrap().negated);
    assert_eq!(
        second.conditions,
        [
            Condition {
                quantifier: Some(Quantifier::AnyValue),
                operator: "StringLike".to_owned(),
                if_exists: true,
                key: "aws:TagKeys".to_owned(),
                values: vec!["a".to_owned(), "b".to_owned()],
            },
            Condition {
                quantifier: None,
                operator: "Bool".to_owned(),
                if_exists: false,
                key: "aws:SecureTransport".to_owned(),
                values: vec!["false".to_owned()],
            },
        ]
    );
}

#[test]
fn trust_policies_have_principals() {
    let text = document(
        r#"{"Effect":"Allow","Principal":{"AWS":["123456789012","*"],"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}"#,
    );
    let trust = parse(&text, Use::Trust).unwrap();
    let principals = trust.statements[0].principals.as_ref().unwrap();
    assert_eq!(
        principals.members,
        [
            Principal::Aws("123456789012".to_owned()),
            Principal::Aws("*".to_owned()),
            Principal::Service("ecs-tasks.amazonaws.com".to_owned()),
        ]
    );
}

#[test]
fn policies_of_resources_have_principals_and_may_name_resources() {
    let statement =
        |rest: &str| document(&format!(r#"{{"Effect":"Allow","Action":"ecr:BatchGetImage"{rest}}}"#));
    refused(&statement(r#","Resource":"*""#), Use::Resource, "Missing required field Principal");
    for rest in ["", r#","Resource":"*""#] {
        let text = statement(&format!(r#","Principal":{{"AWS":"111122223333"}}{rest}"#));
        let parsed = parse(&text, Use::Resource).unwrap();
        assert_eq!(parsed.statements[0].resources.is_some(), !rest.is_empty());
    }
}

#[test]
fn what_is_no_policy_is_refused() {
    refused("{", Use::Inline, SYNTAX);
    refused("{", Use::Trust, "This policy contains invalid Json");
    for text in [
        "[]",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2013-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"},"More":1}"#,
    ] {
        refused(text, Use::Managed, SYNTAX);
    }
    for statement in [
        r#"["text"]"#,
        r#"{"Action":"s3:*","Resource":"*"}"#,
        r#"{"Effect":"Maybe","Action":"s3:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Action":[["s3:*"]],"Resource":"*"}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"a":"b"}}}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NullIfExists":{"a":"true"}}}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"ForSome:StringLike":{"a":"b"}}}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"a":{}}}}"#,
    ] {
        refused(&document(statement), Use::Managed, SYNTAX);
    }
}

#[test]
fn statements_are_refused_for_their_contents() {
    let allow = |rest: &str| document(&format!(r#"{{"Effect":"Allow",{rest}}}"#));
    for (rest, message) in [
        (r#""Resource":"*""#, "Policy statement must contain actions."),
        (r#""Action":[],"Resource":"*""#, "Policy statement must contain actions."),
        (r#""Action":"s3:*""#, "Policy statement must contain resources."),
        (
            r#""Action":"anything","Resource":"*""#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (r#""Action":"a:b:c","Resource":"*""#, "Actions/Condition can contain only one colon."),
        (r#""Action":"s 3:Get","Resource":"*""#, "Vendor s 3 is not valid"),
        (r#""Action":"s3:*","Resource":"bucket""#, r#"Resource bucket must be in ARN format or "*"."#),
        (r#""Action":"s3:*","Resource":"""#, r#"Resource  must be in ARN format or "*"."#),
        (
            r#""Action":"s3:*","Resource":"arn:moon:s3:::bucket""#,
            r#"Partition "moon" is not valid for resource "arn:moon:s3:::bucket"."#,
        ),
        (
            r#""Action":"s3:*","Resource":"arn:aws""#,
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (
            r#""Action":"s3:*","Resource":"arn:aws:s3:us-east-1::bucket""#,
            "Resource arn:aws:s3:us-east-1::bucket can not contain region information.",
        ),
        (
            r#""Action":"iam:*","Resource":"arn:aws:iam:us-east-1::role/a""#,
            "IAM resource arn:aws:iam:us-east-1::role/a cannot contain region information.",
        ),
        (r#""Action":"s3:*","Resource":"*","Condition":{"DateLessThan":{"a":"soon"}}"#, LEGACY),
        (r#""Action":"s3:*","Resource":"*","Condition":{"DateLessThan":{"a":"2020-13-01"}}"#, LEGACY),
        (
            r#""Principal":"*","Action":"s3:*","Resource":"*""#,
            "Policy document should not specify a principal.",
        ),
    ] {
        refused(&allow(rest), Use::Managed, message);
    }
    refused(&document(r#"{"Effect":"allow","Action":"s3:*","Resource":"*"}"#), Use::Managed, LEGACY);
    let twice = r#"[{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},
                    {"Sid":"a","Effect":"Deny","Action":"s3:*","Resource":"*"}]"#;
    refused(&document(twice), Use::Managed, "Statement IDs (SID) in a single policy must be unique.");
    for (rest, message) in [
        (r#""Action":"sts:AssumeRole""#, "Missing required field Principal"),
        (r#""Principal":"*","Action":"sts:AssumeRole","Resource":"*""#, "Has prohibited field Resource"),
        (r#""Principal":"*","Action":"s3:*""#, "AssumeRole policy may only specify STS AssumeRole actions."),
        (r#""Principal":{"Moon":"a"},"Action":"sts:AssumeRole""#, SYNTAX),
        (r#""Principal":"root","Action":"sts:AssumeRole""#, SYNTAX),
    ] {
        refused(&allow(rest), Use::Trust, message);
    }
}

#[test]
fn only_managed_policies_need_the_present_language() {
    let old = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    refused(old, Use::Managed, "Policy document must be version 2012-10-17 or greater.");
    assert_eq!(parse(old, Use::Inline).unwrap().version, LanguageVersion::V2008);
}

#[test]
fn odd_documents_that_iam_takes_are_taken() {
    for statement in [
        r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::b",null]}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:*:s3:::b"}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"whatever":{}}}"#,
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"DateGreaterThan":{"a":["2019-07-01T13:20:15Z","1562000000","2019-07"]}}}"#,
        r#"{"Sid":"","Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
    ] {
        let taken = parse(&document(statement), Use::Managed);
        assert!(taken.is_ok(), "{statement}: {taken:?}");
    }
}

#[test]
fn every_policy_of_awss_own_is_valid() {
    let policies = &crate::services::iam::aws_managed::POLICIES;
    assert!(policies.contains_key("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"));
    for (arn, policy) in policies.iter() {
        for version in policy.versions.values() {
            let parsed = parse(&version.document, Use::Managed);
            assert!(parsed.is_ok(), "{arn}: {parsed:?}");
        }
    }
}

proptest::proptest! {
    /// Whatever a document is, the parser comes to an end, and what it takes has statements.
    #[test]
    fn no_text_is_too_much(text in r#"[\{\}\[\]":,a-zA-Z*0-9]{0,200}"#) {
        for kind in [Use::Managed, Use::Inline, Use::Trust, Use::Resource] {
            if let Ok(document) = parse(&text, kind) {
                proptest::prop_assert!(!document.statements.is_empty());
            }
        }
    }
}
