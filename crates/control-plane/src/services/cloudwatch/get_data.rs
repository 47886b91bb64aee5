//! GetMetricData.

use aws_schema::Timestamp;
use aws_shapes_cloudwatch::{GetMetricDataInput, GetMetricDataOutput, MetricDataResult, ScanBy, StatusCode};
use metrics::{Points, rounded_start};

use super::{
    errors::{invalid_token, validation},
    queries::{self, Query},
};
use crate::gateway::{ApiError, Call};

/// Queries of one request.
const MOST_QUERIES: usize = 500;
/// Data points of one answer, unless fewer are asked for.
const MOST_POINTS: usize = 100_800;
/// Periods that one query may span: what is computed is held in memory.
const MOST_PERIODS: i64 = 500_000;

pub async fn get(call: Call, input: GetMetricDataInput) -> Result<GetMetricDataOutput, ApiError> {
    let given = input.metric_data_queries.unwrap_or_default();
    if given.is_empty() {
        return Err(validation("The parameter MetricDataQueries is required."));
    }
    if given.len() > MOST_QUERIES {
        return Err(validation(format!(
            "The collection MetricDataQueries must not have a size greater than {MOST_QUERIES}."
        )));
    }
    if let Some(zone) = input.label_options.and_then(|options| options.timezone)
        && zone != "+0000"
    {
        return Err(validation("Labels are made in UTC; LabelOptions.Timezone can only be +0000."));
    }
    let second = |at: Option<Timestamp>| at.map_or(0, |at| at.as_millis().div_euclid(1000));
    let (asked_from, to) = (second(input.start_time), second(input.end_time));
    if asked_from >= to {
        return Err(validation("The parameter StartTime must be less than the parameter EndTime."));
    }
    let queries = queries::understood(call.scope(), &given)?;
    if !queries.iter().any(|query| query.return_data) {
        return Err(validation(
            "At least one of the elements in the parameter MetricDataQueries must return data.",
        ));
    }
    let shortest = queries.iter().filter_map(|query| match &query.of {
        queries::Of::Metric { period, .. } => Some(*period),
        queries::Of::Expression { period, .. } => *period,
    });
    let shortest = shortest.min().unwrap_or(60);
    if (to - asked_from) / shortest > MOST_PERIODS {
        return Err(validation("The request spans too many periods; ask for longer ones or a shorter time."));
    }
    let from = rounded_start(asked_from, queries::period(&queries), call.now().as_millis().div_euclid(1000));
    let computed = queries::compute(&call.services, &queries, (from, to)).await?;
    let mut series = Vec::new();
    for query in queries.iter().filter(|query| query.return_data) {
        for (label, points) in computed.series(query)? {
            series.push((query, label, points));
        }
    }
    let most = match input.max_datapoints {
        None => MOST_POINTS,
        Some(given) => usize::try_from(given)
            .ok()
            .filter(|given| (1..=MOST_POINTS).contains(given))
            .ok_or_else(|| validation(format!("MaxDatapoints must be between 1 and {MOST_POINTS}.")))?,
    };
    let tokens = &call.services.page_tokens;
    let skip = match &input.next_token {
        Some(token) => {
            let opened = tokens.open("metric-data", token).map_err(|_| invalid_token())?;
            opened.parse().map_err(|_| invalid_token())?
        }
        None => 0,
    };
    let ascending = input.scan_by == Some(ScanBy::TimestampAscending);
    let (results, more) = page(series, ascending, skip, most);
    Ok(GetMetricDataOutput {
        metric_data_results: Some(results),
        next_token: more.map(|at| tokens.seal("metric-data", &at.to_string())),
        messages: Some(Vec::new()),
    })
}

/// The data points from `skip` on, counted over all series, and where the next page begins.
fn page(
    series: Vec<(&Query, String, Points)>,
    ascending: bool,
    skip: usize,
    most: usize,
) -> (Vec<MetricDataResult>, Option<usize>) {
    let (mut before, mut room, mut results) = (0, most, Vec::new());
    let mut more = None;
    for (query, label, points) in series {
        let count = points.len();
        let first = skip.saturating_sub(before).min(count);
        // One that was shown whole on an earlier page is not shown again; one without points is, once.
        let shown_already = if count == 0 { skip > before } else { skip >= before + count };
        let taken = (count - first).min(room);
        if !shown_already {
            let mut ordered: Vec<(i64, f64)> = points.into_iter().collect();
            if !ascending {
                ordered.reverse();
            }
            let part = &ordered[first..first + taken];
            let whole = first + taken == count;
            results.push(MetricDataResult {
                id: Some(query.id.clone()),
                label: Some(label),
                timestamps: Some(part.iter().map(|(at, _)| Timestamp::from_millis(at * 1000)).collect()),
                values: Some(part.iter().map(|(_, value)| *value).collect()),
                status_code: Some(if whole { StatusCode::Complete } else { StatusCode::PartialData }),
                messages: None,
            });
            room -= taken;
            if !whole {
                more = Some(before + first + taken);
                break;
            }
        }
        before += count;
    }
    (results, more)
}
