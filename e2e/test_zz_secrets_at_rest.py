"""Secrets of every kind are made, used and given to a task; then every file, argument and message is searched for them."""

import base64
import contextlib
import json
import os
import pathlib

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION, Image, Lab, Platform, TRUSTS_TASKS, eventually
from test_roles import allow, policy

# What is given as it is, and looked for in every form that it may take.
VALUES = {
    "secret": "Wyx7secretValueQ2mK9",
    "member": "Wyx7jsonMemberT5pL3",
    "binary": "Wyx7binaryValueZ8nR1",
    "parameter": "Wyx7secureStringH4vD6",
    "data": "Wyx7encryptedDataM6sJ2",
    "password": "Wyx7-Login-Password-G3",
}


def forms(text):
    """The text, in base 64 at each of the three offsets, and in hexadecimal."""
    data = text.encode()
    found = {data, data.hex().encode(), data.hex().upper().encode()}
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + data)
        # The first and the last characters depend on the neighbours.
        found.add(coded[4 if offset else 0 : -4])
    return found


def files(*roots):
    for root in roots:
        for path in pathlib.Path(root).rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()


def arguments():
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # This test's own process and its clients are not the platform's.
            if "python" not in os.readlink(process / "exe"):
                yield process / "cmdline", (process / "cmdline").read_bytes()


def search(needles, *sources):
    found = []
    for source in sources:
        for where, content in source:
            found += [f"{name} in {where}" for name, texts in needles.items() for text in texts if text in content]
    assert found == []


@pytest.fixture
def own(request, kept_dir, tmp_path):
    assert request.getfixturevalue("stopped_shared") is None
    platform = Platform(data_dir=kept_dir).start()
    yield platform, kept_dir, tmp_path
    if platform.process.poll() is None:
        for task in platform.client("ecs").list_tasks(cluster="lab")["taskArns"]:
            platform.client("ecs").stop_task(cluster="lab", task=task)
        eventually(lambda: not platform.client("ecs").list_tasks(cluster="lab")["taskArns"], 60, "the tasks' end")
        platform.stop()


def test_no_secret_lies_anywhere_as_it_is(own):
    platform, kept_dir, tmp_path = own
    iam, kms = platform.client("iam"), platform.client("kms")
    secrets, ssm = platform.client("secretsmanager"), platform.client("ssm")
    needles = {name: forms(text) for name, text in VALUES.items()}

    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=VALUES["data"].encode())["CiphertextBlob"]
    data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    needles["data key"] = {data_key, base64.b64encode(data_key), data_key.hex().encode()}
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == VALUES["data"].encode()

    db = secrets.create_secret(Name="db", SecretString=VALUES["secret"])["ARN"]
    secrets.put_secret_value(SecretId="db", SecretString=json.dumps({"password": VALUES["member"]}))
    secrets.create_secret(Name="binary", SecretBinary=VALUES["binary"].encode(), KmsKeyId=key)
    ssm.put_parameter(Name="/app/setting", Value=VALUES["parameter"], Type="SecureString")
    assert ssm.get_parameter(Name="/app/setting", WithDecryption=True)["Parameter"]["Value"] == VALUES["parameter"]

    iam.create_user(UserName="ann")
    held = iam.create_access_key(UserName="ann")["AccessKey"]
    iam.create_login_profile(UserName="ann", Password=VALUES["password"])
    needles["access key"] = forms(held["SecretAccessKey"])
    session = platform.client("sts").get_session_token()["Credentials"]
    needles["session"] = forms(session["SecretAccessKey"]) | forms(session["SessionToken"])

    # Mistakes that hold a secret: what is said of them must not.
    messages = []
    for call, arguments_ in (
        (ssm.put_parameter, {"Name": "/bad name!", "Value": VALUES["parameter"], "Type": "SecureString"}),
        (secrets.create_secret, {"Name": "bad name", "SecretString": VALUES["secret"]}),
        (secrets.put_secret_value, {"SecretId": "none", "SecretString": VALUES["secret"]}),
        (secrets.put_secret_value, {"SecretId": "db", "SecretString": VALUES["secret"], "ClientRequestToken": "x" * 65}),
        (secrets.create_secret, {"Name": "long", "SecretString": VALUES["secret"] * 4000}),
        (kms.encrypt, {"KeyId": key, "Plaintext": VALUES["data"].encode() * 1000}),
        (kms.encrypt, {"KeyId": "alias/none", "Plaintext": VALUES["data"].encode()}),
        (iam.create_login_profile, {"UserName": "nobody", "Password": VALUES["password"]}),
    ):
        with pytest.raises(ClientError) as error:
            call(**arguments_)
        messages.append((call.__name__, str(error.value).encode()))

    lab = Lab(platform, Image(platform, tmp_path))
    for name, statements in (
        ("reader", [allow("secretsmanager:*"), allow("ssm:*")]),
        ("executes", [allow(["secretsmanager:GetSecretValue", "ssm:GetParameters", "ecr:*", "logs:*"])]),
    ):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUSTS_TASKS))
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
    definition = lab.ecs.register_task_definition(
        family="given",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        taskRoleArn=f"arn:aws:iam::{ACCOUNT}:role/reader",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/executes",
        containerDefinitions=[
            lab.container(
                # Its environment is whole; what it prints is its length, not what it says.
                script='echo lengths ${#PASSWORD} ${#MEMBER} ${#SETTING}; wget -q -O - "http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" > /dev/null && echo credentials; exec sleep 1000',
                secrets=[
                    {"name": "PASSWORD", "valueFrom": f"{db}::AWSPREVIOUS:"},
                    {"name": "MEMBER", "valueFrom": f"{db}:password::"},
                    {"name": "SETTING", "valueFrom": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/app/setting"},
                ],
            )
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    task = lab.ecs.run_task(
        cluster=lab.cluster,
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": lab.subnets, "securityGroups": [lab.group]}},
    )["tasks"][0]["taskArn"]
    lab.running(task)
    lengths = [len(VALUES[name]) for name in ("secret", "member", "parameter")]
    lab.prints(task, "lengths {} {} {}".format(*lengths))
    lab.prints(task, "credentials")
    processes = [path for path in pathlib.Path("/proc").glob("[0-9]*/environ") if holds(path, VALUES["member"])]
    assert processes, "the task has what is searched for"

    # The search finds what lies in the open, in whatever form.
    trap = tmp_path / "trap"
    trap.mkdir()
    for offset in range(3):
        (trap / "file").write_bytes(b"x" + base64.b64encode(b"y" * offset + VALUES["member"].encode() + b"z"))
        with pytest.raises(AssertionError):
            search(needles, files(trap))

    def everywhere():
        log = [("the platform's log", pathlib.Path(platform.log.name).read_bytes())]
        search(needles, files(kept_dir, "/run/longshore"), arguments(), log, messages)

    everywhere()
    # Another platform on the same directory knows all of it again, and the task runs on.
    platform.kill()
    platform.start()
    assert lab.describe(task)["lastStatus"] == "RUNNING"
    assert secrets.get_secret_value(SecretId="db", VersionStage="AWSPREVIOUS")["SecretString"] == VALUES["secret"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == VALUES["data"].encode()
    ann = platform.client("sts", access_key=held["AccessKeyId"], secret_key=held["SecretAccessKey"])
    assert ann.get_caller_identity()["Arn"].endswith("user/ann")
    everywhere()

    # Without the root key nothing of it can be opened.
    lab.stop(task)
    platform.stop()
    root_key = kept_dir / "root.key"
    assert root_key.stat().st_mode & 0o777 == 0o600
    kept = root_key.read_bytes()
    root_key.unlink()
    platform.launch()
    assert platform.process.wait(timeout=30) != 0
    assert "sealed under another root key" in platform.output()
    root_key.write_bytes(kept)
    platform.start()
    assert secrets.get_secret_value(SecretId="db")["SecretString"] == json.dumps({"password": VALUES["member"]})


def holds(path, text):
    with contextlib.suppress(OSError):
        return text.encode() in path.read_bytes()
    return False
