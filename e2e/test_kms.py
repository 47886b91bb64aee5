"""KMS through boto3 and the command line: keys, contexts, rotation, policies, grants."""

import base64
import json

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, REGION
from test_roles import allow, policy


@pytest.fixture
def kms(platform):
    return platform.client("kms")


@pytest.fixture
def key(kms):
    made = kms.create_key(Description="a test's")["KeyMetadata"]["KeyId"]
    yield made
    kms.schedule_key_deletion(KeyId=made, PendingWindowInDays=7)


@pytest.fixture
def user(platform):
    """Makes users with a key; removes them. The second answer is a client of theirs."""
    iam, made = platform.client("iam"), []

    def make(name, service, *statements):
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
        held = iam.create_access_key(UserName=name)["AccessKey"]
        made.append((name, held["AccessKeyId"], bool(statements)))
        more = {"access_key": held["AccessKeyId"], "secret_key": held["SecretAccessKey"]}
        return arn, platform.client(service, **more)

    yield make
    for name, access_key, has_policy in made:
        iam.delete_access_key(UserName=name, AccessKeyId=access_key)
        if has_policy:
            iam.delete_user_policy(UserName=name, PolicyName="own")
        iam.delete_user(UserName=name)


def refused(call, code, text="", **more):
    with pytest.raises(ClientError) as error:
        call(**more)
    assert error.value.response["Error"]["Code"] == code, error.value
    assert text in error.value.response["Error"]["Message"]


def test_what_is_encrypted_needs_its_context(kms, key):
    blob = kms.encrypt(KeyId=key, Plaintext=b"plain", EncryptionContext={"for": "ann"})["CiphertextBlob"]
    assert b"plain" not in blob
    answer = kms.decrypt(CiphertextBlob=blob, EncryptionContext={"for": "ann"})
    assert answer["Plaintext"] == b"plain"
    assert answer["KeyId"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"
    refused(kms.decrypt, "InvalidCiphertextException", CiphertextBlob=blob, EncryptionContext={"for": "bob"})
    refused(kms.decrypt, "InvalidCiphertextException", CiphertextBlob=b"no ciphertext")
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    refused(kms.decrypt, "IncorrectKeyException", KeyId=other, CiphertextBlob=blob, EncryptionContext={"for": "ann"})
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext={"for": "ann"}, DestinationKeyId=other, DestinationEncryptionContext={"for": "bob"}
    )["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=moved, EncryptionContext={"for": "bob"})["Plaintext"] == b"plain"
    kms.schedule_key_deletion(KeyId=other)
    refused(kms.decrypt, "KMSInvalidStateException", "is pending deletion.", CiphertextBlob=moved, EncryptionContext={"for": "bob"})


def test_the_life_of_a_key(kms, key):
    kms.create_alias(AliasName="alias/life", TargetKeyId=key)
    assert kms.describe_key(KeyId="alias/life")["KeyMetadata"]["KeyState"] == "Enabled"
    before = kms.encrypt(KeyId="alias/life", Plaintext=b"before")["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    assert kms.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"] == 90
    kms.rotate_key_on_demand(KeyId=key)
    assert [one["RotationType"] for one in kms.list_key_rotations(KeyId=key)["Rotations"]] == ["ON_DEMAND"]
    assert kms.decrypt(CiphertextBlob=before)["Plaintext"] == b"before"
    kms.disable_key(KeyId=key)
    refused(kms.encrypt, "DisabledException", "is disabled.", KeyId=key, Plaintext=b"x")
    kms.enable_key(KeyId=key)
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "stage", "TagValue": "test"}])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "stage", "TagValue": "test"}]
    assert key in [one["KeyId"] for page in kms.get_paginator("list_keys").paginate() for one in page["Keys"]]
    names = [one["AliasName"] for page in kms.get_paginator("list_aliases").paginate(KeyId=key) for one in page["Aliases"]]
    assert names == ["alias/life"]
    refused(kms.describe_key, "NotFoundException", "is not found", KeyId="alias/none")
    refused(kms.create_key, "UnsupportedOperationException", "RSA_2048", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")


def test_data_keys_and_codes(kms, key):
    data = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
    assert len(data["Plaintext"]) == 32
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=7)
    assert "Plaintext" not in hidden
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 7
    assert len(kms.generate_random(NumberOfBytes=64)["Plaintext"]) == 64
    mac_key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    code = kms.generate_mac(KeyId=mac_key, Message=b"message", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert kms.verify_mac(KeyId=mac_key, Message=b"message", MacAlgorithm="HMAC_SHA_256", Mac=code)["MacValid"]
    refused(kms.verify_mac, "KMSInvalidMacException", KeyId=mac_key, Message=b"other", MacAlgorithm="HMAC_SHA_256", Mac=code)
    refused(kms.encrypt, "DryRunOperationException", KeyId=key, Plaintext=b"x", DryRun=True)


def test_the_keys_policy_is_decisive(kms, key, user):
    arn, anns = user("ann", "kms", allow("kms:*"))
    anns.encrypt(KeyId=key, Plaintext=b"x")
    _, bobs = user("bob", "kms")
    refused(bobs.encrypt, "AccessDeniedException", "no identity-based policy allows the kms:Encrypt action", KeyId=key, Plaintext=b"x")
    own = policy({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}, "Action": "kms:Encrypt", "Resource": "*"})
    refused(kms.put_key_policy, "MalformedPolicyDocumentException", "in the future", KeyId=key, Policy=own)
    keeps = json.loads(own)
    keeps["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "NotAction": "kms:Encrypt", "Resource": "*"}
    )
    kms.put_key_policy(KeyId=key, Policy=json.dumps(keeps))
    assert json.loads(kms.get_key_policy(KeyId=key)["Policy"]) == keeps
    bobs.encrypt(KeyId=key, Plaintext=b"x")
    refused(anns.encrypt, "AccessDeniedException", "no resource-based policy allows", KeyId=key, Plaintext=b"x")
    refused(kms.encrypt, "AccessDeniedException", "no resource-based policy allows", KeyId=key, Plaintext=b"x")


def test_a_grant_is_as_wide_as_its_constraint(kms, key, user):
    arn, anns = user("ann", "kms")
    blob = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    other = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"a": "2"})["CiphertextBlob"]
    grant = kms.create_grant(
        KeyId=key, GranteePrincipal=arn, Operations=["Decrypt"], Constraints={"EncryptionContextSubset": {"a": "1"}}
    )
    assert anns.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "1"}, GrantTokens=[grant["GrantToken"]])["Plaintext"] == b"x"
    refused(anns.decrypt, "AccessDeniedException", "kms:Decrypt", CiphertextBlob=other, EncryptionContext={"a": "2"})
    assert [one["GrantId"] for one in kms.list_grants(KeyId=key)["Grants"]] == [grant["GrantId"]]
    kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    refused(anns.decrypt, "AccessDeniedException", "kms:Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "1"})


def test_the_command_line(platform):
    done = platform.shell(
        """
        key=$(aws kms create-key --query KeyMetadata.KeyId --output text)
        printf 'typed secret' > /tmp/lsh-kms-plain
        aws kms encrypt --key-id $key --plaintext fileb:///tmp/lsh-kms-plain --output text --query CiphertextBlob | base64 -d > /tmp/lsh-kms-blob
        aws kms decrypt --ciphertext-blob fileb:///tmp/lsh-kms-blob --output text --query Plaintext
        aws kms schedule-key-deletion --key-id $key --pending-window-in-days 7 > /dev/null
        rm /tmp/lsh-kms-plain /tmp/lsh-kms-blob
        """
    )
    assert base64.b64decode(done.stdout) == b"typed secret"
