//! The handshake: what kind of session it is, and under which key it is encrypted.

use serde_json::json;
use tokio::time::Instant;

use super::{
    super::{
        cipher::{self, Encryption},
        encryption,
        wire::{
            ACTION_SUCCEEDED, HandshakeComplete, HandshakeRequest, HandshakeResponse, Payload,
            RequestedAction,
        },
    },
    Opening, Session, Stage,
};

/// What clients take this side for: a version of the SSM agent that multiplexes forwarded ports without keeping them alive by itself
/// (after 3.1.1511.0).
const AGENT_VERSION: &str = "3.3.40.0";

impl Session {
    pub(super) fn ask_for_handshake(&mut self) {
        let work = &self.opening.plan.work;
        let session_type = RequestedAction {
            action_type: "SessionType".to_owned(),
            action_parameters: json!({
                "SessionType": work.session_type(),
                "Properties": work.properties(),
            }),
        };
        let encryption = self.opening.plan.key.clone().map(|key_id| RequestedAction {
            action_type: cipher::ACTION.to_owned(),
            action_parameters: json!(Encryption { key_id }),
        });
        let request = HandshakeRequest {
            agent_version: AGENT_VERSION.to_owned(),
            requested_client_actions: [session_type].into_iter().chain(encryption).collect(),
        };
        self.say(Payload::HandshakeRequest, serde_json::to_vec(&request).unwrap_or_default());
    }

    pub(super) fn shake_hands(&mut self, payload: &[u8]) {
        let response = match serde_json::from_slice::<HandshakeResponse>(payload) {
            Ok(response) => response,
            Err(error) => {
                let _ = self.fail(&format!("the client's answer to the handshake cannot be read: {error}"));
                return self.close();
            }
        };
        let refused = response.processed_client_actions.iter().find(|a| a.action_status != ACTION_SUCCEEDED);
        if let Some(refused) = refused {
            let _ =
                self.fail(&format!("the client does not support {}: {}", refused.action_type, refused.error));
            return self.close();
        }
        self.client_version.clone_from(&response.client_version);
        match self.opening.plan.key.is_some() {
            true => self.begin_encryption(&response),
            false => self.complete_handshake(),
        }
    }

    /// Takes the data key, and asks for proof that it is the client's as well.
    fn begin_encryption(&mut self, response: &HandshakeResponse) {
        let Opening { services, scope, reached, target, desk, .. } = &self.opening;
        let actions = &response.processed_client_actions;
        let made = actions.iter().find(|action| action.action_type == cipher::ACTION);
        let made = made.ok_or_else(|| "the client does not encrypt the session".to_owned());
        let key = self.opening.plan.key.as_deref().unwrap_or_default();
        let made = made.and_then(|action| {
            let of = encryption::Of { session: desk.id(), target, reached, key };
            encryption::cipher(services, scope, &of, &action.action_result)
        });
        match made {
            Ok(cipher) => {
                let (sent, payload) = encryption::challenge(&cipher, &mut services.ids());
                (self.cipher, self.challenge) = (Some(cipher), Some(sent));
                self.say(Payload::EncryptionChallenge, payload);
            }
            Err(reason) => {
                let _ = self.fail(&reason);
                self.close();
            }
        }
    }

    pub(super) fn check_answer(&mut self, payload: &[u8]) {
        let (Some(sent), Some(cipher)) = (self.challenge.take(), &self.cipher) else { return };
        match sent.is_answered(cipher, payload) {
            true => self.complete_handshake(),
            false => {
                let _ = self.fail("the client did not answer the encryption challenge as it should");
                self.close();
            }
        }
    }

    fn complete_handshake(&mut self) {
        let complete = HandshakeComplete {
            handshake_time_to_complete: u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            customer_message: String::new(),
        };
        self.say(Payload::HandshakeComplete, serde_json::to_vec(&complete).unwrap_or_default());
        self.stage = Stage::Open;
        self.active_at = Instant::now();
        self.work.begin(&self.client_version);
    }
}
