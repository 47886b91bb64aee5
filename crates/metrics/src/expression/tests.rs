//! What expressions come to.

use proptest::prelude::*;

use super::*;

fn series(label: &str, points: &[(i64, f64)]) -> Source {
    Source::Metric(Series { label: label.to_owned(), points: points.iter().copied().collect(), period: 60 })
}

/// `m1` is 1, 2, 3, 4; `m2` is 10, none, 30, 0; `m3` has nothing.
fn request(expressions: &[(&str, &str)]) -> Request {
    let mut sources = BTreeMap::from([
        ("m1".to_owned(), series("m1", &[(0, 1.0), (60, 2.0), (120, 3.0), (180, 4.0)])),
        ("m2".to_owned(), series("m2", &[(0, 10.0), (120, 30.0), (180, 0.0)])),
        ("m3".to_owned(), series("m3", &[])),
    ]);
    for (id, text) in expressions {
        sources.insert((*id).to_owned(), Source::Expression(text.parse().unwrap()));
    }
    Request { sources, span: Span { start: 0, end: 240, period: 60 } }
}

#[track_caller]
fn points(text: &str) -> Vec<(i64, f64)> {
    match request(&[("e", text)]).value("e").unwrap() {
        Value::Series(series) => series.points.into_iter().collect(),
        other => panic!("{text} is {other:?}"),
    }
}

#[track_caller]
fn number(text: &str) -> f64 {
    match request(&[("e", text)]).value("e").unwrap() {
        Value::Number(number) => number,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn operators_work_where_both_sides_have_points() {
    assert_eq!(points("m1 + m2"), [(0, 11.0), (120, 33.0), (180, 4.0)]);
    assert_eq!(points("100 * m1 / m2"), [(0, 10.0), (120, 10.0)]);
    assert_eq!(points("-m1 ^ 2"), [(0, 1.0), (60, 4.0), (120, 9.0), (180, 16.0)]);
    assert_eq!(points("m1 > 1 AND m1 < 4"), [(0, 0.0), (60, 1.0), (120, 1.0), (180, 0.0)]);
    assert_eq!(number("1 + 2 * 3 - 8 / (2 + 2)"), 5.0);
    assert_eq!(number("1e-1 * 10 == .5 * 2"), 1.0);
}

#[test]
fn functions() {
    assert_eq!(number("AVG(m1)"), 2.5);
    assert_eq!(number("MAX(m2) - MIN(m2)"), 30.0);
    assert_eq!(number("METRIC_COUNT(METRICS())"), 3.0);
    assert_eq!(number("PERIOD(m1)"), 60.0);
    assert_eq!(number("FLOOR(STDDEV(m1) ^ 2 * 100)"), 125.0);
    assert_eq!(points("SUM(METRICS(\"m\"))"), [(0, 11.0), (60, 2.0), (120, 33.0), (180, 4.0)]);
    assert_eq!(points("MAX([m1, 2])"), [(0, 2.0), (60, 2.0), (120, 3.0), (180, 4.0)]);
    assert_eq!(points("FILL(m2, 5)"), [(0, 10.0), (60, 5.0), (120, 30.0), (180, 0.0)]);
    assert_eq!(points("FILL(m2, REPEAT)")[1], (60, 10.0));
    assert_eq!(points("FILL(m2, LINEAR)")[1], (60, 20.0));
    assert_eq!(points("FILL(m2, m1)")[1], (60, 2.0));
    assert_eq!(points("RATE(m2)"), [(120, 20.0 / 120.0), (180, -0.5)]);
    assert_eq!(points("DIFF(m1)"), [(60, 1.0), (120, 1.0), (180, 1.0)]);
    assert_eq!(points("RUNNING_SUM(m1)")[3], (180, 10.0));
    assert_eq!(points("IF(m1 > 2, m1, 0)"), [(0, 0.0), (60, 0.0), (120, 3.0), (180, 4.0)]);
    assert_eq!(points("IF(m1 > 2, m1)"), [(120, 3.0), (180, 4.0)]);
    assert_eq!(points("FIRST(SORT(METRICS(), SUM, DESC))"), [(0, 10.0), (120, 30.0), (180, 0.0)]);
    assert_eq!(points("SLICE(METRICS(), 0) + MINUTE(m1)")[3], (180, 7.0));
    assert_eq!(points("TIME_SERIES(7)").len(), 4);
    assert_eq!(points("FILL(m3, 0)").len(), 4);
}

#[test]
fn expressions_use_each_other() {
    let request = request(&[("e1", "m1 * 2"), ("e2", "e1 + e1"), ("a", "b"), ("b", "a + 1")]);
    let Value::Series(found) = request.value("e2").unwrap() else { panic!("no series") };
    assert_eq!(found.points[&180], 16.0);
    assert_eq!(request.value("a"), Err(Invalid::Circle("a".to_owned())));
}

/// `e0` is `m1`, and each of the others is made of the one before it.
fn chain(length: usize, of: impl Fn(usize) -> String) -> Result<Value, Invalid> {
    let mut all = vec![("e0".to_owned(), "m1".to_owned())];
    all.extend((1..length).map(|number| (format!("e{number}"), of(number - 1))));
    let all: Vec<_> = all.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    request(&all).value(&format!("e{}", length - 1))
}

#[test]
fn work_has_a_bound() {
    assert_eq!(chain(60, |before| format!("e{before} + e{before}")), Err(Invalid::Work));
    assert_eq!(chain(35, |before| format!("SUM([e{before}, e{before}, 1])")), Err(Invalid::Work));
    assert!(chain(10, |before| format!("e{before} + e{before}")).is_ok());
}

/// Long sums are deep to the left, and expressions that name each other are deep together.
#[test]
fn depth_has_a_bound() {
    let ones = "+1".repeat(1000);
    assert!(chain(50, |before| format!("e{before}{ones}")).is_ok());
    assert_eq!(chain(500, |before| format!("e{before}{ones}")), Err(Invalid::Deep));
    assert_eq!(
        chain(500, |before| format!("{}e{before}{}", "(-".repeat(30), ")".repeat(30))),
        Err(Invalid::Deep)
    );
}

#[test]
fn what_is_wrong_is_said() {
    let deep = "(".repeat(2000) + "1" + &")".repeat(2000);
    for text in ["", "m1 +", "m1 m2", "(m1", "m1)", "1..2", "'a", "m1 % 2", &deep] {
        assert!(text.parse::<Expression>().is_err(), "{text}");
    }
    let value = |text: &str| request(&[("e", text)]).value("e");
    assert_eq!(value("m9"), Err(Invalid::Unknown("m9".to_owned())));
    assert_eq!(value("NOPE(m1)"), Err(Invalid::Function("NOPE".to_owned())));
    assert_eq!(value("RATE(1)"), Err(Invalid::Arguments("RATE")));
    assert_eq!(value("m1 + 'a'"), Err(Invalid::Operands("+")));
    assert_eq!("m1 + IF(m2, e9, REPEAT)".parse::<Expression>().unwrap().names(), ["e9", "m1", "m2"]);
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z0-9 +*/()<>=,.'\\[\\]A-Z^-]{0,60}") {
        if let Ok(expression) = text.parse::<Expression>() {
            let mut request = request(&[]);
            request.sources.insert("e".to_owned(), Source::Expression(expression));
            let _ = request.value("e");
        }
    }
}
