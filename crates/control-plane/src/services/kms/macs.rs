//! Authentication codes with HMAC keys.

use aws_shapes_kms::{
    GenerateMacRequest, GenerateMacResponse, MacAlgorithmSpec, VerifyMacRequest, VerifyMacResponse, errors,
};

use super::{
    cipher::ready,
    crypto,
    errors::{declared, dry_run, key_usage},
    keys::enabled,
    names::{self, Found},
    records::{Kind, MacBits},
    shapes,
};
use crate::gateway::{ApiError, Call};

fn key(
    call: &Call,
    id: Option<String>,
    algorithm: Option<MacAlgorithmSpec>,
) -> Result<(Found, MacBits), ApiError> {
    let found = call.services.state.read(|view| names::see(view, call.scope(), &id.unwrap_or_default()))?;
    enabled(&found)?;
    let Kind::Mac(bits) = found.key.kind else {
        return Err(key_usage(format!(
            "{} key usage is {} which is not valid.",
            found.arn(),
            shapes::usage(found.key.kind)
        )));
    };
    if algorithm != shapes::mac(found.key.kind) {
        return Err(key_usage(format!("The algorithm is not one of the key {}.", found.arn())));
    }
    Ok((found, bits))
}

pub async fn generate(call: Call, input: GenerateMacRequest) -> Result<GenerateMacResponse, ApiError> {
    ready(&call, input.grant_tokens.as_deref(), None)?;
    let (found, bits) = key(&call, input.key_id, input.mac_algorithm)?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    let mac = crypto::mac(found.key.current(), bits, &input.message.unwrap_or_default());
    Ok(GenerateMacResponse { key_id: Some(found.arn()), mac: Some(mac), mac_algorithm: input.mac_algorithm })
}

pub async fn verify(call: Call, input: VerifyMacRequest) -> Result<VerifyMacResponse, ApiError> {
    ready(&call, input.grant_tokens.as_deref(), None)?;
    let (found, bits) = key(&call, input.key_id, input.mac_algorithm)?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    let (message, mac) = (input.message.unwrap_or_default(), input.mac.unwrap_or_default());
    if !crypto::verify_mac(found.key.current(), bits, &message, &mac) {
        return Err(declared(&errors::KMS_INVALID_MAC_EXCEPTION, ""));
    }
    Ok(VerifyMacResponse {
        key_id: Some(found.arn()),
        mac_algorithm: input.mac_algorithm,
        mac_valid: Some(true),
    })
}
