//! Alarms: put, evaluated, shown, deleted.

use aws_shapes_cloudwatch::{
    AlarmType, DeleteAlarmsInput, DescribeAlarmHistoryInput, DescribeAlarmsForMetricInput,
    DescribeAlarmsInput, DisableAlarmActionsInput, HistoryItemType, ListTagsForResourceInput, MetricAlarm,
    MetricDataQuery, PutCompositeAlarmInput, PutMetricAlarmInput, SetAlarmStateInput, StateValue, Tag,
    TagResourceInput, UntagResourceInput,
};

use super::{MINUTE, SECOND, failing, put, text, value};
use crate::services::{
    cloudwatch::{
        alarms::{calls, describe, put as putting, run},
        tags,
    },
    testing::{Fixture, refused},
};

async fn turn(fixture: &Fixture, schedule: &mut run::Schedule) {
    run::turn(&fixture.services, None, schedule, fixture.now()).await.unwrap();
}

async fn shown(fixture: &Fixture, name: &str) -> MetricAlarm {
    let input =
        DescribeAlarmsInput { alarm_names: Some(vec![name.to_owned()]), ..DescribeAlarmsInput::default() };
    describe::alarms(fixture.call(), input).await.unwrap().metric_alarms.unwrap().remove(0)
}

async fn state(fixture: &Fixture, name: &str) -> StateValue {
    shown(fixture, name).await.state_value.unwrap()
}

async fn happened(fixture: &Fixture, name: &str) -> Vec<(HistoryItemType, String)> {
    let input = DescribeAlarmHistoryInput { alarm_name: text(name), ..DescribeAlarmHistoryInput::default() };
    let items = describe::history(fixture.call(), input).await.unwrap().alarm_history_items.unwrap();
    items
        .into_iter()
        .rev()
        .map(|item| (item.history_item_type.unwrap(), item.history_summary.unwrap()))
        .collect()
}

async fn set(fixture: &Fixture, name: &str, state: StateValue) {
    let input = SetAlarmStateInput {
        alarm_name: text(name),
        state_value: Some(state),
        state_reason: text("trying"),
        state_reason_data: None,
    };
    calls::set_state(fixture.call(), input).await.unwrap();
}

#[tokio::test]
async fn an_alarm_rings_and_ends_and_tells_what_it_could_not_do() {
    let fixture = Fixture::new().await;
    let (schedule, topic) = (&mut run::Schedule::default(), "arn:aws:sns:us-east-1:000000000000:oncall");
    let input = PutMetricAlarmInput { alarm_actions: Some(vec![topic.to_owned()]), ..failing("failing") };
    putting::metric(fixture.call(), input).await.unwrap();
    assert_eq!(state(&fixture, "failing").await, StateValue::InsufficientData);
    put(&fixture, vec![value(50.0)]).await.unwrap();
    turn(&fixture, schedule).await;
    assert_eq!(state(&fixture, "failing").await, StateValue::InsufficientData, "the minute is not over");
    fixture.pass(MINUTE + 10 * SECOND);
    turn(&fixture, schedule).await;
    assert_eq!(state(&fixture, "failing").await, StateValue::InsufficientData, "nor has all of it come in");
    fixture.pass(5 * SECOND);
    turn(&fixture, schedule).await;
    let alarm = shown(&fixture, "failing").await;
    assert_eq!(alarm.state_value, Some(StateValue::Alarm));
    assert!(alarm.state_reason.unwrap().contains("[50.0 ("));
    let data: serde_json::Value = serde_json::from_str(&alarm.state_reason_data.unwrap()).unwrap();
    assert_eq!(
        (data["threshold"].as_f64(), data["evaluatedDatapoints"][0]["value"].as_f64()),
        (Some(10.0), Some(50.0))
    );
    put(&fixture, vec![value(3.0)]).await.unwrap();
    fixture.pass(MINUTE);
    turn(&fixture, schedule).await;
    assert_eq!(state(&fixture, "failing").await, StateValue::Ok);
    let told = happened(&fixture, "failing").await;
    let told: Vec<(HistoryItemType, &str)> =
        told.iter().map(|(kind, summary)| (*kind, summary.as_str())).collect();
    let action = "Failed to execute action arn:aws:sns:us-east-1:000000000000:oncall: This platform has no sns that could be notified.";
    assert_eq!(
        told,
        [
            (HistoryItemType::ConfigurationUpdate, "Alarm \"failing\" created"),
            (HistoryItemType::StateUpdate, "Alarm updated from INSUFFICIENT_DATA to ALARM"),
            (HistoryItemType::Action, action),
            (HistoryItemType::StateUpdate, "Alarm updated from ALARM to OK"),
        ]
    );
}

#[tokio::test]
async fn alarms_on_expressions_are_evaluated() {
    let fixture = Fixture::new().await;
    let schedule = &mut run::Schedule::default();
    let plain = PutMetricAlarmInput {
        alarm_name: text("rate"),
        evaluation_periods: Some(1),
        threshold: Some(99.0),
        comparison_operator: failing("").comparison_operator,
        metrics: Some(vec![
            MetricDataQuery { return_data: Some(false), ..query("m1") },
            MetricDataQuery { id: text("e1"), expression: text("m1 * 10"), ..MetricDataQuery::default() },
        ]),
        ..PutMetricAlarmInput::default()
    };
    putting::metric(fixture.call(), plain).await.unwrap();
    put(&fixture, vec![value(10.0)]).await.unwrap();
    fixture.pass(MINUTE + 15 * SECOND);
    turn(&fixture, schedule).await;
    assert_eq!(state(&fixture, "rate").await, StateValue::Alarm);
}

fn query(id: &str) -> MetricDataQuery {
    let given = failing("");
    MetricDataQuery {
        id: text(id),
        metric_stat: Some(aws_shapes_cloudwatch::MetricStat {
            metric: Some(aws_shapes_cloudwatch::Metric {
                namespace: given.namespace,
                metric_name: given.metric_name,
                dimensions: None,
            }),
            period: Some(60),
            stat: text("Sum"),
            unit: None,
        }),
        ..MetricDataQuery::default()
    }
}

#[tokio::test]
async fn a_state_that_was_set_lasts_until_the_next_evaluation() {
    let fixture = Fixture::new().await;
    let schedule = &mut run::Schedule::default();
    putting::metric(fixture.call(), failing("failing")).await.unwrap();
    turn(&fixture, schedule).await;
    set(&fixture, "failing", StateValue::Alarm).await;
    turn(&fixture, schedule).await;
    assert_eq!(state(&fixture, "failing").await, StateValue::Alarm);
    fixture.pass(MINUTE);
    turn(&fixture, schedule).await;
    assert_eq!(state(&fixture, "failing").await, StateValue::InsufficientData);
}

#[tokio::test]
async fn composite_alarms_follow_those_that_they_rest_on() {
    let fixture = Fixture::new().await;
    let schedule = &mut run::Schedule::default();
    for name in ["a", "b"] {
        putting::metric(fixture.call(), failing(name)).await.unwrap();
    }
    let composite = |name: &str, rule: &str| {
        let input =
            PutCompositeAlarmInput { alarm_name: text(name), alarm_rule: text(rule), ..Default::default() };
        putting::composite(fixture.call(), input)
    };
    composite("either", "ALARM(a) OR ALARM(\"b\")").await.unwrap();
    composite("calm", "NOT ALARM(either)").await.unwrap();
    refused(composite("self", "ALARM(self)").await, "ValidationError", "itself");
    refused(composite("absent", "ALARM(nobody)").await, "ValidationError", "nobody");
    refused(composite("either", "ALARM(calm)").await, "ValidationError", "circle");
    refused(composite("bad", "RINGS(a)").await, "ValidationError", "RINGS");
    let states = || async {
        let input = DescribeAlarmsInput {
            alarm_types: Some(vec![AlarmType::CompositeAlarm]),
            ..DescribeAlarmsInput::default()
        };
        let found = describe::alarms(fixture.call(), input).await.unwrap();
        assert_eq!(found.metric_alarms, Some(Vec::new()));
        let found = found.composite_alarms.unwrap();
        found
            .into_iter()
            .map(|alarm| (alarm.alarm_name.unwrap(), alarm.state_value.unwrap()))
            .collect::<Vec<_>>()
    };
    turn(&fixture, schedule).await;
    let expected = |calm, either| vec![("calm".to_owned(), calm), ("either".to_owned(), either)];
    assert_eq!(states().await, expected(StateValue::Alarm, StateValue::Ok));
    set(&fixture, "b", StateValue::Alarm).await;
    turn(&fixture, schedule).await;
    assert_eq!(states().await, expected(StateValue::Ok, StateValue::Alarm));
    let input =
        DescribeAlarmsInput { children_of_alarm_name: text("either"), ..DescribeAlarmsInput::default() };
    let children = describe::alarms(fixture.call(), input).await.unwrap().metric_alarms.unwrap();
    assert_eq!(children.len(), 2);
}

#[tokio::test]
async fn alarms_that_cannot_be_are_refused() {
    let fixture = Fixture::new().await;
    let with = |change: fn(&mut PutMetricAlarmInput)| {
        let mut input = failing("failing");
        change(&mut input);
        putting::metric(fixture.call(), input)
    };
    for (answer, fragment) in [
        (with(|input| input.statistic = None).await, "Statistic"),
        (with(|input| input.extended_statistic = text("p99")).await, "both"),
        (with(|input| input.period = Some(15)).await, "Period"),
        (with(|input| input.period = Some(5)).await, "Period"),
        (with(|input| input.evaluation_periods = None).await, "EvaluationPeriods"),
        (with(|input| input.datapoints_to_alarm = Some(2)).await, "DatapointsToAlarm"),
        (with(|input| input.evaluation_periods = Some(2000)).await, "86400"),
        (with(|input| input.threshold = None).await, "Threshold"),
        (with(|input| input.comparison_operator = None).await, "ComparisonOperator"),
        (with(|input| input.treat_missing_data = text("maybe")).await, "TreatMissingData"),
        (with(|input| input.alarm_actions = Some(vec!["nobody".to_owned()])).await, "arn"),
        (with(|input| input.metrics = Some(vec![query("m1")])).await, "must not be specified"),
        (with(|input| input.threshold_metric_id = text("ad1")).await, "Anomaly"),
        (with(|input| input.evaluation_interval = Some(60)).await, "EvaluationInterval"),
    ] {
        refused(answer, "ValidationError", fragment);
    }
}

#[tokio::test]
async fn alarms_are_found_by_what_they_are() {
    let fixture = Fixture::new().await;
    for name in ["web-a", "web-b", "worker"] {
        putting::metric(fixture.call(), failing(name)).await.unwrap();
    }
    set(&fixture, "web-b", StateValue::Alarm).await;
    let names = |input: DescribeAlarmsInput| {
        let call = fixture.call();
        async move {
            let found = describe::alarms(call, input).await.unwrap();
            let names = found.metric_alarms.unwrap().into_iter().map(|alarm| alarm.alarm_name.unwrap());
            (names.collect::<Vec<_>>(), found.next_token)
        }
    };
    let input = DescribeAlarmsInput { alarm_name_prefix: text("web"), ..Default::default() };
    assert_eq!(names(input.clone()).await.0, ["web-a", "web-b"]);
    let ringing = DescribeAlarmsInput { state_value: Some(StateValue::Alarm), ..Default::default() };
    assert_eq!(names(ringing).await.0, ["web-b"]);
    let mut one = DescribeAlarmsInput { max_records: Some(1), ..input };
    let (first, token) = names(one.clone()).await;
    one.next_token = token;
    let (second, token) = names(one).await;
    assert_eq!((first, second, token), (vec!["web-a".to_owned()], vec!["web-b".to_owned()], None));
    let input = DescribeAlarmsForMetricInput {
        namespace: text("Shop"),
        metric_name: text("Failures"),
        ..Default::default()
    };
    let found = describe::for_metric(fixture.call(), input).await.unwrap().metric_alarms.unwrap();
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn actions_tags_and_deletion() {
    let fixture = Fixture::new().await;
    let tag = |key: &str| Tag { key: text(key), value: text("1") };
    let input = PutMetricAlarmInput {
        alarm_actions: Some(vec!["arn:aws:sns:us-east-1:000000000000:oncall".to_owned()]),
        tags: Some(vec![tag("a")]),
        ..failing("failing")
    };
    putting::metric(fixture.call(), input).await.unwrap();
    let disabled =
        DisableAlarmActionsInput { alarm_names: Some(vec!["failing".to_owned(), "absent".to_owned()]) };
    calls::disable(fixture.call(), disabled).await.unwrap();
    set(&fixture, "failing", StateValue::Alarm).await;
    let told = happened(&fixture, "failing").await;
    assert!(told.iter().all(|(kind, _)| *kind != HistoryItemType::Action), "{told:?}");
    let arn = shown(&fixture, "failing").await.alarm_arn;
    let added = TagResourceInput { resource_arn: arn.clone(), tags: Some(vec![tag("b")]) };
    tags::tag(fixture.call(), added).await.unwrap();
    let removed = UntagResourceInput { resource_arn: arn.clone(), tag_keys: Some(vec!["a".to_owned()]) };
    tags::untag(fixture.call(), removed).await.unwrap();
    let listed = tags::list(fixture.call(), ListTagsForResourceInput { resource_arn: arn.clone() }).await;
    assert_eq!(listed.unwrap().tags, Some(vec![tag("b")]));
    let delete = || {
        let input = DeleteAlarmsInput { alarm_names: Some(vec!["failing".to_owned()]) };
        calls::delete(fixture.call(), input)
    };
    delete().await.unwrap();
    refused(delete().await, "ResourceNotFound", "failing");
    assert_eq!(happened(&fixture, "failing").await.last().unwrap().1, "Alarm \"failing\" deleted");
    refused(
        tags::list(fixture.call(), ListTagsForResourceInput { resource_arn: arn }).await,
        "ResourceNotFoundException",
        "failing",
    );
}
