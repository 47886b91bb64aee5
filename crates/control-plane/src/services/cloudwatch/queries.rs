//! `MetricDataQueries`: metrics and expressions under ids, as GetMetricData and alarms name them, checked and computed.

use std::collections::{BTreeMap, BTreeSet};

use aws_shapes_cloudwatch::MetricDataQuery;
use metrics::{
    Points, Statistic, Summary,
    expression::{Expression, Request, Series, Source, Span, Value},
};
use vocabulary::Scope;

use super::{
    errors::validation,
    put_data::key,
    reading::{self, Metric},
    statistics::valid_period,
};
use crate::{gateway::ApiError, services::Services};

/// One query that was understood.
#[derive(Debug, Clone)]
pub struct Query {
    pub id: String,
    pub label: Option<String>,
    pub return_data: bool,
    pub of: Of,
}

#[derive(Debug, Clone)]
pub enum Of {
    Metric { metric: Metric, statistic: Statistic, period: i64 },
    Expression { expression: Expression, period: Option<i64> },
}

/// Understands queries.
///
/// # Errors
/// `ValidationError` for the first thing that is wrong.
pub fn understood(scope: &Scope, given: &[MetricDataQuery]) -> Result<Vec<Query>, ApiError> {
    let mut queries = Vec::with_capacity(given.len());
    let mut ids = BTreeSet::new();
    for query in given {
        let id = query.id.clone().unwrap_or_default();
        let mut letters = id.chars();
        let begins = letters.next().is_some_and(|first| first.is_ascii_lowercase());
        if !begins || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return Err(validation(format!(
                "The value {id} for parameter MetricDataQueries.member.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
            )));
        }
        if !ids.insert(id.clone()) {
            return Err(validation(format!(
                "The values for parameter id in MetricDataQueries are not unique: {id}."
            )));
        }
        if query.account_id.as_deref().is_some_and(|account| account != scope.account.as_str()) {
            return Err(validation("No other account is linked to this one."));
        }
        let of = match (&query.metric_stat, &query.expression) {
            (Some(_), Some(_)) | (None, None) => {
                return Err(validation(format!(
                    "Exactly one of MetricStat and Expression must be specified in the MetricDataQuery {id}."
                )));
            }
            (Some(stat), None) => of_metric(scope, stat)?,
            (None, Some(text)) => {
                let expression = text
                    .parse()
                    .map_err(|error| validation(format!("Error in expression '{id}': {error}.")))?;
                let period =
                    query.period.map(valid_period).transpose().map_err(|error| validation(error.message))?;
                Of::Expression { expression, period }
            }
        };
        let return_data = query.return_data.unwrap_or(true);
        queries.push(Query { id, label: query.label.clone(), return_data, of });
    }
    for query in &queries {
        let Of::Expression { expression, .. } = &query.of else { continue };
        if let Some(unknown) = expression.names().into_iter().find(|name| !ids.contains(*name)) {
            return Err(validation(format!(
                "Error in expression '{}': `{unknown}` is not the id of a metric or expression of this request.",
                query.id
            )));
        }
    }
    Ok(queries)
}

fn of_metric(scope: &Scope, stat: &aws_shapes_cloudwatch::MetricStat) -> Result<Of, ApiError> {
    let named = stat.metric.clone().unwrap_or_default();
    let (Some(namespace), Some(name)) = (named.namespace, named.metric_name) else {
        return Err(validation("The parameters Namespace and MetricName of a MetricStat are required."));
    };
    let text = stat.stat.clone().unwrap_or_default();
    let statistic = text.parse().map_err(|_| {
        validation(format!("The value {text} for parameter MetricStat.Stat is not supported."))
    })?;
    let period = valid_period(stat.period.unwrap_or(0)).map_err(|error| validation(error.message))?;
    let key = key(scope, &namespace.into(), &name, named.dimensions.as_deref(), "MetricStat.Metric")
        .map_err(|error| validation(error.message))?;
    let metric = Metric { key, unit: stat.unit.map(|unit| unit.as_str().to_owned()) };
    Ok(Of::Metric { metric, statistic, period })
}

/// The period that what is computed has: the longest of all.
pub fn period(queries: &[Query]) -> i64 {
    let periods = queries.iter().filter_map(|query| match &query.of {
        Of::Metric { period, .. } => Some(*period),
        Of::Expression { period, .. } => *period,
    });
    periods.max().unwrap_or(60)
}

/// What queries read and compute.
#[derive(Debug)]
pub struct Computed {
    request: Request,
    /// The sums behind each metric.
    pub sums: BTreeMap<String, BTreeMap<i64, Summary>>,
}

/// Reads the metrics of queries. `from` is where periods begin.
///
/// # Errors
/// Those of the store.
pub async fn compute(
    services: &Services,
    queries: &[Query],
    (from, to): (i64, i64),
) -> Result<Computed, ApiError> {
    let (mut sources, mut sums) = (BTreeMap::new(), BTreeMap::new());
    for query in queries {
        let source = match &query.of {
            Of::Metric { metric, statistic, period } => {
                let read = reading::summaries(services, metric, (from, to), *period).await?;
                let label = query.label.clone().unwrap_or_else(|| metric.key.name.to_string());
                let points = reading::points(&read, statistic);
                sums.insert(query.id.clone(), read);
                Source::Metric(Series { label, points, period: *period })
            }
            Of::Expression { expression, .. } => Source::Expression(expression.clone()),
        };
        sources.insert(query.id.clone(), source);
    }
    let span = Span { start: from, end: to, period: period(queries) };
    Ok(Computed { request: Request { sources, span }, sums })
}

impl Computed {
    /// The series that a query comes to, with their labels.
    ///
    /// # Errors
    /// `ValidationError` when its expression has no value or is a number.
    pub fn series(&self, query: &Query) -> Result<Vec<(String, Points)>, ApiError> {
        let value = self.request.value(&query.id);
        let value =
            value.map_err(|error| validation(format!("Error in expression '{}': {error}.", query.id)))?;
        let label = |series: &Series| match (&query.label, &query.of) {
            (Some(label), _) => label.clone(),
            (None, Of::Metric { .. }) => series.label.clone(),
            (None, Of::Expression { .. }) => query.id.clone(),
        };
        match value {
            Value::Series(series) => Ok(vec![(label(&series), series.points)]),
            Value::Array(all) => Ok(all
                .into_iter()
                .map(|series| {
                    let label =
                        query.label.clone().unwrap_or_else(|| format!("{} {}", query.id, series.label));
                    (label, series.points)
                })
                .collect()),
            Value::Number(_) | Value::Text(_) => Err(validation(format!(
                "Error in expression '{}': it comes to a single value, and has to be a time series.",
                query.id
            ))),
        }
    }
}
