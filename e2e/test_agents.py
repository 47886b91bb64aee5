"""Container instances: agents in a network namespace of their own (which stands for a second machine), and beside the platform."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from conftest import ACCOUNT, BIN, REGION, Image, Platform, eventually, stop_shared

HERE, THERE = "10.77.0.1", "10.77.0.2"
DOOR = f"{HERE}:4599"


class WithDoor(Platform):
    """A platform that agents of other machines reach."""

    def authority(self):
        """The certificate that they have to trust."""
        return f"{self.data_dir}/tls/authority.pem"

    def launch(self):
        where = ["--data-dir", str(self.data_dir), "--agent-listen", DOOR]
        self.process = subprocess.Popen(
            [BIN, "up", "--listen", f"127.0.0.1:{self.port}", *where],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )


class Machine:
    """Network and mount namespaces with a /run of their own, joined to this machine by a cable."""

    def __init__(self):
        script = "mount -t tmpfs tmpfs /run && ip link set lo up && echo ready && exec sleep 100000"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert self.holder.stdout.readline() == b"ready\n"
        pid = str(self.holder.pid)
        for words in (
            f"ip link add cable0 type veth peer name cable1 netns {pid}",
            f"ip addr add {HERE}/24 dev cable0",
            "ip link set cable0 up",
        ):
            subprocess.run(words.split(), check=True)
        for words in (f"ip addr add {THERE}/24 dev cable1", "ip link set cable1 up", f"ip route add default via {HERE}"):
            subprocess.run([*self.enter(), *words.split()], check=True)

    def enter(self):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m"]

    def end(self):
        self.holder.kill()
        self.holder.wait()


class Agent:
    """`longshore agent`, here or on another machine."""

    def __init__(self, endpoint, key, data_dir=None, machine=None, more=()):
        self.endpoint, self.key, self.machine = endpoint, key, machine
        where = ["--data-dir", str(data_dir)] if data_dir else ["--ephemeral"]
        self.words = [BIN, "agent", "--cluster", "fleet", "--endpoint", endpoint, *where, *more]
        self.log = tempfile.NamedTemporaryFile(prefix="longshore-agent-log-", suffix=".txt", delete=False)
        self.process = None

    def start(self):
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        env.update(AWS_ACCESS_KEY_ID=self.key[0], AWS_SECRET_ACCESS_KEY=self.key[1], AWS_REGION=REGION)
        env.update(ECS_ENABLE_CONTAINER_METADATA="true")
        self.log.truncate(0)
        enter = self.machine.enter() if self.machine else []
        self.process = subprocess.Popen(
            [*enter, *self.words], env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )
        return self

    def ready(self):
        def answers():
            assert self.process.poll() is None, self.output()
            return "ready to run tasks" in self.output()

        eventually(answers, 30, "the agent")
        return self

    def output(self):
        return pathlib.Path(self.log.name).read_text()

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.output()


class Fleet:
    def __init__(self, platform, image):
        self.platform, self.image = platform, image
        self.ecs = platform.client("ecs")
        self.ecs.create_cluster(clusterName="fleet")
        platform.client("logs").create_log_group(logGroupName="/fleet")

    def instances(self):
        arns = self.ecs.list_container_instances(cluster="fleet")["containerInstanceArns"]
        return self.describe(arns) if arns else []

    def describe(self, arns):
        return self.ecs.describe_container_instances(cluster="fleet", containerInstances=arns)["containerInstances"]

    def connected(self, arn, wanted=True):
        return eventually(
            lambda: [one for one in self.describe([arn]) if one["agentConnected"] == wanted],
            30,
            f"{arn} {'connected' if wanted else 'not connected'}",
        )[0]

    def define(self, family, script, mode="bridge", ports=(), **more):
        container = {
            "name": "app",
            "image": self.image,
            "memory": 64,
            # As process 1 none of them minds SIGTERM.
            "stopTimeout": 1,
            "entryPoint": ["/bin/sh", "-c"],
            "command": [script],
            "portMappings": list(ports),
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/fleet", "awslogs-region": REGION, "awslogs-stream-prefix": "t"},
            },
        }
        answer = self.ecs.register_task_definition(
            family=family, networkMode=mode, containerDefinitions=[container], **more
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def run(self, *words, count=1, launch_type="EC2", **more):
        definition = self.define(*words, **more)
        answer = self.ecs.run_task(cluster="fleet", taskDefinition=definition, launchType=launch_type, count=count)
        assert answer["failures"] == [], answer["failures"]
        return [task["taskArn"] for task in answer["tasks"]]

    def task(self, arn):
        return self.ecs.describe_tasks(cluster="fleet", tasks=[arn])["tasks"][0]

    def wait(self, arn, status, timeout=40):
        def reached():
            task = self.task(arn)
            assert status == "STOPPED" or task["lastStatus"] != "STOPPED", task.get("stoppedReason")
            return task if task["lastStatus"] == status else None

        return eventually(reached, timeout, f"{status} of {arn}")

    def stop(self, arn):
        self.ecs.stop_task(cluster="fleet", task=arn)
        return self.wait(arn, "STOPPED")

    def lines(self, arn):
        logs = self.platform.client("logs")
        stream = f"t/app/{arn.rsplit('/', 1)[1]}"
        try:
            events = logs.get_log_events(logGroupName="/fleet", logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def said(self, arn, count=1):
        return eventually(lambda: len(self.lines(arn)) >= count and self.lines(arn), 20, f"{count} lines of {arn}")


WEB = "mkdir -p /tmp/www; echo name $HOSTNAME > /tmp/www/index.html; exec httpd -f -p {port} -h /tmp/www"


def bindings(task):
    return task["containers"][0]["networkBindings"]


def fetch(host, port, timeout=5):
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=timeout) as answer:
        return answer.read().decode().strip()


def page(host, port):
    """What is served there, once it is: a task runs before its program listens."""

    def served():
        try:
            return fetch(host, port)
        except OSError:
            return None

    return eventually(served, 20, f"the page at {host}:{port}")


def open_port(host, port):
    with socket.socket() as one:
        one.settimeout(2)
        return one.connect_ex((host, port)) == 0


AGENTS = "DiscoverPollEndpoint RegisterContainerInstance DeregisterContainerInstance Poll StartTelemetrySession Submit*"


def key_of(platform, name, actions=AGENTS):
    """An issued key: what the agents' door asks for."""
    iam = platform.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": [f"ecs:{action}" for action in actions.split()], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


@pytest.fixture(scope="module")
def machine():
    stop_shared()
    machine = Machine()
    yield machine
    machine.end()


@pytest.fixture(scope="module")
def fleet(machine, tmp_path_factory):
    data_dir = tempfile.mkdtemp(prefix="longshore-kept-", dir="/var/tmp")
    platform = WithDoor(data_dir, port=4597).start()
    images = Image(platform, tmp_path_factory.mktemp("images"))
    yield Fleet(platform, images.push("busybox"))
    platform.stop()
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def key(fleet):
    return key_of(fleet.platform, "agent")


@pytest.fixture(scope="module")
def agent(fleet, machine, key):
    data_dir = tempfile.mkdtemp(prefix="longshore-agent-kept-", dir="/var/tmp")
    more = ["--attribute", "rack=7", "--instance-id", "i-0123456789abcdef0"]
    # On another machine: the door has TLS there.
    more += ["--ca", fleet.platform.authority()]
    agent = Agent(f"https://{DOOR}", key, data_dir, machine, more).start().ready()
    yield agent
    agent.stop()
    assert leftovers_there(machine) == []
    shutil.rmtree(data_dir, ignore_errors=True)


def leftovers_there(machine):
    def lines(*words):
        return subprocess.run([*machine.enter(), *words], capture_output=True, text=True).stdout.splitlines()

    found = [line for line in lines("ip", "-o", "link") if "lsh" in line]
    found += [line for line in lines("nft", "list", "tables") if "longshore" in line]
    found += [line for line in lines("ip", "route") if "proto 77" in line]
    namespace = os.stat(f"/proc/{machine.holder.pid}/ns/net").st_ino
    found += [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/longshore-agent-{namespace}")]
    return found


@pytest.fixture(scope="module")
def instance(fleet, agent):
    arn = fleet.instances()[0]["containerInstanceArn"]
    fleet.connected(arn)
    return arn


def test_the_machine_is_described(fleet, instance):
    shown = fleet.connected(instance)
    assert (shown["status"], shown["ec2InstanceId"]) == ("ACTIVE", "i-0123456789abcdef0")
    attributes = {one["name"]: one.get("value") for one in shown["attributes"]}
    assert attributes["rack"] == "7" and attributes["ecs.availability-zone"] == f"{REGION}a"
    assert "ecs.capability.task-eni" not in attributes
    resources = {one["name"]: one for one in shown["registeredResources"]}
    assert resources["CPU"]["integerValue"] >= 1024 and resources["MEMORY"]["integerValue"] > 256
    assert shown["versionInfo"]["agentVersion"]


def test_bridge_tasks_of_one_port_stand_side_by_side(fleet, machine, instance):
    ports = [{"containerPort": 80}]
    tasks = fleet.run("bridge", WEB.format(port=80), ports=ports, count=2)
    shown = [fleet.wait(task, "RUNNING") for task in tasks]
    found = [bindings(task)[0] for task in shown]
    for binding in found:
        assert (binding["bindIP"], binding["containerPort"], binding["protocol"]) == ("0.0.0.0", 80, "tcp")
        assert binding["hostPort"] >= 32768
    assert all(task["launchType"] == "EC2" and task["containerInstanceArn"] == instance for task in shown)
    names = [page(THERE, one["hostPort"]) for one in found]
    assert names[0] != names[1]
    # The node itself reaches them by its loopback address.
    command = ["wget", "-q", "-O-", f"http://127.0.0.1:{found[0]['hostPort']}/"]
    seen = subprocess.run([*machine.enter(), "/bin/busybox", *command], capture_output=True, text=True, timeout=20)
    assert seen.stdout.strip() == names[0], seen.stderr
    for task, binding in zip(tasks, found):
        fleet.stop(task)
        assert not open_port(THERE, binding["hostPort"])


def test_a_container_finds_a_file_about_itself(fleet, instance):
    script = "until grep -q READY $ECS_CONTAINER_METADATA_FILE; do sleep 0.1; done; cat $ECS_CONTAINER_METADATA_FILE; echo; exec sleep 1000"
    [task] = fleet.run("metadata", script, ports=[{"containerPort": 80}])
    shown = fleet.wait(task, "RUNNING")
    eventually(lambda: fleet.lines(task)[-1:] == ["}"], 20, "the whole file")
    found = json.loads("\n".join(fleet.lines(task)))
    assert (found["TaskARN"], found["ContainerInstanceARN"], found["Cluster"]) == (task, instance, "fleet")
    assert found["PortMappings"][0]["HostPort"] == bindings(shown)[0]["hostPort"]
    assert found["Networks"][0]["NetworkMode"] == "bridge" and found["Networks"][0]["IPv4Addresses"]
    fleet.stop(task)


def test_a_given_port_belongs_to_one(fleet, instance):
    ports = [{"containerPort": 80, "hostPort": 8085}]
    task = fleet.run("given", WEB.format(port=80), ports=ports)[0]
    assert bindings(fleet.wait(task, "RUNNING"))[0]["hostPort"] == 8085
    assert page(THERE, 8085)
    answer = fleet.ecs.run_task(cluster="fleet", taskDefinition="given", launchType="EC2")
    assert [one["reason"] for one in answer["failures"]] == ["RESOURCE:PORTS"]
    fleet.stop(task)
    again = fleet.ecs.run_task(cluster="fleet", taskDefinition="given", launchType="EC2")["tasks"][0]["taskArn"]
    fleet.wait(again, "RUNNING")
    fleet.stop(again)


def test_host_and_none(fleet, instance):
    ports = [{"containerPort": 8086, "hostPort": 8086}]
    host = fleet.run("host", WEB.format(port=8086), mode="host", ports=ports)[0]
    shown = fleet.wait(host, "RUNNING")
    assert [one["hostPort"] for one in bindings(shown)] == [8086]
    assert page(THERE, 8086)
    script = "ls /sys/class/net; cat /proc/net/route | wc -l; ls /dev/shm >/dev/null 2>&1 || echo no shm; echo end; exec sleep 1000"
    none = fleet.run("none", script, mode="none", ipcMode="none", pidMode="host")[0]
    fleet.wait(none, "RUNNING")
    lines = eventually(lambda: "end" in fleet.lines(none) and fleet.lines(none), 20, "its lines")
    assert lines == ["lo", "1", "no shm", "end"]
    for task in (host, none):
        fleet.stop(task)
    assert not open_port(THERE, 8086)


def test_awsvpc_is_not_offered(fleet, instance):
    definition = fleet.define("vpc", "true", mode="awsvpc")
    subnets = [one["SubnetId"] for one in fleet.platform.client("ec2").describe_subnets()["Subnets"]]
    answer = fleet.ecs.run_task(
        cluster="fleet",
        taskDefinition=definition,
        launchType="EC2",
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
    )
    assert [one["reason"] for one in answer["failures"]] == ["ATTRIBUTE"]


def test_a_killed_agent_finds_its_tasks_again(fleet, agent, instance):
    task = fleet.run("survives", WEB.format(port=80), ports=[{"containerPort": 80}])[0]
    port = bindings(fleet.wait(task, "RUNNING"))[0]["hostPort"]
    name = page(THERE, port)
    agent.kill()
    fleet.connected(instance, wanted=False)
    assert fetch(THERE, port) == name
    assert fleet.task(task)["lastStatus"] == "RUNNING"
    # What is asked meanwhile is heard later.
    fleet.ecs.stop_task(cluster="fleet", task=task)
    answer = fleet.ecs.run_task(cluster="fleet", taskDefinition="survives", launchType="EC2")
    assert [one["reason"] for one in answer["failures"]] == ["AGENT"]
    agent.start().ready()
    fleet.connected(instance)
    assert len(fleet.instances()) == 1
    fleet.wait(task, "STOPPED")
    assert not open_port(THERE, port)


def test_an_agent_comes_back_to_its_running_tasks(fleet, agent, instance):
    task = fleet.run("stays", WEB.format(port=80), ports=[{"containerPort": 80}])[0]
    port = bindings(fleet.wait(task, "RUNNING"))[0]["hostPort"]
    name = page(THERE, port)
    agent.kill()
    fleet.connected(instance, wanted=False)
    agent.start().ready()
    fleet.connected(instance)
    assert fetch(THERE, port) == name
    shown = fleet.task(task)
    assert (shown["lastStatus"], bindings(shown)[0]["hostPort"]) == ("RUNNING", port)
    fleet.stop(task)


def test_the_control_plane_comes_back_to_its_instances(fleet, agent, instance):
    task = fleet.run("outlives", "echo first; sleep 1; echo second; exec sleep 1000")[0]
    fleet.wait(task, "RUNNING")
    version = fleet.describe([instance])[0]["version"]
    fleet.platform.kill()
    fleet.platform.start()
    assert fleet.connected(instance)["version"] > version
    assert len(fleet.instances()) == 1 and agent.process.poll() is None
    assert fleet.task(task)["lastStatus"] == "RUNNING"
    # What was said meanwhile is there, too.
    assert fleet.said(task, 2) == ["first", "second"]
    fleet.stop(task)


def test_a_draining_instance_takes_no_tasks(fleet, instance):
    def state(status):
        fleet.ecs.update_container_instances_state(cluster="fleet", containerInstances=[instance], status=status)

    definition = fleet.define("drained", "exec sleep 1000")
    state("DRAINING")
    try:
        with pytest.raises(fleet.ecs.exceptions.InvalidParameterException, match="No Container Instances were found"):
            fleet.ecs.run_task(cluster="fleet", taskDefinition=definition, launchType="EC2")
    finally:
        state("ACTIVE")
    task = fleet.ecs.run_task(cluster="fleet", taskDefinition=definition, launchType="EC2")["tasks"][0]["taskArn"]
    fleet.wait(task, "RUNNING")
    fleet.stop(task)


def test_the_agents_door_is_for_agents(fleet, instance, key):
    import boto3

    def client(access_key, secret):
        return boto3.client(
            "ecs",
            endpoint_url=f"https://{DOOR}",
            verify=fleet.platform.authority(),
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )

    def refusal(call, **words):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            call(**words)
        return error.value.response["Error"]["Code"]

    register = {"cluster": "fleet", "totalResources": []}
    assert refusal(client(ACCOUNT, "secret").register_container_instance, **register) == "UnrecognizedClientException"
    assert refusal(client(key[0], "wrong").register_container_instance, **register) == "InvalidSignatureException"
    assert refusal(client(*key).list_tasks, cluster="fleet") == "AccessDeniedException"
    found = client(*key).discover_poll_endpoint(cluster="fleet", containerInstance=instance)
    assert found["endpoint"] == found["telemetryEndpoint"] == f"https://{DOOR}/"
    # A stranger's handshake goes no further either.
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    def shake_hands(headers):
        trusted = ssl.create_default_context(cafile=fleet.platform.authority())
        connection = http.client.HTTPSConnection(DOOR, timeout=5, context=trusted)
        connection.request("GET", path, headers={**handshake, **headers})
        status = connection.getresponse().status
        connection.close()
        return status

    def signed(access_key, secret):
        request = botocore.awsrequest.AWSRequest("GET", f"https://{DOOR}{path}")
        credentials = botocore.credentials.Credentials(access_key, secret)
        botocore.auth.SigV4Auth(credentials, "ecs", REGION).add_auth(request)
        return dict(request.headers)

    # Nothing is said there without TLS.
    with pytest.raises((http.client.HTTPException, OSError)):
        plain = http.client.HTTPConnection(DOOR, timeout=5)
        plain.request("GET", "/health")
        plain.getresponse()
    path = "/ws?" + urllib.parse.urlencode({"containerInstance": instance, "cluster": "fleet"})
    assert shake_hands({}) == 403
    # A key may be issued and not be allowed to.
    some = key_of(fleet.platform, "some", "RegisterContainerInstance")
    assert shake_hands(signed(*some)) == 400
    assert shake_hands(signed(*key)) == 101
    assert fleet.connected(instance)


def test_beside_the_platform(fleet):
    """On the platform's own machine and in its network namespace, as on a laptop."""
    before = {one["containerInstanceArn"] for one in fleet.instances()}
    agent = Agent(fleet.platform.endpoint, (ACCOUNT, "longshore"), more=["--external"]).start().ready()
    try:
        new = eventually(
            lambda: [one["containerInstanceArn"] for one in fleet.instances() if one["containerInstanceArn"] not in before],
            20,
            "the instance",
        )
        fleet.connected(new[0])
        script = (
            "wget -q -O- $ECS_CONTAINER_METADATA_URI_V4/task | grep -o '\"LaunchType\":\"[A-Z0-9]*\"' || echo no metadata; "
            "wget -O /dev/null $AWS_ENDPOINT_URL/health 2>/dev/null && echo API || echo no API; "
        ) + WEB.format(port=80)
        task = fleet.run("beside", script, ports=[{"containerPort": 80, "hostPort": 8087}], launch_type="EXTERNAL")[0]
        shown = fleet.wait(task, "RUNNING")
        assert shown["containerInstanceArn"] == new[0]
        assert page("127.0.0.1", 8087)
        assert fleet.said(task, 2) == ['"LaunchType":"EXTERNAL"', "API"]
    finally:
        agent.stop()
    assert {one["containerInstanceArn"] for one in fleet.instances()} == before
    assert not pathlib.Path("/run/longshore-agent").exists()
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    assert "lsha-" not in links
    assert not open_port("127.0.0.1", 8087)
