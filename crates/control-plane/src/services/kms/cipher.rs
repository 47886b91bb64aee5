//! Encrypting and decrypting for clients.

use aws_shapes_kms::{DataKeySpec, RecipientInfo};
use aws_shapes_kms::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, EncryptionAlgorithmSpec,
    GenerateDataKeyRequest, GenerateDataKeyResponse, GenerateDataKeyWithoutPlaintextRequest,
    GenerateDataKeyWithoutPlaintextResponse, GenerateRandomRequest, GenerateRandomResponse, ReEncryptRequest,
    ReEncryptResponse,
};
use state_store::View;
use vocabulary::Ids;

use super::{
    crypto::{self, Header},
    errors::{dry_run, incorrect_key, invalid_ciphertext, key_usage, unsupported, validation},
    grants::check_tokens,
    keys::enabled,
    managed,
    names::{self, Found},
    records::{Key, Kind},
};
use crate::gateway::{ApiError, Call};

/// What stands before each of these operations.
pub fn ready(
    call: &Call,
    tokens: Option<&[String]>,
    recipient: Option<&RecipientInfo>,
) -> Result<(), ApiError> {
    if recipient.is_some() {
        return Err(unsupported("Recipient is for enclaves, which this platform does not have."));
    }
    check_tokens(call, tokens)
}

fn symmetric(algorithm: Option<EncryptionAlgorithmSpec>) -> Result<(), ApiError> {
    match algorithm {
        None | Some(EncryptionAlgorithmSpec::SymmetricDefault) => Ok(()),
        Some(other) => Err(key_usage(format!("The algorithm {other} is not one of this key."))),
    }
}

/// The key, when it may encrypt and decrypt now.
pub fn usable(found: Found) -> Result<Found, ApiError> {
    enabled(&found)?;
    match found.key.kind {
        Kind::Encryption => Ok(found),
        Kind::Mac(_) => {
            Err(key_usage(format!("{} key usage is GENERATE_VERIFY_MAC which is not valid.", found.arn())))
        }
    }
}

async fn encrypting_key(call: &Call, id: Option<String>) -> Result<Found, ApiError> {
    let id = id.unwrap_or_default();
    managed::at_first_use(call, &id).await?;
    usable(call.services.state.read(|view| names::see(view, call.scope(), &id))?)
}

/// The key of a ciphertext, which is the one that the request names, if it names one.
pub fn decrypting_key(
    view: &View,
    call: &Call,
    blob: &[u8],
    named: Option<&str>,
) -> Result<(Found, Header), ApiError> {
    let header = crypto::header(blob).ok_or_else(invalid_ciphertext)?;
    if header.scope.region != call.scope().region {
        return Err(invalid_ciphertext());
    }
    let key = view.get::<Key>(&header.scope, &header.key_id).ok_or_else(invalid_ciphertext)?;
    let found = Found { scope: header.scope.clone(), key };
    if let Some(named) = named {
        let named = names::see(view, call.scope(), named)?;
        if named.arn() != found.arn() {
            return Err(incorrect_key());
        }
    }
    Ok((usable(found)?, header))
}

pub async fn encrypt(call: Call, input: EncryptRequest) -> Result<EncryptResponse, ApiError> {
    ready(&call, input.grant_tokens.as_deref(), None)?;
    symmetric(input.encryption_algorithm)?;
    let found = encrypting_key(&call, input.key_id).await?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    let context = input.encryption_context.unwrap_or_default();
    let blob = crypto::encrypt(&found.scope, &found.key, &input.plaintext.unwrap_or_default(), &context);
    Ok(EncryptResponse {
        ciphertext_blob: Some(blob),
        encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        key_id: Some(found.arn()),
    })
}

pub async fn decrypt(call: Call, input: DecryptRequest) -> Result<DecryptResponse, ApiError> {
    ready(&call, input.grant_tokens.as_deref(), input.recipient.as_ref())?;
    symmetric(input.encryption_algorithm)?;
    if input.dry_run_modifiers.is_some_and(|modifiers| !modifiers.is_empty()) {
        return Err(unsupported("DryRunModifiers are not supported."));
    }
    let blob = input.ciphertext_blob.unwrap_or_default();
    let view = call.services.state.view();
    let (found, header) = decrypting_key(&view, &call, &blob, input.key_id.as_deref())?;
    let context = input.encryption_context.unwrap_or_default();
    let plaintext = crypto::decrypt(&found.key, &header, &blob, &context).ok_or_else(invalid_ciphertext)?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    Ok(DecryptResponse {
        encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        key_id: Some(found.arn()),
        key_material_id: crypto::material_id(&found.key, &header),
        plaintext: Some(plaintext),
        ..DecryptResponse::default()
    })
}

pub async fn re_encrypt(call: Call, input: ReEncryptRequest) -> Result<ReEncryptResponse, ApiError> {
    ready(&call, input.grant_tokens.as_deref(), None)?;
    symmetric(input.source_encryption_algorithm)?;
    symmetric(input.destination_encryption_algorithm)?;
    if input.dry_run_modifiers.is_some_and(|modifiers| !modifiers.is_empty()) {
        return Err(unsupported("DryRunModifiers are not supported."));
    }
    let destination = encrypting_key(&call, input.destination_key_id).await?;
    let blob = input.ciphertext_blob.unwrap_or_default();
    let view = call.services.state.view();
    let (source, header) = decrypting_key(&view, &call, &blob, input.source_key_id.as_deref())?;
    let from = input.source_encryption_context.unwrap_or_default();
    let plaintext = crypto::decrypt(&source.key, &header, &blob, &from).ok_or_else(invalid_ciphertext)?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    let to = input.destination_encryption_context.unwrap_or_default();
    Ok(ReEncryptResponse {
        ciphertext_blob: Some(crypto::encrypt(&destination.scope, &destination.key, &plaintext, &to)),
        destination_encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        destination_key_material_id: Some(destination.key.current().id.clone()),
        key_id: Some(destination.arn()),
        source_encryption_algorithm: Some(EncryptionAlgorithmSpec::SymmetricDefault),
        source_key_id: Some(source.arn()),
        source_key_material_id: crypto::material_id(&source.key, &header),
    })
}

fn length(bytes: i32) -> Result<usize, ApiError> {
    let wrong = || validation("NumberOfBytes must be between 1 and 1024.");
    usize::try_from(bytes).ok().filter(|length| (1..=1024).contains(length)).ok_or_else(wrong)
}

fn random(call: &Call, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    call.services.ids().fill(&mut bytes);
    bytes
}

pub async fn generate_data_key(
    call: Call,
    input: GenerateDataKeyRequest,
) -> Result<GenerateDataKeyResponse, ApiError> {
    ready(&call, input.grant_tokens.as_deref(), input.recipient.as_ref())?;
    let length = match (input.key_spec, input.number_of_bytes) {
        (Some(DataKeySpec::Aes256), None) => 32,
        (Some(DataKeySpec::Aes128), None) => 16,
        (None, Some(bytes)) => length(bytes)?,
        _ => return Err(validation("Please specify either number of bytes or key spec.")),
    };
    let found = encrypting_key(&call, input.key_id).await?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    let plaintext = random(&call, length);
    let context = input.encryption_context.unwrap_or_default();
    Ok(GenerateDataKeyResponse {
        ciphertext_blob: Some(crypto::encrypt(&found.scope, &found.key, &plaintext, &context)),
        key_id: Some(found.arn()),
        key_material_id: Some(found.key.current().id.clone()),
        plaintext: Some(plaintext),
        ..GenerateDataKeyResponse::default()
    })
}

pub async fn generate_data_key_without_plaintext(
    call: Call,
    input: GenerateDataKeyWithoutPlaintextRequest,
) -> Result<GenerateDataKeyWithoutPlaintextResponse, ApiError> {
    let input = GenerateDataKeyRequest {
        key_id: input.key_id,
        key_spec: input.key_spec,
        number_of_bytes: input.number_of_bytes,
        encryption_context: input.encryption_context,
        grant_tokens: input.grant_tokens,
        dry_run: input.dry_run,
        ..GenerateDataKeyRequest::default()
    };
    let made = generate_data_key(call, input).await?;
    Ok(GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: made.ciphertext_blob,
        key_id: made.key_id,
        key_material_id: made.key_material_id,
    })
}

pub async fn generate_random(
    call: Call,
    input: GenerateRandomRequest,
) -> Result<GenerateRandomResponse, ApiError> {
    ready(&call, None, input.recipient.as_ref())?;
    if input.custom_key_store_id.is_some() {
        return Err(unsupported("Custom key stores are not supported."));
    }
    let bytes = input.number_of_bytes.ok_or_else(|| validation("NumberOfBytes is required."))?;
    let length = length(bytes)?;
    Ok(GenerateRandomResponse { plaintext: Some(random(&call, length)), ..GenerateRandomResponse::default() })
}
