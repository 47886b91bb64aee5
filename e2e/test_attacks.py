"""What somebody may try who has a foot in the door: requests that were altered, credentials that were stolen, containers that want out."""

import datetime
import hashlib
import http.client
import json
import pathlib
import subprocess
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, BIN, REGION, eventually

TARGET = "AmazonEC2ContainerServiceV20141113."
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def user(platform):
    """A user who may do everything, so that what is refused is refused for its signature."""
    iam = platform.client("iam")
    iam.create_user(UserName="mallory")
    iam.attach_user_policy(UserName="mallory", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    key = iam.create_access_key(UserName="mallory")["AccessKey"]
    yield botocore.credentials.Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    iam.delete_access_key(UserName="mallory", AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(UserName="mallory", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.delete_user(UserName="mallory")


def signed(platform, user, operation="ListClusters", body=b"{}", service="ecs", region=REGION, at=None):
    """A request as the SDK signs it; `at` moves its clock."""
    request = botocore.awsrequest.AWSRequest(
        "POST",
        platform.endpoint + "/",
        data=body,
        headers={"X-Amz-Target": TARGET + operation, "Content-Type": "application/x-amz-json-1.1"},
    )
    auth = botocore.auth.SigV4Auth(user, service, region)
    if at:
        now = datetime.datetime.now(datetime.timezone.utc) + at
        request.context["timestamp"] = now.strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        auth._inject_signature_to_request(request, signature)
    else:
        auth.add_auth(request)
    return dict(request.headers.items()), body


def send(platform, headers, body, method="POST", path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if not text.startswith("{"):
        return answer.status, "", text
    known = json.loads(text)
    return answer.status, known.get("__type", "").split("#")[-1], known.get("message", known.get("Message", ""))


def authorization(headers, old, new):
    return {**headers, "Authorization": headers["Authorization"].replace(old, new)}


def test_what_is_signed_gets_in(platform, user):
    assert send(platform, *signed(platform, user))[0] == 200


def test_nothing_signed_can_be_altered(platform, user):
    headers, body = signed(platform, user, "CreateCluster", b'{"clusterName": "mine"}')
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")
    yesterday = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).strftime("%Y%m%d")
    altered = {
        "target": ({**headers, "X-Amz-Target": TARGET + "DeleteCluster"}, body),
        "body": (headers, b'{"clusterName": "your"}'),
        "content type": ({**headers, "Content-Type": "application/x-amz-json-1.0"}, body),
        "host": ({**headers, "Host": "localhost:1"}, body),
        "region": (authorization(headers, f"/{REGION}/", "/eu-west-1/"), body),
        "service": (authorization(headers, "/ecs/", "/ecr/"), body),
        "signature": (headers | {"Authorization": headers["Authorization"][:-4] + "0000"}, body),
        "date": ({**headers, "X-Amz-Date": headers["X-Amz-Date"][:-3] + "00Z"}, body),
    }
    for what, (changed, content) in altered.items():
        if changed == headers and content == body:
            continue
        status, code, message = send(platform, changed, content)
        assert (status, code) == (403, "InvalidSignatureException"), f"{what}: {status} {code} {message}"
    status, code, _ = send(platform, authorization(headers, f"/{today}/", f"/{yesterday}/"), body)
    assert (status, code) == (400, "IncompleteSignatureException")
    # A header that says what is meant cannot be left out of the signature.
    unsigned = authorization(headers, "x-amz-date;x-amz-target", "x-amz-date")
    status, code, message = send(platform, unsigned, body)
    assert (status, code) == (403, "InvalidSignatureException") and "not signed" in message
    status, code, _ = send(platform, {**headers, "X-Amz-Security-Token": "made-up"}, body)
    assert status == 403
    # Nor can a body be left out, or a part of it signed: only S3 knows that.
    for payload in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        status, code, _ = send(platform, {**headers, "X-Amz-Content-SHA256": payload}, b'{"clusterName": "your"}')
        assert status == 403
    assert "your" not in json.dumps(platform.client("ecs").list_clusters())
    # A signature is for one service.
    status, code, message = send(platform, *signed(platform, user, service="sts"))
    assert (status, code) == (403, "InvalidSignatureException") and "correct service: 'ecs'" in message


def test_old_and_future_requests_are_refused(platform, user):
    for minutes, text in ((-16, "Signature expired"), (16, "Signature not yet current")):
        status, code, message = send(platform, *signed(platform, user, at=datetime.timedelta(minutes=minutes)))
        assert (status, code) == (403, "InvalidSignatureException"), message
        assert text in message
    assert send(platform, *signed(platform, user, at=datetime.timedelta(minutes=-14)))[0] == 200


def presigned(platform, user, query, expires=60):
    request = botocore.awsrequest.AWSRequest("GET", f"{platform.endpoint}/?{query}")
    botocore.auth.SigV4QueryAuth(user, "sts", REGION, expires=expires).add_auth(request)
    return urllib.parse.urlsplit(request.url)


def test_presigned_urls_say_what_they_say(platform, user):
    url = presigned(platform, user, "Action=GetCallerIdentity&Version=2011-06-15")
    ask = lambda query: send(platform, {"Host": url.netloc}, b"", "GET", f"/?{query}")
    status, _, text = ask(url.query)
    assert status == 200 and "user/mallory" in text
    for old, new in (("GetCallerIdentity", "GetSessionToken"), ("X-Amz-Expires=60", "X-Amz-Expires=600"), (REGION, "eu-west-1")):
        status, _, text = ask(url.query.replace(old, new))
        assert status == 403 and "SignatureDoesNotMatch" in text, f"{new}: {text}"
    status, _, text = ask(url.query.replace("X-Amz-Expires=60", "X-Amz-Expires=604801"))
    assert status == 400 and "IncompleteSignature" in text


def test_a_session_without_its_token_is_none(platform, user):
    sts = platform.client("sts", access_key=user.access_key, secret_key=user.secret_key)
    held = sts.get_session_token()["Credentials"]

    def ask(token):
        client = boto3.client(
            "ecs", endpoint_url=platform.endpoint, region_name=REGION, aws_access_key_id=held["AccessKeyId"],
            aws_secret_access_key=held["SecretAccessKey"], aws_session_token=token,
        )
        return client.list_clusters()

    ask(held["SessionToken"])
    for token in (None, held["SessionToken"] + "x", "other"):
        with pytest.raises(ClientError) as error:
            ask(token)
        assert error.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_pieces_of_a_body_are_nobodys_but_s3s(platform, user):
    """A body in signed pieces, sent to a service that does not know them."""
    headers, _ = signed(platform, user)
    body = b"2;chunk-signature=" + b"0" * 64 + b"\r\n{}\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    status, _, _ = send(platform, {**headers, "X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, body)
    assert status == 403


@pytest.fixture
def role(platform):
    iam, made = platform.client("iam"), []

    def make(name, action):
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
        made.append(name)
        return arn

    yield make
    for name in made:
        iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)


def test_credentials_are_not_to_be_had_from_outside(lab, role):
    """Through a published address of a task, its metadata and its credentials are out of reach; so are another task's."""
    arn = role("victim", "ecs:ListClusters")
    victim = lab.run(
        lab.container(script="echo path $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; exec httpd -f -p 80 -h /www"),
        taskRoleArn=arn,
        public=True,
    )
    described = lab.running(victim)
    path = eventually(lambda: next((line for line in lab.output(victim) if line.startswith("path ")), None)).split()[1]
    address, public = lab.address(described), lab.public_address(described)

    def ask(host, target, headers=None):
        connection = http.client.HTTPConnection(host, 80, timeout=5)
        try:
            connection.request("GET", target, headers=headers or {})
            return connection.getresponse().read().decode()
        except OSError as error:
            return str(error)
        finally:
            connection.close()

    eventually(lambda: "refused" not in ask(address, "/"), what="the victim's server")
    # A request to a published address that names the metadata service is still one to the task's own server.
    for host in (address, public):
        for headers in ({"Host": "169.254.170.2"}, {"Host": "169.254.169.254"}, {"X-Forwarded-For": address, "Host": "169.254.170.2"}):
            assert "SecretAccessKey" not in ask(host, path, headers)
    # This machine itself is no task: the endpoint knows a task by its address.
    assert "SecretAccessKey" not in ask("169.254.170.2", path)
    assert "SecretAccessKey" not in ask("169.254.170.2", path, {"X-Forwarded-For": address})
    # Busybox's own time limit crashes on some machines, and what crashes proves nothing: the first line shows that asking works.
    tries = f"""
        ask() {{ busybox timeout 3 busybox wget -q -O - "$@" 2>&1; echo; }}
        ask $ECS_CONTAINER_METADATA_URI_V4/task
        for host in 169.254.170.2 169.254.169.254; do ask http://$host{path}; done
        ask --header 'X-Forwarded-For: {address}' http://169.254.170.2{path}
        ip addr add {address}/32 dev eth0 2>&1; ask http://169.254.170.2{path}; echo done"""
    thief = lab.run(lab.container(script=tries))
    lab.prints(thief, "done", timeout=60)
    told = "".join(lab.output(thief))
    assert thief in told and "SecretAccessKey" not in told
    lab.stop(victim)


ESCAPES = {
    "mounting": "mount -t tmpfs none /tmp && echo ESCAPED; mount -o remount,rw /sys && echo ESCAPED; mount -t proc proc /tmp && echo ESCAPED",
    "unsharing": "unshare -Ur true && echo ESCAPED; unshare -m true && echo ESCAPED; unshare -n true && echo ESCAPED",
    "raw sockets off the interface": "ip link add d0 type dummy && echo ESCAPED; ip route add 10.9.9.0/24 dev eth0 && echo ESCAPED",
    "the kernel's switches": "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_forward;"
    " do (echo 1 > $f) 2>/dev/null && echo ESCAPED $f; done; true",
    "the kernel's memory": "for f in /proc/kcore /proc/kmsg /dev/mem /dev/kmem /dev/kmsg /proc/timer_list /proc/keys;"
    " do [ -n \"$(head -c 16 $f 2>/dev/null | tr -d '\\0')\" ] && echo ESCAPED $f; done; true",
    "devices": "mknod /tmp/disk b 8 0 2>/dev/null && dd if=/tmp/disk of=/dev/null bs=512 count=1 && echo ESCAPED;"
    " mknod /tmp/mem c 1 1 2>/dev/null && dd if=/tmp/mem of=/dev/null bs=1 count=1 && echo ESCAPED;"
    " for f in /dev/sd* /dev/vd* /dev/nvme* /dev/loop*; do [ -e $f ] && echo ESCAPED $f; done; true",
    "control groups": "for f in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name devices.allow 2>/dev/null);"
    " do (echo 1 > $f) 2>/dev/null && echo ESCAPED $f; done; mkdir /sys/fs/cgroup/x 2>/dev/null && echo ESCAPED; true",
    "processes outside": "for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n -gt 1 ] && grep -qa '[l]ongshore' $p/cmdline 2>/dev/null && echo ESCAPED $p; done;"
    " ls -d /proc/1/root/run/long* 2>/dev/null && echo ESCAPED; true",
    "the machine's files": "ls /proc/1/root/etc/shadow 2>/dev/null && echo ESCAPED; ls /var/lib/longshore 2>/dev/null && echo ESCAPED;"
    " find / -name '*.sock' -not -path '/proc/*' 2>/dev/null | grep -q . && echo ESCAPED; true",
    "time and name": "date -s \"$(date '+%Y-%m-%d %H:%M:%S')\" 2>&1 | grep -q permitted || echo ESCAPED; hostname evil 2>/dev/null && echo ESCAPED; true",
    "rebooting": "reboot -f 2>/dev/null && echo ESCAPED; true",
}


def test_a_container_does_not_get_out(lab):
    """Everything in one container that is root in it, with the defaults."""
    # Busybox has more in it than the image has links to. What waits for ever (a log of the kernel) has not got out either.
    names = "mount unshare ip mknod dd find grep ls date hostname reboot head tr mkdir timeout"
    script = f"for n in {names}; do [ -e /bin/$n ] || ln -s busybox /bin/$n; done; "
    script += "; ".join(f"echo \"trying {what}\"; timeout 5 sh -c \"$TRY{index}\" 2>&1" for index, what in enumerate(ESCAPES))
    tries = [{"name": f"TRY{index}", "value": tries} for index, tries in enumerate(ESCAPES.values())]
    task = lab.run(lab.container(script=script + "; echo over; exec sleep 1000", environment=tries))
    try:
        lines = lab.prints(task, "over", timeout=60)
    except AssertionError:
        pytest.fail("\n".join(lab.output(task)))
    tried = [line.removeprefix("trying ") for line in lines if line.startswith("trying ")]
    assert tried == list(ESCAPES), lines
    escaped = [line for line in lines if "ESCAPED" in line]
    assert not escaped, "\n".join(lines)
    lab.stop(task)


def test_what_a_container_is_held_by(lab):
    """No new privileges, a filter of system calls, few capabilities; a process of the host cannot be traced."""
    shows = "grep -E 'NoNewPrivs|Seccomp:|CapEff|CapBnd' /proc/self/status; ls -d /proc/[0-9]*; echo over; exec sleep 1000"
    task = lab.run(lab.container(script=shows))
    lines = lab.prints(task, "over")
    held = dict(line.split() for line in lines if line.count("\t") == 1 and ":" in line)
    assert held["NoNewPrivs:"] == "1" and held["Seccomp:"] == "2"
    # CAP_SYS_ADMIN 21, CAP_SYS_PTRACE 19, CAP_SYS_MODULE 16, CAP_NET_ADMIN 12, CAP_SYS_RAWIO 17, CAP_DAC_READ_SEARCH 2, CAP_BPF 39
    bounding = int(held["CapBnd:"], 16)
    for capability in (2, 12, 16, 17, 19, 21, 39):
        assert not bounding & (1 << capability), capability
    # A process namespace of its own: its shell, and what it started.
    assert len([line for line in lines if line.startswith("/proc/")]) <= 4
    lab.stop(task)


@pytest.fixture(scope="module")
def escapes(lab, tmp_path_factory):
    """An image with a program that makes every attempt as the system call that it is."""
    program = tmp_path_factory.mktemp("escapes") / "escapes"
    source = pathlib.Path(__file__).parent / "helpers" / "escapes.c"
    subprocess.run(["gcc", "-O1", "-static", "-o", program, source], check=True, capture_output=True)
    return lab.images.push("escapes", fill=lambda tar: tar.add(program, "bin/escapes"))


def test_no_system_call_leads_out(lab, escapes):
    """Root in a container with the defaults, a second container beside it, and some ninety system calls."""
    beside = {**lab.container("beside", "exec sleep 1000"), "essential": False}
    task = lab.run({**lab.container(), "image": escapes, "command": ["/bin/escapes; exec sleep 1000"]}, beside)
    try:
        lines = lab.prints(task, "over", timeout=60)
    except AssertionError:
        pytest.fail("\n".join(lab.output(task)))
    assert [line for line in lines if line.startswith("ESCAPED")] == [], "\n".join(lines)
    held = {line.split(" (")[0].removeprefix("held ") for line in lines if line.startswith("held ")}
    groups = {name.split(":")[0] for name in held}
    assert len(held) > 80 and groups == {"mount", "root", "namespaces", "processes", "kernel", "devices", "machine", "network"}
    lab.stop(task)


def test_nobody_speaks_for_a_neighbour(lab, escapes):
    """A group lets one task in. Another that writes the first one's address into its packets is not heard."""

    def run(command, **more):
        return lab.run({**lab.container(), "image": escapes, "command": [command]}, **more)

    group = lab.open_group("friends", [])
    victim = run("exec escapes hear 9", groups=[group], family="victim")
    target = lab.address(lab.running(victim))
    friend = run(f"exec escapes say {target} 9", family="friend")
    address = lab.address(lab.running(friend))
    allowed = [{"IpProtocol": "udp", "FromPort": 9, "ToPort": 9, "IpRanges": [{"CidrIp": f"{address}/32"}]}]
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=allowed)
    lab.prints(victim, "heard FRIEND")
    thief = run(f"for i in 1 2 3 4 5; do escapes spoof {address} {target} 9; done; echo over", family="thief")
    lab.stopped(thief)
    assert set(lab.prints(thief, "over")) == {"raw sent", "frame sent", "over"}
    heard = len(lab.output(victim))
    eventually(lambda: len(lab.output(victim)) > heard + 1, what="the friend, after the thief")
    assert set(lab.output(victim)) == {"listening", "heard FRIEND"}
    for task in (friend, victim):
        lab.stop(task)


def test_a_working_directory_is_the_containers_own(lab):
    """Descriptors that the runtime has open while it starts a container lead nowhere, and its program is not to be had."""
    before = hashlib.sha256(pathlib.Path(BIN).read_bytes()).hexdigest()
    looks = "[ -e ../../../../../../var/lib/dpkg ] && echo ESCAPED; [ -e ../bin/bash ] && echo ESCAPED; echo looked; exec sleep 1000"
    containers = [
        {**lab.container(f"d{number}", looks), "workingDirectory": f"/proc/self/fd/{number}", "essential": False} for number in range(3, 12)
    ]
    keeps = lab.container("keeps", "exec sleep 1000")
    task = lab.run(keeps, *containers)
    ended = lambda container: container["lastStatus"] == "STOPPED" or lab.output(task, container["name"])
    eventually(lambda: all(ended(container) for container in lab.describe(task)["containers"] if container["name"] != "keeps"), 60)
    for container in containers:
        assert "ESCAPED" not in "".join(lab.output(task, container["name"])), container["workingDirectory"]
    itself = lab.run({**lab.container(), "entryPoint": ["/proc/self/exe"], "command": ["--version"]})
    lab.stopped(itself)
    assert not any("longshore" in line.lower() for line in lab.output(itself)), lab.output(itself)
    assert hashlib.sha256(pathlib.Path(BIN).read_bytes()).hexdigest() == before
    lab.stop(task)
