//! Runs a query over events, one at a time: what passes becomes rows, or is added up.
//!
//! Commands before the first `stats` are applied to each event on its way. Without `stats` the best rows are kept, by the
//! query's order or newest first, as many as it may return; with it only the sums are. Commands behind `stats`
//! work on the rows that it gives. `sort`, `limit` and `dedup` mean the same wherever they stand among the commands of a
//! query without `stats`. Everything that grows with the events is bounded; beyond, the query fails.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use telemetry_store::StoredEvent;

use super::{
    aggregate::Accumulator,
    event::EventFields,
    language::{
        Aggregate, Column, Command, Expression, Fields, Malformed, Order, ParsePattern, Query, Value,
        evaluate, is_true,
    },
};

/// Rows of a result.
pub const MOST_ROWS: usize = 10_000;
/// Groups of a `stats`, and values that its aggregations remember in all.
const MOST_GROUPS: usize = 10_000;
const MOST_VALUES: usize = 2_000_000;

/// A row of the result: names and values, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    pub values: Vec<(String, Value)>,
    /// The event that the row is, if it is one.
    pub pointer: Option<String>,
}

/// The query needs more memory than one may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the query has more than {limit} {what}")]
pub struct TooMuch {
    what: &'static str,
    limit: usize,
}

#[derive(Debug)]
pub struct Engine {
    /// `filter`, `parse` and `fields`, applied to each event.
    stream: Vec<Command>,
    columns: Vec<Column>,
    sort: Vec<(Expression, Order)>,
    dedup: Vec<Expression>,
    limit: usize,
    kept: Vec<Kept>,
    sums: Option<Sums>,
    /// Commands behind the first `stats`.
    after: Vec<Command>,
    pub scanned: u64,
    pub matched: u64,
    pub bytes: u64,
}

#[derive(Debug)]
struct Kept {
    row: Row,
    sort: Vec<Value>,
    dedup: Vec<Value>,
    /// Breaks ties: newest first.
    position: (i64, u64),
}

#[derive(Debug)]
struct Sums {
    aggregates: Vec<Aggregate>,
    by: Vec<Column>,
    groups: HashMap<Vec<String>, (Vec<Value>, Vec<Accumulator>)>,
    values: usize,
}

impl Engine {
    /// An engine for a query that returns at most `limit` rows, unless it says itself.
    ///
    /// # Errors
    /// When `sort`, `limit` or `dedup` stand before `stats`.
    pub fn new(query: Query, limit: Option<usize>) -> Result<Engine, Malformed> {
        let mut engine = Engine {
            stream: Vec::new(),
            columns: Vec::new(),
            sort: Vec::new(),
            dedup: Vec::new(),
            limit: usize::MAX,
            kept: Vec::new(),
            sums: None,
            after: Vec::new(),
            scanned: 0,
            matched: 0,
            bytes: 0,
        };
        let mut display = None;
        for command in query.commands {
            if engine.sums.is_some() {
                engine.after.push(command);
                continue;
            }
            match command {
                Command::Filter(_) | Command::Parse { .. } => engine.stream.push(command),
                Command::Fields(columns) => {
                    engine.columns.extend(columns.iter().cloned());
                    engine.stream.push(Command::Fields(columns));
                }
                Command::Display(columns) => display = Some(columns),
                Command::Sort(keys) => engine.sort = keys,
                Command::Dedup(keys) => engine.dedup = keys,
                Command::Limit(rows) => engine.limit = engine.limit.min(rows),
                Command::Stats { aggregates, by } => {
                    if !engine.sort.is_empty() || !engine.dedup.is_empty() || engine.limit != usize::MAX {
                        let message = "sort, limit and dedup come after stats".to_owned();
                        return Err(Malformed { message, start: 0, end: 0 });
                    }
                    engine.sums = Some(Sums::new(aggregates, by));
                }
            }
        }
        if let Some(columns) = display {
            engine.columns = columns;
        } else if engine.columns.is_empty() {
            engine.columns = ["@timestamp", "@message"].map(plain).to_vec();
        }
        if engine.limit == usize::MAX {
            engine.limit = limit.unwrap_or(MOST_ROWS);
        }
        engine.limit = engine.limit.min(MOST_ROWS);
        Ok(engine)
    }

    /// Whether rows come newest first anyway, so that reading may stop at the limit.
    pub fn newest_first(&self) -> bool {
        self.sums.is_none() && self.sort.is_empty() && self.dedup.is_empty()
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes an event. `log` is its group as `@log` shows it, `pointer` makes its `@ptr`.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn push(
        &mut self,
        log: &str,
        event: &StoredEvent,
        pointer: impl FnOnce() -> String,
    ) -> Result<(), TooMuch> {
        self.scanned += 1;
        self.bytes += event.message.len() as u64;
        let mut fields = EventFields::new(log, event);
        for command in &self.stream {
            match command {
                Command::Filter(condition) if !is_true(condition, &fields) => return Ok(()),
                Command::Filter(_) => {}
                Command::Fields(columns) => define(columns, &mut fields),
                Command::Parse { from, pattern, names } => parse(from, pattern, names, &mut fields),
                _ => unreachable!("only these are applied to events"),
            }
        }
        self.matched += 1;
        let position = (event.timestamp.as_millis(), event.sequence);
        if let Some(sums) = &mut self.sums {
            return sums.add(&fields, position);
        }
        let value = |expression: &Expression| evaluate(expression, &fields);
        self.kept.push(Kept {
            row: Row { values: show(&self.columns, &fields), pointer: Some(pointer()) },
            sort: self.sort.iter().map(|(key, _)| value(key)).collect(),
            dedup: self.dedup.iter().map(value).collect(),
            position,
        });
        if self.kept.len() >= self.limit * 2 + 1000 {
            self.prune();
        }
        Ok(())
    }

    /// Keeps the rows that can still be part of the result.
    fn prune(&mut self) {
        let sort = &self.sort;
        self.kept.sort_by(|left, right| {
            by_keys(sort, &left.sort, &right.sort).then_with(|| right.position.cmp(&left.position))
        });
        if !self.dedup.is_empty() {
            let mut seen = HashSet::new();
            self.kept.retain(|kept| seen.insert(texts(&kept.dedup)));
        }
        self.kept.truncate(self.limit);
    }

    /// The result.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn finish(mut self) -> Result<Vec<Row>, TooMuch> {
        let Some(sums) = self.sums.take() else {
            self.prune();
            return Ok(self.kept.into_iter().map(|kept| kept.row).collect());
        };
        let mut rows = sums.rows();
        for command in self.after {
            rows = apply(command, rows)?;
        }
        rows.truncate(self.limit);
        Ok(rows)
    }
}

/// One command on rows that `stats` gave.
fn apply(command: Command, mut rows: Vec<Row>) -> Result<Vec<Row>, TooMuch> {
    match command {
        Command::Filter(condition) => rows.retain(|row| is_true(&condition, row)),
        Command::Fields(columns) => {
            for row in &mut rows {
                for column in &columns {
                    let value = evaluate(&column.expression, row);
                    row.set(&column.name, value);
                }
            }
        }
        Command::Display(columns) => {
            for row in &mut rows {
                row.values = show(&columns, row);
            }
        }
        Command::Parse { from, pattern, names } => {
            for row in &mut rows {
                let text = evaluate(&from, row).to_string();
                for (name, value) in parsed(&pattern, &names, &text) {
                    row.set(&name, value);
                }
            }
        }
        Command::Sort(keys) => {
            let values = |row: &Row| keys.iter().map(|(key, _)| evaluate(key, row)).collect::<Vec<_>>();
            rows.sort_by(|left, right| by_keys(&keys, &values(left), &values(right)));
        }
        Command::Limit(limit) => rows.truncate(limit),
        Command::Dedup(keys) => {
            let mut seen = HashSet::new();
            rows.retain(|row| {
                seen.insert(keys.iter().map(|key| evaluate(key, row).to_string()).collect::<Vec<_>>())
            });
        }
        Command::Stats { aggregates, by } => {
            let mut sums = Sums::new(aggregates, by);
            for (index, row) in rows.iter().enumerate() {
                sums.add(row, (0, index as u64))?;
            }
            rows = sums.rows();
        }
    }
    Ok(rows)
}

impl Sums {
    fn new(aggregates: Vec<Aggregate>, by: Vec<Column>) -> Sums {
        Sums { aggregates, by, groups: HashMap::new(), values: 0 }
    }

    fn add(&mut self, fields: &dyn Fields, position: (i64, u64)) -> Result<(), TooMuch> {
        let by: Vec<Value> = self.by.iter().map(|column| evaluate(&column.expression, fields)).collect();
        let key = texts(&by);
        if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&key) {
            return Err(TooMuch { what: "groups", limit: MOST_GROUPS });
        }
        let (_, accumulators) = self.groups.entry(key).or_insert_with(|| {
            (by, self.aggregates.iter().map(|aggregate| Accumulator::new(aggregate.function)).collect())
        });
        for (aggregate, accumulator) in self.aggregates.iter().zip(accumulators) {
            let value = match &aggregate.over {
                Some(over) => evaluate(over, fields),
                None => Value::Truth(true),
            };
            self.values += accumulator.add(value, position);
        }
        match self.values > MOST_VALUES {
            true => Err(TooMuch { what: "values to remember", limit: MOST_VALUES }),
            false => Ok(()),
        }
    }

    /// Newest time first, other groups ascending.
    fn rows(self) -> Vec<Row> {
        let mut groups: Vec<_> = self.groups.into_values().collect();
        groups.sort_by(|(left, _), (right, _)| {
            let pairs = left.iter().zip(right).map(|(left, right)| match (left, right) {
                (Value::Time(left), Value::Time(right)) => right.cmp(left),
                _ => left.compare(right),
            });
            pairs.fold(Ordering::Equal, Ordering::then)
        });
        let row = |(by, accumulators): (Vec<Value>, Vec<Accumulator>)| {
            let names = self.by.iter().map(|column| column.name.clone());
            let sums = self.aggregates.iter().zip(accumulators);
            let sums = sums.map(|(aggregate, accumulator)| (aggregate.name.clone(), accumulator.value()));
            Row { values: names.zip(by).chain(sums).collect(), pointer: None }
        };
        groups.into_iter().map(row).collect()
    }
}

impl Fields for Row {
    fn field(&self, name: &str) -> Value {
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map_or(Value::Missing, |(_, value)| value.clone())
    }
}

impl Row {
    fn set(&mut self, name: &str, value: Value) {
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }
}

fn plain(field: &str) -> Column {
    Column { expression: Expression::Field(field.to_owned()), name: field.to_owned() }
}

fn show(columns: &[Column], fields: &dyn Fields) -> Vec<(String, Value)> {
    columns.iter().map(|column| (column.name.clone(), evaluate(&column.expression, fields))).collect()
}

fn define(columns: &[Column], fields: &mut EventFields<'_>) {
    for column in columns {
        let is_plain = matches!(&column.expression, Expression::Field(name) if *name == column.name);
        if !is_plain {
            let value = evaluate(&column.expression, fields);
            fields.define(&column.name, value);
        }
    }
}

fn parse(from: &Expression, pattern: &ParsePattern, names: &[String], fields: &mut EventFields<'_>) {
    let text = evaluate(from, fields).to_string();
    for (name, value) in parsed(pattern, names, &text) {
        fields.define(&name, value);
    }
}

fn parsed(pattern: &ParsePattern, names: &[String], text: &str) -> Vec<(String, Value)> {
    let values: Option<Vec<String>> = match pattern {
        ParsePattern::Glob(parts) => glob(parts, text),
        ParsePattern::Regex(regex) => regex.captures(text).map(|captures| {
            let named: Vec<_> = regex.capture_names().flatten().collect();
            match named.is_empty() {
                true => captures
                    .iter()
                    .skip(1)
                    .map(|found| found.map_or("", |found| found.as_str()).to_owned())
                    .collect(),
                false => named
                    .iter()
                    .map(|name| captures.name(name).map_or("", |found| found.as_str()).to_owned())
                    .collect(),
            }
        }),
    };
    let values = values.unwrap_or_default();
    names.iter().cloned().zip(values.into_iter().map(Value::Text)).collect()
}

/// What the wildcards between `parts` stand for. The last one reaches to the end when nothing follows it.
fn glob(parts: &[String], text: &str) -> Option<Vec<String>> {
    let (first, rest) = parts.split_first()?;
    let mut at = text.find(first.as_str())? + first.len();
    let mut values = Vec::with_capacity(rest.len());
    for (index, part) in rest.iter().enumerate() {
        let length = match part.is_empty() && index + 1 == rest.len() {
            true => text.len() - at,
            false => text[at..].find(part.as_str())?,
        };
        values.push(text[at..at + length].to_owned());
        at += length + part.len();
    }
    Some(values)
}

fn by_keys(keys: &[(Expression, Order)], left: &[Value], right: &[Value]) -> Ordering {
    let pairs = keys.iter().zip(left.iter().zip(right)).map(|((_, order), (left, right))| match order {
        Order::Ascending => left.compare(right),
        Order::Descending => right.compare(left),
    });
    pairs.fold(Ordering::Equal, Ordering::then)
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(Value::to_string).collect()
}
