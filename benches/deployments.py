"""Deployments under load: a service behind an application load balancer is deployed anew, scaled out and in, and loses tasks, while clients ask
at a constant rate and repeat nothing. What counts is how many requests failed."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse

import images
from longshore import CLUSTER, DEADLINE_SECONDS, Longshore

REQUESTS_PER_SECOND = 2000
CONNECTIONS = 64
TASKS = 4
DEPLOYMENTS = 50
# After so many deployments the service is scaled out and in again.
SCALED_EVERY = 5
KILLS = 10
VERSIONS = {"ec2": "2016-11-15", "elbv2": "2015-12-01"}


def run(report, work, binary, generator, here):
    program = work / "serve"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O2", "-static", "-o", program, here / "serve.c"], check=True)
    images.program(work / "serve-image", str(program))
    with Longshore(binary, work / "deployments") as platform:
        platform.wait_ready()
        service = Service(platform, work)
        try:
            measure(report, service, generator)
        finally:
            service.delete()


def measure(report, service, generator):
    report.say(
        f"{TASKS} tasks behind an application load balancer; {REQUESTS_PER_SECOND:,} GET requests/s over {CONNECTIONS} "
        "connections from this machine, each sent once. Latency counts from when a request was due.\n"
    )
    report.table("what", "times", "requests", "failed", "p50, ms", "p99, ms", "longest, ms")
    with Load(generator, service.addresses) as load:
        time.sleep(5)
        row(report, "nothing", 1, load.mark())
        began = time.monotonic()
        planned = []
        for number in range(DEPLOYMENTS):
            service.deploy(f"revision {number}")
            planned.append(load.mark())
            if (number + 1) % SCALED_EVERY == 0:
                service.scale(TASKS + 3)
                service.scale(TASKS)
                planned.append(load.mark())
        took = time.monotonic() - began
        row(report, "rolling deployments, scaling out and in", f"{DEPLOYMENTS} + {DEPLOYMENTS // SCALED_EVERY}", merge(planned))
        killed = []
        for _ in range(KILLS):
            service.kill_one()
            killed.append(load.mark())
        row(report, "killed tasks", KILLS, merge(killed))
    report.say(f"\nThe planned changes took {took:.0f} s.")
    for name, counts in (("planned changes", planned), ("killed tasks", killed)):
        for failure, count in merge(counts)["failures"].items():
            report.say(f"Failed in {name}: {count} × {failure}")


def row(report, what, times, counts):
    milliseconds = [f"{counts[key] / 1000:.1f}" for key in ("p50_us", "p99_us", "max_us")]
    report.row(what, times, f"{counts['answered']:,}", sum(counts["failures"].values()), *milliseconds)


def merge(all_counts):
    """Sums; of latencies the worst, which is no better than that of all together."""
    failures = {}
    for counts in all_counts:
        for failure, count in counts["failures"].items():
            failures[failure] = failures.get(failure, 0) + count
    worst = {key: max(counts[key] for counts in all_counts) for key in ("p50_us", "p99_us", "max_us")}
    return {"answered": sum(counts["answered"] for counts in all_counts), "failures": failures, **worst}


class Load:
    """The generator, which prints what it counted since the last mark."""

    def __init__(self, generator, addresses):
        targets = ",".join(f"{address}:80" for address in addresses)
        command = [generator, targets, str(REQUESTS_PER_SECOND), str(CONNECTIONS)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def mark(self):
        self.process.stdin.write("mark\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=30)
        self.process.kill()
        self.process.wait()


class Service:
    """The service, with its load balancer."""

    def __init__(self, platform, work):
        self.platform = platform
        self.call = platform.call
        platform.make_execution_role()
        self.subnets = sorted(set(re.findall(r"<subnetId>(.*?)</subnetId>", self.query("ec2", "DescribeSubnets"))))
        vpc = re.search(r"<vpcId>(.*?)</vpcId>", self.query("ec2", "DescribeVpcs"))[1]
        made = self.query("ec2", "CreateSecurityGroup", GroupName="open", GroupDescription="open", VpcId=vpc)
        self.group = re.search(r"<groupId>(.*?)</groupId>", made)[1]
        permission = {"IpProtocol": "-1", "IpRanges.1.CidrIp": "0.0.0.0/0"}
        permission = {f"IpPermissions.1.{key}": value for key, value in permission.items()}
        self.query("ec2", "AuthorizeSecurityGroupIngress", GroupId=self.group, **permission)
        self.balance(vpc)
        self.call("ecs", "CreateCluster", {"clusterName": CLUSTER})
        self.call("ecr", "CreateRepository", {"repositoryName": "serve"})
        options = ["--quiet", "--dest-tls-verify=false", "--dest-creds", platform.registry_login()]
        self.image = f"{platform.registry}/serve:v1"
        subprocess.run(["skopeo", "copy", *options, f"oci:{work}/serve-image", f"docker://{self.image}"], check=True)
        network = {"subnets": self.subnets, "securityGroups": [self.group]}
        body = {
            "cluster": CLUSTER,
            "serviceName": "web",
            "taskDefinition": self.define("first"),
            "desiredCount": TASKS,
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": network},
            "loadBalancers": [{"targetGroupArn": self.targets, "containerName": "app", "containerPort": 8080}],
        }
        self.call("ecs", "CreateService", body)
        self.wait()

    def query(self, service, action, **members):
        body = urllib.parse.urlencode({"Action": action, "Version": VERSIONS[service], **members})
        connection = self.platform.connection
        connection.request("POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"{action}: {answer.status} {text[:600]}")
        return text

    def balance(self, vpc):
        subnets = {f"Subnets.member.{number}": subnet for number, subnet in enumerate(self.subnets, 1)}
        made = self.query(
            "elbv2", "CreateLoadBalancer", Name="web", **subnets, **{"SecurityGroups.member.1": self.group}
        )
        self.balancer = re.search(r"<LoadBalancerArn>(.*?)</LoadBalancerArn>", made)[1]
        made = self.query(
            "elbv2",
            "CreateTargetGroup",
            Name="web",
            Protocol="HTTP",
            Port=8080,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
        )
        self.targets = re.search(r"<TargetGroupArn>(.*?)</TargetGroupArn>", made)[1]
        forward = {"DefaultActions.member.1.Type": "forward", "DefaultActions.member.1.TargetGroupArn": self.targets}
        self.query("elbv2", "CreateListener", LoadBalancerArn=self.balancer, Protocol="HTTP", Port=80, **forward)
        description = "ELB " + self.balancer.split("loadbalancer/")[1]
        filters = {"Filter.1.Name": "description", "Filter.1.Value.1": description}
        shown = self.query("ec2", "DescribeNetworkInterfaces", **filters)
        self.addresses = sorted(set(re.findall(r"<publicIp>(.*?)</publicIp>", shown)))

    def define(self, page):
        container = {
            "name": "app",
            "image": self.image,
            "portMappings": [{"containerPort": 8080}],
            "environment": [{"name": "PAGE", "value": page}],
        }
        body = {
            "family": "serve",
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::000000000000:role/exec",
            "containerDefinitions": [container],
        }
        return self.call("ecs", "RegisterTaskDefinition", body)["taskDefinition"]["taskDefinitionArn"]

    def update(self, **more):
        self.call("ecs", "UpdateService", {"cluster": CLUSTER, "service": "web", **more})

    def deploy(self, page):
        self.update(taskDefinition=self.define(page))
        self.wait()

    def scale(self, count):
        self.update(desiredCount=count)
        self.wait()

    def wait(self):
        """Until the one deployment is completed and all tasks run."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            shown = self.call("ecs", "DescribeServices", {"cluster": CLUSTER, "services": ["web"]})["services"][0]
            deployments = shown["deployments"]
            stable = len(deployments) == 1 and shown["runningCount"] == shown["desiredCount"]
            if stable and deployments[0].get("rolloutState") == "COMPLETED":
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the service does not become stable: {json.dumps(shown, default=str)[:2000]}")
            time.sleep(0.1)

    def tasks(self):
        listed = self.call("ecs", "ListTasks", {"cluster": CLUSTER, "serviceName": "web"})["taskArns"]
        return self.call("ecs", "DescribeTasks", {"cluster": CLUSTER, "tasks": listed})["tasks"]

    def kill_one(self):
        """Kills a task's process, and waits until it is replaced."""
        victim = self.tasks()[0]
        details = {pair["name"]: pair["value"] for pair in victim["attachments"][0]["details"]}
        route = subprocess.run(
            ["ip", "route", "get", details["privateIPv4Address"]], capture_output=True, text=True, check=True
        ).stdout
        namespace = os.stat(f"/run/longshore/net/netns/{re.search(r'dev (lsh-[0-9a-f]+)', route)[1]}").st_ino
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                own = os.stat(process / "ns" / "net").st_ino == namespace
                if own and (process / "cmdline").read_bytes().startswith(b"/bin/serve"):
                    os.kill(int(process.name), signal.SIGKILL)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            running = [task["taskArn"] for task in self.tasks() if task["lastStatus"] == "RUNNING"]
            if len(running) == TASKS and victim["taskArn"] not in running:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{victim['taskArn']} is not replaced")
            time.sleep(0.05)
        self.wait()

    def delete(self):
        self.call("ecs", "DeleteService", {"cluster": CLUSTER, "service": "web", "force": True})
        deadline = time.monotonic() + DEADLINE_SECONDS
        # Tasks go on for a moment after nobody wants them any more.
        while self.going_on() and time.monotonic() < deadline:
            time.sleep(0.2)

    def going_on(self):
        asked = [{"cluster": CLUSTER, "desiredStatus": status} for status in ("RUNNING", "STOPPED")]
        listed = [arn for body in asked for arn in self.call("ecs", "ListTasks", body)["taskArns"]]
        shown = [
            task
            for first in range(0, len(listed), 100)
            for task in self.call("ecs", "DescribeTasks", {"cluster": CLUSTER, "tasks": listed[first : first + 100]})["tasks"]
        ]
        return any(task["lastStatus"] != "STOPPED" for task in shown)
