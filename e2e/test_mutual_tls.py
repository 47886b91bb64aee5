"""Listeners that look at clients' certificates, and certificates that are requested rather than imported."""

import subprocess
import urllib.request

import pytest

from conftest import eventually
from test_load_balancers import Balancers, balancers, curl, listening  # noqa: F401

# Answers with the head that it got.
HEADS = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Heads(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(self.headers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = ThreadingHTTPServer(("0.0.0.0", 8080), Heads)
print("ready", flush=True)
server.serve_forever()
"""

CONFIGURATION = """
[ca]
default_ca = own
[own]
database = {directory}/index
crlnumber = {directory}/crlnumber
serial = {directory}/serial
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
new_certs_dir = {directory}
default_md = sha256
default_days = 2
default_crl_days = 2
policy = any
unique_subject = no
x509_extensions = client
[any]
organizationName = optional
commonName = supplied
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
"""


class Authority:
    """An authority made with openssl, and what it signs."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        for name, text in (("index", ""), ("crlnumber", "01\n"), ("serial", "0ABC\n")):
            (directory / name).write_text(text)
        (directory / "ca.cnf").write_text(CONFIGURATION.format(directory=directory))
        self.openssl(
            *["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"],
            *["-subj", f"/O=Tests/CN={directory.name}", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem")],
        )

    def path(self, name):
        return str(self.directory / name)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def ca(self, *words):
        self.openssl("ca", "-batch", "-config", self.path("ca.cnf"), *words)

    def client(self, name, *dates):
        """Options of curl for a client with a certificate of its own."""
        key, asked, signed = (self.path(f"{name}.{kind}") for kind in ("key", "csr", "pem"))
        self.openssl(
            *["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            *["-subj", f"/O=Tests/CN={name}", "-keyout", key, "-out", asked],
        )
        self.ca("-in", asked, "-out", signed, "-notext", *dates)
        return ["--cert", signed, "--key", key]

    def revoking(self, name):
        """A list that takes this client's certificate back."""
        self.ca("-revoke", self.path(f"{name}.pem"))
        self.ca("-gencrl", "-out", self.path("ca.crl"))
        return (self.directory / "ca.crl").read_bytes()


@pytest.fixture(scope="module")
def heads(lab):
    """The address of a task that answers with what it was asked."""
    everywhere, lab.subnets = lab.subnets, lab.subnets[:1]
    task = lab.run(lab.container(stopTimeout=1), family="heads")
    lab.subnets = everywhere
    address = lab.address(lab.running(task))
    with listening(address, HEADS):
        yield address
    lab.stop(task)


@pytest.fixture(scope="module")
def bucket(platform):
    s3 = platform.client("s3")
    s3.create_bucket(Bucket="trusted")
    yield s3
    for one in s3.list_objects_v2(Bucket="trusted").get("Contents", []):
        s3.delete_object(Bucket="trusted", Key=one["Key"])
    s3.delete_bucket(Bucket="trusted")


@pytest.fixture(scope="module")
def requested(platform, tmp_path_factory):
    """A certificate that was requested for web.example, and the file of the authority that a client has to trust."""
    acm = platform.client("acm")
    arn = acm.request_certificate(DomainName="web.example", ValidationMethod="DNS")["CertificateArn"]
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn)
    file = tmp_path_factory.mktemp("requested") / "authority.pem"
    file.write_text(acm.get_certificate(CertificateArn=arn)["CertificateChain"])
    yield arn, file
    acm.delete_certificate(CertificateArn=arn)


def test_a_requested_certificate_serves_and_is_renewed(platform, balancers, heads, requested):
    arn, authority = requested
    balancer = balancers.balancer("requested")
    group = balancers.group("requested")
    balancers.register(group, heads)
    balancers.listener(balancer, 443, "HTTPS", group, Certificates=[{"CertificateArn": arn}])
    balancers.healthy(group, heads)
    to = ["--resolve", f"web.example:443:{balancers.addresses(balancer)[0]}"]
    trusting = [*to, "--cacert", str(authority)]
    assert curl("https://web.example/", *trusting)[0] == 200
    assert curl("https://web.example/", *to) is None, "nobody trusts it by itself"
    acm = platform.client("acm")
    before = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert before["InUseBy"] == [balancer]
    acm.renew_certificate(CertificateArn=arn)
    after = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert after["Serial"] != before["Serial"]

    def shown():
        words = ["openssl", "s_client", "-connect", f"{balancers.addresses(balancer)[0]}:443", "-servername", "web.example"]
        done = subprocess.run(words, input="", capture_output=True, text=True, timeout=20)
        serial = subprocess.run(
            ["openssl", "x509", "-noout", "-serial"], input=done.stdout, capture_output=True, text=True
        ).stdout
        return serial.strip().lower() == "serial=" + after["Serial"].replace(":", "").lower()

    eventually(shown, 20, "the renewed certificate at the listener")
    assert curl("https://web.example/", *trusting)[0] == 200


def test_clients_are_verified_by_a_trust_store(platform, balancers, heads, requested, bucket, tmp_path):
    arn, server = requested
    own, other = Authority(tmp_path / "own"), Authority(tmp_path / "other")
    bucket.put_object(Bucket="trusted", Key="ca.pem", Body=(own.directory / "ca.pem").read_bytes())
    store = balancers.elb.create_trust_store(
        Name="clients", CaCertificatesBundleS3Bucket="trusted", CaCertificatesBundleS3Key="ca.pem"
    )["TrustStores"][0]
    assert (store["Status"], store["NumberOfCaCertificates"]) == ("ACTIVE", 1)
    trust_store = store["TrustStoreArn"]
    balancer = balancers.balancer("verifying")
    group = balancers.group("verifying")
    balancers.register(group, heads)
    verify = {"Mode": "verify", "TrustStoreArn": trust_store}
    listener = balancers.listener(
        balancer, 443, "HTTPS", group, Certificates=[{"CertificateArn": arn}], MutualAuthentication=verify
    )
    balancers.healthy(group, heads)
    to = ["--resolve", f"web.example:443:{balancers.addresses(balancer)[0]}", "--cacert", str(server)]

    def asked(*who):
        return curl("https://web.example/", "-H", "X-Amzn-Mtls-Clientcert-Subject: CN=admin", *to, *who)

    alice, bob = own.client("alice"), own.client("bob")
    ended = own.client("ended", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    for protocol in ([], ["--http1.1"], ["--tls-max", "1.2"]):
        status, _, head = asked(*alice, *protocol)
        assert status == 200
        told = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        told = {name.lower(): value for name, value in told.items()}
        assert told["x-amzn-mtls-clientcert-subject"] == "CN=alice,O=Tests", head
        assert told["x-amzn-mtls-clientcert-issuer"] == "CN=own,O=Tests"
        assert told["x-amzn-mtls-clientcert-serial-number"] == "0ABC"
        assert told["x-amzn-mtls-clientcert-validity"].startswith("NotBefore=20")
        leaf = told["x-amzn-mtls-clientcert-leaf"].replace("%0A", "\n").replace("%20", " ")
        assert leaf == (own.directory / "alice.pem").read_text()
    for stranger in ([], other.client("mallory"), ended):
        assert asked(*stranger) is None
    assert asked(*bob)[0] == 200

    # Bob's is taken back; nobody else's is.
    bucket.put_object(Bucket="trusted", Key="ca.crl", Body=own.revoking("bob"))
    added = balancers.elb.add_trust_store_revocations(
        TrustStoreArn=trust_store, RevocationContents=[{"S3Bucket": "trusted", "S3Key": "ca.crl"}]
    )["TrustStoreRevocations"]
    assert [(one["RevocationId"], one["NumberOfRevokedEntries"]) for one in added] == [(1, 1)]
    eventually(lambda: asked(*bob) is None, 20, "bob sent away")
    assert asked(*alice)[0] == 200
    where = balancers.elb.get_trust_store_revocation_content(TrustStoreArn=trust_store, RevocationId=1)["Location"]
    with urllib.request.urlopen(where, timeout=10) as answer:
        assert answer.read().startswith(b"-----BEGIN X509 CRL-----")

    # Expiry can be passed over, revocation cannot.
    balancers.elb.modify_listener(
        ListenerArn=listener, MutualAuthentication={**verify, "IgnoreClientCertificateExpiry": True}
    )
    eventually(lambda: asked(*ended) is not None, 20, "the expired one let in")
    assert asked(*bob) is None

    with pytest.raises(balancers.elb.exceptions.TrustStoreInUseException):
        balancers.elb.delete_trust_store(TrustStoreArn=trust_store)
    balancers.elb.modify_listener(ListenerArn=listener, MutualAuthentication={"Mode": "passthrough"})
    eventually(lambda: asked() is not None, 20, "everybody let in")
    assert "mtls" not in asked()[2].lower()
    assert "x-amzn-mtls-clientcert: -----BEGIN%20CERTIFICATE-----%0A" in asked(*bob)[2].replace("X-Amzn-Mtls-C", "x-amzn-mtls-c")
    balancers.elb.delete_trust_store(TrustStoreArn=trust_store)
