//! Data in and out.

use aws_shapes_cloudwatch::{
    GetMetricDataInput, GetMetricStatisticsInput, ListMetricsInput, Metric, MetricDataQuery, MetricDatum,
    MetricStat, ScanBy, StandardUnit, Statistic, StatisticSet, StatusCode,
};

use super::{MINUTE, at, dimension, put, sums, text, value};
use crate::services::{
    cloudwatch::{get_data, list, statistics},
    testing::{Fixture, HOUR, refused},
};

#[tokio::test]
async fn every_form_of_data_adds_up() {
    let fixture = Fixture::new().await;
    let set =
        StatisticSet { sample_count: Some(2.0), sum: Some(6.0), minimum: Some(1.0), maximum: Some(5.0) };
    let many = MetricDatum {
        values: Some(vec![1.0, 10.0]),
        counts: Some(vec![3.0, 1.0]),
        ..MetricDatum { value: None, ..value(0.0) }
    };
    let earlier = MetricDatum { timestamp: at(&fixture, -MINUTE), ..value(100.0) };
    let of_set = MetricDatum { statistic_values: Some(set), value: None, ..value(0.0) };
    put(&fixture, vec![value(1.0), many, of_set, earlier]).await.unwrap();
    assert_eq!(sums(&fixture, "Failures").await, [100.0, 20.0]);
    assert_eq!(sums(&fixture, "Other").await, Vec::<f64>::new());
}

#[tokio::test]
async fn data_that_aws_refuses_is_refused() {
    let fixture = Fixture::new().await;
    let invalid = "InvalidParameterValue";
    let with = |change: fn(&mut MetricDatum)| {
        let mut datum = value(1.0);
        change(&mut datum);
        vec![datum]
    };
    let set =
        || StatisticSet { sample_count: Some(0.0), sum: Some(6.0), minimum: Some(1.0), maximum: Some(5.0) };
    for (data, code, fragment) in [
        (vec![], "MissingParameter", "MetricData"),
        (with(|datum| datum.value = None), "MissingParameter", "MetricData.member.1.Value"),
        (with(|datum| datum.value = Some(f64::NAN)), invalid, "Value"),
        (with(|datum| datum.value = Some(1e200)), invalid, "Value"),
        (with(|datum| datum.values = Some(vec![1.0])), "InvalidParameterCombination", "mutually exclusive"),
        (with(|datum| datum.storage_resolution = Some(10)), invalid, "StorageResolution"),
        (vec![value(1.0); 1001], invalid, "1000"),
        (
            with(|datum| datum.dimensions = Some(vec![dimension("a", "1"), dimension("a", "2")])),
            invalid,
            "same name",
        ),
        (with(|datum| datum.dimensions = Some(vec![dimension("a", "\u{1f}")])), invalid, "printable"),
        (vec![MetricDatum { timestamp: at(&fixture, -15 * 24 * HOUR), ..value(1.0) }], invalid, "two weeks"),
        (vec![MetricDatum { timestamp: at(&fixture, 3 * HOUR), ..value(1.0) }], invalid, "two hours"),
        (
            vec![MetricDatum { statistic_values: Some(set()), value: None, ..value(0.0) }],
            invalid,
            "SampleCount",
        ),
    ] {
        refused(put(&fixture, data).await, code, fragment);
    }
    assert_eq!(sums(&fixture, "Failures").await, Vec::<f64>::new(), "nothing of them was kept");
}

#[tokio::test]
async fn statistics_are_by_unit_and_within_bounds() {
    let fixture = Fixture::new().await;
    let seconds = MetricDatum { unit: Some(StandardUnit::Seconds), ..value(3.0) };
    put(&fixture, vec![value(1.0), seconds]).await.unwrap();
    let asked = |unit, period| GetMetricStatisticsInput {
        namespace: text("Shop"),
        metric_name: text("Failures"),
        start_time: at(&fixture, -HOUR),
        end_time: at(&fixture, HOUR),
        period: Some(period),
        statistics: Some(vec![Statistic::Sum]),
        extended_statistics: Some(vec!["p90".to_owned()]),
        unit,
        ..GetMetricStatisticsInput::default()
    };
    let points = |unit| {
        let (call, input) = (fixture.call(), asked(unit, 3600));
        async move { statistics::get(call, input).await.unwrap().datapoints.unwrap() }
    };
    let all: Vec<_> =
        points(None).await.into_iter().map(|point| (point.unit.unwrap(), point.sum.unwrap())).collect();
    assert_eq!(all, [(StandardUnit::None, 1.0), (StandardUnit::Seconds, 3.0)]);
    let [one] = &points(Some(StandardUnit::Seconds)).await[..] else { panic!("one point") };
    assert_eq!(one.extended_statistics.as_ref().unwrap()["p90"], 3.0);
    refused(
        statistics::get(fixture.call(), asked(None, 1)).await,
        "InvalidParameterCombination",
        "exceeds the limit of 1440",
    );
    refused(statistics::get(fixture.call(), asked(None, 90)).await, "InvalidParameterValue", "Period");
}

fn metric(id: &str, name: &str) -> MetricDataQuery {
    let metric = Metric { namespace: text("Shop"), metric_name: text(name), dimensions: None };
    MetricDataQuery {
        id: text(id),
        metric_stat: Some(MetricStat {
            metric: Some(metric),
            period: Some(60),
            stat: text("Sum"),
            ..MetricStat::default()
        }),
        ..MetricDataQuery::default()
    }
}

fn expression(id: &str, expression: &str) -> MetricDataQuery {
    MetricDataQuery { id: text(id), expression: text(expression), ..MetricDataQuery::default() }
}

fn asked(fixture: &Fixture, queries: Vec<MetricDataQuery>) -> GetMetricDataInput {
    GetMetricDataInput {
        metric_data_queries: Some(queries),
        start_time: at(fixture, -5 * MINUTE),
        end_time: at(fixture, MINUTE),
        ..GetMetricDataInput::default()
    }
}

#[tokio::test]
async fn expressions_come_in_pages() {
    let fixture = Fixture::new().await;
    let minutes = (0..5)
        .map(|minute| MetricDatum { timestamp: at(&fixture, -minute * MINUTE), ..value(minute as f64) });
    put(&fixture, minutes.collect()).await.unwrap();
    let mut input = asked(
        &fixture,
        vec![metric("m1", "Failures"), expression("double", "m1 * 2"), metric("none", "Nothing")],
    );
    let whole = get_data::get(fixture.call(), input.clone()).await.unwrap();
    let results = whole.metric_data_results.unwrap();
    let values: Vec<_> =
        results.iter().map(|one| (one.label.clone().unwrap(), one.values.clone().unwrap())).collect();
    assert_eq!(
        values,
        [
            ("Failures".to_owned(), vec![0.0, 1.0, 2.0, 3.0, 4.0]),
            ("double".to_owned(), vec![0.0, 2.0, 4.0, 6.0, 8.0]),
            ("Nothing".to_owned(), vec![]),
        ],
        "the newest first"
    );
    assert_eq!(whole.next_token, None);
    input.max_datapoints = Some(3);
    input.scan_by = Some(ScanBy::TimestampAscending);
    let (mut gathered, mut pages) = (Vec::new(), 0);
    loop {
        let page = get_data::get(fixture.call(), input.clone()).await.unwrap();
        let results = page.metric_data_results.unwrap();
        assert!(results.iter().flat_map(|one| one.values.as_ref().unwrap()).count() <= 3);
        let last = results.last().unwrap().status_code.unwrap();
        gathered.extend(results.into_iter().flat_map(|one| one.values.unwrap()));
        pages += 1;
        input.next_token = page.next_token;
        assert_eq!(input.next_token.is_some(), last == StatusCode::PartialData);
        if input.next_token.is_none() {
            break;
        }
    }
    assert_eq!(gathered, [4.0, 3.0, 2.0, 1.0, 0.0, 8.0, 6.0, 4.0, 2.0, 0.0]);
    assert_eq!(pages, 4);
}

#[tokio::test]
async fn queries_that_cannot_be_are_refused() {
    let fixture = Fixture::new().await;
    let both = MetricDataQuery { expression: text("1"), ..metric("m1", "Failures") };
    let silent = MetricDataQuery { return_data: Some(false), ..metric("m1", "Failures") };
    for (queries, fragment) in [
        (vec![], "required"),
        (vec![both], "Exactly one"),
        (vec![silent], "return data"),
        (vec![metric("M1", "Failures")], "pattern"),
        (vec![metric("m1", "a"), metric("m1", "b")], "not unique"),
        (vec![expression("e", "m9 + 1")], "m9"),
        (vec![expression("e", "1 + 1")], "time series"),
        (vec![expression("e", "1 +")], "ends too early"),
        (vec![metric("m1", "a"), expression("e", "SEARCH('x', 'Sum', 60) + m1")], "SEARCH"),
    ] {
        refused(get_data::get(fixture.call(), asked(&fixture, queries)).await, "ValidationError", fragment);
    }
}

#[tokio::test]
async fn metrics_are_listed_for_two_weeks_in_pages() {
    let fixture = Fixture::new().await;
    let of = |page: i64| MetricDatum {
        dimensions: Some(vec![dimension("Page", &format!("{page:04}"))]),
        ..value(1.0)
    };
    put(&fixture, (0..700).map(of).collect()).await.unwrap();
    let mut input = ListMetricsInput { namespace: text("Shop"), ..ListMetricsInput::default() };
    let first = list::list(fixture.call(), input.clone()).await.unwrap();
    input.next_token = first.next_token;
    let second = list::list(fixture.call(), input.clone()).await.unwrap();
    let (first, rest) = (first.metrics.unwrap(), second.metrics.unwrap());
    assert_eq!((first.len(), rest.len(), second.next_token), (500, 200, None));
    assert_eq!(rest[199].dimensions.as_ref().unwrap()[0].value, text("0699"));
    refused(
        list::list(fixture.call(), ListMetricsInput { next_token: text("made up"), ..input.clone() }).await,
        "InvalidNextToken",
        "next token",
    );
    input.next_token = None;
    fixture.pass(15 * 24 * HOUR);
    assert_eq!(list::list(fixture.call(), input).await.unwrap().metrics.unwrap(), []);
}
