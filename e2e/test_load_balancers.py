"""Load balancers as clients see them: what answers at their addresses and names, who is let in, and what becomes of targets.

Targets are tasks that are registered by hand; services that register theirs are in a file of their own.
"""

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import time

import pytest

from conftest import eventually

# Each task says who it is on every page, and at /health when it is well.
PAGES = """
mkdir -p /www/$NAME /www/both
for page in /www /www/$NAME /www/both; do echo $NAME > $page/index.html; done
echo well > /www/health
exec httpd -f -p 8080 -h /www
"""


def curl(url, *options, timeout=10):
    """Status, head and body of what curl got; none when there was no answer."""
    done = subprocess.run(
        ["curl", "-sS", "-i", "-m", str(timeout), *options, url], capture_output=True, text=True
    )
    if done.returncode != 0:
        return None
    answers = re.split(r"(?m)^(?=HTTP/)", done.stdout)
    head, _, body = answers[-1].replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.splitlines()
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    return int(status.split()[1]), headers, body


def page(url, *options):
    """The body of a page that is there."""
    answer = curl(url, *options)
    return answer[2].strip() if answer and answer[0] == 200 else None


class Balancers:
    """Makes load balancers and what belongs to them, and removes all of it."""

    def __init__(self, platform, lab):
        self.platform = platform
        self.lab = lab
        self.elb = platform.client("elbv2")
        self.balancers = []
        self.groups = []

    def balancer(self, name, kind="application", scheme="internet-facing", subnets=3, **more):
        if kind == "application":
            more.setdefault("SecurityGroups", [self.lab.group])
        made = self.elb.create_load_balancer(
            Name=name, Type=kind, Scheme=scheme, Subnets=self.lab.subnets[:subnets], **more
        )["LoadBalancers"][0]
        arn = made["LoadBalancerArn"]
        self.balancers.append(arn)
        eventually(lambda: self.describe(arn)["State"]["Code"] == "active", 20, f"{name} active")
        return arn

    def describe(self, arn):
        return self.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]

    def name(self, arn):
        return self.describe(arn)["DNSName"]

    def addresses(self, arn, public=True):
        """Of its interfaces, as EC2 shows them."""
        description = "ELB " + arn.split("loadbalancer/")[1]
        found = self.lab.ec2.describe_network_interfaces(
            Filters=[{"Name": "description", "Values": [description]}]
        )["NetworkInterfaces"]
        if public:
            return [one["Association"]["PublicIp"] for one in found]
        return [one["PrivateIpAddress"] for one in found]

    def group(self, name, protocol="HTTP", port=8080, **more):
        made = self.elb.create_target_group(
            Name=name,
            Protocol=protocol,
            Port=port,
            VpcId=self.lab.vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
            **more,
        )["TargetGroups"][0]["TargetGroupArn"]
        self.groups.append(made)
        return made

    def attributes(self, group, **values):
        attributes = [{"Key": key.replace("__", "."), "Value": value} for key, value in values.items()]
        self.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=attributes)

    def register(self, group, *addresses):
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": address} for address in addresses])

    def deregister(self, group, *addresses):
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": address} for address in addresses])

    def listener(self, balancer, port, protocol, actions, **more):
        actions = [forward(actions)] if isinstance(actions, str) else actions
        made = self.elb.create_listener(
            LoadBalancerArn=balancer, Port=port, Protocol=protocol, DefaultActions=actions, **more
        )
        return made["Listeners"][0]["ListenerArn"]

    def rule(self, listener, priority, action, **conditions):
        actions = [forward(action)] if isinstance(action, str) else [action]
        fields = {"path": "path-pattern", "host": "host-header"}
        return self.elb.create_rule(
            ListenerArn=listener,
            Priority=priority,
            Conditions=[{"Field": fields[field], "Values": [value]} for field, value in conditions.items()],
            Actions=actions,
        )["Rules"][0]["RuleArn"]

    def health(self, group):
        """The state of each target, by address."""
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"] for one in found}

    def state(self, group, address):
        return self.health(group).get(address, {}).get("State")

    def healthy(self, group, *addresses):
        for address in addresses:
            eventually(lambda: self.state(group, address) == "healthy", 30, f"{address} healthy in {group}")

    def clear(self):
        for arn in self.balancers:
            self.elb.delete_load_balancer(LoadBalancerArn=arn)
        for arn in self.groups:
            self.elb.delete_target_group(TargetGroupArn=arn)


def forward(group):
    return {"Type": "forward", "TargetGroupArn": group}


@pytest.fixture
def balancers(platform, lab):
    made = Balancers(platform, lab)
    yield made
    made.clear()


@pytest.fixture(scope="module")
def pages(lab):
    """Addresses of two tasks in the first subnet, `blue` and `green`."""
    everywhere, lab.subnets = lab.subnets, lab.subnets[:1]
    tasks = {
        name: lab.run(lab.container(script=PAGES, stopTimeout=1, environment=[{"name": "NAME", "value": name}]), family=name)
        for name in ("blue", "green")
    }
    lab.subnets = everywhere
    yield {name: lab.address(lab.running(task)) for name, task in tasks.items()}
    for task in tasks.values():
        lab.stop(task)


def netns(address):
    """The namespace of the interface that has this address."""
    route = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=True).stdout
    return f"/run/longshore/net/netns/{re.search(r'dev (lsh-[0-9a-f]+)', route)[1]}"


@contextlib.contextmanager
def listening(address, script):
    """Runs a Python script in a task's network, for servers that its image has no program for."""
    program = ["nsenter", f"--net={netns(address)}", shutil.which("python3"), "-c", script]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


DATAGRAMS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(b"seen " + data, peer)
"""


# ---------------------------------------------------------------- network load balancers


def test_connections_reach_targets_by_every_name(balancers, lab, pages, platform):
    balancer = balancers.balancer("connections", "network", subnets=2)
    group = balancers.group("connections", "TCP")
    balancers.register(group, pages["blue"])
    assert balancers.health(group)[pages["blue"]]["Reason"] == "Target.NotInUse"
    balancers.listener(balancer, 80, "TCP", group)
    balancers.healthy(group, pages["blue"])
    public = balancers.addresses(balancer)
    assert len(public) == 2 and all(address.startswith("198.18.") for address in public)
    # Through the node of a zone without a target too: there is nowhere else to go.
    for address in public:
        assert page(f"http://{address}/") == "blue"
    name = balancers.name(balancer)
    assert page(f"http://{name}:{platform.port}/", "--resolve", f"{name}:{platform.port}:127.0.0.1") == "blue"
    # Tasks with a way outside look the name up.
    task = lab.run(lab.container(script=f"wget -q -O - http://{name}/ && sleep 1"), public=True)
    lab.prints(task, "blue")
    lab.stopped(task)


def test_who_leaves_finishes_first(balancers, pages):
    balancer = balancers.balancer("leaving", "network", subnets=1)
    group = balancers.group("leaving", "TCP")
    balancers.register(group, *pages.values())
    balancers.listener(balancer, 80, "TCP", group)
    balancers.healthy(group, *pages.values())
    address = balancers.addresses(balancer)[0]
    # Connections with an unfinished request, to both.
    held = [socket.create_connection((address, 80), timeout=10) for _ in range(12)]
    for connection in held:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    balancers.deregister(group, pages["blue"])
    eventually(lambda: balancers.state(group, pages["blue"]) == "draining", 10, "draining")
    health = balancers.health(group)[pages["blue"]]
    assert health["Reason"] == "Target.DeregistrationInProgress"
    assert {page(f"http://{address}/") for _ in range(20)} == {"green"}
    answers = set()
    for connection in held:
        connection.sendall(b"Connection: close\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        connection.close()
        answers.add(answer.decode().rstrip().rsplit("\n", 1)[1])
    assert answers == {"blue", "green"}
    # Nothing is in flight any more: it is gone long before its delay of five minutes.
    eventually(lambda: pages["blue"] not in balancers.health(group), 20, "blue gone")


def test_datagrams(balancers, pages):
    balancer = balancers.balancer("datagrams", "network", subnets=1)
    group = balancers.group("datagrams", "UDP", port=5353, HealthCheckProtocol="TCP", HealthCheckPort="8080")
    balancers.register(group, pages["blue"])
    balancers.listener(balancer, 53, "UDP", group)
    balancers.healthy(group, pages["blue"])
    with listening(pages["blue"], DATAGRAMS):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(10)
        client.connect((balancers.addresses(balancer)[0], 53))
        for number in range(5):
            client.send(f"datagram {number}".encode())
            assert client.recv(2048) == f"seen datagram {number}".encode()


def test_security_groups_of_a_network_load_balancer(balancers, lab, pages):
    group = lab.open_group("network-balancer", [])
    balancer = balancers.balancer("guarded", "network", subnets=1, SecurityGroups=[group])
    targets = balancers.group("guarded", "TCP")
    balancers.register(targets, pages["blue"])
    balancers.listener(balancer, 80, "TCP", targets)
    balancers.healthy(targets, pages["blue"])
    address = balancers.addresses(balancer)[0]
    assert curl(f"http://{address}/", timeout=2) is None
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    eventually(lambda: page(f"http://{address}/") == "blue", 10, "an answer")


# ---------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def certificate(platform, tmp_path_factory):
    """A certificate for web.example, imported; its ARN and its file."""
    directory = tmp_path_factory.mktemp("certificate")
    key, file = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=web.example"]
        + ["-addext", "subjectAltName=DNS:web.example", "-keyout", key, "-out", file],
        check=True,
        capture_output=True,
    )
    acm = platform.client("acm")
    arn = acm.import_certificate(Certificate=file.read_bytes(), PrivateKey=key.read_bytes())["CertificateArn"]
    yield arn, file
    acm.delete_certificate(CertificateArn=arn)


def secure(address, certificate, port=443):
    """Fetches https://web.example/ from this address, with trust in this certificate alone."""
    return page(
        f"https://web.example:{port}/", "--cacert", str(certificate), "--resolve", f"web.example:{port}:{address}"
    )


def test_a_network_load_balancer_ends_tls(balancers, certificate, pages):
    balancer = balancers.balancer("ending-tls", "network", subnets=1)
    group = balancers.group("ending-tls", "TCP")
    balancers.register(group, pages["green"])
    balancers.listener(balancer, 443, "TLS", group, Certificates=[{"CertificateArn": certificate[0]}])
    balancers.healthy(group, pages["green"])
    assert secure(balancers.addresses(balancer)[0], certificate[1]) == "green"


# ---------------------------------------------------------------- the front door


def test_names_that_nobody_has_are_refused_and_never_the_api(platform):
    for name in ("nobody-0123456789abcdef.us-east-1.elb.localhost", "elb.localhost.elb.localhost"):
        status, _, body = curl(
            f"http://{name}:{platform.port}/health", "--resolve", f"{name}:{platform.port}:127.0.0.1"
        )
        assert (status, body.strip()) == (404, f"There is no load balancer named {name}.")


# ---------------------------------------------------------------- application load balancers


def test_rules_by_path_and_host(balancers, pages, platform):
    balancer = balancers.balancer("rules")
    blue, green = balancers.group("rules-blue"), balancers.group("rules-green")
    balancers.register(blue, pages["blue"])
    balancers.register(green, pages["green"])
    nothing = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "nothing here"},
    }
    listener = balancers.listener(balancer, 80, "HTTP", [nothing])
    moved = {
        "Type": "redirect",
        "RedirectConfig": {"Path": "/blue/", "Query": "#{query}", "StatusCode": "HTTP_301"},
    }
    balancers.rule(listener, 10, blue, path="/blue/*")
    balancers.rule(listener, 20, green, host="green.example")
    balancers.rule(listener, 30, moved, path="/old")
    balancers.healthy(blue, pages["blue"])
    balancers.healthy(green, pages["green"])
    for address in balancers.addresses(balancer):
        url = f"http://{address}"
        assert page(f"{url}/blue/") == "blue"
        assert page(f"{url}/", "-H", "Host: green.example") == "green"
        status, headers, body = curl(f"{url}/")
        assert (status, body, headers["content-type"]) == (404, "nothing here", ["text/plain"])
        status, headers, _ = curl(f"{url}/old?a=b")
        assert (status, headers["location"]) == (301, [f"http://{address}:80/blue/?a=b"])
    # The same by its name at the front door.
    name = balancers.name(balancer)
    door = ("--resolve", f"{name}:{platform.port}:127.0.0.1")
    assert page(f"http://{name}:{platform.port}/blue/", *door) == "blue"
    assert curl(f"http://{name}:{platform.port}/", *door)[2] == "nothing here"


def test_weights_and_stickiness(balancers, pages, tmp_path):
    balancer = balancers.balancer("weights")
    blue, green = balancers.group("weights-blue"), balancers.group("weights-green")
    balancers.register(blue, pages["blue"])
    balancers.register(green, pages["green"])
    shares = [{"TargetGroupArn": blue, "Weight": 3}, {"TargetGroupArn": green, "Weight": 1}]
    listener = balancers.listener(balancer, 80, "HTTP", [{"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}])
    balancers.healthy(blue, pages["blue"])
    balancers.healthy(green, pages["green"])
    url = f"http://{balancers.addresses(balancer)[0]}/both/"
    urls = [url] * 200
    done = subprocess.run(["curl", "-sS", "-m", "20", *urls], capture_output=True, text=True, check=True)
    seen = done.stdout.split()
    assert len(seen) == 200 and 110 <= seen.count("blue") <= 185, seen.count("blue")
    # A client that keeps its cookies stays with one of the groups.
    sticky = {"TargetGroups": shares, "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}
    balancers.elb.modify_listener(
        ListenerArn=listener, DefaultActions=[{"Type": "forward", "ForwardConfig": sticky}]
    )
    jar = str(tmp_path / "cookies")
    eventually(lambda: "set-cookie" in curl(url)[1], 10, "a cookie")
    first = page(url, "-c", jar, "-b", jar)
    assert {page(url, "-c", jar, "-b", jar) for _ in range(20)} == {first}


def test_a_client_stays_with_its_target(balancers, pages, tmp_path):
    balancer = balancers.balancer("sticky")
    group = balancers.group("sticky")
    balancers.register(group, *pages.values())
    balancers.attributes(group, stickiness__enabled="true", stickiness__type="lb_cookie")
    balancers.listener(balancer, 80, "HTTP", group)
    balancers.healthy(group, *pages.values())
    url = f"http://{balancers.addresses(balancer)[0]}/"
    assert {page(url) for _ in range(20)} == {"blue", "green"}
    jar = str(tmp_path / "cookies")
    first = page(url, "-c", jar, "-b", jar)
    assert {page(url, "-c", jar, "-b", jar) for _ in range(20)} == {first}


def test_https_with_an_imported_certificate(balancers, certificate, pages):
    balancer = balancers.balancer("https")
    group = balancers.group("https")
    balancers.register(group, pages["blue"])
    balancers.listener(balancer, 443, "HTTPS", group, Certificates=[{"CertificateArn": certificate[0]}])
    to_https = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_302"}}
    balancers.listener(balancer, 80, "HTTP", [to_https])
    balancers.healthy(group, pages["blue"])
    address = balancers.addresses(balancer)[0]
    assert secure(address, certificate[1]) == "blue"
    status, headers, _ = curl(f"http://{address}/a?b=c")
    assert (status, headers["location"]) == (302, [f"https://{address}:443/a?b=c"])


def test_security_groups(balancers, lab, platform):
    """The load balancer's group lets nobody in until it does, and the task's group lets the load balancer alone in."""
    front = lab.open_group("front", [])
    behind = lab.open_group(
        "behind",
        [{"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": front}]}],
    )
    task = lab.run(
        lab.container(script=PAGES, stopTimeout=1, environment=[{"name": "NAME", "value": "guarded"}]), groups=[behind]
    )
    target = lab.address(lab.running(task))
    balancer = balancers.balancer("groups", subnets=3, SecurityGroups=[front])
    group = balancers.group("groups", HealthCheckPath="/health")
    balancers.register(group, target)
    balancers.listener(balancer, 80, "HTTP", group)
    balancers.healthy(group, target)
    address = balancers.addresses(balancer)[0]
    assert curl(f"http://{target}:8080/", timeout=2) is None
    assert curl(f"http://{address}/", timeout=2) is None
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    lab.ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[permission])
    eventually(lambda: page(f"http://{address}/") == "guarded", 10, "an answer")
    assert curl(f"http://{target}:8080/", timeout=2) is None
    lab.stop(task)


def test_the_health_of_a_target_is_told(balancers, pages):
    balancer = balancers.balancer("health")
    group = balancers.group("health", HealthCheckPath="/missing")
    balancers.register(group, pages["blue"])
    listener = balancers.listener(balancer, 80, "HTTP", group)
    eventually(lambda: balancers.state(group, pages["blue"]) == "unhealthy", 20, "unhealthy")
    health = balancers.health(group)[pages["blue"]]
    assert health["Reason"] == "Target.ResponseCodeMismatch"
    assert health["Description"] == "Health checks failed with these codes: [404]"
    # With no healthy target requests go to all.
    address = balancers.addresses(balancer)[0]
    assert page(f"http://{address}/") == "blue"
    balancers.elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/health")
    balancers.healthy(group, pages["blue"])
    balancers.deregister(group, pages["blue"])
    eventually(lambda: balancers.state(group, pages["blue"]) in ("draining", None), 10, "draining")
    eventually(lambda: pages["blue"] not in balancers.health(group), 10, "gone")
    assert curl(f"http://{address}/")[0] == 503
    balancers.elb.delete_listener(ListenerArn=listener)
    eventually(lambda: curl(f"http://{address}/", timeout=2) is None, 10, "a closed port")


def test_a_load_balancer_that_is_deleted_leaves_nothing(balancers, lab):
    before = set(pathlib.Path("/run/longshore/net/netns").iterdir())
    balancer = balancers.balancer("short", subnets=2)
    address = balancers.addresses(balancer, public=False)[0]
    used = pathlib.Path(netns(address))
    assert used.exists()
    balancers.elb.delete_load_balancer(LoadBalancerArn=balancer)
    balancers.balancers.remove(balancer)
    eventually(lambda: not used.exists(), 20, "the interface's end")
    assert not balancers.addresses(balancer, public=False)
    assert len(before) > 0


def test_the_front_door_says_who_asked(balancers, pages, platform):
    """A target that answers with what it was sent: the client's address is in `X-Forwarded-For`, before the load balancer's client."""
    balancer = balancers.balancer("forwarded")
    group = balancers.group("forwarded", port=9000, HealthCheckPort="8080")
    balancers.register(group, pages["blue"])
    balancers.listener(balancer, 80, "HTTP", group)
    balancers.healthy(group, pages["blue"])
    script = """
import http.server
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(self.headers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Echo)
print("ready", flush=True)
server.serve_forever()
"""
    name = balancers.name(balancer)
    with listening(pages["blue"], script):
        url = f"http://{name}:{platform.port}/"
        seen = page(url, "--resolve", f"{name}:{platform.port}:127.0.0.1")
        forwarded = re.search(r"(?im)^x-forwarded-for: (.*)$", seen)[1]
        assert re.fullmatch(r"127\.0\.0\.1, 172\.31\.\d+\.\d+", forwarded.strip()), seen
        assert re.search(rf"(?im)^host: {name}", seen), seen
