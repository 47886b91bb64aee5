//! The data key of a session that is encrypted: made by KMS in the name of whoever opens the session.

use anyhow::{Context, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use control_plane::session_manager::cipher::{self, KEY_BYTES};
use node_agent::remote::{Api, JsonService};
use serde_json::{Value, json};

use super::containers;
use crate::commands::client::said;

const KMS: JsonService = JsonService { name: "kms", target: "TrentService" };

/// What the key is for.
pub struct Keys<'a> {
    pub api: &'a Api,
    pub session: String,
    pub target: SessionTarget,
}

/// The session's target, which is part of the key's encryption context.
#[derive(Clone)]
pub enum SessionTarget {
    Known(String),
    /// As ExecuteCommand has it, which does not tell.
    Of {
        cluster: String,
        task: String,
        container: Option<String>,
    },
}

/// A data key.
pub struct DataKey {
    pub plain: Vec<u8>,
    /// In base64.
    pub ciphertext: String,
}

impl Keys<'_> {
    /// Needs `kms:GenerateDataKey`.
    ///
    /// # Errors
    /// What KMS says.
    pub async fn make(&self, key_id: &str) -> anyhow::Result<DataKey> {
        let target = match &self.target {
            SessionTarget::Known(target) => target.clone(),
            SessionTarget::Of { cluster, task, container } => {
                containers::target(self.api, cluster, task, container.as_deref()).await.map_err(said)?.text()
            }
        };
        let input = json!({
            "KeyId": key_id,
            "NumberOfBytes": KEY_BYTES,
            "EncryptionContext": cipher::context(&self.session, &target),
        });
        let made = self.api.call_of(KMS, "GenerateDataKey", &input).await.map_err(said)?;
        let text = |name: &str| {
            let text = made.get(name).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| anyhow!("the answer of KMS has no {name}"))
        };
        let plain = STANDARD.decode(text("Plaintext")?).context("the answer of KMS")?;
        Ok(DataKey { plain, ciphertext: text("CiphertextBlob")? })
    }
}
