"""Bad input gets AWS's error and leaves nothing behind."""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import socket
import tarfile

import botocore.exceptions
import pytest

from conftest import eventually


def call(platform, target, body, headers=None, path="/"):
    """A raw awsJson call; returns status and the decoded body."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=10)
    with contextlib.closing(connection):
        connection.request(
            "POST",
            path,
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1", **(headers or {})},
        )
        answer = connection.getresponse()
        text = answer.read()
        assert answer.getheader("x-amzn-requestid") or answer.getheader("x-amzn-RequestId")
        return answer.status, json.loads(text)


ECS = "AmazonEC2ContainerServiceV20141113."


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"clusterName": ', b"\xff\xfe", b'{"clusterName": "a"} x', b"[" * 100_000])
def test_malformed_json(platform, body):
    status, answer = call(platform, ECS + "DescribeTaskDefinition", body)
    assert status == 400
    assert answer["__type"].rsplit("#")[-1] in ("SerializationException", "ClientException", "InvalidParameterException")


@pytest.mark.parametrize(
    "body",
    [{"clusterName": 7}, {"clusterName": {}}, {"tags": "x"}, {"tags": [1]}, {"settings": {"a": 1}}],
)
def test_wrong_types(platform, body):
    status, answer = call(platform, ECS + "CreateCluster", body)
    assert status == 400
    assert answer["__type"].endswith("SerializationException")


def test_unknown_operations_and_services(platform):
    status, answer = call(platform, ECS + "MakeCoffee", {})
    assert status == 400 and answer["__type"].endswith("UnknownOperationException")
    status, answer = call(platform, "Nothing_20200101.MakeCoffee", {})
    assert status in (400, 404) and answer["__type"].endswith("UnknownOperationException")
    status, answer = call(platform, "AmazonEC2ContainerRegistry_V20150921.CreatePullThroughCacheRule", {})
    assert status == 501 and "CreatePullThroughCacheRule" in json.dumps(answer)


def test_members_out_of_range(platform, lab):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        lab.ecs.run_task(cluster="lab", taskDefinition="app", count=11)
    assert error.value.response["Error"]["Code"] == "InvalidParameterException"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        lab.ecs.list_tasks(cluster="lab", maxResults=101)
    assert error.value.response["Error"]["Code"] == "InvalidParameterException"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        lab.ecs.list_tasks(cluster="lab", nextToken="forged")
    assert error.value.response["Error"]["Code"] == "InvalidParameterException"


def test_an_oversized_body_is_refused_before_it_is_sent(platform):
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as connection:
        head = (
            f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {ECS}ListClusters\r\n"
            "Content-Type: application/x-amz-json-1.1\r\nContent-Length: 999999999\r\n\r\n"
        )
        connection.sendall(head.encode())
        answer = connection.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 413")


def test_a_body_that_never_ends_does_not_fill_memory(platform):
    chunk = b"x" * 65536
    with socket.create_connection(("127.0.0.1", platform.port), timeout=20) as connection:
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {ECS}ListClusters\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        with contextlib.suppress(OSError):
            for _ in range(1000):  # 64 MiB at most; it is refused at half of that
                connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        answer = b""
        with contextlib.suppress(OSError):
            answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413") or answer == b""
    assert platform.answers()


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "BREW / HTTP/9.9\r\n\r\n",
        "\x00\x01\x02\r\n\r\n",
        "GET /" + "a" * 100_000 + " HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_broken_http_is_refused(platform, request_text):
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request_text.encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while block := connection.recv(4096):
                answer += block
    # Closed without a word, or an error; never a success, and never two answers to one request.
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer.startswith(b"HTTP/1.1 2")
    assert platform.answers()


# The registry


class Registry:
    def __init__(self, platform):
        self.platform = platform
        ecr = platform.client("ecr")
        with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName="bad")
        self.auth = "Basic " + ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]

    def __call__(self, method, path, body=b"", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.platform.port, timeout=10)
        with contextlib.closing(connection):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Authorization": self.auth, **names})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def blob(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, _, body = self("POST", f"/v2/bad/blobs/uploads/?digest={digest}", data, Content_Type="application/octet-stream")
        assert status == 201, body
        return {"digest": digest, "size": len(data)}

    def image(self, layer, tag, diff_id=None):
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id or "sha256:" + hashlib.sha256(layer).hexdigest()]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.blob(json.dumps(config).encode())},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **self.blob(layer)}],
        }
        status, _, body = self("PUT", f"/v2/bad/manifests/{tag}", json.dumps(manifest).encode(), Content_Type=manifest["mediaType"])
        assert status == 201, body
        return f"{self.platform.registry}/bad:{tag}"


@pytest.fixture(scope="module")
def registry(platform):
    return Registry(platform)


def test_a_digest_that_does_not_match_is_refused(registry):
    wrong = "sha256:" + "0" * 64
    status, _, body = registry("POST", f"/v2/bad/blobs/uploads/?digest={wrong}", b"hello")
    assert status == 400 and b"DIGEST_INVALID" in body
    assert registry("HEAD", f"/v2/bad/blobs/{wrong}")[0] == 404


def test_a_truncated_upload_leaves_nothing(registry, platform):
    data = b"half of this never comes" * 1000
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    status, headers, _ = registry("POST", "/v2/bad/blobs/uploads/")
    assert status == 202
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as connection:
        location = headers.get("Location") or headers.get("location")
        path = location.split(f":{platform.port}", 1)[-1]
        mark = "&" if "?" in path else "?"
        head = (
            f"PUT {path}{mark}digest={digest} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {registry.auth}\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        connection.sendall(head.encode() + data[: len(data) // 2])
    assert registry("HEAD", f"/v2/bad/blobs/{digest}")[0] == 404


def test_manifests_that_are_none_are_refused(registry):
    for body in (b"", b"{}", b"[]", b"not json", b"{" * 10_000):
        status, _, answer = registry("PUT", "/v2/bad/manifests/x", body, Content_Type="application/vnd.oci.image.manifest.v1+json")
        assert status == 400, answer
    assert registry("GET", "/v2/bad/manifests/x")[0] == 404


def test_no_password_no_entry(platform):
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=10)
    for auth in (None, "Basic " + base64.b64encode(b"AWS:forged").decode(), "Bearer forged"):
        connection.request("GET", "/v2/", headers={"Authorization": auth} if auth else {})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401


def tar(*entries):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind, extra in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = extra
                archive.addfile(info)
            elif kind == tarfile.CHRTYPE:
                info.devmajor, info.devminor = extra
                archive.addfile(info)
            else:
                info.size = len(extra)
                archive.addfile(info, io.BytesIO(extra))
    return data.getvalue()


ESCAPES = {
    "dotdot": tar(("../../../../tmp/longshore-escaped", tarfile.REGTYPE, b"x")),
    "absolute": tar(("/tmp/longshore-escaped", tarfile.REGTYPE, b"x")),
    "symlink": tar(("out", tarfile.SYMTYPE, "/tmp"), ("out/longshore-escaped", tarfile.REGTYPE, b"x")),
    "relative-symlink": tar(("out", tarfile.SYMTYPE, "../../../../../../../tmp"), ("out/longshore-escaped", tarfile.REGTYPE, b"x")),
    "hardlink": tar(("passwd", tarfile.LNKTYPE, "/etc/passwd")),
    "device": tar(("tmp/longshore-escaped-disk", tarfile.CHRTYPE, (1, 1))),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_layers_cannot_escape(lab, registry, name):
    import os

    container = lab.container()
    container["image"] = registry.image(ESCAPES[name], name)
    stopped = lab.stopped(lab.run(container))
    # Refused, or unpacked inside: either way there is no such program, and nothing is outside.
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert not os.path.lexists("/tmp/longshore-escaped")
    assert not os.path.lexists("/tmp/longshore-escaped-disk")


def test_a_layer_that_is_another_is_refused(lab, registry):
    container = lab.container()
    container["image"] = registry.image(tar(("a", tarfile.REGTYPE, b"x")), "lie", diff_id="sha256:" + "1" * 64)
    stopped = lab.stopped(lab.run(container))
    assert stopped["stoppedReason"].startswith("CannotPullContainerError")


def test_addresses_run_out_in_good_order(platform, lab):
    """A /28 has eleven free addresses: the twelfth task is refused, and one that ends makes room."""
    vpc = lab.ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    subnet = lab.ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/28")["Subnet"]["SubnetId"]
    definition = lab.define(lab.container(stopTimeout=1))
    request = dict(
        cluster="lab",
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )
    tasks = [task["taskArn"] for _ in range(11) for task in lab.ecs.run_task(**request)["tasks"]]
    assert len(tasks) == 11
    with pytest.raises(botocore.exceptions.ClientError) as error:
        lab.ecs.run_task(**request)
    assert "free addresses" in str(error.value)
    lab.stop(tasks.pop())
    tasks += [task["taskArn"] for task in eventually(lambda: lab.ecs.run_task(**request)["tasks"], 10, "room")]
    for task in tasks:
        lab.ecs.stop_task(cluster="lab", task=task)
    for task in tasks:
        lab.stopped(task)
    lab.ec2.delete_subnet(SubnetId=subnet)
    lab.ec2.delete_vpc(VpcId=vpc)


def test_a_presigned_or_forged_signature_of_an_issued_key_is_checked(platform):
    iam = platform.client("iam")
    iam.create_user(UserName="signer")
    key = iam.create_access_key(UserName="signer")["AccessKey"]
    good = platform.client("sts", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    assert good.get_caller_identity()["Arn"].endswith("user/signer")
    bad = platform.client("sts", access_key=key["AccessKeyId"], secret_key="guessed")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        bad.get_caller_identity()
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        platform.client("ecs", access_key=key["AccessKeyId"], secret_key="guessed").list_clusters()
    assert error.value.response["Error"]["Code"] == "InvalidSignatureException"


@pytest.mark.parametrize("name", ["/", "/etc", "..", "a/b", ".", "../../../../etc"])
def test_volume_names_are_no_paths(lab, name):
    container = lab.container(mountPoints=[{"sourceVolume": name, "containerPath": "/host"}])
    with pytest.raises(botocore.exceptions.ClientError) as error:
        lab.define(container, volumes=[{"name": name}])
    assert error.value.response["Error"]["Code"] == "ClientException"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}],
)
def test_web_pages_are_kept_out(platform, headers):
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/?Action=CreateUser&Version=2010-05-08&UserName=evil", headers=headers)
        assert connection.getresponse().status == 403
    assert "evil" not in [user["UserName"] for user in platform.client("iam").list_users()["Users"]]


def test_silent_connections_keep_nobody_out(platform):
    silent = [socket.create_connection(("127.0.0.1", platform.port), timeout=5) for _ in range(500)]
    try:
        assert platform.client("ecs").list_clusters()["clusterArns"] is not None
    finally:
        for connection in silent:
            connection.close()
