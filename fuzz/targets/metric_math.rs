//! Metric math, statistics and the rules of composite alarms: read or refused, and evaluated within bounds, also where expressions are
//! made of each other.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use metrics::{
    Points, Statistic, Summary,
    alarm::State,
    composite::Rule,
    expression::{Expression, Request, Series, Source, Span, Value},
};

const SPAN: Span = Span { start: 1_795_253_700, end: 1_795_253_700 + 5 * 60, period: 60 };

fn series(label: &str, values: [f64; 3]) -> Series {
    let points: Points = SPAN.periods().zip(values).collect();
    Series { label: label.to_owned(), points, period: SPAN.period }
}

fuzz_target!(|text: &str| {
    if let Ok(statistic) = text.parse::<Statistic>() {
        assert_eq!(statistic.to_string().parse::<Statistic>().as_ref(), Ok(&statistic));
        let summary = Summary::of_values([1.0, 2.5, -3.0, 100.0].map(|value| (value, 1.0)));
        _ = statistic.of(&summary);
    }
    if let Ok(rule) = text.parse::<Rule>() {
        let states = |name: &str| match name.len() % 4 {
            0 => Some(State::Alarm),
            1 => Some(State::Ok),
            2 => Some(State::InsufficientData),
            _ => None,
        };
        let negated = Rule::Not(Box::new(rule.clone()));
        assert_ne!(rule.holds(&states), negated.holds(&states));
        assert!(rule.children().len() <= metrics::composite::MOST_CHILDREN);
    }
    let mut sources = BTreeMap::new();
    sources.insert("m1".to_owned(), Source::Metric(series("one", [1.0, 0.0, -2.5])));
    sources.insert("m2".to_owned(), Source::Metric(series("two", [f64::MAX, 1e-300, 3.0])));
    for (number, line) in text.lines().take(64).enumerate() {
        if let Ok(expression) = line.parse::<Expression>() {
            _ = expression.names();
            sources.insert(format!("e{number}"), Source::Expression(expression));
        }
    }
    let request = Request { sources, span: SPAN };
    for id in request.sources.keys() {
        if let Ok(Value::Array(all)) = request.value(id) {
            assert!(all.len() <= 100_000, "{} series", all.len());
        }
    }
});
