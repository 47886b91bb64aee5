//! The language by example: what parses into what, what is refused and where, what expressions are worth.

use proptest::prelude::*;

use super::{AggregateFunction, Command, Fields, Order, Query, Value, evaluate, is_true};

struct Event;

impl Fields for Event {
    fn field(&self, name: &str) -> Value {
        match name {
            "@message" => Value::Text("GET /index.html 404".to_owned()),
            "@timestamp" => Value::Time(1_700_000_123_456),
            "status" => Value::Number(404.0),
            "latency" => Value::Text("12.5".to_owned()),
            "user.name" => Value::Text("Ann".to_owned()),
            "with-dash" => Value::Text("yes".to_owned()),
            _ => Value::Missing,
        }
    }
}

fn value(expression: &str) -> String {
    let query =
        Query::parse(&format!("fields {expression}")).unwrap_or_else(|error| panic!("{expression}: {error}"));
    match &query.commands[0] {
        Command::Fields(columns) => evaluate(&columns[0].expression, &Event).to_string(),
        other => panic!("{other:?}"),
    }
}

fn holds(condition: &str) -> bool {
    let query =
        Query::parse(&format!("filter {condition}")).unwrap_or_else(|error| panic!("{condition}: {error}"));
    match &query.commands[0] {
        Command::Filter(condition) => is_true(condition, &Event),
        other => panic!("{other:?}"),
    }
}

#[test]
fn expressions() {
    for (expression, expected) in [
        ("1 + 2 * 3 ^ 2", "19"),
        ("(1 + 2) * -3", "-9"),
        ("7 % 4", "3"),
        ("1 / 3", "0.3333"),
        ("1 / 0", ""),
        ("latency * 2", "25"),
        ("missing + 1", ""),
        ("`with-dash`", "yes"),
        ("user.name", "Ann"),
        ("bin(5m)", "2023-11-14 22:15:00.000"),
        ("datefloor(@timestamp, 1h)", "2023-11-14 22:00:00.000"),
        ("dateceil(@timestamp, 1h)", "2023-11-14 23:00:00.000"),
        ("toMillis(@timestamp)", "1700000123456"),
        ("concat(user.name, '-', status)", "Ann-404"),
        ("toupper(user.name)", "ANN"),
        ("substr('abcdef', 2, 3)", "cde"),
        ("replace('a.b', '.', '/')", "a/b"),
        ("strlen('äb')", "2"),
        ("coalesce(missing, status)", "404"),
        ("greatest(3, 12, 7)", "12"),
        ("least(3, missing, 7)", "3"),
        ("ispresent(missing)", "0"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn conditions() {
    for (condition, expected) in [
        ("status = 404", true),
        ("status != '404'", false),
        ("latency > 9", true),
        ("latency > 9 and not status < 400", true),
        ("status = 1 or status = 404 and latency < 1", false),
        ("(status = 1 or status = 404) and latency < 100", true),
        ("@message like 'index'", true),
        ("@message not like 'index'", false),
        (r"@message like /\d{3}$/", true),
        (r"@message =~ /(?i)INDEX\.HTML/", true),
        ("status in [200, 404]", true),
        ("user.name in ['Bob', \"Eve\"]", false),
        ("user.name not in ['Bob']", true),
        ("missing = 1", false),
        ("missing != 1", true),
        ("ispresent(status)", true),
        ("strcontains(@message, 'GET')", true),
        ("isblank(missing)", true),
    ] {
        assert_eq!(holds(condition), expected, "{condition}");
    }
}

#[test]
fn commands() {
    let query = Query::parse(
        "# the slowest pages
         fields @timestamp, latency * 1000 as micros | filter status >= 400
         | parse @message 'GET * *' as path, code
         | parse @message /(?<verb>[A-Z]+)/
         | stats count(*) as hits, avg(latency), pct(latency, 99) by path, bin(1h)
         | sort hits desc, path asc | dedup path | display path, hits | limit 20",
    )
    .unwrap();
    let Command::Fields(columns) = &query.commands[0] else { panic!() };
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["@timestamp", "micros"]);
    let Command::Parse { names, .. } = &query.commands[3] else { panic!() };
    assert_eq!(names, &["verb"]);
    let Command::Stats { aggregates, by } = &query.commands[4] else { panic!() };
    let names: Vec<_> = aggregates.iter().map(|aggregate| aggregate.name.as_str()).collect();
    assert_eq!(names, ["hits", "avg(latency)", "pct(latency, 99)"]);
    assert_eq!(aggregates[2].function, AggregateFunction::Percentile(99.0));
    assert_eq!(by[1].name, "bin(1h)");
    let Command::Sort(keys) = &query.commands[5] else { panic!() };
    assert_eq!((keys[0].1, keys[1].1), (Order::Descending, Order::Ascending));
    assert!(matches!(query.commands[8], Command::Limit(20)));
}

#[test]
fn refused_with_the_place() {
    for (text, place) in [
        ("test", 0..4),
        ("fields @message | pattern @message", 18..25),
        ("filter", 6..6),
        ("filter a =", 10..10),
        ("filter a = 'open", 11..16),
        ("limit 0", 6..7),
        ("stats nonsense(a)", 6..14),
        ("fields nope(a)", 14..14),
        ("parse @message 'a * b'", 22..22),
        ("filter a like /[/", 14..17),
        ("filter a in [1", 14..14),
        ("fields 5q", 8..9),
        ("fields ~a", 7..8),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert_eq!(error.start..error.end, place, "{text}: {error}");
    }
    assert!(Query::parse(&format!("filter {}a{}", "(".repeat(200), ")".repeat(200))).is_err());
    assert!(Query::parse(&format!("fields {}1", "-".repeat(5000))).is_err());
    // As deep to the left as they are long.
    for operator in ["+", " and ", " or "] {
        assert!(Query::parse(&format!("filter 1{}", format!("{operator}1").repeat(400))).is_ok());
        assert!(Query::parse(&format!("filter 1{}", format!("{operator}1").repeat(1600))).is_err());
    }
}

/// Each replacement makes ten letters of one.
#[test]
fn texts_do_not_grow_without_a_bound() {
    let grown = |times: usize| {
        (0..times).fold("'a'".to_owned(), |inner, _| format!("replace({inner}, 'a', 'aaaaaaaaaa')"))
    };
    assert_eq!(value(&format!("strlen({})", grown(5))), "100000");
    assert_eq!(value(&format!("ispresent({})", grown(30))), "0");
}

#[test]
fn times_at_the_ends_of_what_there_is_have_a_value() {
    for function in ["bin", "datefloor", "dateceil"] {
        for time in ["1e19", "-1e19"] {
            assert_ne!(value(&format!("{function}(frommillis({time}), 7d)")), "");
        }
    }
    assert_eq!(value("tomillis(dateceil(frommillis(-1), 1s))"), "0");
    assert_eq!(value("tomillis(dateceil(frommillis(1001), 1s))"), "2000");
    assert_eq!(value("tomillis(dateceil(frommillis(1000), 1s))"), "1000");
}

proptest! {
    #[test]
    fn no_text_breaks_it(pieces in prop::collection::vec(prop::sample::select(vec![
        "fields", "filter", "stats", "sort", "parse", "limit", "count(*)", "by", "as", "bin(5m)", "|", ",", "(", ")", "@message", "like",
        "/a+/", "'x'", "\"", "`q`", "1.5e3", "5m", "and", "or", "not", "in", "[", "]", "=", "!=", "-", "*", "é", "#", "\n", "avg(a)", "pct(a, 5)",
    ]), 0..24), wild in "\\PC{0,40}") {
        let _ = Query::parse(&pieces.join(" "));
        let _ = Query::parse(&pieces.concat());
        let _ = Query::parse(&wild);
    }

    #[test]
    fn integers_add_and_compare(left in -1000i64..1000, right in -1000i64..1000) {
        prop_assert_eq!(value(&format!("({left}) + ({right})")), (left + right).to_string());
        prop_assert_eq!(holds(&format!("({left}) < ({right})")), left < right);
    }
}
