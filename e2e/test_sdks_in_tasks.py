"""SDKs and CLIs in containers: with nothing but what the platform gives a task they find its role, and they go on working when its credentials are renewed.

The platform gives credentials for half a minute, so that all of it happens before one's eyes; six hours is what it does by itself.
"""

import json

import pytest

import sdk_images
from conftest import ACCOUNT, TRUSTS_TASKS, Image, Lab, Platform, eventually, stop_shared

LIFETIME_SECONDS = 30

# Nothing is said here of keys, of a region or of where the platform is.
WITH_BOTOCORE = """
import time
import boto3

ecs = boto3.client("ecs")
while True:
    print("answered", len(ecs.list_clusters()["clusterArns"]), flush=True)
    time.sleep(1)
"""
WITH_JAVASCRIPT = """
const { ECSClient, ListClustersCommand } = require("@aws-sdk/client-ecs");

async function main() {
  const ecs = new ECSClient({});
  for (;;) {
    console.log("answered", (await ecs.send(new ListClustersCommand({}))).clusterArns.length);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
main().catch((error) => { console.log(error); process.exit(1); });
"""


@pytest.fixture(scope="module")
def own():
    stop_shared()
    platform = Platform(options=["--task-credentials-lifetime", str(LIFETIME_SECONDS)]).start()
    yield platform
    platform.stop()


@pytest.fixture(scope="module")
def mine(own, tmp_path_factory):
    return Lab(own, Image(own, tmp_path_factory.mktemp("images")))


@pytest.fixture(scope="module")
def role(own):
    iam = own.client("iam")
    statement = {"Effect": "Allow", "Action": ["ecs:ListClusters", "ecs:DescribeTasks"], "Resource": "*"}
    arn = iam.create_role(RoleName="caller", AssumeRolePolicyDocument=json.dumps(TRUSTS_TASKS))["Role"]["Arn"]
    document = {"Version": "2012-10-17", "Statement": statement}
    iam.put_role_policy(RoleName="caller", PolicyName="own", PolicyDocument=json.dumps(document))
    return arn


def calls(platform, task):
    """What the server saw of a task: event name, access key and error of each call, oldest first."""
    trail = platform.client("cloudtrail")
    session = [{"AttributeKey": "Username", "AttributeValue": task.rsplit("/", 1)[1]}]
    found = [event for page in trail.get_paginator("lookup_events").paginate(LookupAttributes=session) for event in page["Events"]]
    records = [json.loads(event["CloudTrailEvent"]) for event in reversed(found)]
    for record in records:
        assert record["userIdentity"]["arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/caller/")
    return [(record["eventName"], record["userIdentity"]["accessKeyId"], record.get("errorCode")) for record in records]


def keys(platform, task):
    """The keys with which calls succeeded, in the order of their first use. No call may have failed."""
    seen = []
    for name, key, error in calls(platform, task):
        assert error is None, f"{name} with {key}: {error}"
        if key not in seen:
            seen.append(key)
    return seen


# What a client does without a library: a line for each set of credentials.
WITHOUT_ANY = "while :; do wget -q -O - http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo; sleep 1; done"


def given(lab, task):
    """The credentials that a task has printed, each set once."""
    lines = [json.loads(line) for line in lab.output(task) if line.startswith("{")]
    return list({line["AccessKeyId"]: line for line in lines}.values())


def test_clients_find_the_role_and_follow_its_renewal(own, mine, role):
    images, lab = mine.images, mine
    awaited = lab.run(lab.container(), family="awaited")
    lab.running(awaited)
    waits = ["ecs", "wait", "tasks-stopped", "--cluster", "lab", "--tasks", awaited]
    # Debian's version 2 is older than the variable that names the endpoint: it has to be told on the command line.
    old, expanded = sdk_images.cli_2(), 'exec "$@" --endpoint-url $AWS_ENDPOINT_URL'
    clients = {
        "botocore": (sdk_images.push(images, "botocore", sdk_images.botocore(), {"data/calls.py": WITH_BOTOCORE}), ["calls.py"], []),
        "javascript": (sdk_images.push(images, "javascript", sdk_images.javascript(), {"data/calls.js": WITH_JAVASCRIPT}), ["calls.js"], []),
        "cli-1": (sdk_images.push(images, "cli-1", sdk_images.cli_1()), waits, []),
        "cli-2": (sdk_images.push(images, "cli-2", old), [*old[1], *waits], ["/bin/sh", "-c", expanded, "sh"]),
        "without": (lab.image, [WITHOUT_ANY], ["/bin/sh", "-c"]),
    }
    tasks = {}
    for name, (image, command, entry) in clients.items():
        container = {**lab.container(), "image": image, "command": command, "entryPoint": entry}
        tasks[name] = lab.run(container, family=name, taskRoleArn=role, memory="1024", cpu="512")
    try:
        # The third key is given out when the first has ended.
        for name in ("botocore", "javascript", "cli-1", "cli-2"):
            ended = lambda: lab.describe(tasks[name])["lastStatus"] == "STOPPED"
            eventually(lambda: len(keys(own, tasks[name])) >= 3 or ended(), 90, f"calls of {name} with three keys")
            assert len(keys(own, tasks[name])) >= 3, f"{name}: {lab.describe(tasks[name]).get('stoppedReason')}"
        lab.stop(awaited)
        for name in ("cli-1", "cli-2"):
            assert lab.stopped(tasks[name])["containers"][0]["exitCode"] == 0
        for name in ("botocore", "javascript"):
            assert lab.describe(tasks[name])["lastStatus"] == "RUNNING"
            assert all(line.startswith("answered") for line in lab.output(tasks[name]))
            keys(own, tasks[name])
    except AssertionError as error:
        said = [f"{name}: {lab.output(task)[-10:]}" for name, task in tasks.items()]
        raise AssertionError("\n".join([str(error), *said])) from None

    # A task that has stopped has no key any more, neither its last one nor those before it.
    held = given(lab, tasks["without"])
    assert len(held) >= 3
    lab.stop(tasks["without"])
    for key in held:
        client = own.client("ecs", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"], token=key["Token"])
        with pytest.raises(client.exceptions.ClientError) as error:
            client.list_clusters()
        assert error.value.response["Error"]["Code"] in ("UnrecognizedClientException", "ExpiredTokenException")
    for name in ("botocore", "javascript"):
        lab.stop(tasks[name])
