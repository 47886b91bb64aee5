"""Names inside tasks: what resolv.conf says, and what the resolver behind it answers."""

import ipaddress
import socket
import struct

import pytest

RESOLVER = ("169.254.169.253", 53)


def ask(name, kind, server=RESOLVER):
    """Asks the resolver from the machine itself; returns the code and the answers' data."""
    labels = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query, server)
        answer = client.recv(4096)
    number, flags, _, count, _, _ = struct.unpack(">6H", answer[:12])
    assert number == 4711 and flags & 0x8000
    at, data = len(query), []
    for _ in range(count):
        # The owner is a pointer to the question, or written out.
        while answer[at] not in (0,) and answer[at] < 0xC0:
            at += 1 + answer[at]
        at += 2 if answer[at] >= 0xC0 else 1
        length = struct.unpack(">H", answer[at + 8 : at + 10])[0]
        data.append(answer[at + 10 : at + 10 + length])
        at += 10 + length
    return flags & 0xF, data


@pytest.fixture(scope="module")
def vpc(lab):
    """The first two numbers of the default VPC's range."""
    cidr = lab.ec2.describe_vpcs(VpcIds=[lab.vpc])["Vpcs"][0]["CidrBlock"]
    return list(ipaddress.ip_network(cidr).network_address.packed[:2])


def test_tasks_look_up_private_names(lab, vpc):
    high, low = vpc
    script = f"""
cat /etc/resolv.conf
# By its full name, by what the search domain completes, over the address of every VPC, and back.
nslookup ip-{high}-{low}-0-9.ec2.internal | grep -A1 Name
nslookup -type=a ip-{high}-{low}-47-250.ec2.internal 169.254.169.253 | grep -A1 Name
ping -c 1 -W 1 ip-{high}-{low}-0-10 | head -n 1
nslookup -type=ptr 9.0.{low}.{high}.in-addr.arpa | grep name
nslookup -type=a web.ec2.internal || echo absent
echo done"""
    task = lab.run(lab.container(script=script))
    lab.stopped(task)
    lines = [" ".join(line.split()) for line in lab.prints(task, "done")]
    text = "\n".join(lines)
    assert f"search ec2.internal\nnameserver {high}.{low}.0.2\n" in text
    assert f"Name: ip-{high}-{low}-0-9.ec2.internal\nAddress: {high}.{low}.0.9" in text
    assert f"Name: ip-{high}-{low}-47-250.ec2.internal\nAddress: {high}.{low}.47.250" in text
    assert f"PING ip-{high}-{low}-0-10 ({high}.{low}.0.10)" in text
    assert f"9.0.{low}.{high}.in-addr.arpa name = ip-{high}-{low}-0-9.ec2.internal" in text
    assert "NXDOMAIN" in text and "absent" in text


def test_tasks_find_each_other_by_private_name(lab):
    web = lab.running(lab.run(lab.container(script="echo found > /www/index.html; exec httpd -f -p 8080 -h /www", stopTimeout=2)))
    name = "ip-" + lab.address(web).replace(".", "-")
    script = f"until wget -q -O /dev/stdout http://{name}:8080/; do sleep 0.1; done"
    task = lab.run(lab.container(script=script))
    lab.prints(task, "found")
    lab.stop(web["taskArn"])


def test_the_machine_may_ask_too(lab, vpc):
    high, low = vpc
    assert ask(f"ip-{high}-{low}-0-9.ec2.internal", 1) == (0, [bytes([high, low, 0, 9])])
    assert ask("localhost", 1) == (0, [bytes([127, 0, 0, 1])])
    # Without an address of that kind; without such a name; in a range that no VPC has.
    assert ask(f"ip-{high}-{low}-0-9.ec2.internal", 28) == (0, [])
    assert ask("web.ec2.internal", 1) == (3, [])
    assert ask("ip-10-98-76-54.ec2.internal", 1) == (3, [])
    assert ask(f"ip-{high}-{low}-0-9.ec2.internal", 255) == (5, [])
