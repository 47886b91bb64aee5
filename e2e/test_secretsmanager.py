"""Secrets Manager through boto3 and the command line: versions, policies, keys, replicas, rotation."""

import json

import pytest

from conftest import ACCOUNT, REGION, eventually
from test_kms import refused, user  # noqa: F401 (a fixture)
from test_roles import allow, policy


@pytest.fixture
def secrets(platform):
    return platform.client("secretsmanager")


@pytest.fixture
def secret(secrets):
    """Makes secrets; removes them."""
    made = []

    def make(name, value, **more):
        made.append(name)
        return secrets.create_secret(Name=name, SecretString=value, **more)["ARN"]

    yield make
    for name in made:
        secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_versions_and_stages(secrets, secret):
    arn = secret("versions/db", "one", Description="of a test", Tags=[{"Key": "stage", "Value": "test"}])
    first = secrets.get_secret_value(SecretId=arn)
    assert (first["SecretString"], first["VersionStages"]) == ("one", ["AWSCURRENT"])
    second = secrets.put_secret_value(SecretId="versions/db", SecretBinary=b"\x00two")["VersionId"]
    assert secrets.get_secret_value(SecretId=arn[:-7])["SecretBinary"] == b"\x00two"
    assert secrets.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    secrets.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", RemoveFromVersionId=second, MoveToVersionId=first["VersionId"]
    )
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == "one"
    described = secrets.describe_secret(SecretId=arn)
    assert described["VersionIdsToStages"] == {first["VersionId"]: ["AWSCURRENT"], second: ["AWSPREVIOUS"]}
    assert described["Tags"] == [{"Key": "stage", "Value": "test"}]
    listed = secrets.list_secrets(Filters=[{"Key": "name", "Values": ["versions/"]}])["SecretList"]
    assert [one["Name"] for one in listed] == ["versions/db"]
    batch = secrets.batch_get_secret_value(SecretIdList=["versions/db", "versions/none"])
    assert [one["SecretString"] for one in batch["SecretValues"]] == ["one"]
    assert [one["ErrorCode"] for one in batch["Errors"]] == ["ResourceNotFoundException"]
    refused(secrets.get_secret_value, "ResourceNotFoundException", "can't find the specified secret value for staging label: mine", SecretId=arn, VersionStage="mine")
    refused(secrets.create_secret, "ResourceExistsException", "already exists", Name="versions/db")


def test_a_deleted_secret_can_be_restored(secrets, secret):
    arn = secret("window/db", "one")
    secrets.delete_secret(SecretId=arn, RecoveryWindowInDays=7)
    refused(secrets.get_secret_value, "InvalidRequestException", "marked for deletion", SecretId=arn)
    secrets.restore_secret(SecretId=arn)
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == "one"


def test_both_policies_and_the_key_have_a_say(platform, secrets, secret, user):  # noqa: F811
    arn = secret("shared/db", "hidden")
    _, anns = user("ann", "secretsmanager", allow("secretsmanager:GetSecretValue", f"{arn[:-6]}??????"))
    bob, bobs = user("bob", "secretsmanager")
    assert anns.get_secret_value(SecretId="shared/db")["SecretString"] == "hidden"
    refused(bobs.get_secret_value, "AccessDeniedException", f"secretsmanager:GetSecretValue on resource: {arn}", SecretId="shared/db")
    lets_bob = {"Effect": "Allow", "Principal": {"AWS": bob}, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    secrets.put_resource_policy(SecretId=arn, ResourcePolicy=policy(lets_bob), BlockPublicPolicy=True)
    assert bobs.get_secret_value(SecretId=arn)["SecretString"] == "hidden"
    public = policy({**lets_bob, "Principal": "*"})
    refused(secrets.put_resource_policy, "PublicPolicyException", SecretId=arn, ResourcePolicy=public, BlockPublicPolicy=True)
    kms = platform.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    secrets.update_secret(SecretId=arn, KmsKeyId=key)
    refused(anns.get_secret_value, "AccessDeniedException", "Access to KMS is not allowed", SecretId=arn)
    kms.create_grant(KeyId=key, GranteePrincipal=bob, Operations=["Decrypt"])
    assert bobs.get_secret_value(SecretId=arn)["SecretString"] == "hidden"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    refused(bobs.get_secret_value, "DecryptionFailure", "pending deletion", SecretId=arn)


def test_replicas(platform, secrets, secret):
    secret("replicated/db", "one", AddReplicaRegions=[{"Region": "eu-west-1"}])
    europe = platform.client("secretsmanager", region="eu-west-1")
    assert europe.get_secret_value(SecretId="replicated/db")["SecretString"] == "one"
    secrets.put_secret_value(SecretId="replicated/db", SecretString="two")
    assert europe.get_secret_value(SecretId="replicated/db")["SecretString"] == "two"
    assert europe.describe_secret(SecretId="replicated/db")["PrimaryRegion"] == REGION
    refused(europe.put_secret_value, "InvalidRequestException", "replica secret", SecretId="replicated/db", SecretString="x")
    left = secrets.remove_regions_from_replication(SecretId="replicated/db", RemoveReplicaRegions=["eu-west-1"])
    assert left["ReplicationStatus"] == []
    refused(europe.get_secret_value, "ResourceNotFoundException", SecretId="replicated/db")


def test_a_task_rotates_a_secret(platform, lab, secrets, secret):
    """The task finds what to do in its environment; here the test does the calls in its place."""
    arn = secret("rotated/db", "one")
    with_default = lab.ecs.create_cluster(clusterName="default")["cluster"]["clusterName"]
    hook = lab.define(lab.container(script="echo rotate $SECRET_ID to $CLIENT_REQUEST_TOKEN"), family="rotate")
    refused(
        secrets.rotate_secret, "InvalidParameterException", "Lambda functions are not available",
        SecretId=arn, RotationLambdaARN=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate",
    )
    pending = secrets.rotate_secret(SecretId=arn, RotationLambdaARN=hook, RotationRules={"AutomaticallyAfterDays": 30})["VersionId"]
    started = lab.ecs.list_tasks(cluster=with_default, startedBy="secretsmanager")["taskArns"]
    started += lab.ecs.list_tasks(cluster=with_default, startedBy="secretsmanager", desiredStatus="STOPPED")["taskArns"]
    lab.prints(started[0], f"rotate {arn} to {pending}")
    secrets.put_secret_value(SecretId=arn, SecretString="two", ClientRequestToken=pending, VersionStages=["AWSPENDING"])
    current = secrets.get_secret_value(SecretId=arn)["VersionId"]
    secrets.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", RemoveFromVersionId=current, MoveToVersionId=pending)
    described = secrets.describe_secret(SecretId=arn)
    assert "LastRotatedDate" in described
    assert described["RotationEnabled"]
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == "two"
    secrets.cancel_rotate_secret(SecretId=arn)

    def over():
        return not lab.ecs.list_tasks(cluster=with_default, startedBy="secretsmanager")["taskArns"]

    eventually(over, what="the task's end")


def test_the_command_line(platform):
    done = platform.shell(
        """
        aws secretsmanager create-secret --name cli/db --secret-string '{"user":"app"}' > /dev/null
        aws secretsmanager get-secret-value --secret-id cli/db --query SecretString --output text
        aws secretsmanager get-random-password --password-length 20 --exclude-punctuation --query RandomPassword --output text
        aws secretsmanager delete-secret --secret-id cli/db --force-delete-without-recovery > /dev/null
        """
    )
    value, password = done.stdout.splitlines()
    assert json.loads(value) == {"user": "app"}
    assert len(password) == 20 and password.isalnum()
