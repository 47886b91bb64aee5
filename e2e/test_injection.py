"""What tasks are given by their execution role, and what becomes of those whose role may not."""

import base64
import contextlib
import hashlib
import json
import pathlib
import secrets as secrets_module

import pytest

from conftest import ACCOUNT, REGION, TRUSTS_TASKS, Image, Lab, Platform, eventually
from test_roles import allow, policy

PULL = allow(["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"])
LOGS = allow(["logs:CreateLogStream", "logs:PutLogEvents"])
DENIED = "because no identity-based policy allows the"


@pytest.fixture
def role(platform):
    """Makes execution roles; removes them."""
    iam, made = platform.client("iam"), []

    def make(name, *statements):
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUSTS_TASKS))["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        made.append((name, bool(statements)))
        return arn

    yield make
    for name, has_policy in made:
        if has_policy:
            iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)


@pytest.fixture
def secret(platform):
    """Makes secrets; removes them."""
    secrets, made = platform.client("secretsmanager"), []

    def make(name, value):
        made.append(name)
        text = value if isinstance(value, str) else json.dumps(value)
        return secrets.create_secret(Name=name, SecretString=text)["ARN"]

    yield make
    for name in made:
        secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def parameter(platform):
    """Makes parameters; removes them."""
    ssm, made = platform.client("ssm"), []

    def make(name, value, kind="SecureString"):
        ssm.put_parameter(Name=name, Value=value, Type=kind)
        made.append(name)
        return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{name}"

    yield make
    for name in made:
        ssm.delete_parameter(Name=name)


def define(lab, *containers, role, **more):
    return lab.ecs.register_task_definition(
        family="given",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        executionRoleArn=role,
        containerDefinitions=list(containers),
        **more,
    )["taskDefinition"]["taskDefinitionArn"]


def run(lab, *containers, role, overrides=None, **more):
    answer = lab.ecs.run_task(
        cluster=lab.cluster,
        taskDefinition=define(lab, *containers, role=role, **more),
        launchType="FARGATE",
        overrides=overrides or {},
        networkConfiguration={"awsvpcConfiguration": {"subnets": lab.subnets, "securityGroups": [lab.group]}},
    )
    assert answer["failures"] == []
    return answer["tasks"][0]["taskArn"]


def fails(lab, task, *texts):
    stopped = lab.stopped(task)
    assert stopped["stopCode"] == "TaskFailedToStart"
    for text in texts:
        assert text in stopped["stoppedReason"], stopped["stoppedReason"]
    return stopped["stoppedReason"]


def session(role, task):
    return f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{role.rsplit('/', 1)[1]}/{task.rsplit('/', 1)[1]} is not authorized"


def test_secrets_and_settings_are_in_the_environment(lab, platform, role, secret, parameter):
    database = secret("db", {"user": "ann", "password": "kept-in-confidence"})
    token = secret("token", "plain-token-in-confidence")
    platform.client("secretsmanager").put_secret_value(SecretId="token", SecretString="newer-token-in-confidence")
    setting = parameter("/shop/color", "blue-in-confidence")
    parameter("/shop/size", "large", "String")
    may = role("giver", PULL, LOGS, allow("secretsmanager:GetSecretValue"), allow("ssm:GetParameters"), allow("kms:Decrypt"))
    names = {
        "USER": f"{database}:user::",
        "PASSWORD": f"{database}:password::",
        "WHOLE": database,
        "TOKEN": token,
        "OLD": f"{token}::AWSPREVIOUS:",
        "COLOR": setting,
        "SIZE": "/shop/size",
    }
    secrets = [{"name": name, "valueFrom": source} for name, source in names.items()]
    script = 'echo -n "$USER $PASSWORD $TOKEN $OLD $COLOR $SIZE $WHOLE" | busybox md5sum; exec sleep 1000'
    whole = json.dumps({"user": "ann", "password": "kept-in-confidence"})
    expected = f"ann kept-in-confidence newer-token-in-confidence plain-token-in-confidence blue-in-confidence large {whole}"
    task = run(lab, lab.container(script=script, secrets=secrets), role=may)
    lab.running(task)
    lab.prints(task, hashlib.md5(expected.encode()).hexdigest())
    # Nothing of it is to be seen from outside.
    described = json.dumps(lab.describe(task), default=str)
    definition = json.dumps(lab.ecs.describe_task_definition(taskDefinition="given"), default=str)
    assert "in-confidence" not in described + definition
    lab.stop(task)


def test_a_role_that_may_not_read_a_secret_ends_the_task(lab, role, secret, parameter):
    database, setting = secret("hidden", "x"), parameter("/hidden", "x")
    may_not = role("reader-of-nothing", PULL, LOGS)
    task = run(lab, lab.container(secrets=[{"name": "A", "valueFrom": database}]), role=may_not)
    fails(
        lab,
        task,
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to "
        "retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret "
        f"{database} from secrets manager: AccessDeniedException: {session(may_not, task)} to perform: "
        f"secretsmanager:GetSecretValue on resource: {database} {DENIED} secretsmanager:GetSecretValue action",
    )
    task = run(lab, lab.container(secrets=[{"name": "A", "valueFrom": "/hidden"}]), role=may_not)
    fails(
        lab,
        task,
        "execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): "
        f"AccessDeniedException: {session(may_not, task)} to perform: ssm:GetParameters on resource: {setting} {DENIED}",
    )


def test_what_is_not_there_is_named(lab, role, secret):
    may = role("finder", PULL, LOGS, allow("secretsmanager:GetSecretValue"), allow("ssm:GetParameters"))
    database = secret("partial", {"user": "ann"})
    task = run(lab, lab.container(secrets=[{"name": "A", "valueFrom": "/none"}]), role=may)
    fails(lab, task, "unable to retrieve secrets from ssm", "invalid ssm parameters: /none")
    task = run(lab, lab.container(secrets=[{"name": "A", "valueFrom": f"{database}:password::"}]), role=may)
    reason = fails(lab, task, "retrieved secret from Secrets Manager did not contain json key password")
    assert "ann" not in reason
    missing = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:none-AbCdEf"
    task = run(lab, lab.container(secrets=[{"name": "A", "valueFrom": missing}]), role=may)
    fails(lab, task, f"failed to fetch secret {missing} from secrets manager: ResourceNotFoundException")


def test_a_permission_taken_away_ends_the_next_task(lab, platform, role, secret):
    database = secret("taken", "x")
    may = role("taken-from", PULL, LOGS, allow("secretsmanager:GetSecretValue"))
    container = lab.container(script="test $A = x && echo given; exec sleep 1000", secrets=[{"name": "A", "valueFrom": database}])
    task = run(lab, container, role=may)
    lab.running(task)
    lab.prints(task, "given")
    platform.client("iam").put_role_policy(RoleName="taken-from", PolicyName="own", PolicyDocument=policy(PULL, LOGS))
    fails(lab, run(lab, container, role=may), "unable to retrieve secret from asm", DENIED)
    assert lab.describe(task)["lastStatus"] == "RUNNING"
    lab.stop(task)


def test_pulling_takes_the_execution_role(lab, role):
    task = run(lab, lab.container(), role=role("no-token", LOGS))
    fails(
        lab,
        task,
        "unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: "
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/no-token/",
        "is not authorized to perform: ecr:GetAuthorizationToken",
    )
    task = run(lab, lab.container(), role=role("no-image", LOGS, allow("ecr:GetAuthorizationToken")))
    fails(
        lab,
        task,
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref",
        "403 Forbidden",
        f"ecr:BatchGetImage on resource: arn:aws:ecr:{REGION}:{ACCOUNT}:repository/busybox",
    )
    with pytest.raises(lab.ecs.exceptions.ClientException) as refused:
        image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/busybox"
        lab.ecs.register_task_definition(
            family="given", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
            containerDefinitions=[{"name": "app", "image": image}],
        )  # fmt: skip
    assert "Fargate requires task definition to have execution role ARN to support ECR images." in str(refused.value)


def test_writing_logs_takes_the_execution_role(lab, role):
    task = run(lab, lab.container(), role=role("no-stream", PULL))
    fails(
        lab,
        task,
        "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create "
        f"Cloudwatch log stream: AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/no-stream/",
        f"logs:CreateLogStream on resource: arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/lab:log-stream:t/app/",
    )
    making = lab.container()
    making["logConfiguration"]["options"].update({"awslogs-group": "/made", "awslogs-create-group": "true"})
    task = run(lab, making, role=role("no-group", PULL, LOGS))
    fails(lab, task, "failed to create Cloudwatch log group: AccessDeniedException", "logs:CreateLogGroup")
    # Who may make the stream and not write to it writes nothing, and the task runs.
    task = run(lab, lab.container(script="echo said; exec sleep 1000"), role=role("no-events", PULL, allow("logs:CreateLogStream")))
    lab.running(task)
    silent = run(lab, lab.container(script="echo said; exec sleep 1000"), role=role("events", PULL, LOGS))
    lab.running(silent)
    lab.prints(silent, "said")
    assert lab.output(task) == []
    lab.stop(task)
    lab.stop(silent)


def test_a_role_that_is_not_there_ends_the_task(lab):
    arn = f"arn:aws:iam::{ACCOUNT}:role/not-there"
    fails(lab, run(lab, lab.container(), role=arn), f"ECS was unable to assume the role '{arn}'")


@pytest.fixture
def bucket(platform):
    s3 = platform.client("s3")
    s3.create_bucket(Bucket="settings")
    yield s3
    for found in s3.list_objects_v2(Bucket="settings").get("Contents", []):
        s3.delete_object(Bucket="settings", Key=found["Key"])
    s3.delete_bucket(Bucket="settings")


def test_environment_files_are_read_from_buckets(lab, role, bucket):
    bucket.put_object(Bucket="settings", Key="a.env", Body=b"# first\nA=one\nB=from file\nC=file\nEMPTY=\nnonsense\n")
    bucket.put_object(Bucket="settings", Key="b.env", Body=b"A=two\nD=\"four\"\n")
    may = role("reader-of-files", PULL, LOGS, allow("s3:GetObject", "arn:aws:s3:::settings/*"), allow("s3:GetBucketLocation"))
    files = [{"type": "s3", "value": f"arn:aws:s3:::settings/{name}"} for name in ("a.env", "b.env")]
    script = 'echo "[$A] [$B] [$C] [$D] [${EMPTY-unset}]"; exec sleep 1000'
    container = lab.container(script=script, environmentFiles=files, environment=[{"name": "C", "value": "definition"}])
    task = run(lab, container, role=may)
    lab.running(task)
    lab.prints(task, '[one] [from file] [definition] ["four"] [unset]')
    lab.stop(task)
    may_not = role("reader-of-no-files", PULL, LOGS)
    fails(lab, run(lab, container, role=may_not), "ResourceInitializationError: failed to download env files", "403")
    with pytest.raises(lab.ecs.exceptions.ClientException):
        define(lab, lab.container(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::settings/a.txt"}]), role=may)


def test_a_private_registry_takes_the_credentials_of_a_secret(lab, platform, role, secret):
    """This platform's registry, as a stranger's: with a password of its own and without a right of the role."""
    token = platform.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, password = base64.b64decode(token).decode().split(":", 1)
    good = secret("registry", {"username": user, "password": password})
    may = role("stranger", LOGS, allow("secretsmanager:GetSecretValue"))

    def container(parameter):
        return lab.container(script="echo pulled; exec sleep 1000", repositoryCredentials={"credentialsParameter": parameter})

    task = run(lab, container(good), role=may)
    lab.running(task)
    lab.prints(task, "pulled")
    lab.stop(task)
    wrong = secret("wrong", {"username": user, "password": "not it"})
    reason = fails(lab, run(lab, container(wrong), role=may), "CannotPullContainerError")
    assert "not it" not in reason
    partial = secret("no-password", {"username": user})
    fails(lab, run(lab, container(partial), role=may), "unable to get registry auth from asm", "json key password")
    fails(
        lab,
        run(lab, container(good), role=role("stranger-without", LOGS)),
        f"unable to get registry auth from asm: service call has been retried 1 time(s): asm fetching secret from the service for {good}: "
        "AccessDeniedException",
    )


def test_options_of_the_log_driver_may_be_secrets(lab, role, parameter):
    parameter("/log/prefix", "given")
    may = role("logger", PULL, LOGS, allow("ssm:GetParameters"), allow("kms:Decrypt"))
    container = lab.container(script="echo said; exec sleep 1000")
    del container["logConfiguration"]["options"]["awslogs-stream-prefix"]
    container["logConfiguration"]["secretOptions"] = [{"name": "awslogs-stream-prefix", "valueFrom": "/log/prefix"}]
    task = run(lab, container, role=may)
    lab.running(task)
    stream = f"given/app/{task.rsplit('/', 1)[1]}"

    def said():
        found = lab.logs.get_log_events(logGroupName="/lab", logStreamName=stream)["events"]
        return [event["message"] for event in found] == ["said"]

    eventually(said, what="a line in the stream that the parameter names")
    lab.stop(task)


def test_metadata_says_all_that_is_documented(lab, role):
    may = role("metadata", PULL, LOGS)
    script = "for path in '' /task /stats /task/stats /taskWithTags; do wget -q -O - $ECS_CONTAINER_METADATA_URI_V4$path; echo; done; exec sleep 1000"
    task = run(lab, lab.container(script=script), role=may)
    lab.running(task)
    lines = eventually(lambda: len(lab.output(task)) >= 5 and lab.output(task), what="five documents")
    container, whole, stats, all_stats, tagged = (json.loads(line) for line in lines[:5])
    for name in "DockerId Name Image ImageID Labels Limits CreatedAt Networks LogDriver LogOptions ContainerARN Snapshotter".split():
        assert name in container, name
    network = container["Networks"][0]
    for name in "IPv4Addresses MACAddress IPv4SubnetCIDRBlock SubnetGatewayIpv4Address PrivateDNSName DomainNameServers".split():
        assert name in network, name
    for name in "Cluster TaskARN Family Revision Limits PullStartedAt AvailabilityZone LaunchType EphemeralStorageMetrics ClockDrift".split():
        assert name in whole, name
    assert whole["EphemeralStorageMetrics"]["Reserved"] == 20 * 1024
    assert whole["ClockDrift"]["ClockSynchronizationStatus"] in ("SYNCHRONIZED", "NOT_SYNCHRONIZED")
    assert stats["networks"] and stats["memory_stats"]["usage"] > 0 and "precpu_stats" in stats
    later = all_stats[container["DockerId"]]
    assert later["preread"] == stats["read"]
    assert tagged["TaskARN"] == task and tagged["TaskTags"] == {}
    lab.stop(task)


def test_what_a_task_was_given_lies_nowhere(stopped_shared, kept_dir, tmp_path):
    """A secret's value is in the container's environment, and in no file, log or argument of this machine."""
    value = secrets_module.token_hex(16)
    platform = Platform(kept_dir).start()
    try:
        lab = Lab(platform, Image(platform, tmp_path))
        iam = platform.client("iam")
        iam.put_role_policy(
            RoleName="exec",
            PolicyName="secrets",
            PolicyDocument=policy(allow(["secretsmanager:GetSecretValue", "ssm:GetParameters", "kms:Decrypt"])),
        )
        arn = platform.client("secretsmanager").create_secret(Name="needle", SecretString=f"a-{value}")["ARN"]
        platform.client("ssm").put_parameter(Name="/needle", Value=f"b-{value}", Type="SecureString")
        given = [{"name": "A", "valueFrom": arn}, {"name": "B", "valueFrom": "/needle"}]
        task = lab.run(lab.container(script='echo -n "$A$B" | busybox md5sum; exec sleep 1000', secrets=given))
        lab.running(task)
        lab.prints(task, hashlib.md5(f"a-{value}b-{value}".encode()).hexdigest())
        folders = [kept_dir, pathlib.Path("/run/longshore"), pathlib.Path("/var/tmp")]
        looked_at = 0
        for path in [pathlib.Path(platform.log.name), *(path for folder in folders for path in folder.rglob("*"))]:
            # The files of network namespaces cannot be read, and others go while they are looked at.
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    assert value.encode() not in path.read_bytes(), path
                    looked_at += 1
        assert looked_at > 10
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                assert value.encode() not in (process / "cmdline").read_bytes(), process
        lab.stop(task)
    finally:
        platform.stop()
