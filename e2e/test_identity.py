"""Identity: who may assume which role, what policies would decide, web identities, and the role of an instance."""

import base64
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, eventually
from test_agents import Agent, Fleet

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trusting(principal, action="sts:AssumeRole", **more):
    return policy({"Effect": "Allow", "Principal": principal, "Action": action, **more})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.fixture
def user(platform):
    """Makes users, with keys that sign; removes them."""
    iam, made = platform.client("iam"), []

    def make(name, *statements):
        iam.create_user(UserName=name)
        made.append(name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return lambda service: platform.client(
            service, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]
        )

    yield make
    for name in made:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for own in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=own)
        iam.delete_user(UserName=name)


@pytest.fixture
def role(platform):
    """Makes roles; removes them."""
    iam, made = platform.client("iam"), []

    def make(name, trust, *statements):
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        made.append(name)
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        return arn

    yield make
    for name in made:
        for own in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=own)
        iam.delete_role(RoleName=name)


def test_a_role_that_trusts_the_account_is_not_everybodys(user, role):
    arn = role("admin", trusting({"AWS": ROOT}), allow("*"))
    outsider, insider = user("outsider")("sts"), user("insider", allow("sts:AssumeRole", arn))("sts")
    with pytest.raises(ClientError) as refused:
        outsider.assume_role(RoleArn=arn, RoleSessionName="first")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert "is not authorized to perform: sts:AssumeRole" in str(refused.value)
    assert insider.assume_role(RoleArn=arn, RoleSessionName="first")["Credentials"]["AccessKeyId"].startswith("ASIA")


def test_simulation_decides_as_requests_are(platform, user):
    clusters = f"arn:aws:ecs:*:{ACCOUNT}:cluster/*"
    ann = user("ann", allow("ecs:CreateCluster"), {"Effect": "Deny", "Action": "ecs:Delete*", "Resource": clusters})
    iam = platform.client("iam")
    answer = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann",
        ActionNames=["ecs:CreateCluster", "ecs:DeleteCluster", "ecs:RunTask"],
        ResourceArns=[f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/c"],
    )
    decisions = [result["EvalDecision"] for result in answer["EvaluationResults"]]
    assert decisions == ["allowed", "explicitDeny", "implicitDeny"]
    ecs = ann("ecs")
    ecs.create_cluster(clusterName="simulated")
    with pytest.raises(ClientError, match="explicit deny in an identity-based policy"):
        ecs.delete_cluster(cluster="simulated")
    platform.client("ecs").delete_cluster(cluster="simulated")


def test_a_refusal_of_ec2_is_decoded(platform, user):
    with pytest.raises(ClientError) as refused:
        user("nobody")("ec2").describe_vpcs()
    message = refused.value.response["Error"]["Message"]
    encoded = message.split("Encoded authorization failure message: ")[1]
    sts = platform.client("sts")
    decoded = json.loads(sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    assert (decoded["allowed"], decoded["context"]["action"]) == (False, "ec2:DescribeVpcs")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """An OpenID Connect provider on this machine, with a certificate that nobody but its thumbprint vouches for."""

    def __init__(self, directory):
        self.key, self.certificate = directory / "key.pem", directory / "certificate.pem"
        self.run("openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key)
        self.run(
            *["openssl", "req", "-x509", "-key", self.key, "-out", self.certificate, "-days", "2"],
            *["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        )
        shown = self.run("openssl", "x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha1")
        self.thumbprint = shown.strip().split("=")[1].replace(":", "").lower()
        modulus = self.run("openssl", "rsa", "-in", self.key, "-noout", "-modulus").strip().split("=")[1]
        keys = {"keys": [{"kty": "RSA", "kid": "k", "use": "sig", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}]}
        documents = {"/keys": keys}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = documents.get(self.path)
                body = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://localhost:{self.server.server_address[1]}"
        documents["/.well-known/openid-configuration"] = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def run(self, *words, **more):
        return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **more).stdout

    def token(self, **claims):
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "repo:app", "aud": "longshore", "iat": now, "exp": now + 600, **claims}
        parts = [b64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k"}, claims)]
        signed = ".".join(parts)
        words = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signature = subprocess.run(words, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{b64(signature)}"


def test_a_web_identity_begins_a_session_without_a_key(platform, role, tmp_path):
    provider, iam = Provider(tmp_path), platform.client("iam")
    name = provider.issuer.removeprefix("https://")
    arn = iam.create_open_id_connect_provider(
        Url=provider.issuer, ClientIDList=["longshore"], ThumbprintList=[provider.thumbprint]
    )["OpenIDConnectProviderArn"]
    try:
        condition = {"StringEquals": {f"{name}:aud": "longshore", f"{name}:sub": "repo:app"}}
        trust = trusting({"Federated": arn}, "sts:AssumeRoleWithWebIdentity", Condition=condition)
        wanted = role("deploy", trust, allow("ecs:ListClusters"))

        def assume(token):
            form = {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": wanted,
                "RoleSessionName": "ci",
                "WebIdentityToken": token,
            }
            request = urllib.request.Request(platform.endpoint, urllib.parse.urlencode(form).encode())
            request.add_header("content-type", "application/x-www-form-urlencoded")
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        status, body = assume(provider.token())
        assert status == 200, body
        assert f"assumed-role/deploy/ci" in body
        assert assume(provider.token(sub="repo:other"))[0] == 403
        assert "InvalidIdentityToken" in assume(provider.token(aud="other"))[1]
        assert "ExpiredTokenException" in assume(provider.token(exp=int(time.time()) - 1))[1]
        # A server that has another certificate than was registered is not asked for keys.
        iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["0" * 40])
        other = Provider(tmp_path)
        iam.create_open_id_connect_provider(Url=other.issuer, ClientIDList=["longshore"], ThumbprintList=["0" * 40])
        found = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{other.issuer.removeprefix('https://')}"
        status, body = assume(other.token())
        assert status == 400 and "IDPCommunicationError" in body, body
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=found)
    finally:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


IMDS = r"""
# busybox has no PUT of its own.
T=$(printf 'PUT /latest/api/token HTTP/1.1\r\nHost: imds\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' |
    nc 169.254.169.254 80 | tail -n 1)
ask() { wget -q -O- --header "X-aws-ec2-metadata-token: $T" "http://169.254.169.254/latest/meta-data/$1"; echo; }
ask instance-id
ask iam/security-credentials/
ask iam/security-credentials/node
wget -q -O- http://169.254.169.254/latest/meta-data/ && echo told || echo refused
echo end
exec sleep 1000
"""


def test_an_instance_has_the_role_of_its_profile(platform, lab, role):
    iam = platform.client("iam")
    role("node", trusting({"Service": "ec2.amazonaws.com"}), allow("ecs:ListClusters"))
    iam.create_instance_profile(InstanceProfileName="node")
    iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
    fleet = Fleet(platform, lab.image)
    more = ["--instance-profile", "node", "--instance-id", "i-00000000000000001"]
    agent = Agent(platform.endpoint, (ACCOUNT, "longshore"), more=more).start().ready()
    try:
        arn = eventually(fleet.instances, 20, "the instance")[0]["containerInstanceArn"]
        fleet.connected(arn)
        task = fleet.run("asks", IMDS)[0]
        fleet.wait(task, "RUNNING")
        lines = eventually(lambda: "end" in fleet.lines(task) and fleet.lines(task), 30, "the instance's metadata")
        assert lines[:2] == ["i-00000000000000001", "node"]
        last = [line.strip() for line in lines].index("}")
        held = json.loads("".join(lines[2 : last + 1]))
        assert (held["Code"], held["Type"]) == ("Success", "AWS-HMAC")
        assert "refused" in lines[last:]
        sts = platform.client(
            "sts", access_key=held["AccessKeyId"], secret_key=held["SecretAccessKey"], token=held["Token"]
        )
        shown = sts.get_caller_identity()["Arn"]
        assert shown == f"arn:aws:sts::{ACCOUNT}:assumed-role/node/i-00000000000000001"
        fleet.stop(task)
    finally:
        agent.stop()
        iam.remove_role_from_instance_profile(InstanceProfileName="node", RoleName="node")
        iam.delete_instance_profile(InstanceProfileName="node")
        platform.client("logs").delete_log_group(logGroupName="/fleet")
