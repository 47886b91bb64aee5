"""Network load balancers that keep the client's address: what targets see, over TCP, TLS and UDP, and that nothing is left of it."""

import json
import shutil
import subprocess

import pytest

from conftest import eventually
from test_load_balancers import balancers, certificate, listening, netns, page  # noqa: F401 (fixtures)

# Says on /cgi-bin/peer who asks, and at /health that it is well.
PEER = """
mkdir -p /www/cgi-bin && echo well > /www/health
printf '#!/bin/sh\\necho; echo $REMOTE_ADDR | tr -d "[]" | sed s/::ffff://\\n' > /www/cgi-bin/peer && chmod +x /www/cgi-bin/peer
exec httpd -f -vv -p 8080 -h /www
"""

DATAGRAMS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(peer[0].encode(), peer)
"""

# Asks an address in datagrams from one socket, for as long as lines come in.
ASKING = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    s.send(b"?")
    print(s.recv(64).decode(), flush=True)
"""


@pytest.fixture(scope="module")
def places(lab):
    """Addresses of three tasks: `near` and `client` in the first subnet, `far` in the second."""
    everywhere, tasks = lab.subnets, {}
    for name, subnet in (("near", 0), ("far", 1), ("client", 0)):
        lab.subnets = everywhere[subnet : subnet + 1]
        tasks[name] = lab.run(lab.container(script=PEER, stopTimeout=1), family=name)
    lab.subnets = everywhere
    yield {name: lab.address(lab.running(task)) for name, task in tasks.items()}
    for task in tasks.values():
        lab.stop(task)


def inside(address, *program, **options):
    return subprocess.Popen(["nsenter", f"--net={netns(address)}", *program], text=True, stdout=subprocess.PIPE, **options)


def asked_from(address, url, *options):
    """What somebody at this address gets of a page; nothing where there is no answer."""
    process = inside(address, "curl", "-sS", "-m", "8", *options, url, stderr=subprocess.DEVNULL)
    return process.communicate()[0].strip()


def flows():
    """The flows that appear as others', as the kernel has them."""
    listed = subprocess.run(["nft", "-j", "list", "table", "inet", "longshore-sources"], capture_output=True, check=True)
    maps = [one["map"] for one in json.loads(listed.stdout)["nftables"] if "map" in one]
    assert {one["name"] for one in maps} == {"flows-tcp", "flows-udp"}
    return [element for one in maps for element in one.get("elem", [])]


def kept(balancers, name, protocol, address, port=8080, **more):
    """A target group with one target, which sees clients' addresses."""
    group = balancers.group(name, protocol, port=port, **more)
    if protocol == "TCP":
        balancers.attributes(group, preserve_client_ip__enabled="true")
    balancers.register(group, address)
    return group


def test_targets_see_clients(balancers, certificate, lab, places):
    balancer = balancers.balancer("keeping", "network", subnets=2)
    node = balancers.addresses(balancer, public=False)[0]
    near = kept(balancers, "keep-near", "TCP", places["near"])
    far = kept(balancers, "keep-far", "TCP", places["far"])
    plain = balancers.group("keep-not", "TCP")
    balancers.register(plain, places["near"])
    balancers.listener(balancer, 80, "TCP", near)
    balancers.listener(balancer, 81, "TCP", far)
    balancers.listener(balancer, 82, "TCP", plain)
    balancers.listener(balancer, 443, "TLS", near, Certificates=[{"CertificateArn": certificate[0]}])
    for group, name in ((near, "near"), (far, "far"), (plain, "near")):
        balancers.healthy(group, places[name])
    client = places["client"]
    for port in (80, 81):
        # One after another, and so that a port of the client's is used again.
        for _ in range(3):
            options = ("--local-port", "45000")
            assert asked_from(client, f"http://{node}:{port}/cgi-bin/peer", *options) == client
    assert asked_from(client, f"http://{node}:82/cgi-bin/peer") == node
    trusting = ("--cacert", str(certificate[1]), "--resolve", f"web.example:443:{node}")
    assert asked_from(client, "https://web.example/cgi-bin/peer", *trusting) == client
    # A client that is this machine itself, by the private and the public address.
    for address in (node, balancers.addresses(balancer)[0]):
        seen = page(f"http://{address}/cgi-bin/peer")
        assert seen not in (None, node, client), seen
    # No target sees itself: it gets no answer, and others do.
    assert asked_from(places["near"], f"http://{node}/cgi-bin/peer") == ""
    assert asked_from(places["far"], f"http://{node}/cgi-bin/peer") == places["far"]
    eventually(lambda: not flows(), 10, "the end of all flows")


def test_datagrams_show_clients_until_the_load_balancer_goes(balancers, places):
    balancer = balancers.balancer("keeping-datagrams", "network", subnets=2)
    node = balancers.addresses(balancer, public=False)[0]
    check = {"HealthCheckProtocol": "TCP", "HealthCheckPort": "8080"}
    groups = {name: kept(balancers, f"{name}-datagrams", "UDP", places[name], 5353, **check) for name in ("near", "far")}
    for port, name in ((53, "near"), (54, "far")):
        balancers.listener(balancer, port, "UDP", groups[name])
        balancers.healthy(groups[name], places[name])
    shown = balancers.elb.describe_target_group_attributes(TargetGroupArn=groups["near"])["Attributes"]
    assert {"Key": "preserve_client_ip.enabled", "Value": "true"} in shown
    client = places["client"]
    with listening(places["near"], DATAGRAMS), listening(places["far"], DATAGRAMS):
        asking = [
            inside(client, shutil.which("python3"), "-c", ASKING, node, port, stdin=subprocess.PIPE)
            for port in ("53", "54")
        ]
        try:
            for _ in range(3):
                for process in asking:
                    process.stdin.write("go\n")
                    process.stdin.flush()
                    assert process.stdout.readline().strip() == client
            assert len(flows()) == 2
            # Deleted with flows under way.
            balancers.elb.delete_load_balancer(LoadBalancerArn=balancer)
            balancers.balancers.remove(balancer)
            eventually(lambda: not flows(), 20, "the end of all flows")
        finally:
            for process in asking:
                process.kill()
                process.wait()


def test_what_cannot_be_is_refused(balancers):
    errors = balancers.elb.exceptions
    datagrams = balancers.group("always", "UDP", HealthCheckProtocol="TCP")
    with pytest.raises(errors.InvalidConfigurationRequestException):
        balancers.attributes(datagrams, preserve_client_ip__enabled="false")
    instances = balancers.elb.create_target_group(
        Name="instances", Protocol="TCP", Port=80, VpcId=balancers.lab.vpc, TargetType="instance"
    )["TargetGroups"][0]["TargetGroupArn"]
    balancers.groups.append(instances)
    with pytest.raises(errors.InvalidConfigurationRequestException):
        balancers.attributes(instances, preserve_client_ip__enabled="true")
