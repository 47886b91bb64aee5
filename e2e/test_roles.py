"""Roles of tasks and policies of users: what each may do is what its policies say, and nothing else."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION, eventually

TASKS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*"):
    return {"Effect": "Allow", "Action": action, "Resource": resource}


@pytest.fixture
def role(platform):
    """Makes roles that tasks may have; removes them."""
    iam, made = platform.client("iam"), []

    def make(name, *statements, trust=TASKS):
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        made.append(name)
        return arn

    yield make
    for name in made:
        iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)


def credentials_of(lab, task):
    """What a container reads where its environment says."""
    def printed():
        for line in lab.output(task):
            if line.startswith("{"):
                return json.loads(line)

    return eventually(printed, what="credentials in the container's log")


SHOW = "wget -q -O - http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo; exec sleep 1000"


def client(platform, service, held):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=platform.endpoint,
        aws_access_key_id=held["AccessKeyId"],
        aws_secret_access_key=held["SecretAccessKey"],
        aws_session_token=held["Token"],
    )


def refused(call, code, *, text="", **more):
    with pytest.raises(ClientError) as error:
        call(**more)
    assert error.value.response["Error"]["Code"] == code
    assert text in error.value.response["Error"]["Message"]


def test_each_task_has_its_own_role_and_no_more(lab, platform, role):
    reader = role("reader", allow("ecs:ListClusters"))
    pusher = role("pusher", allow("ecr:DescribeRepositories", f"arn:aws:ecr:*:{ACCOUNT}:repository/*"))
    tasks = {}
    for name, arn in (("reader", reader), ("pusher", pusher)):
        tasks[name] = lab.run(lab.container(script=SHOW), taskRoleArn=arn)
        lab.running(tasks[name])
    held = {name: credentials_of(lab, task) for name, task in tasks.items()}
    assert held["reader"]["RoleArn"] == reader
    who = client(platform, "sts", held["reader"]).get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/{tasks['reader'].rsplit('/', 1)[1]}"

    client(platform, "ecs", held["reader"]).list_clusters()
    client(platform, "ecr", held["pusher"]).describe_repositories()
    refused(
        client(platform, "ecs", held["pusher"]).list_clusters,
        "AccessDeniedException",
        text="because no identity-based policy allows the ecs:ListClusters action",
    )
    refused(client(platform, "ecr", held["reader"]).describe_repositories, "AccessDeniedException")

    lab.stop(tasks["reader"])
    refused(client(platform, "ecs", held["reader"]).list_clusters, "UnrecognizedClientException")
    client(platform, "ecr", held["pusher"]).describe_repositories()
    lab.stop(tasks["pusher"])


def test_a_task_cannot_read_anothers_credentials(lab, role):
    arn = role("reader", allow("ecs:ListClusters"))
    path = lab.run(lab.container(script="echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; exec sleep 1000"), taskRoleArn=arn)
    lab.running(path)
    uri = eventually(lambda: next((line for line in lab.output(path) if line.startswith("/v2/")), None))
    thief = lab.run(lab.container(script=f"wget -q -O - http://169.254.170.2{uri} || echo refused"))
    lab.stopped(thief)
    lab.prints(thief, "refused")
    assert "SecretAccessKey" not in "".join(lab.output(thief))
    lab.stop(path)


def test_a_role_that_does_not_trust_tasks_ends_them(lab, role):
    other = {**TASKS, "Statement": [{**TASKS["Statement"][0], "Principal": {"Service": "ec2.amazonaws.com"}}]}
    for arn in (role("machines", allow("*"), trust=other), f"arn:aws:iam::{ACCOUNT}:role/none"):
        stopped = lab.stopped(lab.run(lab.container(), taskRoleArn=arn))
        assert stopped["stopCode"] == "TaskFailedToStart"
        assert f"ECS was unable to assume the role '{arn}'" in stopped["stoppedReason"]


def test_a_user_may_do_what_their_policies_say(lab, platform):
    iam = platform.client("iam")
    iam.create_user(UserName="ann")
    keys = iam.create_access_key(UserName="ann")["AccessKey"]
    held = {**keys, "Token": None}
    ecs = client(platform, "ecs", held)
    refused(ecs.list_clusters, "AccessDeniedException", text=f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized")
    refused(client(platform, "ec2", held).describe_vpcs, "UnauthorizedOperation")
    iam.attach_user_policy(UserName="ann", PolicyArn="arn:aws:iam::aws:policy/AmazonECS_FullAccess")
    ecs.list_clusters()
    document = policy({"Effect": "Deny", "Action": "ecs:List*", "Resource": "*"})
    iam.put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=document)
    refused(ecs.list_clusters, "AccessDeniedException", text="with an explicit deny in an identity-based policy")
    iam.delete_user_policy(UserName="ann", PolicyName="no")
    iam.detach_user_policy(UserName="ann", PolicyArn="arn:aws:iam::aws:policy/AmazonECS_FullAccess")
    iam.delete_access_key(UserName="ann", AccessKeyId=keys["AccessKeyId"])
    refused(ecs.list_clusters, "UnrecognizedClientException")
    iam.delete_user(UserName="ann")
