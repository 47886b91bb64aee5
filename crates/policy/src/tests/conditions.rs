use super::*;
use crate::condition::Condition as Compiled;

fn written(operator: &str, key: &str, values: &[&str]) -> Condition {
    let (quantifier, operator) = match operator.split_once(':') {
        Some(("ForAllValues", rest)) => (Some(Quantifier::AllValues), rest),
        Some((_, rest)) => (Some(Quantifier::AnyValue), rest),
        None => (None, operator),
    };
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(stem) => (stem, true),
        None => (operator, false),
    };
    Condition {
        quantifier,
        operator: operator.to_owned(),
        if_exists,
        key: key.to_owned(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

fn context() -> Context {
    let mut context = Context::new()
        .with("aws:username", "Ann")
        .with("aws:SourceIp", "203.0.113.7")
        .with("aws:SecureTransport", "true")
        .with("aws:CurrentTime", "2026-11-21T10:00:00Z")
        .with("aws:EpochTime", "1795255200")
        .with("s3:max-keys", "10")
        .with("aws:SourceArn", "arn:aws:ecs:us-east-1:111122223333:task/c/t");
    context.set_all("aws:TagKeys", ["team".to_owned(), "cost".to_owned()]);
    context.set_all("empty", []);
    context
}

#[test]
fn operators_and_their_missing_keys() {
    for (operator, key, values, expected) in [
        ("StringEquals", "aws:UserName", &["Ann", "Bob"][..], true),
        ("StringEquals", "aws:username", &["ann"], false),
        ("StringEquals", "aws:username", &["A*"], false),
        ("StringEquals", "aws:username", &[], false),
        ("StringEqualsIgnoreCase", "aws:username", &["ann"], true),
        ("StringNotEquals", "aws:username", &["Bob"], true),
        ("StringNotEquals", "aws:username", &["Bob", "Ann"], false),
        ("StringNotEqualsIgnoreCase", "aws:username", &["ANN"], false),
        ("StringLike", "aws:username", &["A?n"], true),
        ("StringNotLike", "aws:username", &["B*"], true),
        ("StringEquals", "missing", &["x"], false),
        ("StringNotEquals", "missing", &["x"], true),
        ("StringEqualsIfExists", "missing", &["x"], true),
        ("StringEqualsIfExists", "aws:username", &["x"], false),
        ("NumericEquals", "s3:max-keys", &["10.0"], true),
        ("NumericNotEquals", "s3:max-keys", &["11"], true),
        ("NumericLessThan", "s3:max-keys", &["10"], false),
        ("NumericLessThanEquals", "s3:max-keys", &["10"], true),
        ("NumericGreaterThan", "s3:max-keys", &["9"], true),
        ("NumericGreaterThanEquals", "s3:max-keys", &["11"], false),
        ("NumericEquals", "aws:username", &["10"], false),
        ("NumericNotEquals", "missing", &["10"], true),
        ("DateEquals", "aws:CurrentTime", &["2026-11-21T11:00:00+01:00"], true),
        ("DateGreaterThan", "aws:CurrentTime", &["2026-11-21"], true),
        ("DateLessThan", "aws:EpochTime", &["2026-11-22"], true),
        ("DateLessThanEquals", "aws:CurrentTime", &["1795255200"], true),
        ("DateGreaterThanEquals", "aws:CurrentTime", &["2027"], false),
        ("DateNotEquals", "aws:CurrentTime", &["2027"], true),
        ("Bool", "aws:SecureTransport", &["TRUE"], true),
        ("Bool", "aws:SecureTransport", &["false"], false),
        ("Bool", "aws:MultiFactorAuthPresent", &["false"], false),
        ("BoolIfExists", "aws:MultiFactorAuthPresent", &["true"], true),
        ("IpAddress", "aws:SourceIp", &["203.0.113.0/24"], true),
        ("IpAddress", "aws:SourceIp", &["203.0.114.0/24", "10.0.0.0/8"], false),
        ("NotIpAddress", "aws:SourceIp", &["203.0.113.7"], false),
        ("NotIpAddress", "missing", &["203.0.113.7"], true),
        ("ArnLike", "aws:SourceArn", &["arn:aws:ecs:*:111122223333:task/*"], true),
        ("ArnEquals", "aws:SourceArn", &["arn:aws:ecs:*:*:*"], true),
        ("ArnNotLike", "aws:SourceArn", &["arn:aws:ecs:*:111122223333:*"], false),
        ("ArnNotEquals", "missing", &["*"], true),
        ("Null", "missing", &["true"], true),
        ("Null", "empty", &["true"], true),
        ("Null", "aws:username", &["true"], false),
        ("Null", "aws:username", &["false"], true),
        ("BinaryEquals", "aws:username", &["Ann"], true),
        ("ForAllValues:StringEquals", "aws:TagKeys", &["team", "cost", "more"], true),
        ("ForAllValues:StringEquals", "aws:TagKeys", &["team"], false),
        ("ForAllValues:StringEquals", "missing", &["team"], true),
        ("ForAnyValue:StringEquals", "aws:TagKeys", &["team"], true),
        ("ForAnyValue:StringEquals", "aws:TagKeys", &["other"], false),
        ("ForAnyValue:StringEquals", "missing", &["team"], false),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", &["team"], true),
        ("ForAllValues:StringNotLike", "aws:TagKeys", &["x*"], true),
        ("StringLike", "aws:username", &["${aws:username}"], true),
    ] {
        let condition = Compiled::compile(&written(operator, key, values), LanguageVersion::V2012).unwrap();
        assert_eq!(condition.holds(&context()), expected, "{operator} {key} {values:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for (operator, value) in [
        ("NumericEquals", "ten"),
        ("NumericEquals", "inf"),
        ("DateEquals", "soon"),
        ("Bool", "yes"),
        ("IpAddress", "10.0.0.0/40"),
        ("Null", "maybe"),
        ("StringMatches", "x"),
    ] {
        let refused = Compiled::compile(&written(operator, "key", &[value]), LanguageVersion::V2012);
        assert!(refused.is_err(), "{operator} {value}");
    }
}
