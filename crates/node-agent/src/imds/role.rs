//! The credentials of the instance's role, fetched when somebody asks and kept until shortly before they end.

use std::{sync::Arc, time::Duration};

use agent_protocol::{ControlError, ControlPlane, InstanceRole};
use tokio::sync::Mutex;
use vocabulary::Timestamp;

/// SDKs fetch credentials anew when they end within a quarter of an hour; then there are new ones.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * 60);
/// The profile's role may be taken away or exchanged: it is asked for this often.
const FRESH: Duration = Duration::from_secs(60);

pub(super) struct Role {
    from: Option<Arc<dyn ControlPlane>>,
    held: Mutex<Option<Held>>,
}

struct Held {
    role: Option<InstanceRole>,
    asked_at: Timestamp,
}

impl Role {
    pub(super) fn new(from: Option<Arc<dyn ControlPlane>>) -> Role {
        Role { from, held: Mutex::new(None) }
    }

    /// The role with its credentials; none where the instance has no profile or the profile no role.
    ///
    /// # Errors
    /// When the control plane cannot be reached and nothing is known that still holds.
    pub(super) async fn current(&self, now: Timestamp) -> Result<Option<InstanceRole>, ControlError> {
        let Some(from) = &self.from else { return Ok(None) };
        // One asks for all that wait.
        let mut held = self.held.lock().await;
        let earlier = held.as_ref().and_then(|held| held.role.clone());
        if let Some(known) = held.as_ref().filter(|held| now.since(held.asked_at) < FRESH) {
            return Ok(known.role.clone());
        }
        // The same credentials stay for as long as they last: the control plane gives new ones only when it is told that they end.
        let keep = earlier.as_ref().filter(|role| lasts(role, now)).map(|role| role.access_key_id.clone());
        let role = match from.instance_role(keep).await {
            Ok(role) => role,
            Err(ControlError::Refused { code, message }) => {
                tracing::warn!(code, message, "the control plane gives the instance no role");
                None
            }
            Err(error) => match earlier.filter(|role| role.expires_at > now) {
                Some(earlier) => return Ok(Some(earlier)),
                None => return Err(error),
            },
        };
        *held = Some(Held { role: role.clone(), asked_at: now });
        Ok(role)
    }
}

fn lasts(role: &InstanceRole, now: Timestamp) -> bool {
    role.expires_at > now + RENEWED_BEFORE
}
