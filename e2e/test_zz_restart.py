"""Stop, kill and start the platform: tasks run on, addresses answer, nothing acknowledged is lost.

The name puts these tests last: they start platforms of their own, and a machine has one at a time.
"""

import pytest

from conftest import Image, Lab, Platform, eventually
from test_load_balancers import Balancers, netns, page
from test_services import Service, definition
from test_tasks import WEB, attempt


@pytest.fixture
def own(request, kept_dir, tmp_path):
    shared = request.getfixturevalue("stopped_shared")
    assert shared is None
    platform = Platform(data_dir=kept_dir).start()
    yield platform, Lab(platform, Image(platform, tmp_path))
    if platform.process.poll() is None:
        platform.kill()
    clean = Platform(data_dir=kept_dir).start()
    lab_tasks(clean)
    clean.stop()


def lab_tasks(platform):
    """Stops every task, so that nothing runs on after the test."""
    ecs = platform.client("ecs")
    tasks = ecs.list_tasks(cluster="lab")["taskArns"]
    for task in tasks:
        ecs.stop_task(cluster="lab", task=task)
    for task in tasks:
        eventually(lambda: ecs.describe_tasks(cluster="lab", tasks=[task])["tasks"][0]["lastStatus"] == "STOPPED", 60, "its end")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_tasks_outlive_the_platform(own, how):
    platform, lab = own
    script = "(i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done) & " + WEB
    task = lab.run(lab.container(script=script, stopTimeout=1), public=True)
    described = lab.running(task)
    public = lab.public_address(described)
    assert eventually(lambda: attempt(public), 10, "the page").startswith("page")
    lab.prints(task, "line 3")
    getattr(platform, how)()
    assert attempt(lab.address(described)).startswith("page"), "the task did not outlive the platform"
    platform.start()
    again = lab.describe(task)
    assert again["lastStatus"] == "RUNNING"
    assert again["startedAt"] == described["startedAt"]
    assert lab.public_address(again) == public
    assert attempt(public).startswith("page")
    # Everything that was written meanwhile is there, once and in order.
    last = int(lab.output(task)[-1].split()[1])
    lab.prints(task, f"line {last + 20}")
    numbers = [int(line.split()[1]) for line in lab.output(task) if line.startswith("line ")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert lab.stop(task)["stopCode"] == "UserInitiated"


def test_an_end_that_nobody_saw_is_reported(own):
    platform, lab = own
    task = lab.run(lab.container(script="sleep 2; echo last words; exit 9"))
    lab.running(task)
    platform.kill()
    import time

    time.sleep(3)  # the container ends while nobody looks; nothing else tells when that has happened
    platform.start()
    stopped = lab.stopped(task)
    assert stopped["containers"][0]["exitCode"] == 9
    lab.prints(task, "last words")


def test_what_was_acknowledged_is_there(own):
    platform, lab = own
    for number in range(20):
        lab.ecs.create_cluster(clusterName=f"kept-{number}")
    platform.kill()
    platform.start()
    names = {arn.rsplit("/", 1)[1] for arn in lab.ecs.list_clusters()["clusterArns"]}
    assert {f"kept-{number}" for number in range(20)} <= names
    assert lab.images.push("busybox", tag="again")


def test_another_platform_does_not_end_the_tasks_of_this_one(own):
    platform, lab = own
    task = lab.run(lab.container(script=WEB, stopTimeout=1))
    address = lab.address(lab.running(task))
    platform.stop()
    other = Platform(port=platform.port)
    other.launch()
    assert other.process.wait(timeout=20) != 0
    assert str(platform.data_dir) in other.output()
    assert attempt(address).startswith("page")
    platform.start()
    assert lab.describe(task)["lastStatus"] == "RUNNING"


def test_load_balancers_answer_again(own):
    """Connections end with the platform; addresses, listeners and targets are there again without anybody doing anything."""
    platform, lab = own
    balancers = Balancers(platform, lab)
    task = lab.run(lab.container(script=WEB, stopTimeout=1))
    target = lab.address(lab.running(task))
    groups = {}
    for kind, protocol in (("application", "HTTP"), ("network", "TCP")):
        balancer = balancers.balancer(kind, kind, subnets=len(lab.subnets))
        groups[kind] = balancers.group(kind, protocol)
        balancers.register(groups[kind], target)
        balancers.listener(balancer, 80, protocol, groups[kind])
    for group in groups.values():
        balancers.healthy(group, target)
    addresses = [address for arn in balancers.balancers for address in balancers.addresses(arn)]
    assert {page(f"http://{address}/") for address in addresses} == {"page"}
    namespaces = {address: netns(address) for address in addresses}
    platform.kill()
    platform.start()
    for address in addresses:
        eventually(lambda: page(f"http://{address}/") == "page", 20, f"an answer at {address}")
    # The interfaces are those that there were: nobody took them for leavings.
    assert {address: netns(address) for address in addresses} == namespaces
    for group in groups.values():
        balancers.healthy(group, target)
    balancers.clear()
    lab.stop(task)


def test_a_deployment_goes_on_where_it_was(own):
    platform, lab = own
    service = Service(lab, "web")
    service.create(definition(lab), 2)
    service.wait("services_stable")
    service.completed()
    newest = service.update(forceNewDeployment=True)["deployments"][0]["id"]
    eventually(lambda: len(service.tasks()) > 2, 30, "a task of the new revision")
    platform.kill()
    platform.start()
    assert service.completed()["id"] == newest
    assert service.wait("services_stable")["runningCount"] == 2
    assert {task["startedBy"] for task in service.tasks()} == {newest}
    started = [event for event in service.events() if "has started" in event]
    assert sum(int(event.split("started ")[1].split()[0]) for event in started) == 4
    service.delete()
    service.wait("services_inactive")
