"""Services: tasks that are kept, replaced, scaled and deployed anew, and the events that say why."""

import http.client
import threading

import pytest

from conftest import eventually
from test_load_balancers import Balancers

# A tick is what waiters are given between looks; the default of 15 s is for a network further away.
SOON = {"Delay": 1, "MaxAttempts": 90}
# A check makes tasks healthy at once, which saves the 40 s that those without one are given.
HEALTHY = {"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 2}


class Service:
    """A service of the lab's cluster, and what is known of it."""

    def __init__(self, lab, name):
        self.lab = lab
        self.ecs = lab.ecs
        self.name = name
        self.subnets = lab.subnets

    def network(self):
        return {"awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.lab.group]}}

    def create(self, definition, count, **more):
        return self.ecs.create_service(
            cluster="lab",
            serviceName=self.name,
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=self.network(),
            **more,
        )["service"]

    def update(self, **more):
        return self.ecs.update_service(cluster="lab", service=self.name, **more)["service"]

    def delete(self):
        return self.ecs.delete_service(cluster="lab", service=self.name, force=True)["service"]

    def shown(self):
        return self.ecs.describe_services(cluster="lab", services=[self.name], include=["TAGS"])["services"][0]

    def wait(self, what):
        self.ecs.get_waiter(what).wait(cluster="lab", services=[self.name], WaiterConfig=SOON)
        return self.shown()

    def tasks(self, status="RUNNING"):
        arns = self.ecs.list_tasks(cluster="lab", serviceName=self.name, desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster="lab", tasks=arns, include=["TAGS"])["tasks"] if arns else []

    def events(self):
        return [event["message"] for event in reversed(self.shown()["events"])]

    def says(self, *fragments, timeout=60):
        def said():
            return any(all(fragment in event for fragment in fragments) for event in self.events())

        return eventually(said, timeout, f"an event with {fragments}")

    def completed(self, timeout=90):
        def done():
            deployments = self.shown()["deployments"]
            return len(deployments) == 1 and deployments[0]["rolloutState"] == "COMPLETED" and deployments[0]

        return eventually(done, timeout, "the end of the deployment")


@pytest.fixture
def service(lab):
    made = Service(lab, "web")
    yield made
    if made.shown()["status"] == "ACTIVE":
        made.delete()
    made.wait("services_inactive")


def definition(lab, family="web", script="exec sleep 1000", **more):
    return lab.define(lab.container(script=script, stopTimeout=2, healthCheck=HEALTHY, **more), family=family)


def test_a_services_life(lab, service):
    first = definition(lab)
    made = service.create(first, 3, tags=[{"key": "team", "value": "blue"}], propagateTags="SERVICE")
    assert (made["status"], made["runningCount"], made["deployments"][0]["status"]) == ("ACTIVE", 0, "PRIMARY")
    stable = service.wait("services_stable")
    assert (stable["runningCount"], stable["pendingCount"]) == (3, 0)
    deployment = stable["deployments"][0]["id"]
    tasks = service.tasks()
    assert {task["startedBy"] for task in tasks} == {deployment}
    assert {task["group"] for task in tasks} == {"service:web"}
    assert all({"key": "team", "value": "blue"} in task["tags"] for task in tasks)
    service.completed()
    service.says("(service web) has started 3 tasks: (task ")
    service.says(f"(service web) (deployment {deployment}) deployment completed.")
    service.says("(service web) has reached a steady state.")

    # One is stopped, and replaced.
    lab.ecs.stop_task(cluster="lab", task=tasks[0]["taskArn"], reason="enough")
    lab.stopped(tasks[0]["taskArn"])
    eventually(lambda: len(service.tasks()) == 3, 30, "another task")
    assert tasks[0]["taskArn"] not in {task["taskArn"] for task in service.tasks()}
    service.wait("services_stable")

    # Out and in.
    service.update(desiredCount=5)
    assert service.wait("services_stable")["runningCount"] == 5
    service.update(desiredCount=2)
    assert service.wait("services_stable")["runningCount"] == 2
    reasons = {task.get("stoppedReason") for task in service.tasks("STOPPED")}
    assert f"Scaling activity initiated by (deployment {deployment})" in reasons

    # A new revision replaces the old.
    second = definition(lab, script="echo second; exec sleep 1000")
    rolled = service.update(taskDefinition=second)
    assert [one["status"] for one in rolled["deployments"]] == ["PRIMARY", "ACTIVE"]
    newest = rolled["deployments"][0]["id"]
    service.wait("services_stable")
    assert {task["taskDefinitionArn"] for task in service.tasks()} == {second}
    assert service.completed()["id"] == newest
    listed = lab.ecs.list_service_deployments(cluster="lab", service="web")["serviceDeployments"]
    assert [one["status"] for one in listed] == ["SUCCESSFUL", "SUCCESSFUL"]


def test_a_broken_image_is_taken_back(lab, service):
    good = definition(lab, family="breaks")
    service.create(
        good,
        1,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )
    service.wait("services_stable")
    first = service.completed()["id"]
    absent = lab.define({**lab.container(), "image": f"{lab.platform.registry}/absent:latest"}, family="breaks")
    broken = service.update(taskDefinition=absent)["deployments"][0]["id"]
    service.says(f"(service web) (deployment {broken}) deployment failed: tasks failed to start.")
    service.says("rolling back to deployment")
    service.wait("services_stable")
    shown = service.completed()
    assert (shown["id"], shown["taskDefinition"]) == (first, good)
    newest = lab.ecs.list_service_deployments(cluster="lab", service="web")["serviceDeployments"][0]
    assert newest["status"] == "ROLLBACK_SUCCESSFUL"
    described = lab.ecs.describe_service_deployments(serviceDeploymentArns=[newest["serviceDeploymentArn"]])
    breaker = described["serviceDeployments"][0]["deploymentCircuitBreaker"]
    assert (breaker["status"], breaker["failureCount"], breaker["threshold"]) == ("TRIGGERED", 3, 3)


def test_deletion(lab, service):
    service.create(definition(lab, family="goes"), 1)
    service.wait("services_stable")
    with pytest.raises(lab.ecs.exceptions.InvalidParameterException, match="scaled above 0"):
        lab.ecs.delete_service(cluster="lab", service="web")
    with pytest.raises(lab.ecs.exceptions.ClusterContainsServicesException):
        lab.ecs.delete_cluster(cluster="lab")
    task = service.tasks()[0]["taskArn"]
    assert service.delete()["status"] == "DRAINING"
    inactive = service.wait("services_inactive")
    assert (inactive["status"], inactive["runningCount"]) == ("INACTIVE", 0)
    assert lab.describe(task)["stopCode"] == "ServiceSchedulerInitiated"
    with pytest.raises(lab.ecs.exceptions.ServiceNotActiveException):
        service.update(desiredCount=1)


class Load:
    """Clients that ask one page after another, each over its own connection, and count what fails."""

    def __init__(self, address, clients=8):
        self.address = address
        self.over = threading.Event()
        self.answered = 0
        self.failures = []
        self.pages = set()
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(10)

    def ask(self):
        connection = http.client.HTTPConnection(self.address, timeout=10)
        while not self.over.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                page = answer.read().decode().strip()
                if answer.status == 200:
                    self.answered += 1
                    self.pages.add(page)
                else:
                    self.failures.append(f"{answer.status} {page}")
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
            except http.client.HTTPException as error:
                self.failures.append(repr(error))
                connection.close()


def test_deployments_under_load_drop_nothing(platform, lab, service):
    made = Balancers(platform, lab)
    balancer = made.balancer("rolls")
    group = made.group("rolls")
    made.attributes(group, deregistration_delay__timeout_seconds="10")
    made.listener(balancer, 80, "HTTP", group)

    def pages(name):
        script = f"mkdir -p /www; echo {name} > /www/index.html; exec httpd -f -p 8080 -h /www"
        container = lab.container(script=script, stopTimeout=2, portMappings=[{"containerPort": 8080}])
        return lab.define(container, family="rolls")

    # A target in a zone without a node of the load balancer gets no requests.
    service.subnets = lab.subnets[:2]
    behind = {"targetGroupArn": group, "containerName": "app", "containerPort": 8080}
    service.create(pages("one"), 2, loadBalancers=[behind])
    service.wait("services_stable")
    service.completed()
    service.says("targets in (target-group " + group)
    address = made.addresses(balancer)[0]
    with Load(address) as load:
        eventually(lambda: load.answered > 100, 20, "answers")
        service.update(taskDefinition=pages("two"))
        service.wait("services_stable")
        service.completed()
        service.update(desiredCount=3)
        service.wait("services_stable")
        service.update(desiredCount=1)
        service.wait("services_stable")
    assert load.pages == {"one", "two"}
    assert load.failures == [], f"{len(load.failures)} of {load.answered}"
    service.says("has begun draining connections on")
    stopped = [task for task in service.tasks("STOPPED") if "/rolls:" in task["taskDefinitionArn"]]
    assert {task["stopCode"] for task in stopped} == {"ServiceSchedulerInitiated"}
    service.delete()
    service.wait("services_inactive")
    made.clear()
