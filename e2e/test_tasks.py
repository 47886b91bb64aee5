"""What tasks do: containers for real, in the order, with the limits and the ends that their definition says."""

import socket
import urllib.request

import pytest

from conftest import eventually


def fetch(address, port=8080, timeout=3):
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=timeout) as answer:
        return answer.read().decode()


WEB = "echo page > /www/index.html; exec httpd -f -p 8080 -h /www"


def test_a_task_goes_through_its_life(lab):
    task = lab.run(lab.container(script="echo begun; exec sleep 1000", stopTimeout=2))
    running = lab.running(task)
    assert running["desiredStatus"] == "RUNNING"
    assert running["connectivity"] == "CONNECTED"
    assert running["group"] == "family:app"
    assert running["createdAt"] <= running["pullStartedAt"] <= running["pullStoppedAt"] <= running["startedAt"]
    assert running["attachments"][0]["status"] == "ATTACHED"
    assert running["containers"][0]["imageDigest"].startswith("sha256:")
    lab.prints(task, "begun")
    lab.ecs.stop_task(cluster="lab", task=task, reason="enough")
    stopped = lab.stopped(task)
    assert stopped["stopCode"] == "UserInitiated"
    assert stopped["stoppedReason"] == "enough"
    assert stopped["desiredStatus"] == "STOPPED"
    assert stopped["attachments"][0]["status"] == "DELETED"
    assert stopped["stoppingAt"] <= stopped["executionStoppedAt"] <= stopped["stoppedAt"]
    assert stopped["containers"][0]["exitCode"] == 137  # sleep is process 1 and does not handle SIGTERM


@pytest.mark.parametrize("script, code", [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; sleep 5", None)])
def test_exit_codes(lab, script, code):
    stopped = lab.stopped(lab.run(lab.container(script=script)))
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert stopped["stoppedReason"] == "Essential container in task exited"
    if code is not None:
        assert stopped["containers"][0]["exitCode"] == code


def test_sigterm_is_sent_first(lab):
    script = "trap 'echo asked; exit 3' TERM; echo ready; while true; do sleep 0.1; done"
    task = lab.run(lab.container(script=script))
    lab.prints(task, "ready")
    stopped = lab.stop(task)
    assert stopped["containers"][0]["exitCode"] == 3
    lab.prints(task, "asked")


def test_containers_share_localhost_and_stop_together(lab):
    script = "until wget -q -O /dev/stdout http://127.0.0.1:8080/; do sleep 0.1; done; exit 0"
    task = lab.run(lab.container("web", WEB), lab.container("app", script))
    stopped = lab.stopped(task)
    lab.prints(task, "page")
    codes = {container["name"]: container["exitCode"] for container in stopped["containers"]}
    assert codes["app"] == 0
    assert codes["web"] in (137, 143)


def test_dependencies_order_the_start(lab):
    stopped = lab.stopped(
        lab.run(
            lab.container("first", "sleep 1; echo one > /data/order", essential=False, mountPoints=[{"sourceVolume": "v", "containerPath": "/data"}]),
            lab.container(
                "app",
                "cat /data/order; echo two",
                dependsOn=[{"containerName": "first", "condition": "SUCCESS"}],
                mountPoints=[{"sourceVolume": "v", "containerPath": "/data"}],
            ),
            volumes=[{"name": "v"}],
        )
    )
    lab.prints(stopped["taskArn"], "two")
    assert lab.output(stopped["taskArn"]) == ["one", "two"]


def test_a_failed_dependency_stops_the_task(lab):
    stopped = lab.stopped(
        lab.run(
            lab.container("first", "exit 4", essential=False),
            lab.container("app", "echo never", dependsOn=[{"containerName": "first", "condition": "SUCCESS"}]),
        )
    )
    codes = {container["name"]: container.get("exitCode") for container in stopped["containers"]}
    assert codes["first"] == 4
    assert codes["app"] is None
    assert stopped["stopCode"] == "TaskFailedToStart"


def test_health_checks_are_run(lab):
    check = {"command": ["CMD-SHELL", "test -f /tmp/well"], "interval": 5, "timeout": 2, "retries": 1}
    task = lab.run(lab.container(script="sleep 1; touch /tmp/well; exec sleep 1000", healthCheck=check, stopTimeout=1))
    eventually(lambda: lab.describe(task)["healthStatus"] == "HEALTHY", 30, "HEALTHY")
    lab.stop(task)


def test_an_unhealthy_essential_container_shows(lab):
    check = {"command": ["CMD", "/bin/false"], "interval": 5, "timeout": 2, "retries": 1}
    task = lab.run(lab.container(healthCheck=check, stopTimeout=1))
    eventually(lambda: lab.describe(task)["healthStatus"] == "UNHEALTHY", 40, "UNHEALTHY")
    if lab.describe(task)["lastStatus"] == "RUNNING":
        lab.stop(task)


def test_memory_is_a_hard_limit(lab):
    hog = "head -c 200m /dev/zero | tail > /dev/null"
    stopped = lab.stopped(lab.run(lab.container(script=f"exec tail -c 300m /dev/zero", memory=64)))
    container = stopped["containers"][0]
    assert container["exitCode"] == 137, hog
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_cpu_is_limited_as_the_task_says(lab):
    script = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; echo counted"
    task = lab.run(lab.container(script=script))
    lab.stopped(task)
    lab.prints(task, "counted")


def test_environment_user_directory_and_overrides(lab):
    script = "echo [$A] [$B] [$C]; id -u; pwd"
    task = lab.run(
        lab.container(
            script="false",
            environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            user="web",
            workingDirectory="/tmp",
        ),
        overrides={
            "containerOverrides": [
                {"name": "app", "command": [script], "environment": [{"name": "B", "value": "x"}, {"name": "C", "value": "y"}]}
            ]
        },
    )
    lab.stopped(task)
    assert lab.prints(task, "/tmp") == ["[1] [x] [y]", "1000", "/tmp"]


def test_limits_files_and_mounts(lab):
    script = (
        "ulimit -n; df -k /scratch | tail -1 | grep -o tmpfs; touch /cannot 2>/dev/null && echo writable || echo read-only;"
        " grep Seccomp: /proc/self/status; grep NoNewPrivs /proc/self/status; ls /dev | grep -c sda"
    )
    task = lab.run(
        lab.container(
            script=script,
            readonlyRootFilesystem=True,
            ulimits=[{"name": "nofile", "softLimit": 1234, "hardLimit": 1234}],
            linuxParameters={"tmpfs": [{"containerPath": "/scratch", "size": 16}], "initProcessEnabled": True},
        )
    )
    lab.stopped(task)
    lines = lab.prints(task, "NoNewPrivs")
    assert lines[0] == "1234"
    assert lines[1] == "tmpfs"
    assert lines[2] == "read-only"
    assert lines[3].split() == ["Seccomp:", "2"]
    assert lines[4].split() == ["NoNewPrivs:", "1"]


def test_metadata_is_served(lab):
    task = lab.run(lab.container(script="wget -q -O /dev/stdout $ECS_CONTAINER_METADATA_URI_V4/task; echo; echo done"))
    lab.stopped(task)
    text = "".join(lab.prints(task, "done"))
    assert task in text
    assert '"LaunchType":"FARGATE"' in text.replace(" ", "")


def test_a_missing_image_is_told(lab):
    container = lab.container()
    container["image"] = f"{lab.platform.registry}/nosuch:v1"
    stopped = lab.stopped(lab.run(container))
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"].startswith("CannotPullContainerError:")


def test_a_missing_command_is_told(lab):
    stopped = lab.stopped(lab.run({**lab.container(), "entryPoint": ["/bin/nosuch"], "command": []}))
    assert stopped["stopCode"] == "TaskFailedToStart"
    text = stopped["stoppedReason"] + str(stopped["containers"][0].get("reason"))
    assert "CannotStartContainerError" in text


def test_a_missing_log_group_is_told(lab):
    container = lab.container()
    container["logConfiguration"]["options"]["awslogs-group"] = "/nosuch"
    stopped = lab.stopped(lab.run(container))
    assert "ResourceInitializationError" in stopped["stoppedReason"]


def test_restart_policies_start_a_container_again(lab):
    script = "echo started; sleep 61; exit 1"
    task = lab.run(lab.container("side", "echo again; exit 1", essential=False, restartPolicy={"enabled": True, "restartAttemptPeriod": 60}), lab.container(script=script))
    # It ran for less than the period: it is not started again.
    eventually(lambda: [c for c in lab.describe(task)["containers"] if c["name"] == "side" and c["lastStatus"] == "STOPPED"], 20, "its end")
    lab.stop(task)
    assert lab.output(task, "side") == ["again"]


def test_security_groups_are_enforced(lab):
    closed = lab.open_group("closed", [])
    only = lab.open_group("only-8080", [{"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    shut = lab.running(lab.run(lab.container(script=WEB, stopTimeout=1), groups=[closed]))
    with pytest.raises(OSError):
        fetch(lab.address(shut), timeout=1)
    # A rule that comes later works at once.
    lab.ec2.authorize_security_group_ingress(GroupId=closed, IpProtocol="tcp", FromPort=8080, ToPort=8080, CidrIp="0.0.0.0/0")
    assert eventually(lambda: attempt(lab.address(shut)), 10, "the page").startswith("page")
    lab.ec2.revoke_security_group_ingress(GroupId=closed, IpProtocol="tcp", FromPort=8080, ToPort=8080, CidrIp="0.0.0.0/0")
    eventually(lambda: attempt(lab.address(shut)) is None, 10, "the refusal")
    open_ = lab.running(lab.run(lab.container(script="httpd -p 9090 -h /www; " + WEB, stopTimeout=1), groups=[only], public=True))
    assert eventually(lambda: attempt(lab.address(open_)), 10, "the page").startswith("page")
    assert fetch(lab.public_address(open_)).startswith("page")
    with pytest.raises(OSError):
        fetch(lab.address(open_), port=9090, timeout=1)
    # A rule by group lets its members in, and nobody else.
    members = lab.open_group("members", [])
    lab.ec2.authorize_security_group_ingress(GroupId=closed, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": members}]}])
    ask = f"nc -w 2 {lab.address(shut)} 8080 < /dev/null && echo inside || echo outside"
    inside = lab.run(lab.container(script=ask), groups=[members])
    outside = lab.run(lab.container(script=ask), groups=[only])
    lab.prints(inside, "inside")
    lab.prints(outside, "outside")
    lab.stop(shut["taskArn"]), lab.stop(open_["taskArn"])


def attempt(address, port=8080):
    try:
        return fetch(address, port, timeout=1)
    except (OSError, socket.timeout):
        return None


def test_twenty_at_once(lab):
    tasks = []
    for _ in range(2):
        tasks += lab.run(lab.container(script="echo here; exec sleep 1000", stopTimeout=1), count=10)
    described = [lab.running(task) for task in tasks]
    assert len({lab.address(task) for task in described}) == 20
    for task in tasks:
        lab.prints(task, "here")
    for task in tasks:
        lab.ecs.stop_task(cluster="lab", task=task)
    for task in tasks:
        lab.stopped(task)


def test_a_client_token_starts_once(lab):
    definition = lab.define(lab.container(stopTimeout=1))
    request = dict(
        cluster="lab",
        taskDefinition=definition,
        launchType="FARGATE",
        clientToken="once",
        networkConfiguration={"awsvpcConfiguration": {"subnets": lab.subnets, "securityGroups": [lab.group]}},
    )
    first = lab.ecs.run_task(**request)["tasks"][0]["taskArn"]
    assert lab.ecs.run_task(**request)["tasks"][0]["taskArn"] == first
    with pytest.raises(lab.ecs.exceptions.ConflictException):
        lab.ecs.run_task(**request, startedBy="someone-else")
    lab.stop(first)
