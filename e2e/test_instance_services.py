"""Services on container instances: dynamic ports behind an application load balancer, fixed ones behind a classic, capacity providers,
daemons, and links."""

import tempfile
import urllib.error
import urllib.request

import pytest

from conftest import ACCOUNT, REGION, Image, Platform, eventually, stop_shared
from test_agents import WEB, Agent, Fleet

PROVIDER = "machines"
GROUP = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/{PROVIDER}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    stop_shared()
    platform = Platform(port=4596).start()
    images = Image(platform, tmp_path_factory.mktemp("images"))
    yield Fleet(platform, images.push("busybox"))
    platform.stop()


@pytest.fixture(scope="module")
def agent(fleet):
    """The platform's own machine as an instance of a capacity provider."""
    fleet.ecs.create_capacity_provider(name=PROVIDER, autoScalingGroupProvider={"autoScalingGroupArn": GROUP})
    fleet.ecs.put_cluster_capacity_providers(
        cluster="fleet", capacityProviders=[PROVIDER], defaultCapacityProviderStrategy=[]
    )
    more = ["--capacity-provider", PROVIDER, "--instance-id", "i-0123456789abcdef0"]
    agent = Agent(fleet.platform.endpoint, (ACCOUNT, "longshore"), more=more).start().ready()
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def instance(fleet, agent):
    arn = eventually(fleet.instances, 20, "the instance")[0]["containerInstanceArn"]
    assert fleet.connected(arn)["capacityProviderName"] == PROVIDER
    return arn


def subnets(fleet):
    found = fleet.platform.client("ec2").describe_subnets(Filters=[{"Name": "availability-zone", "Values": [f"{REGION}a"]}])
    return found["Subnets"]


def answer(port, host):
    """What the front door's load balancer of that name says; none while it says nothing useful."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": f"{host}:{port}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as got:
            return got.read().decode().strip()
    except (OSError, urllib.error.HTTPError):
        return None


def service(fleet, name, definition, count, **more):
    fleet.ecs.create_service(cluster="fleet", serviceName=name, taskDefinition=definition, desiredCount=count, **more)


def wait(fleet, waiter, name):
    fleet.ecs.get_waiter(waiter).wait(cluster="fleet", services=[name], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def remove(fleet, name):
    fleet.ecs.delete_service(cluster="fleet", service=name, force=True)
    wait(fleet, "services_inactive", name)


def open_group(fleet, vpc, name):
    ec2 = fleet.platform.client("ec2")
    group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0")
    return group


def test_dynamic_ports_of_bridge_tasks_are_targets(fleet, instance):
    elb = fleet.platform.client("elbv2")
    subnet = subnets(fleet)[0]
    security = open_group(fleet, subnet["VpcId"], "dynamic")
    others = fleet.platform.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])
    both = [subnet["SubnetId"], next(one["SubnetId"] for one in others["Subnets"] if one["SubnetId"] != subnet["SubnetId"])]
    balancer = elb.create_load_balancer(Name="dynamic", Subnets=both, SecurityGroups=[security])["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="dynamic", Protocol="HTTP", Port=80, VpcId=subnet["VpcId"], TargetType="instance", HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Port=80, Protocol="HTTP",
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    definition = fleet.define("dynamic", WEB.format(port=80), ports=[{"containerPort": 80}])
    behind = {"targetGroupArn": group, "containerName": "app", "containerPort": 80}
    strategy = [{"capacityProvider": PROVIDER, "weight": 1}]
    service(fleet, "dynamic", definition, 2, capacityProviderStrategy=strategy, loadBalancers=[behind])
    wait(fleet, "services_stable", "dynamic")

    def healthy():
        shown = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [one["Target"] for one in shown if one["TargetHealth"]["State"] == "healthy"]

    targets = eventually(lambda: len(healthy()) == 2 and healthy(), 30, "two healthy targets")
    assert {target["Id"] for target in targets} == {"i-0123456789abcdef0"}
    ports = {target["Port"] for target in targets}
    assert len(ports) == 2 and min(ports) >= 32768
    name = balancer["DNSName"]
    pages = set()
    eventually(lambda: pages.add(answer(fleet.platform.port, name)) or len(pages - {None}) == 2, 20, "pages of both tasks")
    tasks = fleet.ecs.describe_tasks(cluster="fleet", tasks=fleet.ecs.list_tasks(cluster="fleet", serviceName="dynamic")["taskArns"])
    assert {task["capacityProviderName"] for task in tasks["tasks"]} == {PROVIDER}
    remove(fleet, "dynamic")
    eventually(lambda: not elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"], 20, "no targets")
    elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])


def test_a_classic_load_balancer_has_the_instance_while_a_task_runs_there(fleet, instance):
    elb = fleet.platform.client("elb")
    listener = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstanceProtocol": "HTTP", "InstancePort": 8089}
    subnet = subnets(fleet)[0]
    security = open_group(fleet, subnet["VpcId"], "classic")
    made = elb.create_load_balancer(
        LoadBalancerName="classic", Listeners=[listener], Subnets=[subnet["SubnetId"]], SecurityGroups=[security]
    )
    elb.configure_health_check(
        LoadBalancerName="classic",
        HealthCheck={"Target": "HTTP:8089/", "Interval": 5, "Timeout": 2, "UnhealthyThreshold": 2, "HealthyThreshold": 2},
    )
    ports = [{"containerPort": 80, "hostPort": 8089}]
    definition = fleet.define("classic", WEB.format(port=80), ports=ports)
    behind = {"loadBalancerName": "classic", "containerName": "app", "containerPort": 80}
    service(fleet, "classic", definition, 1, launchType="EC2", loadBalancers=[behind])
    wait(fleet, "services_stable", "classic")

    def states():
        shown = elb.describe_instance_health(LoadBalancerName="classic")["InstanceStates"]
        return {one["InstanceId"]: one["State"] for one in shown}

    eventually(lambda: states() == {"i-0123456789abcdef0": "InService"}, 30, "the instance in service")
    assert eventually(lambda: answer(fleet.platform.port, made["DNSName"]), 20, "a page").startswith("name ")
    events = fleet.ecs.describe_services(cluster="fleet", services=["classic"])["services"][0]["events"]
    assert any("registered 1 instances in (elb classic)" in event["message"] for event in events), events
    remove(fleet, "classic")
    assert states() == {}
    elb.delete_load_balancer(LoadBalancerName="classic")


def test_a_daemon_runs_on_the_machine_and_is_updated_in_place(fleet, instance):
    ecs = fleet.ecs

    def define(line):
        container = {"name": "app", "image": fleet.image, "memory": 32, "stopTimeout": 1}
        container["command"] = ["sh", "-c", f"echo {line}; exec sleep 1000"]
        return ecs.register_daemon_task_definition(family="watch", containerDefinitions=[container])["daemonTaskDefinitionArn"]

    def tasks(definition):
        arns = ecs.list_tasks(cluster="fleet")["taskArns"]
        found = ecs.describe_tasks(cluster="fleet", tasks=arns)["tasks"] if arns else []
        return [one for one in found if one["taskDefinitionArn"] == definition and one["lastStatus"] == "RUNNING"]

    provider = f"arn:aws:ecs:{REGION}:{ACCOUNT}:capacity-provider/{PROVIDER}"
    first = define("first")
    daemon = ecs.create_daemon(
        daemonName="watch", clusterArn="fleet", daemonTaskDefinitionArn=first, capacityProviderArns=[provider]
    )["daemonArn"]
    running = eventually(lambda: tasks(first), 30, "the daemon's task")
    assert [(one["group"], one["containerInstanceArn"]) for one in running] == [("daemon:watch", instance)]
    second = define("second")
    ecs.update_daemon(daemonArn=daemon, daemonTaskDefinitionArn=second, capacityProviderArns=[provider])
    eventually(lambda: tasks(second) and not tasks(first), 40, "the updated daemon's task")
    shown = ecs.describe_daemon(daemonArn=daemon)["daemon"]
    assert shown["currentRevisions"][0]["totalRunningCount"] == 1
    ecs.delete_daemon(daemonArn=daemon)
    eventually(lambda: not tasks(second), 30, "no task of the daemon")
    assert ecs.list_services(cluster="fleet")["serviceArns"] == []


def test_daemon_services_and_draining_instances(fleet, instance):
    definition = fleet.define("everywhere", "exec sleep 1000")
    fleet.ecs.create_service(
        cluster="fleet", serviceName="everywhere", taskDefinition=definition, launchType="EC2", schedulingStrategy="DAEMON"
    )

    def counts():
        shown = fleet.ecs.describe_services(cluster="fleet", services=["everywhere"])["services"][0]
        return shown["desiredCount"], shown["runningCount"]

    eventually(lambda: counts() == (1, 1), 30, "a task on the one instance")
    fleet.ecs.update_container_instances_state(cluster="fleet", containerInstances=[instance], status="DRAINING")
    eventually(lambda: counts() == (0, 0), 30, "no task on a draining instance")
    fleet.ecs.update_container_instances_state(cluster="fleet", containerInstances=[instance], status="ACTIVE")
    eventually(lambda: counts() == (1, 1), 30, "a task again")
    remove(fleet, "everywhere")


def test_linked_containers_find_each_other_by_name(fleet, instance):
    def container(name, script, **more):
        return {"name": name, "image": fleet.image, "memory": 32, "stopTimeout": 1, "command": ["sh", "-c", script], **more}

    page = "mkdir -p /tmp/www; echo linked > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"
    # It ends well once it has the page by the alias.
    ask = "until wget -q -O- http://front/ | grep linked; do sleep 1; done; grep -q 'front web$' /etc/hosts"
    definition = fleet.ecs.register_task_definition(
        family="linked",
        networkMode="bridge",
        containerDefinitions=[container("ask", ask, links=["web:front"]), container("web", page, essential=False)],
    )["taskDefinition"]["taskDefinitionArn"]
    task = fleet.ecs.run_task(cluster="fleet", taskDefinition=definition, launchType="EC2")["tasks"][0]["taskArn"]

    def stopped():
        [shown] = fleet.ecs.describe_tasks(cluster="fleet", tasks=[task])["tasks"]
        return shown if shown["lastStatus"] == "STOPPED" else None

    ended = eventually(stopped, 40, "the end of the task")
    codes = {one["name"]: one.get("exitCode") for one in ended["containers"]}
    assert codes["ask"] == 0, ended


def test_a_range_of_ports_has_as_many_of_the_machine_in_a_row(fleet, instance):
    # A page on the first, one in the middle and the last; each says where it is.
    page = (
        "for port in 7000 7013 7019; do mkdir -p /tmp/$port; echo $port > /tmp/$port/index.html;"
        " httpd -p $port -h /tmp/$port; done; exec sleep 1000"
    )
    [task] = fleet.run("ranged", page, ports=[{"containerPortRange": "7000-7019"}, {"containerPort": 7100}])
    [container] = fleet.wait(task, "RUNNING")["containers"]
    single, ranged = sorted(container["networkBindings"], key=lambda binding: "containerPortRange" in binding)
    assert single["containerPort"] == 7100 and single["hostPort"] >= 32768
    assert ranged["containerPortRange"] == "7000-7019" and "hostPort" not in ranged
    first, last = map(int, ranged["hostPortRange"].split("-"))
    assert last - first == 19 and first >= 32768

    def fetch(port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as got:
                return got.read().decode().strip()
        except OSError:
            return None

    for inside in (7000, 7013, 7019):
        outside = first + inside - 7000
        assert eventually(lambda: fetch(outside), 20, f"the page of {inside}") == str(inside)
    fleet.stop(task)
    eventually(lambda: fetch(first) is None, 10, "the ports given up")
