"""Metrics and alarms, as boto3 and both versions of the AWS CLI send them."""

import datetime
import json

import botocore.exceptions
import pytest

from conftest import ACCOUNT, REGION, eventually

UTC = datetime.timezone.utc


def minutes_ago(minutes):
    return datetime.datetime.now(UTC) - datetime.timedelta(minutes=minutes)


@pytest.fixture
def cloudwatch(platform):
    return platform.client("cloudwatch")


@pytest.fixture
def alarm(cloudwatch):
    """Puts alarms that go with the test."""
    names = []

    def put(name, **more):
        given = {
            "Namespace": "Shop",
            "MetricName": "Failures",
            "Statistic": "Sum",
            "Period": 10,
            "EvaluationPeriods": 1,
            "Threshold": 10,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        if "Metrics" in more:
            given = {key: given[key] for key in ("EvaluationPeriods", "Threshold", "ComparisonOperator")}
        cloudwatch.put_metric_alarm(AlarmName=name, **{**given, **more})
        names.append(name)
        return name

    yield put
    if names:
        cloudwatch.delete_alarms(AlarmNames=names)


def state(cloudwatch, name):
    found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    return (found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"]


def reaches(cloudwatch, name, wanted, timeout=45):
    eventually(lambda: state(cloudwatch, name) == wanted, timeout, f"{wanted} of the alarm {name}")


def test_every_form_of_data_comes_back_as_statistics(cloudwatch):
    at = minutes_ago(10).replace(second=0, microsecond=0)
    cloudwatch.put_metric_data(
        Namespace="Shop",
        MetricData=[
            {"MetricName": "Took", "Timestamp": at, "Value": 4.0, "Unit": "Seconds"},
            {"MetricName": "Took", "Timestamp": at, "Values": [1.0, 2.0], "Counts": [2.0, 1.0], "Unit": "Seconds"},
            {"MetricName": "Took", "Timestamp": at + datetime.timedelta(minutes=1), "Unit": "Seconds",
             "StatisticValues": {"SampleCount": 2, "Sum": 6, "Minimum": 1, "Maximum": 5}},
            {"MetricName": "Took", "Timestamp": at, "Value": 9.0, "Unit": "Seconds", "Dimensions": [{"Name": "Page", "Value": "/"}]},
        ],
    )  # fmt: skip
    asked = {
        "Namespace": "Shop",
        "MetricName": "Took",
        "StartTime": at,
        "EndTime": at + datetime.timedelta(minutes=5),
        "Period": 60,
    }
    answer = cloudwatch.get_metric_statistics(**asked, Statistics=["Sum", "SampleCount", "Average", "Minimum", "Maximum"])
    first, second = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    assert (first["Timestamp"], first["Unit"]) == (at, "Seconds")
    assert [first[name] for name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")] == [4, 8, 2, 1, 4]
    assert [second[name] for name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")] == [2, 6, 3, 1, 5]
    answer = cloudwatch.get_metric_statistics(**asked, ExtendedStatistics=["p50", "tm90"])
    [point] = answer["Datapoints"]
    assert point["ExtendedStatistics"]["p50"] == 1.5
    [page] = cloudwatch.get_metric_statistics(**asked, Statistics=["Sum"], Dimensions=[{"Name": "Page", "Value": "/"}])["Datapoints"]
    assert page["Sum"] == 9
    listed = cloudwatch.list_metrics(Namespace="Shop", MetricName="Took")["Metrics"]
    assert [[one["Value"] for one in metric["Dimensions"]] for metric in listed] == [[], ["/"]]


def test_a_large_request_comes_compressed(cloudwatch):
    data = [{"MetricName": "Many", "Value": 1, "Dimensions": [{"Name": "Number", "Value": str(number)}]} for number in range(900)]
    cloudwatch.put_metric_data(Namespace="Large", MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Large")
    assert sum(len(page["Metrics"]) for page in pages) == 900


def test_expressions_are_computed(cloudwatch):
    at = minutes_ago(10).replace(second=0, microsecond=0)
    data = [
        {"MetricName": name, "Timestamp": at + datetime.timedelta(minutes=minute), "Value": value}
        for name, values in {"Errors": [1, 2, 3], "Requests": [10, 10, 0]}.items()
        for minute, value in enumerate(values)
    ]
    cloudwatch.put_metric_data(Namespace="Math", MetricData=data)

    def metric(id, name):
        stat = {"Metric": {"Namespace": "Math", "MetricName": name}, "Period": 60, "Stat": "Sum"}
        return {"Id": id, "MetricStat": stat, "ReturnData": False}

    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[
            metric("errors", "Errors"),
            metric("requests", "Requests"),
            {"Id": "rate", "Expression": "100 * errors / requests", "Label": "error rate"},
            {"Id": "filled", "Expression": "FILL(errors, 0)"},
        ],
        StartTime=at,
        EndTime=at + datetime.timedelta(minutes=5),
        ScanBy="TimestampAscending",
    )
    rate, filled = answer["MetricDataResults"]
    assert (rate["Label"], rate["StatusCode"], rate["Values"]) == ("error rate", "Complete", [10, 20])
    assert filled["Values"] == [1, 2, 3, 0, 0]
    assert filled["Timestamps"][0] == at


def test_what_aws_refuses_is_refused(cloudwatch):
    def refused(code, call, **given):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call(**given)
        assert caught.value.response["Error"]["Code"] == code, caught.value

    put = cloudwatch.put_metric_data
    refused("InvalidParameterValue", put, Namespace="AWS/Mine", MetricData=[{"MetricName": "a", "Value": 1}])
    refused("InvalidParameterValue", put, Namespace="a", MetricData=[{"MetricName": "a", "Value": float("nan")}])
    refused("InvalidParameterValue", put, Namespace="a", MetricData=[{"MetricName": "a", "Value": 1, "Timestamp": minutes_ago(60 * 24 * 15)}])
    refused("InvalidParameterCombination", put, Namespace="a", MetricData=[{"MetricName": "a", "Value": 1, "Values": [1]}])
    refused("ResourceNotFound", cloudwatch.set_alarm_state, AlarmName="absent", StateValue="OK", StateReason="test")
    refused("ResourceNotFound", cloudwatch.delete_alarms, AlarmNames=["absent"])
    refused("ValidationError", cloudwatch.put_metric_alarm, AlarmName="a", EvaluationPeriods=1, ComparisonOperator="LessThanThreshold", Threshold=1)


def test_an_alarm_follows_its_metric(cloudwatch, alarm):
    name = alarm("failures", AlarmActions=[f"arn:aws:sns:{REGION}:{ACCOUNT}:oncall"], Tags=[{"Key": "team", "Value": "a"}])
    parent = "someone-is-ringing"
    cloudwatch.put_composite_alarm(AlarmName=parent, AlarmRule=f'ALARM("{name}") OR ALARM({name})')
    reaches(cloudwatch, name, "OK")
    reaches(cloudwatch, parent, "OK")

    def put(value):
        cloudwatch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Failures", "Value": value, "StorageResolution": 1}])

    def with_value(value, wanted):
        put(value)
        return state(cloudwatch, name) == wanted

    eventually(lambda: with_value(50, "ALARM"), 45, "ALARM")
    reaches(cloudwatch, parent, "ALARM")
    described = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    assert "greater than the threshold (10.0)" in described["StateReason"]
    assert json.loads(described["StateReasonData"])["threshold"] == 10
    assert described["AlarmArn"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"
    history = cloudwatch.describe_alarm_history(AlarmName=name)["AlarmHistoryItems"]
    actions = [item for item in history if item["HistoryItemType"] == "Action"]
    assert actions and all("Failed to execute action arn:aws:sns" in item["HistorySummary"] for item in actions)
    assert "Alarm updated from OK to ALARM" in [item["HistorySummary"] for item in history]
    assert cloudwatch.list_tags_for_resource(ResourceARN=described["AlarmArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    eventually(lambda: with_value(0, "OK"), 45, "OK again")
    reaches(cloudwatch, parent, "OK")
    cloudwatch.delete_alarms(AlarmNames=[parent])


def test_the_aws_cli_works_with_metrics_and_alarms(platform):
    platform.shell(
        """
        aws cloudwatch put-metric-data --namespace Cli --metric-name Visits --value 3 --unit Count --dimensions Page=home
        aws cloudwatch put-metric-data --namespace Cli --metric-data '[{"MetricName": "Visits", "Value": 4, "Unit": "Count", "Dimensions": [{"Name": "Page", "Value": "home"}]}]'
        sum=$(aws cloudwatch get-metric-statistics --namespace Cli --metric-name Visits --dimensions Name=Page,Value=home \
          --start-time $(date -u -d '-10 min' +%FT%TZ) --end-time $(date -u -d '+1 min' +%FT%TZ) --period 3600 --statistics Sum \
          --query 'sum(Datapoints[].Sum)' --output text)
        test "$sum" = 7.0
        aws cloudwatch put-metric-alarm --alarm-name cli --namespace Cli --metric-name Visits --statistic Sum --period 60 \
          --evaluation-periods 1 --threshold 5 --comparison-operator GreaterThanThreshold --dimensions Name=Page,Value=home
        aws cloudwatch set-alarm-state --alarm-name cli --state-value ALARM --state-reason trying
        aws cloudwatch describe-alarms --alarm-names cli --query 'MetricAlarms[0].StateValue' --output text
        aws cloudwatch disable-alarm-actions --alarm-names cli
        test "$(aws cloudwatch describe-alarms --alarm-names cli --query 'MetricAlarms[0].ActionsEnabled' --output text)" = False
        test "$(aws cloudwatch list-metrics --namespace Cli --query 'length(Metrics)' --output text)" = 1
        aws cloudwatch delete-alarms --alarm-names cli
        """
    )
