//! Values: how they are encrypted, found by version or stage, and given out.

use std::sync::Arc;

use aws_shapes_secretsmanager as secrets;
use base64::{Engine, engine::general_purpose::STANDARD};
use policy::Context;
use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use super::{
    errors::{cannot_decrypt, cannot_encrypt, invalid_request, marked_for_deletion, no_value},
    names::{self, Found},
    records::{CURRENT, Secret, SecretValue, Version, value_id},
};
use crate::{
    authorization::{Holder, Wish, authorize_with_resource_policy, of_call},
    gateway::{ApiError, Call},
    services::{
        Services,
        kms::{self, EncryptionContext},
    },
};

/// A secret's value in the clear. Nothing of it shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Plain {
    Text(String),
    Binary(Vec<u8>),
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Plain {
    fn bytes(&self) -> &[u8] {
        match self {
            Plain::Text(text) => text.as_bytes(),
            Plain::Binary(bytes) => bytes,
        }
    }
}

/// In whose name values are encrypted and decrypted.
#[derive(Debug)]
pub struct Asker {
    pub holder: Arc<Holder>,
    pub context: Context,
}

impl Asker {
    pub fn of(call: &Call) -> Asker {
        let (holder, context) = of_call(call);
        Asker { holder, context }
    }

    fn user(&self) -> kms::User<'_> {
        kms::User { holder: &self.holder, context: &self.context, via: Some("secretsmanager") }
    }
}

/// The service's own key, where a secret names none.
const OWN_KEY: &str = "alias/aws/secretsmanager";

/// As on AWS: a value is bound to its secret and version.
fn encryption_context(secret: &Secret, scope: &Scope, version_id: &str) -> EncryptionContext {
    [("SecretARN", secret.arn(scope)), ("SecretVersionId", version_id.to_owned())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// Encrypts a value and stores it; the ARN of the key that did it.
///
/// # Errors
/// `EncryptionFailure`, `AccessDeniedException`.
pub fn put(
    services: &Services,
    tx: &mut Tx,
    scope: &Scope,
    secret: &Secret,
    version_id: &str,
    plain: &Plain,
    asker: &Asker,
) -> Result<String, ApiError> {
    let context = encryption_context(secret, scope, version_id);
    let key = secret.kms_key.as_deref().unwrap_or(OWN_KEY);
    let with = kms::With { key, action: "kms:GenerateDataKey", context: &context };
    let made = kms::encrypt(services, tx, scope, &with, plain.bytes(), &asker.user());
    let made = made.map_err(cannot_encrypt)?;
    let value = SecretValue { blob: STANDARD.encode(made.blob), binary: matches!(plain, Plain::Binary(_)) };
    tx.put(scope, &value_id(secret, version_id), value);
    Ok(made.key_arn)
}

/// The value of a version; none when it has none.
///
/// # Errors
/// `DecryptionFailure`, `AccessDeniedException`.
pub fn open(
    services: &Services,
    view: &View,
    scope: &Scope,
    secret: &Secret,
    version_id: &str,
    asker: &Asker,
) -> Result<Option<Plain>, ApiError> {
    let Some(kept) = view.get::<SecretValue>(scope, &value_id(secret, version_id)) else { return Ok(None) };
    let blob = STANDARD.decode(&kept.blob).map_err(ApiError::internal)?;
    let context = encryption_context(secret, scope, version_id);
    let opened = kms::decrypt(services, view, &blob, &context, &asker.user()).map_err(cannot_decrypt)?;
    if kept.binary {
        return Ok(Some(Plain::Binary(opened)));
    }
    String::from_utf8(opened).map(|text| Some(Plain::Text(text))).map_err(|_| {
        // The error would hold what it could not read.
        ApiError::internal("the text of a secret is not UTF-8")
    })
}

/// Which version of a secret is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    pub version_id: Option<&'a str>,
    pub stage: Option<&'a str>,
}

/// The version that is asked for: by its id, by a stage, or by both if they agree; the current one otherwise.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`.
pub fn version<'a>(secret: &'a Secret, which: &Which<'_>) -> Result<(&'a String, &'a Version), ApiError> {
    if secret.deletion.is_some() {
        return Err(marked_for_deletion());
    }
    let Some(id) = which.version_id else {
        let stage = which.stage.unwrap_or(CURRENT);
        return secret.at(stage).ok_or_else(|| no_value(&format!("staging label: {stage}")));
    };
    let found = secret.versions.get_key_value(id);
    let found = found.ok_or_else(|| no_value(&format!("VersionId: {id}")))?;
    match which.stage {
        Some(stage) if !found.1.stages.contains(stage) => Err(invalid_request(
            "You provided a VersionStage that is not associated to the provided VersionId.",
        )),
        _ => Ok(found),
    }
}

/// A value that was asked for.
#[derive(Debug)]
pub struct Given {
    pub found: Found,
    pub version_id: String,
    pub version: Version,
    pub plain: Plain,
}

/// The value of the secret that `id` names, for somebody who was found to have a right to the secret.
///
/// # Errors
/// Those of [`version`] and [`open`].
pub fn give(
    services: &Arc<Services>,
    scope: &Scope,
    id: &str,
    which: &Which<'_>,
    asker: &Asker,
) -> Result<Given, ApiError> {
    let view = services.state.view();
    let found = names::see(&view, scope, id)?;
    let (version_id, version) = version(&found.secret, which)?;
    let plain = open(services, &view, &found.scope, &found.secret, version_id, asker)?;
    let missing = || match which.version_id {
        Some(id) => no_value(&format!("VersionId: {id}")),
        None => no_value(&format!("staging label: {}", which.stage.unwrap_or(CURRENT))),
    };
    let plain = plain.ok_or_else(missing)?;
    let (version_id, version) = (version_id.clone(), version.clone());
    note_access(services, &found, &version_id, services.now());
    Ok(Given { found, version_id, version, plain })
}

/// Midnight of a day.
fn day(now: Timestamp) -> Timestamp {
    const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
    Timestamp::from_millis(now.as_millis().div_euclid(DAY_MILLIS) * DAY_MILLIS)
}

/// Notes the day of an access, in the background and once a day: nobody waits for it.
fn note_access(services: &Services, found: &Found, version_id: &str, now: Timestamp) {
    let today = day(now);
    let noted = |version: Option<&Version>| version.is_none_or(|one| one.accessed_on == Some(today));
    if found.secret.accessed_on == Some(today) && noted(found.secret.versions.get(version_id)) {
        return;
    }
    let (state, scope) = (services.state.clone(), found.scope.clone());
    let (name, version_id) = (found.secret.name.clone(), version_id.to_owned());
    tokio::spawn(async move {
        let outcome = state
            .transact(|tx| {
                let Some(secret) = tx.get::<Secret>(&scope, &name) else { return Ok(()) };
                let mut secret = Secret::clone(&secret);
                secret.accessed_on = Some(today);
                if let Some(version) = secret.versions.get_mut(&version_id) {
                    version.accessed_on = Some(today);
                }
                tx.put(&scope, &name, secret);
                Ok::<_, ApiError>(())
            })
            .await;
        if let Err(error) = outcome {
            tracing::debug!(%error, "the access to a secret was not noted");
        }
    });
}

/// A secret's value for a task that is given it: `secretsmanager:GetSecretValue` (and `kms:Decrypt` on its key) is asked of `holder`. `id` is a
/// name in `scope` or an ARN, which may be of another region. `json_key` takes one member of a value that is a JSON object. A binary value
/// is given in base 64.
///
/// # Errors
/// `AccessDeniedException`, and those of `GetSecretValue`. No message holds anything of the value.
pub fn value(
    services: &Arc<Services>,
    scope: &Scope,
    holder: &Arc<Holder>,
    id: &str,
    json_key: Option<&str>,
    which: Which<'_>,
) -> Result<String, ApiError> {
    let arn: Option<vocabulary::Arn> = id.parse().ok();
    let own = arn.and_then(|arn| Some(Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?)));
    let scope = own.unwrap_or_else(|| scope.clone());
    let mut context = holder.context(&scope.region, services.now());
    if let Some(stage) = which.stage {
        context.set("secretsmanager:VersionStage", stage);
    }
    if let Some(version_id) = which.version_id {
        context.set("secretsmanager:VersionId", version_id);
    }
    let resource = match id.starts_with("arn:") {
        true => id.to_owned(),
        false => scope.arn("secretsmanager", format_args!("secret:{id}")).to_string(),
    };
    let wish = Wish::new("secretsmanager:GetSecretValue", &resource);
    authorize_with_resource_policy(services, holder, &context, secrets::SERVICE, &wish)?;
    let asker = Asker { holder: Arc::clone(holder), context };
    let given = give(services, &scope, id, &which, &asker)?;
    let text = match given.plain {
        Plain::Text(text) => text,
        Plain::Binary(bytes) => STANDARD.encode(bytes),
    };
    let Some(key) = json_key else { return Ok(text) };
    let missing =
        || invalid_request(format!("retrieved secret from Secrets Manager did not contain json key {key}"));
    // The parser's error would quote the value.
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|_| missing())?;
    match json.get(key).ok_or_else(missing)? {
        serde_json::Value::String(text) => Ok(text.clone()),
        other => Ok(other.to_string()),
    }
}
