//! What time does to secrets: those whose window is over are gone, and others are rotated.

use std::sync::Arc;

use vocabulary::Timestamp;

use super::{deletion, rotation};
use crate::{gateway::ApiError, services::Services};

/// Does what is due.
///
/// # Errors
/// Those of the store.
pub async fn run(services: &Arc<Services>, now: Timestamp) -> Result<(), ApiError> {
    deletion::purge(services, now).await?;
    rotation::run_due(services, now).await
}
