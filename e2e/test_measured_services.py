"""What the platform measures of services and load balancers, and deployments that alarms take back."""

import datetime

import pytest

from conftest import eventually
from test_load_balancers import PAGES, Balancers, page
from test_services import Service


def minutes_ago(minutes):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)


@pytest.fixture
def cloudwatch(platform):
    return platform.client("cloudwatch")


@pytest.fixture
def measured(cloudwatch):
    """The values of a metric so far, by the minute."""

    def read(namespace, metric, statistic, **dimensions):
        answer = cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            Period=60,
            Statistics=[statistic],
            StartTime=minutes_ago(10),
            EndTime=minutes_ago(-2),
        )
        return [point[statistic] for point in answer["Datapoints"]]

    return read


@pytest.fixture
def balancers(platform, lab):
    made = Balancers(platform, lab)
    yield made
    made.clear()


@pytest.fixture
def service(lab):
    made = Service(lab, "measured")
    yield made
    if made.shown()["status"] == "ACTIVE":
        made.delete()
    made.wait("services_inactive")


def test_the_tasks_of_a_service_are_measured(lab, service, measured):
    service.create(lab.define(lab.container(script="while :; do :; done"), family="measured"), 1)
    of = {"ClusterName": lab.cluster, "ServiceName": "measured"}
    eventually(lambda: any(value > 10 for value in measured("AWS/ECS", "CPUUtilization", "Average", **of)), 90, "CPUUtilization")
    assert all(0 < value < 50 for value in measured("AWS/ECS", "MemoryUtilization", "Average", **of))


def test_the_requests_of_a_load_balancer_are_measured(lab, balancers, measured):
    balancer, group = balancers.balancer("counted"), balancers.group("counted")
    balancers.elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}]
    )
    task = lab.run(lab.container(script=PAGES, environment=[{"name": "NAME", "value": "one"}]), family="counted")
    balancers.register(group, lab.address(lab.running(task)))
    [address, *_] = balancers.addresses(balancer)
    eventually(lambda: page(f"http://{address}/") == "one", 40, "a page")
    of = {"LoadBalancer": balancer.split("loadbalancer/")[1]}
    both = {"TargetGroup": group.split(":")[-1], **of}
    elb = "AWS/ApplicationELB"
    for _ in range(9):
        assert page(f"http://{address}/") == "one"
    assert page(f"http://{address}/absent") is None
    eventually(lambda: sum(measured(elb, "RequestCount", "Sum", **of)) >= 11, 40, "RequestCount")
    assert sum(measured(elb, "HTTPCode_Target_2XX_Count", "Sum", **both)) >= 10
    assert sum(measured(elb, "HTTPCode_Target_4XX_Count", "Sum", **both)) == 1
    assert sum(measured(elb, "TargetResponseTime", "SampleCount", **both)) >= 11
    assert all(0 < value < 5 for value in measured(elb, "TargetResponseTime", "Average", **of))
    eventually(lambda: 1 in measured(elb, "HealthyHostCount", "Maximum", **both), 70, "HealthyHostCount")
    lab.stop(task)


def test_an_alarm_takes_a_deployment_back(lab, service, cloudwatch):
    cloudwatch.put_metric_alarm(
        AlarmName="failing",
        Namespace="Deployments",
        MetricName="Failures",
        Statistic="Sum",
        Period=10,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    healthy = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 2}
    watched = {"alarmNames": ["failing"], "enable": True, "rollback": True}
    first, second = (
        lab.define(lab.container(healthCheck=healthy, environment=[{"name": "VERSION", "value": version}]), family="watched")
        for version in "12"
    )
    service.create(first, 1)
    service.completed()

    def rollout():
        return service.shown()["deployments"][0]

    service.update(taskDefinition=second, deploymentConfiguration={"alarms": watched, "bakeTimeInMinutes": 5})
    eventually(lambda: rollout()["taskDefinition"] == second and rollout()["runningCount"] == 1, 60, "the second version")
    assert rollout()["rolloutState"] == "IN_PROGRESS", "it bakes"

    def taken_back():
        cloudwatch.put_metric_data(Namespace="Deployments", MetricData=[{"MetricName": "Failures", "Value": 1, "StorageResolution": 1}])
        return rollout()["taskDefinition"] == first

    eventually(taken_back, 60, "the first version")
    service.says("alarm detected")
    found = lab.ecs.list_service_deployments(cluster=lab.cluster, service=service.name)["serviceDeployments"]
    assert found[0]["status"] in ("ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"), found[0]
    [shown] = lab.ecs.describe_service_deployments(serviceDeploymentArns=[found[0]["serviceDeploymentArn"]])["serviceDeployments"]
    assert shown["alarms"]["triggeredAlarmNames"] == ["failing"]
    service.delete()
    cloudwatch.delete_alarms(AlarmNames=["failing"])
