"""Objects, as boto3, the AWS CLI and plain HTTP clients use them."""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import socket
import urllib.error
import urllib.request
import zlib

import boto3
import botocore.config
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig

from conftest import ACCOUNT, REGION, eventually

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def s3(platform):
    return platform.client("s3")


@pytest.fixture
def bucket(s3, request):
    name = "b-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


def presigner(platform, access_key=ACCOUNT, secret_key="secret"):
    """boto3 presigns for S3 with the old version of signatures unless it is told otherwise."""
    return boto3.client(
        "s3",
        endpoint_url=platform.endpoint,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=botocore.config.Config(signature_version="s3v4"),
    )


@contextlib.contextmanager
def refused(code):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield caught
    assert caught.value.response["Error"]["Code"] == code, caught.value


def test_objects_with_everything_about_them(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="dir/a key?&é", Body=b"hello", ContentType="text/plain", Metadata={"colour": "blue"}, Tagging="a=b"
    )
    answer = s3.get_object(Bucket=bucket, Key="dir/a key?&é")
    assert answer["Body"].read() == b"hello"
    assert answer["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert answer["ContentType"] == "text/plain" and answer["Metadata"] == {"colour": "blue"} and answer["TagCount"] == 1
    assert answer["ServerSideEncryption"] == "AES256"
    head = s3.head_object(Bucket=bucket, Key="dir/a key?&é", ChecksumMode="ENABLED")
    assert head["ContentLength"] == 5 and head["ChecksumType"] == "FULL_OBJECT"
    part = s3.get_object(Bucket=bucket, Key="dir/a key?&é", Range="bytes=1-3")
    assert part["Body"].read() == b"ell" and part["ContentRange"] == "bytes 1-3/5"
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    with refused("304"):
        s3.head_object(Bucket=bucket, Key="dir/a key?&é", IfNoneMatch=head["ETag"])
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="dir/a key?&é", Body=b"x", IfNoneMatch="*")
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="none")
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="none")
    with refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket="no-such-bucket-here")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_verified(s3, bucket, algorithm):
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    given = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert given["Body"].read() == b"data"
    assert given[f"Checksum{algorithm}"] == answer[f"Checksum{algorithm}"]
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", **{f"Checksum{algorithm}": answer[f"Checksum{algorithm}"]})
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"data", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")


def test_uploads_in_parts(s3, bucket, tmp_path):
    content = os.urandom(13 * MEBIBYTE + 7)
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(content)
    small = TransferConfig(multipart_threshold=5 * MEBIBYTE, multipart_chunksize=5 * MEBIBYTE, max_concurrency=4)
    s3.upload_file(str(source), bucket, "large", Config=small)
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-3"')
    s3.download_file(bucket, "large", str(copy), Config=small)
    assert copy.read_bytes() == content
    tail = s3.get_object(Bucket=bucket, Key="large", Range=f"bytes={5 * MEBIBYTE - 3}-{5 * MEBIBYTE + 3}")
    assert tail["Body"].read() == content[5 * MEBIBYTE - 3 : 5 * MEBIBYTE + 4]
    s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "second", Config=small)
    assert s3.get_object(Bucket=bucket, Key="second")["Body"].read() == content
    upload = s3.create_multipart_upload(Bucket=bucket, Key="never")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="never", UploadId=upload, PartNumber=1, Body=b"x")
    assert len(s3.list_parts(Bucket=bucket, Key="never", UploadId=upload)["Parts"]) == 1
    s3.abort_multipart_upload(Bucket=bucket, Key="never", UploadId=upload)
    with refused("NoSuchUpload"):
        s3.upload_part(Bucket=bucket, Key="never", UploadId=upload, PartNumber=1, Body=b"x")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_lists(s3, bucket):
    keys = sorted(f"{folder}/{number:02}" for folder in "abc" for number in range(7))
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 4})
    assert [found["Key"] for page in pages for found in page["Contents"]] == keys
    pages = s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 4})
    assert [found["Key"] for page in pages for found in page["Contents"]] == keys
    folders = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [found["Prefix"] for found in folders["CommonPrefixes"]] == ["a/", "b/", "c/"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="b/0", StartAfter="b/04")["KeyCount"] == 2
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(answer["Deleted"]) == len(keys)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_presigned_urls(platform, bucket):
    s3 = presigner(platform)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k y"}, ExpiresIn=60)
    request = urllib.request.Request(put, data=b"by url", method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k y", "ResponseContentType": "text/x"})
    with urllib.request.urlopen(get, timeout=10) as answer:
        assert answer.read() == b"by url" and answer.headers["content-type"] == "text/x"


def test_the_command_line(platform, s3, bucket, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.txt").write_text("one")
    (folder / "sub" / "two.txt").write_text("two")
    platform.shell(f"aws s3 sync {folder} s3://{bucket}/f")
    assert "one.txt" in platform.shell(f"aws s3 ls s3://{bucket}/f/").stdout
    platform.shell(f"aws s3 cp s3://{bucket}/f/sub/two.txt {tmp_path}/back")
    assert (tmp_path / "back").read_text() == "two"
    url = platform.shell(f"aws s3 presign s3://{bucket}/f/one.txt").stdout.strip()
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"one"
    platform.shell(f"echo piped | aws s3 cp - s3://{bucket}/piped")
    assert platform.shell(f"aws s3 cp s3://{bucket}/piped -").stdout == "piped\n"
    platform.shell(f"aws s3 rm s3://{bucket} --recursive")
    assert platform.shell(f"aws s3 ls s3://{bucket}").stdout == ""


def issued(platform, policy):
    """A user with a policy of its own: its client is verified and authorized."""
    iam = platform.client("iam")
    name = "s3-" + hashlib.sha256(json.dumps(policy).encode()).hexdigest()[:12]
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return platform.client("s3", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])


def test_signed_requests_are_verified_and_authorized(platform, s3, bucket):
    statement = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": f"arn:aws:s3:::{bucket}/mine/*"}
    user = issued(platform, {"Version": "2012-10-17", "Statement": [statement]})
    user.put_object(Bucket=bucket, Key="mine/k", Body=b"x" * 100_000)
    assert len(user.get_object(Bucket=bucket, Key="mine/k")["Body"].read()) == 100_000
    with refused("AccessDenied"):
        user.put_object(Bucket=bucket, Key="theirs/k", Body=b"x")
    with refused("AccessDenied"):
        user.list_objects_v2(Bucket=bucket)
    key = user._request_signer._credentials
    by_url = presigner(platform, key.access_key, key.secret_key)
    url = by_url.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "mine/k"})
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert len(answer.read()) == 100_000
    altered = url.replace("mine/k", "mine/l")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(altered, timeout=10)
    assert caught.value.code == 403 and b"SignatureDoesNotMatch" in caught.value.read()
    wrong = platform.client("s3", access_key=key.access_key, secret_key="wrong")
    with refused("SignatureDoesNotMatch"):
        wrong.get_object(Bucket=bucket, Key="mine/k")
    iam = platform.client("iam")
    owner = iam.get_access_key_last_used(AccessKeyId=key.access_key)["UserName"]
    iam.delete_access_key(UserName=owner, AccessKeyId=key.access_key)
    with refused("InvalidAccessKeyId"):
        user.get_object(Bucket=bucket, Key="mine/k")


def test_bodies_in_signed_pieces(platform, s3, bucket):
    """What the other SDKs send for streams: `aws-chunked`, signed piece by piece or not, with a checksum behind it."""
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n"
    checksum = base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big"))
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-date": "20261121T000000Z",
        "x-amz-decoded-content-length": "11",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    scope = f"{ACCOUNT}/20261121/{REGION}/s3/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;{';'.join(sorted(headers))}, Signature=00"
    headers |= {"authorization": signed, "content-encoding": "aws-chunked"}
    for sent, status in [(body % checksum, 200), (body % b"AAAAAA==", 400), (b"zz\r\n", 400)]:
        request = urllib.request.Request(f"{platform.endpoint}/{bucket}/k", data=sent, method="PUT", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == status
        except urllib.error.HTTPError as error:
            assert error.code == status, error.read()
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello world"


def test_what_is_public_and_what_is_not(platform, s3, bucket):
    s3.put_object(Bucket=bucket, Key="page", Body=b"public")
    url = f"{platform.endpoint}/{bucket}/page"

    def status():
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status() == 403
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with refused("AccessDenied"):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert status() == 200
    s3.delete_bucket_policy(Bucket=bucket)
    assert status() == 403


def test_virtual_hosts(platform, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    claim = f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20261121/{REGION}/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as connection:
        connection.sendall(
            f"GET /k HTTP/1.1\r\nhost: {bucket}.localhost:{platform.port}\r\nauthorization: {claim}\r\n"
            "x-amz-date: 20261121T000000Z\r\nconnection: close\r\n\r\n".encode()
        )
        answer = b""
        while received := connection.recv(65536):
            answer += received
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\nx"), answer


def test_what_is_not_there_says_so(s3, bucket):
    for call in [
        lambda: s3.get_bucket_cors(Bucket=bucket),
        lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms"),
    ]:
        with refused("NotImplemented"):
            call()
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]


def test_access_logs_of_a_load_balancer(platform, s3, bucket):
    """Lines come in a file when there are many of them, before their five minutes are over."""
    ec2, elbv2 = platform.client("ec2"), platform.client("elbv2")
    subnets = [found["SubnetId"] for found in ec2.describe_subnets()["Subnets"]][:2]
    group = ec2.create_security_group(GroupName="access-logs", Description="x")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0")
    balancer = elbv2.create_load_balancer(Name="logged", Subnets=subnets, SecurityGroups=[group])["LoadBalancers"][0]
    arn = balancer["LoadBalancerArn"]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "hi", "ContentType": "text/plain"}}
    elbv2.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[answer])
    attributes = [
        {"Key": "access_logs.s3.enabled", "Value": "true"},
        {"Key": "access_logs.s3.bucket", "Value": bucket},
        {"Key": "access_logs.s3.prefix", "Value": "web"},
    ]
    with pytest.raises(botocore.exceptions.ClientError, match="Access Denied for bucket"):
        elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/web/AWSLogs/{ACCOUNT}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)
    assert s3.get_object(Bucket=bucket, Key=f"web/AWSLogs/{ACCOUNT}/ELBAccessLogTestFile")["Body"].read()

    def asked(path):
        request = urllib.request.Request(f"{platform.endpoint}{path}", headers={"host": balancer["DNSName"]})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except OSError:
            return None

    eventually(lambda: asked("/ready") == 200, what="the load balancer")
    long = "/" + "x" * 4000

    def delivered():
        for _ in range(50):
            assert asked(long) == 200
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"web/AWSLogs/{ACCOUNT}/elasticloadbalancing/{REGION}/")
        return [found["Key"] for found in listed.get("Contents", [])]

    key = eventually(delivered, what="a file of the access log")[0]
    assert key.endswith(".log.gz") and f"_app.logged.{arn.rsplit('/', 1)[1]}_" in key
    lines = gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).decode().splitlines()
    assert any(f"GET http://{balancer['DNSName']}:80{long} HTTP/1.1" in line and line.startswith("http ") for line in lines)
    elbv2.delete_load_balancer(LoadBalancerArn=arn)
    eventually(lambda: not ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group]}])["NetworkInterfaces"])
    ec2.delete_security_group(GroupId=group)
