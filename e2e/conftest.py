"""A platform for the tests, driven by the clients that users have.

Each platform is a real `longshore up` on this machine. The tests share an ephemeral one; those that stop or kill
theirs start their own afterwards. Nothing is left behind: that is looked at whenever an ephemeral platform has
stopped, and once more after the last test.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import boto3
import botocore.config
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = os.environ.get("LONGSHORE_BIN", str(ROOT / "target" / "debug" / "longshore"))
PORT = int(os.environ.get("LONGSHORE_TEST_PORT", "4577"))
REGION = "us-east-1"
ACCOUNT = "000000000000"
# How long to wait for another platform on this machine to end; there is room for one.
WAIT_SECONDS = int(os.environ.get("LONGSHORE_TEST_WAIT", "0"))


READY = "Ready to run tasks"


def eventually(check, timeout=30, what="the condition"):
    """Waits until `check` answers something true, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        time.sleep(0.05)


class Platform:
    """A running `longshore up`."""

    # Whether the one that started last keeps its data.
    kept = False

    def __init__(self, data_dir=None, port=PORT, options=()):
        self.data_dir = data_dir
        self.options = options
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.registry = f"localhost:{port}"
        self.process = None
        self.log = tempfile.NamedTemporaryFile(prefix="longshore-log-", suffix=".txt", delete=False)
        self.clients = {}

    def start(self):
        deadline = time.monotonic() + WAIT_SECONDS
        # What was said before it was stopped is no answer.
        starts = self.output().count(READY)
        while True:
            self.launch()
            try:
                eventually(self.answers, 20, "the front door")
                break
            except AssertionError:
                if "runs on this machine already" not in self.output() or time.monotonic() > deadline:
                    raise
                self.log.truncate(0)
                starts = 0
                time.sleep(0.5)
        eventually(lambda: self.output().count(READY) > starts, 20, "the agent")
        Platform.kept = bool(self.data_dir)
        return self

    def launch(self):
        where = ["--data-dir", str(self.data_dir)] if self.data_dir else ["--ephemeral"]
        self.process = subprocess.Popen(
            [BIN, "up", "--listen", f"127.0.0.1:{self.port}", *where, *self.options],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def output(self):
        return pathlib.Path(self.log.name).read_text()

    def answers(self):
        assert self.process.poll() is None, f"the platform ended: {self.output()}"
        try:
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.output()
        # With a data directory tasks run on, and so does their network.
        if not self.data_dir:
            assert leftovers() == []

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=10)

    def client(self, service, region=REGION, account=ACCOUNT, **more):
        key = (service, region, account, *sorted(more.items()))
        if key not in self.clients:
            self.clients[key] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=region,
                aws_access_key_id=more.get("access_key", account),
                aws_secret_access_key=more.get("secret_key", "secret"),
                aws_session_token=more.get("token"),
                config=botocore.config.Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
            )
        return self.clients[key]

    def environment(self):
        """What a shell has after `eval "$(longshore env)"`."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        env.update(
            AWS_ENDPOINT_URL=self.endpoint,
            AWS_ACCESS_KEY_ID=ACCOUNT,
            AWS_SECRET_ACCESS_KEY="longshore",
            AWS_DEFAULT_REGION=REGION,
            AWS_PAGER="",
            PATH="/usr/bin:/bin:" + env.get("PATH", ""),
        )
        return env

    def shell(self, script, timeout=120, check=True):
        """Runs a script as a user would type it."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'eval "$({BIN} env --listen 127.0.0.1:{self.port})"\n{script}'],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done


class Image:
    """Builds images from a static busybox and pushes them with skopeo."""

    APPLETS = "sh httpd echo sleep cat ls wget nc id grep tail head dd mount touch mkdir rm ps env date true false hostname kill nslookup ulimit df stat chmod ping".split()

    def __init__(self, platform, directory):
        self.platform = platform
        self.directory = pathlib.Path(directory)

    def push(self, name, config=None, files=None, tag="latest", fill=None):
        """`files` are texts by path; `fill` puts more into the layer's tar."""
        import hashlib
        import tarfile
        import io

        layout = self.directory / f"{name}-{tag}"
        blobs = layout / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)

        def blob(data):
            digest = hashlib.sha256(data).hexdigest()
            (blobs / digest).write_bytes(data)
            return {"digest": f"sha256:{digest}", "size": len(data)}

        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for folder in ("bin", "tmp", "etc", "www", "data"):
                info = tarfile.TarInfo(folder)
                info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
                tar.addfile(info)
            tar.add("/bin/busybox", "bin/busybox")
            for applet in self.APPLETS:
                info = tarfile.TarInfo(f"bin/{applet}")
                info.type, info.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(info)
            content = {"etc/passwd": "root:x:0:0::/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n", "etc/group": "root:x:0:\nweb:x:1000:\n"}
            for path, text in {**content, **(files or {})}.items():
                info = tarfile.TarInfo(path)
                info.size, info.mode = len(text.encode()), 0o644
                tar.addfile(info, io.BytesIO(text.encode()))
            if fill:
                fill(tar)
        data = layer.getvalue()
        diff_id = "sha256:" + hashlib.sha256(data).hexdigest()
        described = {"mediaType": "application/vnd.oci.image.layer.v1.tar", **blob(data)}
        image_config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
        config_blob = {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(image_config).encode())}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config_blob,
            "layers": [described],
        }
        described = {"mediaType": manifest["mediaType"], **blob(json.dumps(manifest).encode())}
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

        ecr = self.platform.client("ecr")
        with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName=name)
        uri = f"{self.platform.registry}/{name}:{tag}"
        self.copy(f"oci:{layout}", f"docker://{uri}", "--dest-tls-verify=false", "--dest-creds")
        return uri

    def copy(self, source, target, *options):
        import base64

        token = self.platform.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
        subprocess.run(
            ["skopeo", "copy", "--quiet", *options, base64.b64decode(token).decode(), source, target],
            check=True,
            capture_output=True,
            timeout=120,
        )


TRUSTS_TASKS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def make_execution_role(platform, name="exec"):
    """The role with which tasks are pulled for and write their logs, unless it is there."""
    iam = platform.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUSTS_TASKS))
    for policy in ("service-role/AmazonECSTaskExecutionRolePolicy", "CloudWatchLogsFullAccess"):
        iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")


class Lab:
    """A cluster with a network and an image: what most tests need."""

    def __init__(self, platform, images):
        self.platform = platform
        self.images = images
        self.ecs = platform.client("ecs")
        self.ec2 = platform.client("ec2")
        self.logs = platform.client("logs")
        self.cluster = "lab"
        self.ecs.create_cluster(clusterName=self.cluster)
        self.subnets = [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.image = images.push("busybox")
        self.group = self.open_group("open", [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        with contextlib.suppress(self.logs.exceptions.ResourceAlreadyExistsException):
            self.logs.create_log_group(logGroupName="/lab")
        make_execution_role(platform)

    def open_group(self, name, permissions):
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]
        if permissions:
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
        return group

    def container(self, name="app", script="exec sleep 1000", **more):
        return {
            "name": name,
            "image": self.image,
            "entryPoint": ["/bin/sh", "-c"],
            "command": [script],
            # Nobody in these containers listens to a SIGTERM.
            "stopTimeout": 2,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/lab", "awslogs-region": REGION, "awslogs-stream-prefix": "t"},
            },
            **more,
        }

    def define(self, *containers, family="app", cpu="256", memory="512", **more):
        return self.ecs.register_task_definition(
            family=family,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu=cpu,
            memory=memory,
            executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/exec",
            containerDefinitions=list(containers),
            **more,
        )["taskDefinition"]["taskDefinitionArn"]

    def run(self, *containers, public=False, groups=None, overrides=None, count=1, **more):
        """Runs a task and returns its ARN (a list of them for a count above 1)."""
        definition = self.define(*containers, **more)
        answer = self.ecs.run_task(
            cluster=self.cluster,
            taskDefinition=definition,
            launchType="FARGATE",
            count=count,
            overrides=overrides or {},
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": self.subnets,
                    "securityGroups": groups or [self.group],
                    "assignPublicIp": "ENABLED" if public else "DISABLED",
                }
            },
        )
        assert answer["failures"] == []
        arns = [task["taskArn"] for task in answer["tasks"]]
        return arns if count > 1 else arns[0]

    def describe(self, task):
        return self.ecs.describe_tasks(cluster=self.cluster, tasks=[task])["tasks"][0]

    def wait(self, task, status, timeout=40):
        def reached():
            described = self.describe(task)
            if described["lastStatus"] == status:
                return described
            assert status == "STOPPED" or described["lastStatus"] != "STOPPED", described.get("stoppedReason")
            return None

        return eventually(reached, timeout, f"{status} of {task}")

    def running(self, task):
        return self.wait(task, "RUNNING")

    def stopped(self, task):
        return self.wait(task, "STOPPED")

    def stop(self, task):
        self.ecs.stop_task(cluster=self.cluster, task=task)
        return self.stopped(task)

    def address(self, described):
        details = {pair["name"]: pair["value"] for pair in described["attachments"][0]["details"]}
        return details["privateIPv4Address"]

    def public_address(self, described):
        details = {pair["name"]: pair["value"] for pair in described["attachments"][0]["details"]}
        interface = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
        return interface["NetworkInterfaces"][0]["Association"]["PublicIp"]

    def output(self, task, container="app"):
        """The lines that a container has written to its log stream."""
        stream = f"t/{container}/{task.rsplit('/', 1)[1]}"
        try:
            events = self.logs.get_log_events(logGroupName="/lab", logStreamName=stream, startFromHead=True)["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def prints(self, task, text, container="app", timeout=20):
        return eventually(lambda: any(text in line for line in self.output(task, container)) and self.output(task, container), timeout, f"`{text}` in the log")


def leftovers():
    """What a platform may have forgotten on this machine."""

    def lines(*words):
        return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()

    found = [line for line in lines("ip", "-o", "link") if "lsh-" in line]
    found += [line for line in lines("nft", "list", "tables") if "longshore" in line]
    found += [line for line in lines("ip", "route", "show", "table", "all") if "198.18.0.0/16" in line or "lsh-" in line]
    found += [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if "longshore" in line]
    # Named after the network namespace in all but the first, so that machines on one kernel leave each other alone.
    # Where the first process may not be looked at, the platform cannot tell either.
    own, first = os.stat("/proc/self/ns/net").st_ino, None
    with contextlib.suppress(OSError):
        first = os.stat("/proc/1/ns/net").st_ino
    group = f"longshore-{own}" if first and own != first else "longshore"
    found += [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/{group}")]
    found += [str(path) for path in pathlib.Path("/var/tmp").glob("longshore-[0-9]*")]
    found += [str(path) for path in [pathlib.Path("/run/longshore")] if path.exists()]
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            ours = os.stat(process / "ns/net").st_ino == own
            if ours and len(words) > 1 and words[0].endswith(b"longshore") and words[1] == b"shim":
                found.append(f"shim {process.name}")
    return found


@pytest.fixture(scope="session", autouse=True)
def nothing_left():
    """Looks after the last test, whatever it was: what is first to be set up is last to end."""
    yield
    found = leftovers()
    assert [one for one in found if one.startswith("shim ")] == []
    if found and Platform.kept:
        # A platform that keeps its data leaves its network to the next one, which has to take away all that it finds.
        Platform().start().stop()
    assert leftovers() == []


SHARED = {}
# Whoever uses one of these starts platforms of its own, after the shared one has ended for good.
OWN_PLATFORM = {"stopped_shared", "fleet", "own"}


def pytest_collection_modifyitems(items):
    """Tests on the shared platform first: a machine has one platform at a time."""
    items.sort(key=lambda item: bool(OWN_PLATFORM & set(item.fixturenames)) or "test_zz" in item.nodeid)



@pytest.fixture(scope="session")
def platform():
    assert os.geteuid() == 0, "these tests run containers: run them as root"
    SHARED["platform"] = Platform().start()
    yield SHARED["platform"]
    stop_shared()


def stop_shared():
    platform = SHARED.pop("platform", None)
    if platform:
        platform.stop()


@pytest.fixture
def stopped_shared():
    """For tests that start a platform of their own: the shared one has ended, and has left nothing behind."""
    stop_shared()


@pytest.fixture(scope="session")
def images(platform, tmp_path_factory):
    return Image(platform, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def lab(platform, images):
    return Lab(platform, images)


@pytest.fixture
def kept_dir():
    """A data directory for platforms that are stopped and started again."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="longshore-kept-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
