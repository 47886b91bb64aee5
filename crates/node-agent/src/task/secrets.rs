//! What a task is given in confidence: asked for once, when something first needs it, and held in memory alone.

use std::sync::Arc;

use agent_protocol::{ControlError, spec::TaskSpec};
use tokio::sync::OnceCell;

use crate::{node::Node, retry::Backoff};

/// How often the control plane is asked while it cannot be reached: for about half a minute.
const ATTEMPTS: u32 = 12;

/// The secrets of one task.
#[derive(Default)]
pub(super) struct Secrets {
    whole: OnceCell<Arc<TaskSpec>>,
}

impl Secrets {
    /// The specification with everything in it that the task was waiting for; as it is when that is nothing. The error is the reason
    /// that ends the task.
    pub(super) async fn complete(&self, node: &Node, spec: &Arc<TaskSpec>) -> Result<Arc<TaskSpec>, String> {
        if !spec.awaits_secrets {
            return Ok(Arc::clone(spec));
        }
        let whole = self.whole.get_or_try_init(|| fetch(node, spec)).await;
        whole.cloned().map_err(|reason| format!("ResourceInitializationError: {reason}"))
    }
}

async fn fetch(node: &Node, spec: &TaskSpec) -> Result<Arc<TaskSpec>, String> {
    let mut backoff = Backoff::default();
    let mut attempts = 0;
    loop {
        attempts += 1;
        match node.control.task_secrets(spec.task_arn.clone()).await {
            Ok(given) => return Ok(Arc::new(given.laid_over(spec))),
            Err(ControlError::Unavailable(_)) if attempts < ATTEMPTS => backoff.wait().await,
            Err(ControlError::Refused { message, .. }) => return Err(message),
            Err(error @ ControlError::Unavailable(_)) => {
                return Err(format!(
                    "unable to pull secrets or registry auth: service call has been retried {attempts} time(s): {error}"
                ));
            }
        }
    }
}
