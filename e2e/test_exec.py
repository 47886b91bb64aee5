"""ECS Exec and Session Manager: terminals, commands, forwarded ports, logs, ends of every kind."""

import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import fcntl
import termios

import botocore.exceptions
import pytest

from conftest import BIN, REGION, eventually
from session_client import CONNECT_ERROR, DISCONNECT, TERMINATE, SessionClient


def run_enabled(lab, *containers, **more):
    """A running task that lets itself be talked to."""
    definition = lab.define(*containers, family="exec")
    answer = lab.ecs.run_task(
        cluster=lab.cluster,
        taskDefinition=definition,
        launchType="FARGATE",
        enableExecuteCommand=True,
        networkConfiguration={"awsvpcConfiguration": {"subnets": lab.subnets, "securityGroups": [lab.group]}},
        **more,
    )
    assert answer["failures"] == []
    return answer["tasks"][0]["taskArn"]


@pytest.fixture(scope="module")
def task(lab):
    script = "mkdir -p /tmp/www; echo page > /tmp/www/index.html; httpd -p 127.0.0.1:8080 -h /tmp/www; exec sleep 1000"
    app = lab.container(script=script, environment=[{"name": "GREETING", "value": "hello"}], user="web")
    task = run_enabled(lab, app)
    lab.running(task)
    yield task
    lab.stop(task)


@pytest.fixture
def ssm(platform):
    return platform.client("ssm")


def execute(lab, task, command="/bin/sh", **more):
    answer = lab.ecs.execute_command(cluster=lab.cluster, task=task, command=command, interactive=True, **more)
    return SessionClient(answer["session"]).open()


def target(lab, task, container=0):
    described = lab.describe(task)
    runtime_id = described["containers"][container]["runtimeId"]
    return f"ecs:{lab.cluster}_{task.rsplit('/', 1)[1]}_{runtime_id}"


def processes(lab, task):
    """What runs in the container, from its own point of view."""
    client = execute(lab, task, "ps")
    client.ends()
    return client.output.decode()


def test_a_shell_with_a_terminal(lab, task):
    client = execute(lab, task)
    assert client.session_type == "InteractiveCommands"
    client.resize(50, 132)
    client.type("busybox stty size; echo $GREETING-$TERM; id -u; pwd\r")
    shown = client.shows("hello-xterm-256color")
    assert "50 132" in shown
    # As on AWS: root, whatever user the container has.
    client.shows("\r\n0\r\n")
    client.resize(24, 80)
    client.type("busybox stty size\r")
    client.shows("24 80")
    # Ctrl-C reaches what runs in the foreground, and not the shell.
    client.type("sleep 500\r")
    eventually(lambda: "sleep 500" in processes(lab, task), 10, "what is to be broken off")
    client.type("\x03")
    client.type("echo af''ter\r")
    client.shows("after")
    client.type("exit 3\r")
    closed = client.ends()
    assert (closed["Output"], closed["ExitCode"], closed["SessionId"]) == ("", 3, client.id)


def test_a_lot_of_output_comes_whole(lab, task):
    client = execute(lab, task, "sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done'")
    client.ends(60)
    lines = client.output.decode().split("\r\n")
    assert lines[:20000] == [f"line {number}" for number in range(20000)]


def test_what_is_not_found_is_said(lab, task):
    client = execute(lab, task, "nope --version")
    assert client.ends()["ExitCode"] == 127
    assert b'exec: "nope": executable file not found in $PATH' in client.output


def test_a_command_without_a_terminal(lab, task, ssm):
    parameters = {"command": ["sh -c 'echo out; echo err >&2; exit 5'"], "separateOutputStream": ["true"]}
    session = ssm.start_session(Target=target(lab, task), DocumentName="AWS-StartNonInteractiveCommand", Parameters=parameters)
    client = SessionClient(session).open()
    assert client.ends()["ExitCode"] == 5
    assert (client.session_type, client.output, client.errors, client.exit_code) == ("NonInteractiveCommands", b"out\n", b"err\n", 5)


def test_session_manager_lists_resumes_and_terminates(lab, task, ssm):
    name = target(lab, task)
    assert ssm.get_connection_status(Target=name)["Status"] == "connected"
    assert ssm.get_connection_status(Target="i-0123456789abcdef0")["Status"] == "notconnected"
    opened = ssm.start_session(Target=name, Reason="a look")
    client = SessionClient(opened).open()
    assert client.session_type == "Standard_Stream"
    client.type("echo fi''rst\r")
    client.shows("first")
    active = ssm.describe_sessions(State="Active", Filters=[{"key": "SessionId", "value": client.id}])["Sessions"]
    assert [(one["Status"], one["Target"], one["Reason"]) for one in active] == [("Connected", name, "a look")]
    # The connection breaks; the shell waits for its client.
    client.leave()
    token = ssm.resume_session(SessionId=client.id)
    client.connect(token["StreamUrl"], token["TokenValue"])
    client.type("echo se''cond\r")
    client.shows("second")
    ssm.terminate_session(SessionId=client.id)
    client.ends()
    ended = lambda: ssm.describe_sessions(State="History", Filters=[{"key": "SessionId", "value": client.id}])["Sessions"]
    assert eventually(ended, 10, "the session in the history")[0]["Status"] == "Terminated"
    assert "TokenValue" not in ssm.resume_session(SessionId=client.id)


def test_nobody_comes_in_without_the_token(lab, task, ssm):
    session = ssm.start_session(Target=target(lab, task))
    stranger = SessionClient({**session, "TokenValue": "AAAA"})
    stranger.wait(lambda client: client.over, "to be let go")
    assert stranger.session_type is None
    owner = SessionClient(session).open()
    owner.flag(TERMINATE)
    owner.ends()


def test_ports_are_forwarded_without_the_plugin(platform, lab, task):
    words = [BIN, "exec", "--endpoint", platform.endpoint, "--cluster", lab.cluster, "--forward", "0:8080", "--forward", "0:9", task]
    forwarding = subprocess.Popen(words, env=platform.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        ports = {}
        for _ in range(2):
            _, here, _, there = forwarding.stdout.readline().split()
            ports[there] = int(here.rsplit(":", 1)[1])

        def fetch(port):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
                return answer

        # Several at once, over one session.
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(fetch(ports["8080"]))) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join(30) for thread in threads]
        assert [answer.endswith(b"page\n") for answer in answers] == [True] * 8
        # Nothing listens there: the connection ends, the session does not.
        assert fetch(ports["9"]) == b""
        assert fetch(ports["8080"]).endswith(b"page\n")
        forwarding.send_signal(signal.SIGINT)
        assert forwarding.wait(timeout=20) == 0
    finally:
        forwarding.kill()


def test_a_session_is_encrypted_and_kept_in_a_bucket(platform, lab, task):
    key = platform.client("kms").create_key()["KeyMetadata"]["KeyId"]
    s3 = platform.client("s3")
    s3.create_bucket(Bucket="exec-sessions")
    log = {"s3BucketName": "exec-sessions", "s3KeyPrefix": "shells", "s3EncryptionEnabled": True}
    execute_command = {"kmsKeyId": key, "logging": "OVERRIDE", "logConfiguration": log}
    lab.ecs.update_cluster(cluster=lab.cluster, configuration={"executeCommandConfiguration": execute_command})
    try:
        # A client that knows nothing of encryption is not let in.
        answer = lab.ecs.execute_command(cluster=lab.cluster, task=task, command="id", interactive=True)
        closed = SessionClient(answer["session"]).ends()
        assert closed["Output"] == "the client does not encrypt the session"
        leader, follower = pty.openpty()
        words = [BIN, "exec", "--endpoint", platform.endpoint, "--cluster", lab.cluster, "-t", task, "--", "sh", "-c", "echo in-confidence; exit 4"]
        client = subprocess.Popen(words, env=platform.environment(), stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        assert client.wait(timeout=30) == 4
        shown = b""
        while select.select([leader], [], [], 0.5)[0]:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(leader)
        assert b"in-confidence" in shown

        def kept():
            listed = s3.list_objects_v2(Bucket="exec-sessions").get("Contents", [])
            texts = [s3.get_object(Bucket="exec-sessions", Key=one["Key"])["Body"].read() for one in listed]
            assert all(one["Key"].startswith("shells/ecs-execute-command-") for one in listed)
            return [text for text in texts if b"in-confidence" in text]

        assert eventually(kept, 20, "the session's object") == [b"in-confidence\r\n"]
    finally:
        lab.ecs.update_cluster(cluster=lab.cluster, configuration={"executeCommandConfiguration": {"logging": "DEFAULT"}})


def test_who_leaves_takes_the_command_along(lab, task, ssm):
    client = execute(lab, task, "sh -c 'sleep 4321 & sleep 4322'")
    eventually(lambda: "sleep 4322" in processes(lab, task), 10, "the command")
    ssm.terminate_session(SessionId=client.id)
    client.ends()
    eventually(lambda: "sleep 432" not in processes(lab, task), 10, "the command's end")
    assert lab.describe(task)["lastStatus"] == "RUNNING"


def test_ports_are_forwarded(lab, task, ssm):
    def forward(version, **parameters):
        document = "AWS-StartPortForwardingSession" + ("ToRemoteHost" if "host" in parameters else "")
        parameters = {name: [value] for name, value in parameters.items()}
        return SessionClient(ssm.start_session(Target=target(lab, task), DocumentName=document, Parameters=parameters), version).open()

    request = "GET / HTTP/1.0\r\nHost: app\r\n\r\n"
    older = forward("1.1.61.0", portNumber="8080")
    assert older.properties["portNumber"] == "8080"
    for round in (1, 2):
        older.output = b""
        older.type(request)
        older.shows("page")
        older.flag(DISCONNECT)
    older.flag(TERMINATE)
    older.ends()

    # Newer clients multiplex: two requests at once over one session.
    newer = forward("1.2.707.0", portNumber="8080", host="localhost")
    frame = lambda command, stream, data=b"": struct.pack("<BBHI", 1, command, len(data), stream) + data
    for stream in (3, 5):
        newer.send(1, frame(0, stream) + frame(2, stream, request.encode()))

    def streams(client):
        found, rest = {}, client.output
        while len(rest) >= 8:
            version, command, length, stream = struct.unpack("<BBHI", rest[:8])
            assert version == 1 and len(rest) >= 8 + length or len(rest) < 8 + length
            found.setdefault(stream, [b"", False])
            found[stream][0] += rest[8 : 8 + length] if command == 2 else b""
            found[stream][1] |= command == 1
            rest = rest[8 + length :]
        return found

    newer.wait(lambda client: all(b"page" in streams(client).get(stream, [b""])[0] and streams(client)[stream][1] for stream in (3, 5)), "both pages")
    newer.flag(TERMINATE)
    newer.ends()

    nobody = forward("1.2.707.0", portNumber="9")
    nobody.send(1, frame(0, 3))
    nobody.wait(lambda client: CONNECT_ERROR in client.flags, "that nobody listens")
    nobody.flag(TERMINATE)
    nobody.ends()


def test_sessions_are_logged_where_the_cluster_says(lab, task):
    group = "/exec-sessions"
    override = {"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": group}}
    lab.ecs.update_cluster(cluster=lab.cluster, configuration={"executeCommandConfiguration": override})
    try:
        with pytest.raises(botocore.exceptions.ClientError, match="does not exist"):
            execute(lab, task)
        lab.logs.create_log_group(logGroupName=group)
        client = execute(lab, task, "sh -c 'echo kept'")
        client.ends()
        read = lambda: lab.logs.get_log_events(logGroupName=group, logStreamName=client.id, startFromHead=True)["events"]
        assert [event["message"] for event in eventually(read, 10, "the log")] == ["kept"]
    finally:
        lab.ecs.update_cluster(cluster=lab.cluster, configuration={"executeCommandConfiguration": {"logging": "NONE"}})


def test_tasks_say_whether_they_can_be_talked_to(lab, task):
    agents = lab.describe(task)["containers"][0]["managedAgents"]
    assert [(agent["name"], agent["lastStatus"]) for agent in agents] == [("ExecuteCommandAgent", "RUNNING")]
    quiet = lab.run(lab.container())
    lab.running(quiet)
    invalid = lab.ecs.exceptions.InvalidParameterException
    with pytest.raises(invalid, match="execute command was not enabled when the task was run or the execute command agent isn’t running"):
        execute(lab, quiet)
    with pytest.raises(invalid, match="Interactive is the only mode supported currently"):
        lab.ecs.execute_command(cluster=lab.cluster, task=task, command="ls", interactive=False)
    lab.stop(quiet)
    with pytest.raises(invalid):
        execute(lab, quiet)
    with pytest.raises(invalid, match="not found"):
        execute(lab, "0" * 32)


def test_a_role_has_to_allow_it(platform, lab):
    iam = platform.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="exec-task", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    talking = run_enabled(lab, lab.container(), overrides={"taskRoleArn": role})
    lab.running(talking)
    with pytest.raises(lab.ecs.exceptions.TargetNotConnectedException):
        execute(lab, talking)
    statement = [{"Effect": "Allow", "Action": [f"ssmmessages:{verb}{channel}Channel" for verb in ("Create", "Open") for channel in ("Control", "Data")], "Resource": "*"}]
    iam.put_role_policy(RoleName="exec-task", PolicyName="exec", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    assert execute(lab, talking, "true").ends()["ExitCode"] == 0
    lab.stop(talking)


def test_without_a_role_the_caller_writes_the_bucket(platform, lab, task):
    platform.client("s3").create_bucket(Bucket="exec-by-callers")
    log = {"logging": "OVERRIDE", "logConfiguration": {"s3BucketName": "exec-by-callers"}}
    lab.ecs.update_cluster(cluster=lab.cluster, configuration={"executeCommandConfiguration": log})
    iam = platform.client("iam")
    iam.create_user(UserName="talker")
    key = iam.create_access_key(UserName="talker")["AccessKey"]
    ecs = platform.client("ecs", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    ask = lambda: ecs.execute_command(cluster=lab.cluster, task=task, command="sh -c 'echo kept'", interactive=True)

    def may(*actions):
        statement = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
        iam.put_user_policy(UserName="talker", PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}))

    try:
        may("ecs:ExecuteCommand")
        with pytest.raises(ecs.exceptions.TargetNotConnectedException):
            ask()
        may("ecs:ExecuteCommand", "s3:PutObject")
        client = SessionClient(ask()["session"]).open()
        client.ends()
        listed = lambda: platform.client("s3").list_objects_v2(Bucket="exec-by-callers").get("Contents")
        assert [one["Key"] for one in eventually(listed, 10, "the object")] == [f"{client.id}.log"]
    finally:
        lab.ecs.update_cluster(cluster=lab.cluster, configuration={"executeCommandConfiguration": {"logging": "NONE"}})
        iam.delete_access_key(UserName="talker", AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName="talker", PolicyName="own")
        iam.delete_user(UserName="talker")


def test_the_end_of_the_task_ends_its_sessions(lab):
    short = run_enabled(lab, lab.container(stopTimeout=2))
    lab.running(short)
    client = execute(lab, short)
    lab.stop(short)
    client.ends()


def longshore_exec(platform, lab, task, *words, **more):
    return subprocess.run(
        [BIN, "exec", "--cluster", lab.cluster, *words[:-1], task, "--", *words[-1]],
        env=platform.environment(),
        capture_output=True,
        timeout=60,
        **more,
    )


def test_longshore_exec_is_like_the_command_itself(platform, lab, task):
    done = longshore_exec(platform, lab, task, ["sh", "-c", "echo out; echo \"it's\" err >&2; exit 9"])
    assert (done.returncode, done.stdout, done.stderr) == (9, b"out\n", b"it's err\n")
    data = os.urandom(200_000)
    done = longshore_exec(platform, lab, task, "-i", ["cat"], input=data)
    assert (done.returncode, done.stdout) == (0, data), done.stderr
    # Without -i there is no input.
    assert longshore_exec(platform, lab, task, ["cat"], input=b"text").stdout == b""
    done = longshore_exec(platform, lab, task, ["nope"])
    assert done.returncode == 127 and b"not found" in done.stderr
    done = longshore_exec(platform, lab, task, "--container", "other", ["ls"])
    assert done.returncode == 125 and b"not in the task" in done.stderr


def test_longshore_exec_in_a_terminal(platform, lab, task):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [BIN, "exec", "--cluster", lab.cluster, "-it", task, "--", "/bin/sh"],
        env=platform.environment(), stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    seen = b""

    def shows(text):
        nonlocal seen
        deadline = time.monotonic() + 30
        while text not in seen:
            assert time.monotonic() < deadline, (text, seen)
            if select.select([leader], [], [], 1)[0]:
                seen += os.read(leader, 4096)

    shows(b"# ")
    os.write(leader, b"busybox stty size\r")
    shows(b"40 100")
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    process.send_signal(signal.SIGWINCH)
    os.write(leader, b"until busybox stty size | grep 77; do :; done\r")
    shows(b"33 77")
    os.write(leader, b"sleep 600\r")
    eventually(lambda: "sleep 600" in processes(lab, task), 10, "what is to be broken off")
    os.write(leader, b"\x03")
    os.write(leader, b"exit 6\r")
    # What is still shown has to be read, or the process could not write it.
    done = threading.Event()
    reader = threading.Thread(target=lambda: [os.read(leader, 4096) for _ in iter(lambda: bool(select.select([leader], [], [], 0.2)[0]) or not done.is_set(), False) if select.select([leader], [], [], 0)[0]])
    reader.start()
    assert process.wait(timeout=30) == 6
    done.set()
    reader.join()
    after = termios.tcgetattr(follower)
    assert after[3] == before[3], "the terminal is as it was"
    os.close(leader)
    os.close(follower)


@pytest.mark.skipif(not any(os.access(f"{folder}/session-manager-plugin", os.X_OK) for folder in os.environ["PATH"].split(":")), reason="the Session Manager plugin is not installed")
def test_the_ordinary_plugin_works(platform, lab, task):
    session = lab.ecs.execute_command(cluster=lab.cluster, task=task, command="sh -c 'echo by-the-plugin; sleep 1'", interactive=True)["session"]
    response = {"SessionId": session["sessionId"], "StreamUrl": session["streamUrl"], "TokenValue": session["tokenValue"]}
    done = subprocess.run(
        ["session-manager-plugin", json.dumps(response), REGION, "StartSession", "", json.dumps({"Target": target(lab, task)}), platform.endpoint],
        env=platform.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )
    assert b"by-the-plugin" in done.stdout, (done.stdout, done.stderr)
    assert b"Exiting session with sessionId" in done.stdout
