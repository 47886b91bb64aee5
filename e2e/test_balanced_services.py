"""Services behind load balancers, under a constant load: what is planned fails no request, and what is not fails no more than was in flight."""

import contextlib
import http.client
import os
import pathlib
import re
import signal
import threading
import time

import pytest

from conftest import eventually
from test_load_balancers import Balancers, netns
from test_services import Service

CLIENTS = 6
REQUESTS_PER_SECOND_EACH = 35
SCRIPT = "mkdir -p /www; echo $PAGE > /www/index.html; exec httpd -f -p 8080 -h /www"


class Load:
    """Clients that ask at a constant rate over connections that they keep, and repeat nothing."""

    def __init__(self, address):
        self.address = address
        self.pages = {}
        self.failures = []
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(CLIENTS)]

    def ask(self, number):
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        period = 1 / REQUESTS_PER_SECOND_EACH
        due = time.monotonic() + period * number / CLIENTS
        while not self.ending.wait(max(0, due - time.monotonic())):
            # Who is late asks at once, and does not make up for what was missed.
            due = max(due + period, time.monotonic() - period)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                page, status = answer.read().decode().strip(), answer.status
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                page, status = None, repr(error)
            with self.lock:
                if status == 200:
                    self.pages[page] = self.pages.get(page, 0) + 1
                else:
                    self.failures.append((time.strftime("%H:%M:%S"), status, page))
        connection.close()

    def asked(self):
        with self.lock:
            return sum(self.pages.values())

    def more(self, count):
        """Waits until so many more answers have come."""
        before = self.asked()
        eventually(lambda: self.asked() >= before + count, 60, f"{count} more answers")


@contextlib.contextmanager
def load(address):
    running = Load(address)
    for thread in running.threads:
        thread.start()
    try:
        yield running
    finally:
        running.ending.set()
        for thread in running.threads:
            thread.join()


@pytest.fixture
def balancers(platform, lab):
    made = Balancers(platform, lab)
    yield made
    made.clear()


def definition(lab, page):
    container = lab.container(
        "web",
        SCRIPT,
        stopTimeout=2,
        portMappings=[{"containerPort": 8080}],
        environment=[{"name": "PAGE", "value": page}],
    )
    return lab.define(container, family="balanced")


@pytest.fixture
def balanced(balancers, lab):
    """A service of two tasks behind an application load balancer: the service, the target group and the address."""
    balancer = balancers.balancer("balanced", subnets=len(lab.subnets))
    group = balancers.group("balanced")
    balancers.listener(balancer, 80, "HTTP", group)
    service = Service(lab, "balanced")
    service.create(
        definition(lab, "first"),
        2,
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
        healthCheckGracePeriodSeconds=60,
    )
    service.wait("services_stable")
    yield service, group, balancers.addresses(balancer)[0]
    service.delete()
    service.wait("services_inactive")


def test_what_is_planned_fails_no_request(balanced, balancers, lab):
    service, group, address = balanced
    eventually(lambda: sorted(one["State"] for one in balancers.health(group).values()) == ["healthy"] * 2, 20, "two healthy")
    with load(address) as clients:
        clients.more(100)
        assert set(clients.pages) == {"first"}
        service.update(taskDefinition=definition(lab, "second"))
        service.completed(120)
        service.wait("services_stable")
        before = clients.pages["second"]
        clients.more(100)
        assert clients.pages["second"] >= before + 100, "the first revision still answers"
        service.update(desiredCount=4)
        service.wait("services_stable")
        clients.more(50)
        service.update(desiredCount=1)
        service.wait("services_stable")
        clients.more(50)
    assert clients.failures == []
    # How many at a time depends on how quickly tasks come and go.
    events = service.events()
    for text in (r"registered \d targets in \(target-group arn:.*\)", r"has begun draining connections on \d tasks\."):
        assert any(re.fullmatch(rf"\(service balanced\) {text}", event) for event in events), events


def test_a_killed_task_fails_what_was_in_flight_on_it(balanced, balancers, lab):
    service, group, address = balanced
    tasks = service.tasks()
    with load(address) as clients:
        clients.more(50)
        kill_all_in(netns(lab.address(tasks[0])))
        # It is replaced, and the new one answers beside the other.
        eventually(lambda: tasks[0]["taskArn"] not in {one["taskArn"] for one in service.tasks()}, 30, "its end")
        service.wait("services_stable")
        clients.more(100)
    assert len(clients.failures) <= CLIENTS, clients.failures


def kill_all_in(namespace):
    """Kills every process of a task's network."""
    inode = os.stat(namespace).st_ino
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.stat(process / "ns" / "net").st_ino == inode and b"httpd" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
