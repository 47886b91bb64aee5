"""The APIs of load balancers and certificates as boto3 speaks them: what is made, shown, changed, refused and deleted.

What load balancers do with connections is in a file of its own.
"""

import subprocess

import botocore.exceptions
import pytest

REGION_NAME = "us-west-2"


class Api:
    """Clients in a region that no other test uses, and what the tests left in it."""

    def __init__(self, platform):
        self.elbv2 = platform.client("elbv2", region=REGION_NAME)
        self.elb = platform.client("elb", region=REGION_NAME)
        self.acm = platform.client("acm", region=REGION_NAME)
        self.ec2 = platform.client("ec2", region=REGION_NAME)
        self.vpc = self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        found = self.ec2.describe_subnets()["Subnets"]
        self.subnets = [one["SubnetId"] for one in sorted(found, key=lambda one: one["AvailabilityZone"])]

    def balancer(self, name, **more):
        more = {"Subnets": self.subnets[:2], **more}
        return self.elbv2.create_load_balancer(Name=name, **more)["LoadBalancers"][0]

    def group(self, name, **more):
        more = {"Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip", **more}
        return self.elbv2.create_target_group(Name=name, **more)["TargetGroups"][0]["TargetGroupArn"]

    def listener(self, balancer, group, port=80, **more):
        more = {"Protocol": "HTTP", "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}], **more}
        made = self.elbv2.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Port=port, **more)
        return made["Listeners"][0]

    def interfaces(self, description):
        filters = [{"Name": "description", "Values": [description]}]
        return self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]

    def clear(self):
        for one in self.elbv2.describe_load_balancers()["LoadBalancers"]:
            self.elbv2.delete_load_balancer(LoadBalancerArn=one["LoadBalancerArn"])
        for one in self.elb.describe_load_balancers()["LoadBalancerDescriptions"]:
            self.elb.delete_load_balancer(LoadBalancerName=one["LoadBalancerName"])
        for one in self.elbv2.describe_target_groups()["TargetGroups"]:
            self.elbv2.delete_target_group(TargetGroupArn=one["TargetGroupArn"])
        kinds = {"keyTypes": ["RSA_2048", "EC_prime256v1"]}
        for one in self.acm.list_certificates(Includes=kinds)["CertificateSummaryList"]:
            self.acm.delete_certificate(CertificateArn=one["CertificateArn"])


@pytest.fixture
def api(platform):
    made = Api(platform)
    yield made
    made.clear()


def refused(code, call, **arguments):
    """Asserts that a call fails with this code; its message and status."""
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        call(**arguments)
    error = failure.value.response
    assert error["Error"]["Code"] == code, error
    return error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def certificate(directory, name):
    """A key and a certificate for a name, signed by itself."""
    key, body = directory / "key.pem", directory / "body.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", str(key), "-out", str(body), "-days", "30", "-subj", f"/CN={name}"]
        + ["-addext", f"subjectAltName=DNS:{name}"],
        check=True,
        capture_output=True,
    )
    return key.read_bytes(), body.read_bytes()


def test_an_application_load_balancer_from_its_making_to_its_end(api):
    balancer = api.balancer("web", Tags=[{"Key": "stage", "Value": "test"}])
    arn = balancer["LoadBalancerArn"]
    assert balancer["Type"] == "application" and balancer["Scheme"] == "internet-facing"
    assert balancer["DNSName"].endswith(f".{REGION_NAME}.elb.localhost")
    assert [zone["SubnetId"] for zone in balancer["AvailabilityZones"]] == api.subnets[:2]
    own = api.interfaces("ELB " + arn.split("loadbalancer/")[1])
    assert len(own) == 2
    for one in own:
        assert one["RequesterManaged"] and one["RequesterId"] == "amazon-elb" and one["Status"] == "in-use"
        assert one["Attachment"]["InstanceOwnerId"] == "amazon-elb"
        assert one["Association"]["IpOwnerId"] == "amazon"
        refused(
            "InvalidParameterValue",
            api.ec2.delete_network_interface,
            NetworkInterfaceId=one["NetworkInterfaceId"],
        )
    waited = api.elbv2.get_waiter("load_balancer_available")
    waited.wait(LoadBalancerArns=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert api.balancer("web", Tags=[{"Key": "stage", "Value": "test"}])["LoadBalancerArn"] == arn
    refused("DuplicateLoadBalancerName", api.balancer, name="web", Scheme="internal")

    group = api.group("web")
    listener = api.listener(balancer, group)
    rule = api.elbv2.create_rule(
        ListenerArn=listener["ListenerArn"],
        Priority=5,
        Conditions=[
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*"]}},
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["b?"]}},
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "a", "Value": "b"}]}},
        ],
        Actions=[
            {
                "Type": "redirect",
                "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"},
            }
        ],
    )["Rules"][0]
    assert rule["Priority"] == "5" and rule["Conditions"][0]["Values"] == ["/api/*"]
    assert rule["Actions"][0]["RedirectConfig"]["Host"] == "#{host}"
    rules = api.elbv2.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    assert [one["Priority"] for one in rules] == ["5", "default"]
    moved = api.elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": rule["RuleArn"], "Priority": 7}])["Rules"]
    assert moved[0]["Priority"] == "7"
    described = api.elbv2.describe_tags(ResourceArns=[arn, rule["RuleArn"]])["TagDescriptions"]
    assert [one["Tags"] for one in described] == [[{"Key": "stage", "Value": "test"}], []]

    text, status = refused("ResourceInUse", api.elbv2.delete_target_group, TargetGroupArn=group)
    assert "currently in use by a listener or a rule" in text and status == 400
    api.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    refused("LoadBalancerNotFound", api.elbv2.describe_load_balancers, LoadBalancerArns=[arn])
    refused("ListenerNotFound", api.elbv2.describe_listeners, ListenerArns=[listener["ListenerArn"]])
    assert api.interfaces("ELB " + arn.split("loadbalancer/")[1]) == []
    api.elbv2.delete_target_group(TargetGroupArn=group)


def test_targets_of_a_group_that_nobody_uses(api):
    group = api.group("idle")
    subnet = api.ec2.describe_subnets(SubnetIds=api.subnets[:1])["Subnets"][0]
    address = subnet["CidrBlock"].rsplit(".", 1)[0] + ".77"
    api.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": address, "Port": 8080}])
    shown = api.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert len(shown) == 1 and shown[0]["HealthCheckPort"] == "8080"
    assert shown[0]["TargetHealth"]["State"] == "unused"
    assert shown[0]["TargetHealth"]["Reason"] == "Target.NotInUse"
    refused(
        "InvalidTarget",
        api.elbv2.register_targets,
        TargetGroupArn=group,
        Targets=[{"Id": "10.200.0.1"}],
    )
    api.elbv2.deregister_targets(TargetGroupArn=group, Targets=[{"Id": address}])
    assert api.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"] == []


def test_attributes_that_nothing_acts_on_are_refused(api):
    balancer = api.balancer("attributes")["LoadBalancerArn"]

    def change(key, value):
        changes = [{"Key": key, "Value": value}]
        return api.elbv2.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=changes)

    change("idle_timeout.timeout_seconds", "90")
    shown = api.elbv2.describe_load_balancer_attributes(LoadBalancerArn=balancer)["Attributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "90"} in shown
    refused("InvalidConfigurationRequest", change, key="idle_timeout.timeout_seconds", value="0")
    refused("InvalidConfigurationRequest", change, key="waf.fail_open.enabled", value="true")
    refused("ValidationError", change, key="no.such", value="true")
    change("deletion_protection.enabled", "true")
    refused("OperationNotPermitted", api.elbv2.delete_load_balancer, LoadBalancerArn=balancer)
    change("deletion_protection.enabled", "false")


def test_a_certificate_is_imported_used_and_deleted(api, tmp_path):
    key, body = certificate(tmp_path, "www.example.org")
    arn = api.acm.import_certificate(Certificate=body, PrivateKey=key)["CertificateArn"]
    shown = api.acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert shown["DomainName"] == "www.example.org" and shown["Status"] == "ISSUED"
    assert shown["KeyAlgorithm"] == "EC_prime256v1" and shown["Type"] == "IMPORTED"
    assert api.acm.get_certificate(CertificateArn=arn)["Certificate"].encode() == body
    other, _ = certificate(tmp_path, "other.example.org")
    text, _ = refused("ValidationException", api.acm.import_certificate, Certificate=body, PrivateKey=other)
    assert "does not match" in text and other.decode().split("\n")[1] not in text

    balancer, group = api.balancer("tls"), api.group("tls")
    refused("ValidationError", api.listener, balancer=balancer, group=group, port=443, Protocol="HTTPS")
    listener = api.listener(
        balancer,
        group,
        port=443,
        Protocol="HTTPS",
        SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
        Certificates=[{"CertificateArn": arn}],
    )
    assert listener["Certificates"] == [{"CertificateArn": arn}]
    used = api.acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"]
    assert used == [balancer["LoadBalancerArn"]]
    refused("ResourceInUseException", api.acm.delete_certificate, CertificateArn=arn)
    api.elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
    api.acm.delete_certificate(CertificateArn=arn)
    refused("ResourceNotFoundException", api.acm.describe_certificate, CertificateArn=arn)


def test_a_classic_load_balancer(api):
    listeners = [{"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}]
    zones = [f"{REGION_NAME}a", f"{REGION_NAME}b"]
    made = api.elb.create_load_balancer(LoadBalancerName="old", Listeners=listeners, AvailabilityZones=zones)
    shown = api.elb.describe_load_balancers(LoadBalancerNames=["old"])["LoadBalancerDescriptions"][0]
    assert shown["DNSName"] == made["DNSName"] and shown["AvailabilityZones"] == zones
    assert shown["HealthCheck"]["Target"] == "TCP:8080" and len(api.interfaces("ELB old")) == 2
    check = {
        "Target": "HTTP:8080/health",
        "Interval": 10,
        "Timeout": 5,
        "UnhealthyThreshold": 2,
        "HealthyThreshold": 2,
    }
    assert api.elb.configure_health_check(LoadBalancerName="old", HealthCheck=check)["HealthCheck"] == check
    refused(
        "InvalidInstance",
        api.elb.register_instances_with_load_balancer,
        LoadBalancerName="old",
        Instances=[{"InstanceId": "i-0123456789abcdef0"}],
    )
    _, status = refused(
        "InvalidConfigurationRequest",
        api.elb.disable_availability_zones_for_load_balancer,
        LoadBalancerName="old",
        AvailabilityZones=zones,
    )
    assert status == 409
    api.elb.delete_load_balancer(LoadBalancerName="old")
    refused("LoadBalancerNotFound", api.elb.describe_load_balancers, LoadBalancerNames=["old"])


def test_what_is_not_there_says_so_by_name(api):
    text, status = refused("NotImplemented", api.acm.get_account_configuration)
    assert "GetAccountConfiguration" in text and status == 501
    refused("InvalidConfigurationRequest", api.balancer, name="gateway", Type="gateway")
    names = [one["Name"] for one in api.elbv2.describe_ssl_policies()["SslPolicies"]]
    assert "ELBSecurityPolicy-2016-08" in names and not any("FIPS" in name for name in names)
