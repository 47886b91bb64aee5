//! What clients see of KMS.

mod life;
mod permissions;

use std::collections::BTreeMap;

use aws_schema::{Operation, Shape};
use aws_shapes_kms as kms;

use super::*;
use crate::{
    authorization::authorize,
    gateway::{ApiError, Principal},
    services::testing::{Fixture, text},
};

pub async fn key(fixture: &Fixture) -> String {
    made(fixture, kms::CreateKeyRequest::default()).await
}

pub async fn made(fixture: &Fixture, input: kms::CreateKeyRequest) -> String {
    let answer = super::keys::create(fixture.call(), input).await.unwrap();
    answer.key_metadata.unwrap().key_id.unwrap()
}

pub fn context(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

pub async fn encrypt(
    fixture: &Fixture,
    key: &str,
    plaintext: &[u8],
    pairs: &[(&str, &str)],
) -> Result<Vec<u8>, ApiError> {
    let input = kms::EncryptRequest {
        key_id: text(key),
        plaintext: Some(plaintext.to_vec()),
        encryption_context: context(pairs),
        ..Default::default()
    };
    let answer = cipher::encrypt(fixture.call(), input).await?;
    Ok(answer.ciphertext_blob.unwrap())
}

pub async fn decrypt(fixture: &Fixture, blob: &[u8], pairs: &[(&str, &str)]) -> Result<Vec<u8>, ApiError> {
    let input = kms::DecryptRequest {
        ciphertext_blob: Some(blob.to_vec()),
        encryption_context: context(pairs),
        ..Default::default()
    };
    Ok(cipher::decrypt(fixture.call(), input).await?.plaintext.unwrap())
}

/// Whether `principal` may do what `input` asks, as the front door decides.
pub fn may<O: Operation>(fixture: &Fixture, principal: &Principal, input: O::Input) -> Result<(), ApiError>
where
    O::Input: Shape,
{
    authorize(&fixture.call_as(principal.clone()), kms::SERVICE, O::TABLE, &input.into_value())
}
