"""Two accounts and one registry: what the owner of a repository lets others do, by the repository's policy and by the registry's, is what they can do, with
skopeo, through the API and in a task."""

import base64
import contextlib
import json
import subprocess

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION

OWNER = "222222222222"
HOST = f"{OWNER}.dkr.ecr.{REGION}.amazonaws.com"
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
PUSH = ["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"]
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
EXECUTION = f"arn:aws:iam::{ACCOUNT}:role/exec"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(principal, actions, **more):
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions, **more}


def deny(principal, actions, **more):
    return {**allow(principal, actions, **more), "Effect": "Deny"}


class Clients:
    """What the clients of one account, or of one of its users, do."""

    def __init__(self, platform, **key):
        self.platform, self.key = platform, key
        self.ecr = platform.client("ecr", **key)

    def password(self):
        return base64.b64decode(self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]).decode()

    def skopeo(self, script, tmp_path):
        """Runs a script with `$CREDS`, in a mount namespace where the owner's registry is known by its name."""
        hosts = tmp_path / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {HOST}\n")
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f'mount --bind "{hosts}" /etc/hosts; {script}'],
            env={**self.platform.environment(), "CREDS": self.password()},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stderr

    def pull(self, tmp_path, name="shared"):
        """How a pull of all layers ends: empty when it succeeds."""
        folder = tmp_path / "pulled"
        source = f"docker://{HOST}:{self.platform.port}/{name}:latest"
        code, said = self.skopeo(f'rm -rf {folder}; skopeo copy -q --src-tls-verify=false --src-creds "$CREDS" {source} dir:{folder}', tmp_path)
        return said.strip() if code else ""

    def push(self, tmp_path, name="shared"):
        target = f"docker://{HOST}:{self.platform.port}/{name}:pushed"
        code, said = self.skopeo(
            f'skopeo copy -q --dest-tls-verify=false --dest-creds "$CREDS" dir:{tmp_path}/pulled {target}', tmp_path
        )
        return said.strip() if code else ""


@pytest.fixture(scope="module")
def owner(lab, platform):
    """The other account, with two repositories that have the same image."""
    owner, own = Clients(platform, account=OWNER), Clients(platform)
    for name in ("shared", "private"):
        owner.ecr.create_repository(repositoryName=name)
        subprocess.run(
            ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", own.password(), "--dest-creds",
             owner.password(), f"docker://{lab.image}", f"docker://{platform.registry}/{name}:latest"],
            check=True,
            capture_output=True,
        )
    yield owner
    for name in ("shared", "private"):
        owner.ecr.delete_repository(repositoryName=name, force=True)


@pytest.fixture
def policies(owner):
    """Sets the policies of the repository and the registry; none is left."""

    class Policies:
        def repository(self, *statements):
            owner.ecr.set_repository_policy(repositoryName="shared", policyText=document(*statements))

        def registry(self, *statements):
            owner.ecr.put_registry_policy(policyText=document(*statements))

        def clear(self):
            with contextlib.suppress(owner.ecr.exceptions.RepositoryPolicyNotFoundException):
                owner.ecr.delete_repository_policy(repositoryName="shared")
            with contextlib.suppress(owner.ecr.exceptions.RegistryPolicyNotFoundException):
                owner.ecr.delete_registry_policy()

    policies = Policies()
    yield policies
    policies.clear()


@pytest.fixture(scope="module")
def user(platform):
    """Somebody of this account who may read all repositories, as far as this account is concerned."""
    iam, reads = platform.client("iam"), "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
    iam.create_user(UserName="puller")
    iam.attach_user_policy(UserName="puller", PolicyArn=reads)
    key = iam.create_access_key(UserName="puller")["AccessKey"]
    yield Clients(platform, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    iam.delete_access_key(UserName="puller", AccessKeyId=key["AccessKeyId"])
    iam.detach_user_policy(UserName="puller", PolicyArn=reads)
    iam.delete_user(UserName="puller")


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    return error.value.response["Error"]["Message"]


def test_a_repositorys_policy_lets_another_account_pull(platform, owner, policies, user, tmp_path):
    root = Clients(platform)
    for who in (root, user):
        said = who.pull(tmp_path)
        assert "denied" in said and "ecr:BatchGetImage" in said and f"arn:aws:ecr:{REGION}:{OWNER}:repository/shared" in said, said
    policies.repository(allow(ROOT, PULL))
    assert root.pull(tmp_path) == "" and user.pull(tmp_path) == ""
    # What is not in the policy is refused to both, though the one is the root of their account. (The layers are there already.)
    for who in (root, user):
        assert "no resource-based policy allows the ecr:PutImage action" in who.push(tmp_path)
    assert "denied" in root.pull(tmp_path, "private")
    # The API is the same door.
    images = {"registryId": OWNER, "repositoryName": "shared", "imageIds": [{"imageTag": "latest"}]}
    assert len(user.ecr.batch_get_image(**images)["images"]) == 1
    assert "ecr:DescribeImages" in refused(user.ecr.describe_images, registryId=OWNER, repositoryName="shared")
    refused(user.ecr.batch_get_image, **{**images, "repositoryName": "private"})
    refused(root.ecr.set_repository_policy, registryId=OWNER, repositoryName="shared", policyText=document(allow("*", PULL)))
    # One who is denied by name, the rest of the account is not; the owner is asked in the same way.
    arn = f"arn:aws:iam::{ACCOUNT}:user/puller"
    policies.repository(allow(ROOT, PULL), deny(arn, "ecr:BatchGetImage"))
    assert "explicit deny in a resource-based policy" in user.pull(tmp_path)
    assert root.pull(tmp_path) == "" and owner.pull(tmp_path) == ""
    policies.repository(deny("*", "ecr:BatchGetImage"))
    assert "explicit deny" in owner.pull(tmp_path)


def test_a_user_needs_both_sides(platform, policies, user, tmp_path):
    """What the owner allows to an account is for its administrators to pass on."""
    iam = platform.client("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:user/puller"
    policies.repository(allow([ROOT, arn], PULL + PUSH))
    assert user.pull(tmp_path) == ""
    said = user.push(tmp_path)
    assert "no identity-based policy allows the ecr:PutImage action" in said
    statement = {"Effect": "Allow", "Action": PUSH, "Resource": f"arn:aws:ecr:*:{OWNER}:repository/shared"}
    iam.put_user_policy(UserName="puller", PolicyName="push", PolicyDocument=document(statement))
    try:
        assert user.push(tmp_path) == ""
        policies.repository(allow(ROOT, PULL + PUSH[:-1]))
        assert "no resource-based policy allows the ecr:PutImage action" in user.push(tmp_path)
    finally:
        iam.delete_user_policy(UserName="puller", PolicyName="push")


def test_a_registrys_policy_is_about_all_its_repositories(platform, policies, tmp_path):
    root = Clients(platform)
    of_all = f"arn:aws:ecr:{REGION}:{OWNER}:repository/*"
    policies.registry(allow(ROOT, PULL, Sid="all", Resource=of_all))
    assert root.pull(tmp_path) == "" and root.pull(tmp_path, "private") == ""
    policies.registry(allow(ROOT, PULL, Sid="one", Resource=of_all.replace("*", "private")))
    assert "denied" in root.pull(tmp_path) and root.pull(tmp_path, "private") == ""
    # A repository's policy adds to it, and a denial in either wins.
    policies.repository(allow(ROOT, PULL))
    assert root.pull(tmp_path) == ""
    policies.registry(deny(ROOT, "ecr:GetDownloadUrlForLayer", Sid="no", Resource=of_all))
    assert "403 (Forbidden)" in root.pull(tmp_path)
    policies.clear()
    assert "denied" in root.pull(tmp_path)


def test_a_task_runs_another_accounts_image(lab, policies):
    """The execution role pulls: its account's policies and the owner's both have to allow it."""

    def start():
        return lab.run(lab.container(image=f"{HOST}/shared:latest", script="echo from the other account; exec sleep 1000"), family="guest")

    stopped = lab.stopped(start())
    assert stopped["stopCode"] == "TaskFailedToStart"
    reason = stopped["stoppedReason"]
    assert "CannotPullContainerError" in reason and "403 Forbidden" in reason and "ecr:BatchGetImage" in reason, reason
    assert f"repository/shared" in reason and "assumed-role/exec/" in reason
    policies.repository(allow(EXECUTION, PULL))
    task = start()
    lab.running(task)
    lab.prints(task, "from the other account")
    lab.stop(task)
    # What is already on the machine is no way around.
    policies.repository(allow(f"arn:aws:iam::{ACCOUNT}:role/other", PULL))
    assert "CannotPullContainerError" in lab.stopped(start())["stoppedReason"]
    # By condition: the tasks of one cluster's account only.
    policies.repository(allow("*", PULL, Condition={"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}))
    task = start()
    lab.running(task)
    lab.stop(task)
