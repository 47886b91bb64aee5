"""Parameter Store, as people use it: by the AWS CLI and boto3."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION
from test_roles import allow, client, policy


@pytest.fixture
def ssm(platform):
    made = platform.client("ssm")
    yield made
    for page in made.get_paginator("describe_parameters").paginate():
        for parameter in page["Parameters"]:
            made.delete_parameter(Name=parameter["Name"])


def refused(call, code, **more):
    with pytest.raises(ClientError) as error:
        call(**more)
    assert error.value.response["Error"]["Code"] == code
    return error.value.response["Error"]["Message"]


@pytest.fixture
def user(platform):
    """Makes a user with a policy and answers a client of theirs."""
    iam, made = platform.client("iam"), []

    def make(service, *statements):
        name = f"user-{len(made)}"
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
        keys = iam.create_access_key(UserName=name)["AccessKey"]
        made.append((name, keys["AccessKeyId"]))
        return client(platform, service, {**keys, "Token": None})

    yield make
    for name, key in made:
        iam.delete_access_key(UserName=name, AccessKeyId=key)
        iam.delete_user_policy(UserName=name, PolicyName="own")
        iam.delete_user(UserName=name)


def arn(name):
    return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name.lstrip('/')}"


def test_settings_in_a_hierarchy_by_the_cli(ssm, platform):
    shown = platform.shell(
        """
        aws ssm put-parameter --name /shop/prod/color --value red --type String --description "what it looks like" \
            --tags Key=team,Value=web --query Version
        aws ssm put-parameter --name /shop/prod/color --value blue --overwrite --query Version
        aws ssm put-parameter --name /shop/prod/db/hosts --value a,b --type StringList --query Tier --output text
        aws ssm get-parameter --name /shop/prod/color --query Parameter.Value --output text
        aws ssm get-parameter --name /shop/prod/color:1 --query 'Parameter.[Value,Selector]' --output text
        aws ssm get-parameters-by-path --path /shop --recursive --query 'Parameters[].Name' --output text
        aws ssm label-parameter-version --name /shop/prod/color --parameter-version 1 --labels live --query ParameterVersion
        aws ssm get-parameter --name /shop/prod/color:live --query Parameter.Value --output text
        aws ssm describe-parameters --parameter-filters Key=tag:team,Values=web --query 'Parameters[].Description' --output text
        aws ssm get-parameter-history --name /shop/prod/color --query 'Parameters[].Value' --output text
        aws ssm delete-parameters --names /shop/prod/color none --query 'InvalidParameters' --output text
        """
    ).stdout.split("\n")
    assert shown[:-1] == [
        "1", "2", "Standard", "blue", "red\t:1", "/shop/prod/color\t/shop/prod/db/hosts", "1", "red",
        "what it looks like", "red\tblue", "none",
    ]  # fmt: skip
    assert refused(ssm.get_parameter, "ParameterNotFound", Name="/shop/prod/color")


def test_a_secure_string_is_encrypted_with_a_key(ssm, platform, user):
    ssm.put_parameter(Name="/shop/password", Value="hunter2", Type="SecureString")
    sealed = ssm.get_parameter(Name="/shop/password")["Parameter"]
    assert sealed["Type"] == "SecureString" and "hunter2" not in sealed["Value"]
    assert ssm.get_parameter(Name="/shop/password", WithDecryption=True)["Parameter"]["Value"] == "hunter2"
    described = ssm.describe_parameters()["Parameters"][0]
    assert described["KeyId"] == "alias/aws/ssm"
    key = platform.client("kms").create_key()["KeyMetadata"]["KeyId"]
    ssm.put_parameter(Name="/shop/own", Value="s3cret", Type="SecureString", KeyId=key)
    # Who may read the parameter and not use the key reads what is encrypted.
    reader = user("ssm", allow("ssm:GetParameter"))
    assert "s3cret" not in reader.get_parameter(Name="/shop/own")["Parameter"]["Value"]
    assert "kms:Decrypt" in refused(
        reader.get_parameter, "AccessDeniedException", Name="/shop/own", WithDecryption=True
    )
    other = user("ssm", allow("ssm:GetParameter"), allow("kms:Decrypt", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"))
    assert other.get_parameter(Name="/shop/own", WithDecryption=True)["Parameter"]["Value"] == "s3cret"
    refused(ssm.put_parameter, "InvalidKeyId", Name="/shop/x", Value="x", Type="SecureString", KeyId="alias/none")


def test_a_user_reads_what_is_under_their_path(ssm, user):
    for name in ("/shop/a", "/shop/b/c", "/bank/a"):
        ssm.put_parameter(Name=name, Value="x", Type="String")
    actions = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"]
    reader = user("ssm", allow(actions, [arn("/shop"), arn("/shop/*")]))
    assert reader.get_parameter(Name="/shop/b/c:1")["Parameter"]["Value"] == "x"
    assert reader.get_parameter(Name=arn("/shop/a"))["Parameter"]["Name"] == "/shop/a"
    assert len(reader.get_parameters_by_path(Path="/shop", Recursive=True)["Parameters"]) == 2
    text = refused(reader.get_parameter, "AccessDeniedException", Name="/bank/a")
    assert f"is not authorized to perform: ssm:GetParameter on resource: {arn('/bank/a')}" in text
    refused(reader.get_parameters, "AccessDeniedException", Names=["/shop/a", "/bank/a"])
    refused(reader.get_parameters_by_path, "AccessDeniedException", Path="/")
    refused(reader.put_parameter, "AccessDeniedException", Name="/shop/a", Value="y", Overwrite=True)


def test_tags_decide_where_policies_ask_for_them(ssm, user):
    ssm.put_parameter(Name="/t/open", Value="x", Type="String", Tags=[{"Key": "team", "Value": "web"}])
    ssm.put_parameter(Name="/t/shut", Value="x", Type="String")
    statement = {**allow("ssm:GetParameter"), "Condition": {"StringEquals": {"aws:ResourceTag/team": "web"}}}
    reader = user("ssm", statement)
    assert reader.get_parameter(Name="/t/open")["Parameter"]["Value"] == "x"
    refused(reader.get_parameter, "AccessDeniedException", Name="/t/shut")


def test_a_secret_is_read_as_a_parameter(ssm, platform):
    secrets = platform.client("secretsmanager")
    secrets.create_secret(Name="shop/db", SecretString=json.dumps({"user": "ann"}))
    name = "/aws/reference/secretsmanager/shop/db"
    found = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert json.loads(found["Value"]) == {"user": "ann"}
    assert (found["Name"], found["Type"]) == (name, "SecureString")
    refused(ssm.get_parameter, "ValidationException", Name=name)
    refused(ssm.get_parameter, "ParameterNotFound", Name=name + "-none", WithDecryption=True)
    secrets.delete_secret(SecretId="shop/db", ForceDeleteWithoutRecovery=True)
