"""Gateways: services that share a load balancer, reached over HTTPS by their own names, from the machine and from a task; express services the same way."""

import contextlib
import json
import re
import subprocess

import pytest

from conftest import ACCOUNT, BIN, eventually
from test_services import Service

SCRIPT = "mkdir -p /www; echo $PAGE > /www/index.html; exec httpd -f -p 8080 -h /www"
TRUSTS_ECS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICIES = [
    "AmazonECSInfrastructureRoleForGatewayHostSharedALB",
    "service-role/AmazonECSInfrastructureRoleforExpressGatewayServices",
]


@pytest.fixture(scope="module")
def infrastructure(platform):
    """The role stays: what ECS has made in it is removed in it, some time after the tests."""
    iam = platform.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="infrastructure", AssumeRolePolicyDocument=json.dumps(TRUSTS_ECS))
    for policy in POLICIES:
        iam.attach_role_policy(RoleName="infrastructure", PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    return f"arn:aws:iam::{ACCOUNT}:role/infrastructure"


def trusted(platform, tmp_path, certificate):
    """A file with the authority that signed the certificate, as a user would get it from ACM."""
    answer = platform.client("acm").get_certificate(CertificateArn=certificate)
    path = tmp_path / "authority.pem"
    path.write_text(answer["CertificateChain"])
    return path


def fetch(url, authority):
    """What curl gets, which checks the certificate and takes names under localhost for this machine."""
    done = subprocess.run(
        ["curl", "-sS", "-m", "5", "--cacert", authority, url], capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def container(lab, page):
    mappings = [{"containerPort": 8080, "name": "http"}]
    environment = [{"name": "PAGE", "value": page}]
    return lab.container("web", SCRIPT, stopTimeout=2, portMappings=mappings, environment=environment)


@pytest.fixture
def gateway(platform, lab, infrastructure):
    ecs = platform.client("ecs")
    ecs.create_gateway(
        name="edge",
        infrastructureRoleArn=infrastructure,
        deletionProtection=False,
        configuration={"hostSharedAlb": {"networkConfiguration": {"subnets": lab.subnets}}},
    )
    ecs.associate_gateway_with_cluster(gateway="edge", cluster=lab.cluster)
    services = []

    def serve(name, page):
        service = Service(lab, name)
        service.create(
            lab.define(container(lab, page), family=name),
            1,
            gatewayConnectors=[
                {
                    "portName": "http",
                    "healthCheck": {"healthCheckIntervalSeconds": 5, "healthCheckTimeoutSeconds": 2, "healthyThresholdCount": 2},
                    "deregistrationDelay": {"timeoutSeconds": 0},
                }
            ],
            healthCheckGracePeriodSeconds=60,
        )
        services.append(service)
        [route] = ecs.list_gateway_routes(service=name)["gatewayRoutes"]
        return ecs.describe_gateway_route(gatewayRouteArn=route["gatewayRouteArn"])["gatewayRoute"]

    yield serve
    for service in services:
        service.delete()
    for service in services:
        service.wait("services_inactive")
    ecs.disassociate_gateway_from_cluster(gateway="edge", cluster=lab.cluster)
    # Their tasks are gone, and so what stood there for them goes at once.
    assert ecs.list_gateway_cluster_associations(gateway="edge")["gatewayClusterAssociations"] == []
    ecs.delete_gateway(gateway="edge")
    assert ecs.list_gateways()["gateways"] == []


def test_services_share_a_balancer_and_answer_by_their_names(platform, lab, gateway, tmp_path):
    routes = {name: gateway(name, f"page of {name}") for name in ("one", "two")}
    [parts, other] = [route["resources"]["hostSharedAlb"][0] for route in routes.values()]
    assert parts["loadBalancerArn"] == other["loadBalancerArn"]
    authority = trusted(platform, tmp_path, parts["acmCertificateArn"])
    for name, route in routes.items():
        assert route["status"] == "ACTIVE"
        eventually(lambda: fetch(route["serviceUrl"], authority) == f"page of {name}", 60, f"{name} by its URL")
    # Tasks reach it at the load balancer itself, by the name: it has the addresses that the load balancer's own name has.
    host = re.fullmatch(r"https://([a-z0-9.-]+):\d+", routes["one"]["serviceUrl"])[1]
    [balancer] = platform.client("elbv2").describe_load_balancers(LoadBalancerArns=[parts["loadBalancerArn"]])["LoadBalancers"]
    assert balancer["Scheme"] == "internet-facing"
    script = f"for name in {host} {balancer['DNSName']}; do nslookup $name; echo; echo end of $name; done; exec sleep 1000"
    task = lab.run(lab.container(script=script))
    lab.running(task)
    eventually(lambda: any(f"end of {balancer['DNSName']}" in line for line in lab.output(task)), 20, "the names in a task")
    said = "\n".join(lab.output(task)).split(f"end of {host}")
    by_service, by_balancer = (set(re.findall(r"Address(?: \d+)?: +([\d.]+)(?=\s|$)", re.split(r"Name:", part, maxsplit=1)[-1])) for part in said)
    assert all("Name:" in part for part in said), said
    assert by_service and by_service == by_balancer, said
    assert "127.0.0.1" not in by_service
    lab.stop(task)


def test_an_express_service_speaks_https(platform, lab, infrastructure, tmp_path):
    ecs = platform.client("ecs")
    made = ecs.create_express_gateway_service(
        cluster=lab.cluster,
        serviceName="express",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/exec",
        infrastructureRoleArn=infrastructure,
        healthCheckPath="/",
        primaryContainer={
            "image": lab.image,
            "containerPort": 8080,
            "command": ["/bin/sh", "-c", SCRIPT],
            "environment": [{"name": "PAGE", "value": "express"}],
        },
    )["service"]
    try:
        endpoint = made["activeConfigurations"][0]["ingressPaths"][0]["endpoint"]
        balancers = platform.client("elbv2").describe_load_balancers()["LoadBalancers"]
        [own] = [one for one in balancers if one["LoadBalancerName"].startswith("ecs-express")]
        listeners = platform.client("elbv2").describe_listeners(LoadBalancerArn=own["LoadBalancerArn"])["Listeners"]
        authority = trusted(platform, tmp_path, listeners[0]["Certificates"][0]["CertificateArn"])
        eventually(lambda: fetch(endpoint, authority) == "express", 60, "the endpoint")
    finally:
        ecs.delete_express_gateway_service(serviceArn=made["serviceArn"])
        Service(lab, "express").wait("services_inactive")
    assert fetch(endpoint, authority) != "express"


def test_an_interrupted_spot_task_is_replaced(platform, lab):
    ecs = platform.client("ecs")
    ecs.put_cluster_capacity_providers(
        cluster=lab.cluster, capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=[]
    )
    script = "trap 'echo warned; exit 0' TERM; echo up; while :; do sleep 1; done"
    definition = lab.define(lab.container("app", script, stopTimeout=20), family="spot")
    ecs.create_service(
        cluster=lab.cluster,
        serviceName="spot",
        taskDefinition=definition,
        desiredCount=1,
        capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": lab.subnets, "securityGroups": [lab.group]}},
    )
    service = Service(lab, "spot")

    def running():
        return ecs.list_tasks(cluster=lab.cluster, serviceName="spot", desiredStatus="RUNNING")["taskArns"]

    first = eventually(lambda: running() and running()[0], 30, "a task")
    lab.running(first)
    eventually(lambda: "up" in lab.output(first), 20, "its trap")
    with pytest.raises(ecs.exceptions.ResourceInUseException):
        ecs.put_cluster_capacity_providers(
            cluster=lab.cluster, capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[]
        )
    said = platform.shell(f"{BIN} interrupt {first}").stdout
    assert "is interrupted" in said
    stopped = lab.stopped(first)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
    assert stopped["containers"][0]["exitCode"] == 0
    assert "warned" in lab.output(first)
    second = eventually(lambda: [task for task in running() if task != first], 30, "its successor")[0]
    lab.running(second)
    service.delete()
    service.wait("services_inactive")
