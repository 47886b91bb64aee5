//! Keys from their creation to their end, and what is encrypted with them.

use super::*;
use crate::services::testing::{HOUR, refused, scope};

fn id(key: &str) -> Option<String> {
    text(key)
}

#[tokio::test]
async fn what_is_encrypted_is_decrypted_with_the_same_context_alone() {
    let fixture = Fixture::new().await;
    let key = key(&fixture).await;
    let blob = encrypt(&fixture, &key, b"plain", &[("a", "1"), ("b", "2")]).await.unwrap();
    assert!(!blob.windows(5).any(|window| window == b"plain"));
    assert_eq!(decrypt(&fixture, &blob, &[("b", "2"), ("a", "1")]).await.unwrap(), b"plain");
    for pairs in [&[("a", "1")][..], &[], &[("a", "12"), ("b", "")], &[("a", "2"), ("b", "1")]] {
        refused(decrypt(&fixture, &blob, pairs).await, "InvalidCiphertextException", "");
    }
    for at in [0, 1, 5, blob.len() / 2, blob.len() - 1] {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        refused(
            decrypt(&fixture, &changed, &[("a", "1"), ("b", "2")]).await,
            "InvalidCiphertextException",
            "",
        );
    }
}

#[tokio::test]
async fn the_key_that_a_decryption_names_has_to_be_the_one() {
    let fixture = Fixture::new().await;
    let (key, other) = (key(&fixture).await, key(&fixture).await);
    let blob = encrypt(&fixture, &key, b"plain", &[]).await.unwrap();
    let with = |name: &str| kms::DecryptRequest {
        key_id: text(name),
        ciphertext_blob: Some(blob.clone()),
        ..Default::default()
    };
    let create = kms::CreateAliasRequest { alias_name: text("alias/mine"), target_key_id: id(&key) };
    aliases::create(fixture.call(), create).await.unwrap();
    let arn = records::key_arn(&scope(), &key);
    for name in [key.as_str(), arn.as_str(), "alias/mine"] {
        assert_eq!(cipher::decrypt(fixture.call(), with(name)).await.unwrap().plaintext.unwrap(), b"plain");
    }
    refused(cipher::decrypt(fixture.call(), with(&other)).await, "IncorrectKeyException", "");
    refused(
        cipher::decrypt(fixture.call(), with("alias/none")).await,
        "NotFoundException",
        "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.",
    );
}

#[tokio::test]
async fn old_ciphertexts_open_after_every_rotation() {
    let fixture = Fixture::new().await;
    let key = key(&fixture).await;
    let mut blobs = vec![encrypt(&fixture, &key, b"0", &[]).await.unwrap()];
    let enable = kms::EnableKeyRotationRequest { key_id: id(&key), rotation_period_in_days: Some(90) };
    rotation::enable(fixture.call(), enable).await.unwrap();
    for round in 1..4_u8 {
        if round % 2 == 0 {
            let input = kms::RotateKeyOnDemandRequest { key_id: id(&key) };
            rotation::on_demand(fixture.call(), input).await.unwrap();
        } else {
            fixture.pass(91 * 24 * HOUR);
            upkeep::run(&fixture.services, fixture.now()).await.unwrap();
        }
        blobs.push(encrypt(&fixture, &key, &[b'0' + round], &[]).await.unwrap());
    }
    for (round, blob) in blobs.iter().enumerate() {
        assert_eq!(decrypt(&fixture, blob, &[]).await.unwrap(), round.to_string().as_bytes());
    }
    let list = kms::ListKeyRotationsRequest { key_id: id(&key), ..Default::default() };
    let rotations = rotation::list(fixture.call(), list).await.unwrap().rotations.unwrap();
    let kinds: Vec<_> = rotations.iter().map(|one| one.rotation_type.unwrap()).collect();
    use kms::RotationType::{Automatic, OnDemand};
    assert_eq!(kinds, [Automatic, OnDemand, Automatic]);
}

#[tokio::test]
async fn a_key_is_switched_off_and_on_and_ends_after_its_window() {
    let fixture = Fixture::new().await;
    let key = key(&fixture).await;
    let blob = encrypt(&fixture, &key, b"plain", &[]).await.unwrap();
    let disable = kms::DisableKeyRequest { key_id: id(&key) };
    super::super::keys::disable(fixture.call(), disable).await.unwrap();
    refused(encrypt(&fixture, &key, b"x", &[]).await, "DisabledException", "is disabled.");
    refused(decrypt(&fixture, &blob, &[]).await, "DisabledException", "is disabled.");
    let enable = kms::EnableKeyRequest { key_id: id(&key) };
    super::super::keys::enable(fixture.call(), enable).await.unwrap();
    decrypt(&fixture, &blob, &[]).await.unwrap();

    let schedule =
        |days| kms::ScheduleKeyDeletionRequest { key_id: id(&key), pending_window_in_days: Some(days) };
    for days in [1, 6, 31] {
        let answer = super::super::keys::schedule_deletion(fixture.call(), schedule(days)).await;
        refused(answer, "ValidationException", "7 and 30");
    }
    super::super::keys::schedule_deletion(fixture.call(), schedule(7)).await.unwrap();
    refused(decrypt(&fixture, &blob, &[]).await, "KMSInvalidStateException", "is pending deletion.");
    let cancel = kms::CancelKeyDeletionRequest { key_id: id(&key) };
    super::super::keys::cancel_deletion(fixture.call(), cancel).await.unwrap();
    refused(decrypt(&fixture, &blob, &[]).await, "DisabledException", "");

    let create = kms::CreateAliasRequest { alias_name: text("alias/mine"), target_key_id: id(&key) };
    aliases::create(fixture.call(), create).await.unwrap();
    super::super::keys::schedule_deletion(fixture.call(), schedule(7)).await.unwrap();
    fixture.pass(7 * 24 * HOUR - 1);
    upkeep::run(&fixture.services, fixture.now()).await.unwrap();
    refused(decrypt(&fixture, &blob, &[]).await, "KMSInvalidStateException", "");
    fixture.pass(1);
    upkeep::run(&fixture.services, fixture.now()).await.unwrap();
    refused(decrypt(&fixture, &blob, &[]).await, "InvalidCiphertextException", "");
    let listed = aliases::list(fixture.call(), Default::default()).await.unwrap();
    assert_eq!(listed.aliases.unwrap(), [], "its alias is gone with it");
}

#[tokio::test]
async fn a_services_key_is_made_at_its_first_use_and_is_nobodys_to_change() {
    let fixture = Fixture::new().await;
    let describe = || kms::DescribeKeyRequest { key_id: text("alias/aws/ssm"), ..Default::default() };
    let first = super::super::keys::describe(fixture.call(), describe()).await.unwrap().key_metadata.unwrap();
    let again = super::super::keys::describe(fixture.call(), describe()).await.unwrap().key_metadata.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.key_manager, Some(kms::KeyManagerType::Aws));
    let root = fixture.call().principal.clone();
    let arn = || first.arn.clone();
    may::<kms::DescribeKey>(&fixture, &root, kms::DescribeKeyRequest { key_id: arn(), ..Default::default() })
        .unwrap();
    refused(
        may::<kms::DisableKey>(&fixture, &root, kms::DisableKeyRequest { key_id: arn() }),
        "AccessDeniedException",
        "kms:DisableKey",
    );
    let encrypt = kms::EncryptRequest { key_id: arn(), plaintext: Some(vec![1]), ..Default::default() };
    refused(may::<kms::Encrypt>(&fixture, &root, encrypt), "AccessDeniedException", "kms:Encrypt");
    let unknown = kms::DescribeKeyRequest { key_id: text("alias/aws/none"), ..Default::default() };
    refused(super::super::keys::describe(fixture.call(), unknown).await, "NotFoundException", "is not found");
}

#[tokio::test]
async fn codes_are_verified_with_their_own_key_message_and_algorithm() {
    let fixture = Fixture::new().await;
    let hmac =
        |spec, usage| kms::CreateKeyRequest { key_spec: Some(spec), key_usage: usage, ..Default::default() };
    use kms::{KeySpec, KeyUsageType, MacAlgorithmSpec as Mac};
    let usage = Some(KeyUsageType::GenerateVerifyMac);
    refused(
        super::super::keys::create(fixture.call(), hmac(KeySpec::Hmac256, None)).await,
        "ValidationException",
        "KeyUsage",
    );
    for (spec, algorithm, length) in [
        (KeySpec::Hmac224, Mac::HmacSha224, 28),
        (KeySpec::Hmac256, Mac::HmacSha256, 32),
        (KeySpec::Hmac384, Mac::HmacSha384, 48),
        (KeySpec::Hmac512, Mac::HmacSha512, 64),
    ] {
        let key = made(&fixture, hmac(spec, usage)).await;
        let generate = kms::GenerateMacRequest {
            key_id: id(&key),
            message: Some(b"message".to_vec()),
            mac_algorithm: Some(algorithm),
            ..Default::default()
        };
        let mac = macs::generate(fixture.call(), generate).await.unwrap().mac.unwrap();
        assert_eq!(mac.len(), length);
        let verify = |message: &[u8]| kms::VerifyMacRequest {
            key_id: id(&key),
            message: Some(message.to_vec()),
            mac: Some(mac.clone()),
            mac_algorithm: Some(algorithm),
            ..Default::default()
        };
        let answer = macs::verify(fixture.call(), verify(b"message")).await.unwrap();
        assert_eq!(answer.mac_valid, Some(true));
        refused(macs::verify(fixture.call(), verify(b"another")).await, "KMSInvalidMacException", "");
        refused(encrypt(&fixture, &key, b"x", &[]).await, "InvalidKeyUsageException", "");
    }
}

#[tokio::test]
async fn what_is_not_made_here_is_refused_by_name() {
    let fixture = Fixture::new().await;
    let rsa = kms::CreateKeyRequest { key_spec: Some(kms::KeySpec::Rsa2048), ..Default::default() };
    let several = kms::CreateKeyRequest { multi_region: Some(true), ..Default::default() };
    let imported = kms::CreateKeyRequest { origin: Some(kms::OriginType::External), ..Default::default() };
    for (input, named) in [(rsa, "RSA_2048"), (several, "Multi-Region"), (imported, "Origin")] {
        let answer = super::super::keys::create(fixture.call(), input).await;
        refused(answer, "UnsupportedOperationException", named);
    }
}

#[tokio::test]
async fn a_data_key_comes_in_the_clear_and_encrypted() {
    let fixture = Fixture::new().await;
    let key = key(&fixture).await;
    let wanted = |spec, bytes| kms::GenerateDataKeyRequest {
        key_id: id(&key),
        key_spec: spec,
        number_of_bytes: bytes,
        ..Default::default()
    };
    let answer = cipher::generate_data_key(fixture.call(), wanted(Some(kms::DataKeySpec::Aes256), None))
        .await
        .unwrap();
    let plain = answer.plaintext.unwrap();
    assert_eq!(plain.len(), 32);
    assert_eq!(decrypt(&fixture, &answer.ciphertext_blob.unwrap(), &[]).await.unwrap(), plain);
    for input in [wanted(None, None), wanted(Some(kms::DataKeySpec::Aes128), Some(8))] {
        let answer = cipher::generate_data_key(fixture.call(), input).await;
        refused(answer, "ValidationException", "either number of bytes or key spec");
    }
}

#[tokio::test]
async fn aliases_keep_their_rules() {
    let fixture = Fixture::new().await;
    let (one, two) = (key(&fixture).await, key(&fixture).await);
    let create = |name: &str, key: &str| {
        let input = kms::CreateAliasRequest { alias_name: text(name), target_key_id: text(key) };
        aliases::create(fixture.call(), input)
    };
    create("alias/mine", &one).await.unwrap();
    refused(create("alias/mine", &two).await, "AlreadyExistsException", "already exists");
    refused(create("mine", &one).await, "ValidationException", "Invalid identifier");
    refused(create("alias/aws/mine", &one).await, "NotAuthorizedException", "");
    refused(create("alias/other", "alias/mine").await, "ValidationException", "Aliases must refer to keys");
    let update = kms::UpdateAliasRequest { alias_name: text("alias/mine"), target_key_id: text(&two) };
    aliases::update(fixture.call(), update).await.unwrap();
    let blob = encrypt(&fixture, "alias/mine", b"x", &[]).await.unwrap();
    let named = kms::DecryptRequest { key_id: text(&two), ciphertext_blob: Some(blob), ..Default::default() };
    cipher::decrypt(fixture.call(), named).await.unwrap();
    let gone = || kms::DeleteAliasRequest { alias_name: text("alias/mine") };
    aliases::delete(fixture.call(), gone()).await.unwrap();
    refused(aliases::delete(fixture.call(), gone()).await, "NotFoundException", "alias/mine is not found.");
}
