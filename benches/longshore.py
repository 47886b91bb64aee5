"""A `longshore up` to be measured, and the few calls that the benchmarks make, over one connection."""

import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

CLUSTER = "bench"
LOG_GROUP = "/bench"
IAM = "2010-05-08"
DEADLINE_SECONDS = 120
# RunTask takes ten at most.
TASKS_PER_CALL = 10

TARGETS = {
    "ecs": ("AmazonEC2ContainerServiceV20141113", "1.1"),
    "ecr": ("AmazonEC2ContainerRegistry_V20150921", "1.1"),
    "logs": ("Logs_20140328", "1.1"),
}


class Longshore:
    """A platform on a data directory of its own, which goes with it."""

    def __init__(self, binary, data_dir, log_filter=None):
        self.binary, self.data_dir, self.log_filter = pathlib.Path(binary), pathlib.Path(data_dir), log_filter
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.registry = f"localhost:{self.port}"
        self.definition = None
        self.tasks = []

    def __enter__(self):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.start():
            # One platform per machine: another one's turn.
            if time.monotonic() > deadline:
                raise RuntimeError(f"longshore up does not start: {self.output()}")
            time.sleep(1)
        return self

    def start(self):
        self.log = self.data_dir.with_suffix(".log")
        with open(self.log, "w") as log:
            began = time.time_ns()
            command = [self.binary, "up", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.data_dir]
            env = {**os.environ, "LONGSHORE_LOG": self.log_filter} if self.log_filter else None
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self.began = began
        while True:
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.call("ecs", "ListClusters", {})
                self.answered_ns = time.time_ns() - began
                return True
            except OSError:
                if self.process.poll() is not None:
                    return False
                time.sleep(0.0005)

    def output(self):
        return self.log.read_text()

    def wait_ready(self):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while "Ready to run tasks" not in self.output():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the agent does not start: {self.output()}")
            time.sleep(0.001)
        self.ready_ns = time.time_ns() - self.began

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop_tasks()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def call(self, service, operation, body):
        target, version = TARGETS[service]
        headers = {"X-Amz-Target": f"{target}.{operation}", "Content-Type": f"application/x-amz-json-{version}"}
        self.connection.request("POST", "/", json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{operation}: {answer.status} {text[:600]}")
        return json.loads(text)

    def query_ec2(self, action):
        return self.query(action, "2016-11-15")

    def query(self, action, version, **members):
        body = urllib.parse.urlencode({"Action": action, "Version": version, **members})
        self.connection.request("POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"{action}: {answer.status} {text[:600]}")
        return text

    def make_execution_role(self):
        """The role with which tasks are pulled for and write their logs."""
        trusts = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trusts]})
        self.query("CreateRole", IAM, RoleName="exec", AssumeRolePolicyDocument=document)
        policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
        self.query("AttachRolePolicy", IAM, RoleName="exec", PolicyArn=policy)

    def registry_login(self):
        token = self.call("ecr", "GetAuthorizationToken", {})["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(token).decode()

    def prepare(self, work):
        """Pushes the images and registers the task definitions."""
        self.subnets = sorted(set(re.findall(r"<subnetId>(.*?)</subnetId>", self.query_ec2("DescribeSubnets"))))
        self.call("ecs", "CreateCluster", {"clusterName": CLUSTER})
        self.call("logs", "CreateLogGroup", {"logGroupName": LOG_GROUP})
        self.make_execution_role()
        for name in ("first", "busybox"):
            self.call("ecr", "CreateRepository", {"repositoryName": name})
            target = f"docker://{self.registry}/{name}:v1"
            options = ["--quiet", "--dest-tls-verify=false", "--dest-creds", self.registry_login()]
            subprocess.run(["skopeo", "copy", *options, f"oci:{work}/{name}-image", target], check=True)
        self.definition = self.define("first", None)
        self.sleeper = self.define("busybox", ["sleep", "100000"])

    def define(self, name, command):
        options = {"awslogs-group": LOG_GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "t"}
        container = {
            "name": "app",
            "image": f"{self.registry}/{name}:v1",
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }
        if command:
            container["command"] = command
        body = {
            "family": name,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::000000000000:role/exec",
            "containerDefinitions": [container],
        }
        return self.call("ecs", "RegisterTaskDefinition", body)["taskDefinition"]["taskDefinitionArn"]

    def run_tasks(self, definition, count):
        arns = []
        while len(arns) < count:
            body = {
                "cluster": CLUSTER,
                "taskDefinition": definition,
                "launchType": "FARGATE",
                "count": min(TASKS_PER_CALL, count - len(arns)),
                "networkConfiguration": {"awsvpcConfiguration": {"subnets": self.subnets}},
            }
            answer = self.call("ecs", "RunTask", body)
            if answer["failures"]:
                raise RuntimeError(f"RunTask: {answer['failures']}")
            arns += [task["taskArn"] for task in answer["tasks"]]
        return arns

    def run(self, count):
        """Times in nanoseconds from the (first) RunTask call to the first instruction of each container's code."""
        began = time.time_ns()
        arns = self.run_tasks(self.definition, count)
        times = [int(self.first_line(arn).split()[1]) - began for arn in arns]
        self.wait_all(arns, "STOPPED")
        return times

    def first_line(self, arn):
        body = {"logGroupName": LOG_GROUP, "logStreamName": f"t/app/{arn.rsplit('/', 1)[1]}", "startFromHead": True}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            # Rarely: what is asked here is no part of what is measured, but takes time from it.
            time.sleep(0.1)
            try:
                events = self.call("logs", "GetLogEvents", body)["events"]
            except RuntimeError as error:
                if "ResourceNotFound" not in str(error):
                    raise
                continue
            if events:
                return events[0]["message"]
        raise RuntimeError(f"no line of {arn}")

    def wait_all(self, arns, status):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            described = self.call("ecs", "DescribeTasks", {"cluster": CLUSTER, "tasks": arns})["tasks"]
            if all(task["lastStatus"] == status for task in described):
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"tasks do not become {status}: {[task['lastStatus'] for task in described]}")
            time.sleep(0.1)

    def run_sleepers(self, count):
        self.tasks = self.run_tasks(self.sleeper, count)
        self.wait_all(self.tasks, "RUNNING")

    def stop_tasks(self):
        for arn in self.tasks:
            self.call("ecs", "StopTask", {"cluster": CLUSTER, "task": arn})
        if self.tasks:
            self.wait_all(self.tasks, "STOPPED")
        self.tasks = []

    def shims(self):
        """Process ids of the shims of this platform."""
        return [pid for pid in processes() if words(pid)[:2] == [os.fsencode(self.binary.resolve()), b"shim"]]

    def cpu_seconds(self):
        """Processor time of the platform and its shims so far."""
        return sum(cpu_seconds(pid) for pid in [self.process.pid, *self.shims()])


def processes():
    return [int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*")]


def words(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def cpu_seconds(pid):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / 100


def memory_kib(pid, what):
    """`Rss` or `Pss` of a process."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{what}:\s+(\d+)", text, re.MULTILINE)[1])
