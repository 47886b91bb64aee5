//! Session Manager: sessions in containers, spoken as `session-manager-plugin` does.
//!
//! StartSession (or ECS's ExecuteCommand) opens a session and answers how its client comes in ([`calls`]); the client comes over a websocket
//! ([`door`]) and speaks the data channel's protocol ([`wire`], [`channel`]); the session ([`run`]) passes bytes on to what it works with
//! in the container ([`work`]). Open sessions are known in memory alone ([`board`]); what became of them is kept ([`records`]).
//!
//! Not here: instances as targets, other documents than AWS's own and an account's preferences.

pub mod agent;
mod board;
mod calls;
mod carrier;
pub mod channel;
pub mod cipher;
mod documents;
pub mod door;
mod encryption;
mod plan;
mod preferences;
mod records;
mod run;
pub mod smux;
mod target;
#[cfg(test)]
mod tests;
mod transcript;
pub mod wire;
pub mod words;
mod work;

use aws_shapes_ssm as ssm;
use state_store::Tables;

pub use board::Sessions;
pub use calls::{Asked, forget_earlier, open};
pub use plan::{BucketLog, ECS_COMMAND, LogTo, Plan, Work};
pub use run::Patience;
pub use target::{Reached, Target, Unreachable};
pub use work::{CLOSE_INPUT, OWN_CLIENT};

use crate::gateway::ServiceOperations;

/// Registers the handlers.
pub fn register(mut operations: ServiceOperations<'_>) {
    operations
        .on::<ssm::StartSession, _, _>(calls::start)
        .on::<ssm::ResumeSession, _, _>(calls::resume)
        .on::<ssm::TerminateSession, _, _>(calls::terminate)
        .on::<ssm::DescribeSessions, _, _>(calls::describe)
        .on::<ssm::GetConnectionStatus, _, _>(calls::connection_status)
        .on::<ssm::CreateDocument, _, _>(documents::create)
        .on::<ssm::UpdateDocument, _, _>(documents::update)
        .on::<ssm::GetDocument, _, _>(documents::get)
        .on::<ssm::DescribeDocument, _, _>(documents::describe)
        .on::<ssm::DeleteDocument, _, _>(documents::delete);
}

/// Declares the records.
pub fn tables(tables: Tables) -> Tables {
    tables.with::<records::SessionRecord>().with::<documents::SessionDocument>()
}
