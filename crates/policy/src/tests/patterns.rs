use crate::{
    Context, LanguageVersion,
    pattern::{ArnPattern, Case, Pattern},
};

fn like(pattern: &str, text: &str) -> bool {
    Pattern::glob(pattern, LanguageVersion::V2012).matches(text, &context(), Case::Sensitive)
}

fn context() -> Context {
    Context::new().with("aws:username", "ann").with("aws:PrincipalTag/team", "a*b").with("s3:prefix", "x:y")
}

#[test]
fn stars_and_question_marks() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*", "anything/at:all", true),
        ("a*c", "abbbc", true),
        ("a*c", "ac", true),
        ("a*c", "acb", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("a?c", "a\u{e9}c", true),
        ("**a**", "xxaxx", true),
        ("*a*b*c*", "xaybzc", true),
        ("*a*b*c*", "xaycz", false),
        ("", "", true),
        ("", "a", false),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b", true),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", false),
        ("ABC", "abc", false),
    ] {
        assert_eq!(like(pattern, text), expected, "{pattern} {text}");
    }
    let insensitive = Pattern::glob("ecs:Run*", LanguageVersion::V2012);
    assert!(insensitive.matches("ECS:runtask", &context(), Case::Insensitive));
}

#[test]
fn variables_stand_for_what_they_are() {
    for (pattern, text, expected) in [
        ("home/${aws:username}/*", "home/ann/x", true),
        ("home/${aws:UserName}/*", "home/ann/x", true),
        ("home/${aws:username}/*", "home/bob/x", false),
        // The star in the value is a star, not a wildcard.
        ("${aws:PrincipalTag/team}", "a*b", true),
        ("${aws:PrincipalTag/team}", "axb", false),
        ("${aws:PrincipalTag/none}", "", false),
        ("${aws:PrincipalTag/none, 'all'}/x", "all/x", true),
        ("${aws:PrincipalTag/team, 'all'}", "all", false),
        ("${*}", "*", true),
        ("${*}", "a", false),
        ("${?}${$}", "?$", true),
        ("${open", "${open", true),
    ] {
        assert_eq!(like(pattern, text), expected, "{pattern} {text}");
    }
    let old = Pattern::glob("${aws:username}", LanguageVersion::V2008);
    assert!(!old.matches("ann", &context(), Case::Sensitive));
    assert!(old.matches("${aws:username}", &context(), Case::Sensitive));
}

#[test]
fn arns_are_compared_part_by_part() {
    for (pattern, text, expected) in [
        ("arn:aws:s3:::*", "arn:aws:s3:::b/c:d", true),
        // A star ends at a colon, unless it is in the last part.
        ("arn:aws:*::5:x", "arn:aws:a:r:1:b::5:x", false),
        ("arn:aws:iam::${s3:prefix}:x", "arn:aws:iam::x:y:x", false),
        ("arn:aws:iam::${aws:username}:x", "arn:aws:iam::ann:x", true),
        ("arn:aws:iam::*:role/x", "arn:aws:iam::1:role/x", true),
        ("arn:aws:iam::*:role/${aws:username}", "arn:aws:iam::1:role/ann", true),
        ("arn:aws:iam::1:role/x", "arn:aws:iam::1:role/x", true),
        ("*", "arn:aws:iam::1:role/x", true),
        ("arn:aws:ecs:*:1:task/*", "arn:aws:ecs:us-east-1:1:task/c/t", true),
        ("arn:aws:ecs:*:1:task/*", "arn:aws:ecs:us-east-1:2:task/c/t", false),
    ] {
        let pattern_ = ArnPattern::new(pattern, LanguageVersion::V2012);
        assert_eq!(pattern_.matches(text, &context()), expected, "{pattern} {text}");
    }
}
