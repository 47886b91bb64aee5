"""A front door on an address that others reach: TLS, issued keys, and nobody else.

The platform listens on such an address inside network and mount namespaces of its own, which this process enters for as long as
these tests last: nothing of it can be reached from anywhere else.
"""

import base64
import contextlib
import ctypes
import json
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, BIN, REGION, Image, Lab, Platform, eventually

ADDRESS = "10.78.0.1"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


OTHER = "111122223333"


class Place:
    """Network and mount namespaces with an address that is not loopback's, and a /run of their own."""

    def __init__(self):
        script = f"mount -t tmpfs tmpfs /run && ip link set lo up && ip addr add {ADDRESS}/32 dev lo && echo ready && exec sleep 100000"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert self.holder.stdout.readline() == b"ready\n"
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-n", "-m"]
        self.before = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.switch(os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY))

    def switch(self, namespace):
        # Of this thread, which is the one that tests and their clients run on.
        assert LIBC.setns(namespace, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(namespace)

    def leave(self):
        self.switch(self.before)
        self.holder.kill()
        self.holder.wait()


class Strict(Platform):
    """A platform behind a strict door; its clients have what `longshore env` says."""

    def __init__(self, place, data_dir, more=()):
        super().__init__(data_dir)
        self.place, self.more = place, more
        self.endpoint = f"https://{ADDRESS}:{self.port}"
        self.registry = f"{ADDRESS}:{self.port}"
        self.env = {}

    def launch(self):
        where = ["--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(
            [*self.place.enter, BIN, "up", "--listen", f"{ADDRESS}:{self.port}", *where, *self.more],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def answers(self):
        assert self.process.poll() is None, f"the platform ended: {self.output()}"
        try:
            open_context = ssl._create_unverified_context()
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=1, context=open_context) as answer:
                return answer.status == 200
        except OSError:
            return False

    def learn(self):
        """Takes what `longshore env` prints, as a shell would."""
        printed = subprocess.run([*self.place.enter, BIN, "env"], check=True, capture_output=True, text=True).stdout
        lines = [line.removeprefix("export ") for line in printed.splitlines() if line.startswith("export ")]
        self.env = dict(line.split("=", 1) for line in lines)
        # The file is in a /run of its own.
        text = subprocess.run([*self.place.enter, "cat", self.env["AWS_CA_BUNDLE"]], check=True, capture_output=True).stdout
        self.ca = self.data_dir / "ca.pem"
        self.ca.write_bytes(text)
        self.clients.clear()

    def client(self, service, region=REGION, **more):
        return boto3.client(
            service,
            endpoint_url=more.get("endpoint", self.endpoint),
            region_name=region,
            aws_access_key_id=more.get("access_key", self.env["AWS_ACCESS_KEY_ID"]),
            aws_secret_access_key=more.get("secret_key", self.env["AWS_SECRET_ACCESS_KEY"]),
            aws_session_token=more.get("token"),
            verify=str(self.ca),
            config=botocore.config.Config(retries={"total_max_attempts": 1}, inject_host_prefix=False),
        )


class Pushed(Image):
    """Pushes over TLS, trusting the platform's authority and nothing else."""

    def copy(self, source, target, *options):
        certificates = self.directory / "certificates"
        certificates.mkdir(exist_ok=True)
        (certificates / "ca.crt").write_bytes(self.platform.ca.read_bytes())
        answer = self.platform.client("ecr").get_authorization_token()["authorizationData"][0]
        assert answer["proxyEndpoint"] == self.platform.endpoint
        token = base64.b64decode(answer["authorizationToken"]).decode()
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--dest-cert-dir", str(certificates), "--dest-creds", token, source, target],
            check=True,
            capture_output=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def place():
    place = Place()
    yield place
    place.leave()


@pytest.fixture(scope="module")
def strict(place, tmp_path_factory):
    platform = Strict(place, tmp_path_factory.mktemp("strict"), ["--root-account", OTHER])
    platform.start()
    platform.learn()
    yield platform
    platform.stop()


def code(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


def fetch(platform, path, headers=None, verify=True):
    context = ssl.create_default_context(cafile=str(platform.ca)) if verify else ssl._create_unverified_context()
    request = urllib.request.Request(platform.endpoint + path, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_it_says_which_door_it_has(strict):
    said = strict.output()
    assert f"https://{ADDRESS}:{strict.port}" in said
    assert "a valid signature of an issued key for every request" in said
    assert strict.env["AWS_SECRET_ACCESS_KEY"] not in said


def test_the_first_key_is_the_roots(strict):
    assert strict.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    mode = subprocess.run(
        [*strict.place.enter, "stat", "-c", "%a", "/run/longshore/door.json"], check=True, capture_output=True, text=True
    )
    assert mode.stdout.strip() == "600"
    # On disk it lies sealed.
    secret = strict.env["AWS_SECRET_ACCESS_KEY"].encode()
    files = [path for path in strict.data_dir.rglob("*") if path.is_file()]
    assert files and not [path for path in files if secret in path.read_bytes()]


def test_nobody_gets_in_without_a_key(strict):
    for key in (ACCOUNT, "AKIAIOSFODNN7EXAMPLE", "test"):
        assert code(strict.client("ecs", access_key=key).list_clusters) == "UnrecognizedClientException"
        assert code(strict.client("iam", access_key=key).list_users) == "InvalidClientTokenId"
        assert code(strict.client("ec2", access_key=key).describe_vpcs) == "AuthFailure"
    assert code(strict.client("ecs", secret_key="wrong").list_clusters) == "InvalidSignatureException"
    status, body = fetch(strict, "/?Action=GetCallerIdentity&Version=2011-06-15")
    assert status == 403 and b"MissingAuthenticationToken" in body
    status, _ = fetch(strict, "/v2/")
    assert status == 401
    status, _ = fetch(strict, "/v2/app/manifests/latest")
    assert status == 401
    status, _ = fetch(strict, "/console/changes")
    assert status == 403
    # The console's own files hold nothing; what they show they have to sign for.
    assert fetch(strict, "/console/")[0] == 200
    assert fetch(strict, "/health")[0] == 200


def test_further_accounts_have_a_root_of_their_own(strict):
    printed = subprocess.run([*strict.place.enter, BIN, "env", "--account", OTHER], check=True, capture_output=True, text=True).stdout
    env = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines() if line.startswith("export "))
    key = {"access_key": env["AWS_ACCESS_KEY_ID"], "secret_key": env["AWS_SECRET_ACCESS_KEY"]}
    assert strict.client("sts", **key).get_caller_identity()["Arn"] == f"arn:aws:iam::{OTHER}:root"
    assert key["secret_key"] not in strict.output() and key["access_key"] in strict.output()
    strict.client("ecs", **key).create_cluster(clusterName="theirs")
    assert strict.client("ecs").describe_clusters(clusters=["theirs"])["clusters"] == []
    nobodys = subprocess.run([*strict.place.enter, BIN, "env", "--account", "444455556666"], capture_output=True, text=True)
    assert nobodys.returncode != 0 and "--root-account 444455556666" in nobodys.stderr


def test_what_nobody_signs_is_let_in_and_proves_itself(strict):
    def unsigned(action, **more):
        context = ssl.create_default_context(cafile=str(strict.ca))
        form = urllib.parse.urlencode({"Action": action, "Version": "2011-06-15", **more}).encode()
        request = urllib.request.Request(strict.endpoint + "/", data=form)
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=10, context=context)
        return error.value.code, error.value.read().decode()

    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/some", "RoleSessionName": "web", "WebIdentityToken": "none.of.them"}
    status, said = unsigned("AssumeRoleWithWebIdentity", **role)
    assert status == 400 and "InvalidIdentityToken" in said, said
    status, said = unsigned("GetCallerIdentity")
    assert status == 403 and "MissingAuthenticationToken" in said, said


def test_without_tls_there_is_nothing(strict):
    with socket.create_connection((ADDRESS, strict.port), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(1000)
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl._create_unverified_context()
        context.minimum_version = context.maximum_version = version
        with pytest.raises((ssl.SSLError, OSError)):
            with socket.create_connection((ADDRESS, strict.port), timeout=10) as plain:
                context.wrap_socket(plain)


def test_clients_check_the_certificate(strict):
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{strict.endpoint}/health", timeout=10, context=ssl.create_default_context())
    context = ssl.create_default_context(cafile=str(strict.ca))
    with pytest.raises(ssl.SSLCertVerificationError):
        with socket.create_connection((ADDRESS, strict.port), timeout=10) as plain:
            context.wrap_socket(plain, server_hostname="other.example")
    with socket.create_connection((ADDRESS, strict.port), timeout=10) as plain:
        assert context.wrap_socket(plain, server_hostname=ADDRESS).version() == "TLSv1.3"


def test_the_cli_and_curl(strict):
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env.update(strict.env, AWS_CA_BUNDLE=str(strict.ca), PATH="/usr/bin:/bin")
    shown = subprocess.run(
        ["aws", "--endpoint-url", strict.endpoint, "sts", "get-caller-identity", "--query", "Account", "--output", "text"],
        env=env, capture_output=True, text=True, timeout=60,
    )
    assert shown.stdout.strip() == ACCOUNT, shown.stderr
    got = subprocess.run(
        ["curl", "-s", "--http2", "-w", "%{http_version}", "-o", "/dev/null", "--cacert", str(strict.ca), f"{strict.endpoint}/health"],
        capture_output=True, text=True, timeout=60,
    )
    assert got.stdout == "2", got.stderr


def test_policies_see_tls_and_the_address(strict):
    iam = strict.client("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}

    def allow(condition):
        statement = {"Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*", "Condition": condition}
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        iam.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=document)

    allow({"Bool": {"aws:SecureTransport": "true"}, "IpAddress": {"aws:SourceIp": f"{ADDRESS}/32"}})
    strict.client("ecs", **ann).list_clusters()
    allow({"Bool": {"aws:SecureTransport": "false"}})
    assert code(strict.client("ecs", **ann).list_clusters) == "AccessDeniedException"
    iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert code(strict.client("ecs", **ann).list_clusters) == "UnrecognizedClientException"
    iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="ann", PolicyName="own")
    iam.delete_user(UserName="ann")


def test_tasks_run_and_reach_the_platform_with_their_role_alone(strict, tmp_path):
    iam = strict.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for name, action in (("exec", ["ecr:*", "logs:*"]), ("app", ["ecs:ListClusters"])):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
        document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    lab = Lab(strict, Pushed(strict, tmp_path))
    show = (
        "wget -q -O - http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo; echo at $AWS_ENDPOINT_URL;"
        " wget -S -O - \"$AWS_ENDPOINT_URL/?Action=GetCallerIdentity&Version=2011-06-15\" 2>&1 | head -2; exec sleep 1000"
    )
    task = lab.run(lab.container(script=show), taskRoleArn=f"arn:aws:iam::{ACCOUNT}:role/app")
    lab.running(task)
    lines = lab.prints(task, "HTTP/1.1")
    # Without a signature there is nothing for a task either.
    assert "403" in next(line for line in lines if "HTTP/1.1" in line)
    held = json.loads(next(line for line in lines if line.startswith("{")))
    keys = {"access_key": held["AccessKeyId"], "secret_key": held["SecretAccessKey"], "token": held["Token"]}
    strict.client("ecs", **keys).list_clusters()
    assert code(strict.client("iam", **keys).list_users) == "AccessDenied"
    inner = next(line for line in lines if line.startswith("at ")).removeprefix("at ")
    assert inner == f"http://169.254.170.2:{strict.port}"
    strict.client("ecs", endpoint=inner, **keys).list_clusters()
    assert code(strict.client("ecs", endpoint=inner, access_key="000000000000").list_clusters) == "UnrecognizedClientException"
    lab.stop(task)


def test_an_agent_joins_over_tls(strict, tmp_path):
    strict.client("ecs").create_cluster(clusterName="fleet")
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env.update({name: strict.env[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")})
    words = [BIN, "agent", "--cluster", "fleet", "--endpoint", strict.endpoint, "--ephemeral"]
    log = (tmp_path / "log").open("w+")

    def start(more):
        return subprocess.Popen([*strict.place.enter, *words, *more], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    agent = start(["--ca", str(strict.ca)])
    try:
        ecs = strict.client("ecs")

        def connected():
            assert agent.poll() is None, (tmp_path / "log").read_text()
            arns = ecs.list_container_instances(cluster="fleet")["containerInstanceArns"]
            found = ecs.describe_container_instances(cluster="fleet", containerInstances=arns)["containerInstances"] if arns else []
            return [one for one in found if one["agentConnected"]]

        eventually(connected, 30, "the agent's connection")
    finally:
        agent.terminate()
        agent.wait(timeout=60)


def test_the_authority_and_the_key_outlive_a_restart(strict):
    before, ca = dict(strict.env), strict.ca.read_bytes()
    strict.stop()
    strict.start()
    strict.learn()
    assert strict.ca.read_bytes() == ca
    assert strict.env == before
    assert strict.client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_a_certificate_of_ones_own(strict, tmp_path):
    """The operator's certificate is shown instead."""
    strict.stop()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=door",
         "-addext", f"subjectAltName=IP:{ADDRESS}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )
    strict.more = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    try:
        strict.start()
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{strict.endpoint}/health", timeout=10, context=context) as answer:
            assert answer.status == 200
        strict.stop()
        strict.more = ["--tls-cert", str(certificate), "--tls-key", str(certificate)]
        strict.launch()
        assert strict.process.wait(timeout=30) != 0
        assert "cannot have TLS" in strict.output()
    finally:
        strict.more = []
        with contextlib.suppress(Exception):
            strict.process.kill()
        strict.start()
        strict.learn()
