//! Keys of AWS's services, `alias/aws/NAME`: one for each account, region and service, made at its first use.
//!
//! Everybody in the account may use them, through the service and in no other way; nobody may change them. They are rotated every year.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    crypto,
    names::{self, Found, Named},
    records::{Alias, Key, Kind, MaterialOrigin, Rotation, State},
};
use crate::gateway::{ApiError, Call};

/// Services that have a key of their own.
const SERVICES: &[&str] =
    &["acm", "ebs", "ecr", "elasticfilesystem", "logs", "s3", "secretsmanager", "sns", "sqs", "ssm"];
const YEAR_DAYS: i32 = 365;

/// The service that an alias's name (without `alias/`) is reserved for.
fn service_of(name: &str) -> Option<&'static str> {
    let service = name.strip_prefix("aws/")?;
    SERVICES.iter().find(|known| **known == service).copied()
}

/// Makes the key that a request names, if it is one of these and not there yet.
///
/// # Errors
/// Those of the store.
pub async fn at_first_use(call: &Call, text: &str) -> Result<(), ApiError> {
    let Ok(Named::Alias(scope, name)) = names::parse(call.scope(), text) else { return Ok(()) };
    if service_of(&name).is_none() || scope != *call.scope() {
        return Ok(());
    }
    if call.services.state.read(|view| view.get::<Alias>(&scope, &name)).is_some() {
        return Ok(());
    }
    let ids = &mut call.services.ids();
    call.services.state.transact(|tx| get_or_make(tx, &scope, text, call.now(), ids).map(drop)).await
}

/// The key that `text` names; one of these is made when it is not there.
///
/// # Errors
/// `NotFoundException`, `InvalidArnException`.
pub fn get_or_make(
    tx: &mut Tx,
    scope: &Scope,
    text: &str,
    now: Timestamp,
    ids: &mut impl Ids,
) -> Result<Found, ApiError> {
    if let Ok(Named::Alias(of, name)) = names::parse(scope, text)
        && of == *scope
        && let Some(service) = service_of(&name)
        && tx.get::<Alias>(scope, &name).is_none()
    {
        let key = Arc::new(Key {
            id: ids.uuid(),
            kind: Kind::Encryption,
            description: format!("The default key of {service}, made at its first use"),
            state: State::Enabled,
            managed_by: Some(service.to_owned()),
            policy: policy(scope, service),
            created_at: now,
            materials: vec![crypto::material(Kind::Encryption, MaterialOrigin::First, now, ids)],
            rotation: Some(Rotation { period_days: YEAR_DAYS, next: now + year() }),
            tags: Default::default(),
        });
        tx.put::<Key>(scope, &key.id, Arc::clone(&key));
        tx.put(scope, &name, Alias { key_id: key.id.clone(), created_at: now, updated_at: now });
        return Ok(Found { scope: scope.clone(), key });
    }
    names::get(tx, scope, text)
}

fn year() -> Duration {
    Duration::from_secs(24 * 60 * 60) * YEAR_DAYS.unsigned_abs()
}

fn policy(scope: &Scope, service: &str) -> String {
    let Scope { account, region } = scope;
    let document = json!({
        "Version": "2012-10-17",
        "Id": format!("auto-{service}-1"),
        "Statement": [
            {
                "Sid": "Use by whoever in the account may use the service",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": [
                    "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant",
                    "kms:DescribeKey",
                ],
                "Resource": "*",
                "Condition": { "StringEquals": {
                    "kms:CallerAccount": account.as_str(),
                    "kms:ViaService": format!("{service}.{region}.amazonaws.com"),
                } },
            },
            {
                "Sid": "What it is, for the account",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*",
            },
        ],
    });
    format!("{document:#}")
}
