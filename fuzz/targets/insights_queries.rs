//! Queries of Logs Insights: read or refused with a place that exists, and every expression has a value for an event.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/control-plane/src/services/logs/insights/language/mod.rs"]
mod language;

use language::{Command, Expression, Fields, Query, Value, evaluate, is_true};
use libfuzzer_sys::fuzz_target;
use longshore_fuzz::two;

struct Event<'a>(&'a str);

impl Fields for Event<'_> {
    fn field(&self, name: &str) -> Value {
        match name {
            "@message" => Value::Text(self.0.to_owned()),
            "@timestamp" => Value::Time(1_795_253_752_123),
            "n" => Value::Number(-1.5),
            "t" => Value::Truth(true),
            _ => Value::Missing,
        }
    }
}

fuzz_target!(|text: &str| {
    let (message, text) = two(text);
    if text.chars().count() > 10_000 {
        return;
    }
    match Query::parse(text) {
        Err(wrong) => {
            let length = text.chars().count();
            assert!(wrong.start <= wrong.end && wrong.end <= length, "{wrong:?} of {length}");
        }
        Ok(query) => {
            let event = Event(message);
            let mut look = |expression: &Expression| {
                // Seconds of work on one event would be hours on a log.
                let value = evaluate(expression, &event);
                _ = (value.to_string(), value.compare(&value), is_true(expression, &event));
            };
            for command in &query.commands {
                match command {
                    Command::Fields(columns) | Command::Display(columns) => {
                        columns.iter().for_each(|column| look(&column.expression));
                    }
                    Command::Filter(expression) | Command::Parse { from: expression, .. } => look(expression),
                    Command::Stats { aggregates, by } => {
                        aggregates.iter().filter_map(|one| one.over.as_ref()).for_each(&mut look);
                        by.iter().for_each(|column| look(&column.expression));
                    }
                    Command::Sort(keys) => keys.iter().for_each(|(expression, _)| look(expression)),
                    Command::Dedup(keys) => keys.iter().for_each(&mut look),
                    Command::Limit(_) => {}
                }
            }
        }
    }
});
