//! The guide's own examples, the decisions that it leaves open, and that no input makes the parser or matcher fail.

use proptest::prelude::*;

use super::{FilterPattern, InvalidPattern};

fn check(pattern: &str, expected: &[(&str, bool)]) {
    let parsed = FilterPattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    for (message, wanted) in expected {
        assert_eq!(parsed.matches(message), *wanted, "`{pattern}` on `{message}`");
    }
}

const E400: &str = "[ERROR 400] BAD REQUEST";
const E401: &str = "[ERROR 401] UNAUTHORIZED REQUEST";
const E419: &str = "[ERROR 419] MISSING ARGUMENTS";

#[test]
fn terms() {
    check("", &[("anything", true), ("", true)]);
    check("\" \"", &[("anything", true), ("word", true)]);
    check("ERROR", &[(E400, true), ("error 400", false), ("", false)]);
    check("ERROR ARGUMENTS", &[(E419, true), (E400, false)]);
    check("?ERROR ?ARGUMENTS", &[(E400, true), ("ARGUMENTS", true), ("INFO", false)]);
    check(
        "\"INTERNAL SERVER ERROR\"",
        &[("[ERROR 500] INTERNAL SERVER ERROR", true), ("INTERNAL ERROR", false)],
    );
    check("ERROR -ARGUMENTS", &[(E400, true), (E419, false)]);
    check("-ERROR", &[(E400, false), ("INFO", true)]);
    check("-\"BAD REQUEST\"", &[(E400, false), (E401, true)]);
    check("%AUTHORIZED%", &[(E401, true), ("[SUCCESS 200] AUTHORIZED REQUEST", true), (E400, false)]);
    check("\"say \\\"hi\\\"\"", &[("they say \"hi\" twice", true), ("say hi", false)]);
}

#[test]
fn brackets_that_are_never_closed_are_words() {
    check("[a, b, c]", &[("[x y] [z w", true), ("\"x y\" \"z w", true), ("[x [y] z", false)]);
    // Looking for the end from each of them on would take minutes.
    check("[a = \"[\", ..., z = \"[\"]", &[(&"[ ".repeat(1 << 20), true)]);
}

#[test]
fn optional_terms_count_only_alone() {
    check("?ERROR ?ARGUMENTS REQUEST", &[("[INFO] REQUEST FAILED", true), (E419, false)]);
    check("?ERROR -INFO", &[("WARN", true), ("INFO ERROR", false)]);
}

#[test]
fn terms_match_inside_words() {
    check("\"hello cruel\"", &[("hello cruela", true), ("goodbye cruel world", false)]);
    check("hello", &[("hello cruela", true), ("othello", true)]);
}

const TRAIL: &str = r#"{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],
    "objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"cluster.name":"c","flag":true,
    "latency":50,"big":12345678901234567890,"small":1e-3,"text":"404"}"#;

#[test]
fn json_properties() {
    for (pattern, wanted) in [
        (r#"{ $.eventType = "UpdateTrail" }"#, true),
        (r#"{$.eventType="UpdateTrail"}"#, true),
        ("{ $.eventType = UpdateTrail }", true),
        ("{ $.eventType = Update* }", true),
        (r#"{ $.eventType = "*Trail" }"#, true),
        ("{ $.eventType != Update* }", false),
        ("{ $.sourceIPAddress != 123.123.* }", true),
        (r#"{ $.arrayKey[0] = "value" }"#, true),
        (r#"{ $.arrayKey[7] = "value" }"#, false),
        ("{ $.eventType = %Trail% }", true),
        ("{ $.eventType = %^Trail% }", false),
        ("{ $.arrayKey[*] = %val.{2}% }", true),
        (r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", true),
        ("{ $.objectList[*].id = 2 }", true),
        ("{ $.objectList[*].id = 3 }", false),
        (r#"{ $.['cluster.name'] = "c" }"#, true),
        (r#"{ $["cluster.name"] = c }"#, true),
        ("{ $.SomeObject IS NULL }", true),
        ("{ $.flag IS TRUE }", true),
        ("{ $.flag IS FALSE }", false),
        ("{ $.missing IS NULL }", false),
        ("{ $.SomeOtherObject NOT EXISTS }", true),
        ("{ $.SomeObject NOT EXISTS }", false),
        ("{ $.latency = * }", true),
        ("{ $.missing = * }", false),
    ] {
        check(pattern, &[(TRAIL, wanted), ("UpdateTrail", false), ("{broken", false), ("", false)]);
    }
}

#[test]
fn json_numbers() {
    for (pattern, wanted) in [
        ("{ $.latency = 50 }", true),
        ("{ $.latency = 50.0 }", true),
        ("{ $.latency = 5e+1 }", true),
        ("{ $.latency != 50 }", false),
        ("{ $.latency > 49.5 }", true),
        ("{ $.latency > 50 }", false),
        ("{ $.latency >= 50 }", true),
        ("{ $.latency < 50 }", false),
        ("{ $.latency <= 50 }", true),
        ("{ $.latency > -1 }", true),
        ("{ $.latency = 5* }", true),
        ("{ $.latency = \"50\" }", true),
        ("{ $.big > 1e18 }", true),
        ("{ $.small = 1e-3 }", true),
        ("{ $.text = 404 }", true),
        ("{ $.text > 400 }", false),
    ] {
        check(pattern, &[(TRAIL, wanted)]);
    }
}

#[test]
fn json_operators_bind_as_documented() {
    let users = r#"{"user":{"id":1,"email":"John.Stiles@example.com"},"users":[{"id":2,"email":"John.Doe@example.com"},
        {"id":3,"email":"Jane.Doe@example.com"}],"actions":["GET","PUT","DELETE"],"coordinates":[[0,1,2],[4,5,6],[7,8,9]]}"#;
    for (pattern, wanted) in [
        (r#"{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }"#, true),
        (
            r#"{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch" && $.actions[2] = "nonmatch" }"#,
            true,
        ),
        (
            r#"{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch") && $.actions[2] = "nonmatch" }"#,
            false,
        ),
        (r#"{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }"#, false),
        ("{ $.coordinates[0][1] = 1 }", true),
    ] {
        check(pattern, &[(users, wanted)]);
    }
}

#[test]
fn missing_and_compound_properties_compare_false() {
    for pattern in
        ["{ $.missing != 1 }", "{ $.missing < 1 }", "{ $.arrayKey != \"x\" }", "{ $.objectList = \"*\" }"]
    {
        check(pattern, &[(TRAIL, false)]);
    }
}

const ACCESS: &str =
    r#"127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;

#[test]
fn delimited_fields() {
    for (pattern, wanted) in [
        (
            r"[ip=%127\.0\.0\.[1-9]%, user, username, timestamp, request =*.html*, status_code = 4*, bytes]",
            true,
        ),
        ("[..., request =*.html*, status_code = 4*, bytes]", true),
        ("[..., status_code = 4*]", false),
        ("[ip, ..., bytes > 1000]", true),
        ("[ip, ..., bytes > 1534]", false),
        ("[ip, user, username, timestamp, request, status_code = 404 || status_code = 410, bytes]", true),
        ("[ip, user, username, timestamp, request, status_code = 4* && status_code != 404, bytes]", false),
        ("[a, b, c, d = \"10/Oct*\", ...]", true),
        ("[a, b, c, d, e, f, g, h]", false),
        ("[...]", true),
    ] {
        check(pattern, &[(ACCESS, wanted)]);
    }
}

#[test]
fn a_last_field_without_condition_takes_the_rest() {
    let lines = |a, b, c| {
        [
            ("INFO 09/25/2014 12:00:00 GET /service/resource/67 1200", a),
            ("WARNING 09/25/2014 12:00:02 Invalid user request", b),
            ("ERROR 09/25/2014 12:00:02 Failed to process request", c),
        ]
    };
    check("[w1=ERROR, w2]", &lines(false, false, true));
    check("[w1=ERROR || w1=WARNING, w2]", &lines(false, true, true));
    check("[w1!=ERROR && w1!=WARNING, w2]", &lines(true, false, false));
    check(
        "[logLevel, date, time, method, url=%/service/resource/[0-9]+$%, response_time]",
        &lines(true, false, false),
    );
    check("[w1=ERROR]", &lines(false, false, false));
}

#[test]
fn unclosed_quotes_and_brackets_are_words() {
    check("[a, b, c]", &[("\"one two three", true), ("[one two three", true), ("x [one] \"y", true)]);
}

#[test]
fn refused() {
    for pattern in [
        "foo.bar",
        "\"unclosed",
        "?",
        "-",
        "ERROR -",
        "%something!%",
        "%(alpha|beta)%",
        "%マルチ%",
        "%[unclosed%",
        "%open",
        "%%",
        "{ $.a = %Trail% ",
        "{ $.a = \"unbalanced }",
        "{ $.a = %r1% && $.b = %r2% && $.c = %r3% }",
        "[w1=%a%, w2=%b%, w3=%c%]",
        "{ $.*.inner.* = 1 }",
        "{ $.a[*] = x && $.* = y && $.b[*] = z && $.c[*] = w }",
        "{ $.a IS NOT NULL }",
        "{ $.a EXISTS }",
        "{ $.a = }",
        "{ $.a }",
        "{ a = 1 }",
        "{ $ = 1 }",
        "{ $.a = 1 } trailing",
        "{}",
        "[]",
        "[a, ]",
        "[a = 1 || b = 2]",
        "[..., ...]",
        "[a",
    ] {
        assert!(FilterPattern::parse(pattern).is_err(), "`{pattern}` is accepted");
    }
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(40), ")".repeat(40));
    assert!(matches!(FilterPattern::parse(&deep), Err(InvalidPattern::TooMany { .. })));
    assert_eq!(
        FilterPattern::parse("foo.bar").unwrap_err().to_string(),
        "Invalid character(s) in term 'foo.bar'"
    );
    let huge = "%".to_owned() + &"[a-z]{1000}".repeat(90) + "%";
    assert!(matches!(FilterPattern::parse(&huge), Err(InvalidPattern::Regex(_))));
}

#[test]
fn named_values_are_extracted() {
    let extract = |pattern: &str, message: &str| {
        let found = FilterPattern::parse(pattern).unwrap().extract(message);
        found.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(
        extract("[ip, ..., status = 4*, bytes]", ACCESS),
        ["$bytes=1534", "$ip=127.0.0.1", "$status=404"]
    );
    assert_eq!(extract("[level, rest]", "ERROR one two"), ["$level=ERROR", "$rest=one two"]);
    assert_eq!(
        extract("{ $.latency > 1 && ($.arrayKey[0] = * || $.missing = 1) }", TRAIL),
        ["$.arrayKey[0]=value", "$.latency=50"]
    );
    assert!(extract("ERROR", "ERROR").is_empty());
}

#[test]
fn everything_is_recognized() {
    assert!(FilterPattern::parse("  ").unwrap().is_everything());
    assert!(!FilterPattern::parse("a").unwrap().is_everything());
}

/// Texts made of the pieces that mean something, so that the parser is led deep into its branches.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", "(", ")", "$", ".", "$.a", "*", "=", "!=", "<", ">=", "&&", "||", "%", "\"",
        "\\", "'", ",", "...", "?", "-", " ", "IS", "NOT", "EXISTS", "NULL", "TRUE", "ERROR", "1", "1e5",
        "a", "é", "w1", "%a.%", "\"x\"",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_breaks_it(pattern in pieces(), message in pieces(), wild in "\\PC{0,40}") {
        for pattern in [&pattern, &wild] {
            if let Ok(parsed) = FilterPattern::parse(pattern) {
                parsed.matches(&message);
                parsed.matches(&wild);
            }
        }
    }

    #[test]
    fn a_quoted_phrase_is_a_substring_test(phrase in "[a-z ]{1,6}", message in "[a-z ]{0,30}") {
        let parsed = FilterPattern::parse(&format!("\"{phrase}\"")).unwrap();
        prop_assert_eq!(parsed.matches(&message), message.contains(&phrase) || phrase.trim().is_empty());
    }

    #[test]
    fn excluding_is_the_opposite_of_requiring(term in "[a-c]{1,3}", message in "[a-c ]{0,12}") {
        let with = FilterPattern::parse(&term).unwrap().matches(&message);
        let without = FilterPattern::parse(&format!("-{term}")).unwrap().matches(&message);
        prop_assert_ne!(with, without);
    }

    #[test]
    fn numbers_compare_as_numbers(left in -1000i32..1000, right in -1000i32..1000) {
        let message = format!("{{\"n\":{left}}}");
        let line = format!("{left} rest");
        for (operator, wanted) in [("<", left < right), (">=", left >= right), ("=", left == right), ("!=", left != right)] {
            let json = FilterPattern::parse(&format!("{{ $.n {operator} {right} }}")).unwrap();
            prop_assert_eq!(json.matches(&message), wanted);
            let fields = FilterPattern::parse(&format!("[n {operator} {right}, rest]")).unwrap();
            prop_assert_eq!(fields.matches(&line), wanted);
        }
    }

    #[test]
    fn globs_match_as_regexes_do(glob in "[ab*]{0,6}", text in "[ab]{0,8}") {
        let regex = regex::Regex::new(&format!("^(?s){}$", glob.replace('*', ".*"))).unwrap();
        prop_assert_eq!(super::operand::Glob::new(&glob).matches(&text), regex.is_match(&text));
    }
}
