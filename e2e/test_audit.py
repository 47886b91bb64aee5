"""The audit trail: every call is in it, with who, from where and what, and no secret is."""

import datetime
import json

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION, Platform


def events(platform, key, value, **more):
    found = []
    trail = platform.client("cloudtrail")
    for page in trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}], **more
    ):
        found += page["Events"]
    return found


def records(platform, key, value):
    return [json.loads(event["CloudTrailEvent"]) for event in events(platform, key, value)]


def test_calls_are_recorded_with_their_outcome(platform):
    ecs = platform.client("ecs")
    ecs.create_cluster(clusterName="audited", tags=[{"key": "team", "value": "a"}])
    with pytest.raises(ClientError):
        ecs.describe_tasks(cluster="audited", tasks=["0" * 500])
    [event] = [one for one in events(platform, "ResourceName", "audited") if one["EventName"] == "CreateCluster"]
    assert event["EventSource"] == "ecs.amazonaws.com" and event["ReadOnly"] == "false" and event["Username"] == "root"
    assert {"ResourceType": "AWS::ECS::Cluster", "ResourceName": "audited"} in event["Resources"]
    assert abs(event["EventTime"] - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5)
    record = json.loads(event["CloudTrailEvent"])
    assert record["eventVersion"] == "1.11" and record["eventType"] == "AwsApiCall"
    assert record["sourceIPAddress"] == "127.0.0.1" and "Boto3" in record["userAgent"]
    assert record["userIdentity"]["type"] == "Root" and record["recipientAccountId"] == ACCOUNT
    assert record["requestParameters"]["clusterName"] == "audited"
    assert record["responseElements"]["cluster"]["clusterName"] == "audited"
    refused = [one for one in records(platform, "EventName", "DescribeTasks") if one.get("errorCode")]
    assert refused and refused[0]["responseElements"] is None
    ecs.delete_cluster(cluster="audited")


def test_refused_calls_and_strangers_are_recorded(platform):
    iam = platform.client("iam")
    iam.create_user(UserName="watched")
    key = iam.create_access_key(UserName="watched")["AccessKey"]
    ecs = platform.client("ecs", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    with pytest.raises(ClientError):
        ecs.list_clusters()
    with pytest.raises(ClientError):
        platform.client("ecs", access_key=key["AccessKeyId"], secret_key="wrong").list_services()
    [denied] = records(platform, "Username", "watched")
    assert denied["errorCode"] == "AccessDeniedException" and "ecs:ListClusters" in denied["errorMessage"]
    assert denied["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/watched"
    forged = [one for one in records(platform, "AccessKeyId", key["AccessKeyId"]) if one["eventName"] == "ListServices"]
    assert [one["userIdentity"]["type"] for one in forged] == ["Unknown"]
    assert forged[0]["errorCode"] == "InvalidSignatureException"
    made = records(platform, "EventName", "CreateAccessKey")
    assert made and all(key["SecretAccessKey"] not in json.dumps(one) for one in made)
    iam.delete_access_key(UserName="watched", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="watched")


def test_a_sessions_role_is_named(platform):
    iam, sts = platform.client("iam"), platform.client("sts")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="seen", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
    iam.create_user(UserName="actor")
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}
    iam.put_user_policy(UserName="actor", PolicyName="own", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="actor")["AccessKey"]
    actor = platform.client("sts", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    held = actor.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/seen", RoleSessionName="night")["Credentials"]
    session = boto3.client(
        "sts",
        endpoint_url=platform.endpoint,
        region_name=REGION,
        aws_access_key_id=held["AccessKeyId"],
        aws_secret_access_key=held["SecretAccessKey"],
        aws_session_token=held["SessionToken"],
    )
    session.get_caller_identity()
    [record] = [one for one in records(platform, "Username", "night") if one["eventName"] == "GetCallerIdentity"]
    identity = record["userIdentity"]
    assert identity["type"] == "AssumedRole" and identity["arn"].endswith("assumed-role/seen/night")
    assert identity["sessionContext"]["sessionIssuer"]["userName"] == "seen"
    assert identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    for one in records(platform, "EventName", "AssumeRole"):
        assert held["SessionToken"] not in json.dumps(one) and held["SecretAccessKey"] not in json.dumps(one)
    iam.delete_access_key(UserName="actor", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="actor", PolicyName="own")
    iam.delete_user(UserName="actor")
    iam.delete_role(RoleName="seen")


def test_pushes_and_pulls_are_recorded(platform, images):
    images.push("recorded")
    names = {one["EventName"] for one in events(platform, "ResourceName", "recorded")}
    assert {"CreateRepository", "InitiateLayerUpload", "CompleteLayerUpload", "PutImage"} <= names
    [put] = [json.loads(one["CloudTrailEvent"]) for one in events(platform, "ResourceName", "recorded") if one["EventName"] == "PutImage"]
    assert put["eventSource"] == "ecr.amazonaws.com" and put["sourceIPAddress"] == "127.0.0.1"
    assert put["requestParameters"]["imageIds"] == [{"imageTag": "latest"}]


def test_lookup_pages_and_refuses_nonsense(platform):
    for index in range(7):
        platform.client("ecs").list_clusters(maxResults=index + 1)
    pages = platform.client("cloudtrail").get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "ListClusters"}],
        PaginationConfig={"PageSize": 3, "MaxItems": 7},
    )
    sizes = [len(page["Events"]) for page in pages]
    assert sum(sizes) == 7 and max(sizes) <= 3
    trail = platform.client("cloudtrail")
    now = datetime.datetime.now(datetime.timezone.utc)
    with pytest.raises(trail.exceptions.InvalidTimeRangeException):
        trail.lookup_events(StartTime=now, EndTime=now - datetime.timedelta(hours=1))
    with pytest.raises(ClientError) as error:
        trail.create_trail(Name="x", S3BucketName="y")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_the_trail_outlives_a_crash_and_knows_no_secret(stopped_shared, kept_dir):
    platform = Platform(kept_dir).start()
    try:
        iam = platform.client("iam")
        iam.create_user(UserName="kept")
        key = iam.create_access_key(UserName="kept")["AccessKey"]
        iam.create_login_profile(UserName="kept", Password="Sesame-Open-77!")
        assert events(platform, "EventName", "CreateUser")
        platform.kill()
        platform.start()
        assert [one["Resources"][0]["ResourceName"] for one in events(platform, "EventName", "CreateUser")] == ["kept"]
        platform.stop()
        files = [path for path in (kept_dir / "audit").rglob("*") if path.is_file()]
        assert files
        for path in files:
            content = path.read_bytes()
            assert key["SecretAccessKey"].encode() not in content and b"Sesame-Open-77!" not in content
    finally:
        if platform.process.poll() is None:
            platform.kill()
