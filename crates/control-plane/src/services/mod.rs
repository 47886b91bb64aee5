//! The AWS services: one module each, and what they share.

pub mod acm;
pub mod cloudtrail;
pub mod cloudwatch;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod elb;
pub mod elbv2;
pub mod iam;
pub mod kms;
pub mod logs;
pub mod paging;
pub mod s3;
pub mod secretsmanager;
pub mod ssm;
pub mod sts;
pub mod tagging;
#[cfg(test)]
pub(crate) mod testing;

use std::{net::SocketAddr, time::SystemTime};

use addressing::Cidr;
use state_store::{State, Tables};
use tokio::sync::Notify;
use vocabulary::{AccountId, Ids, Region, Timestamp};

use crate::{gateway::Operations, registry::Registry, secret::SealingKey};
use paging::PageTokens;

/// What every handler works with.
pub struct Services {
    pub state: State,
    pub logs: logs::Logs,
    /// What is measured, by the platform itself and by its users.
    pub metrics: telemetry_store::MetricStore,
    pub registry: Registry,
    /// The bytes of objects.
    pub objects: s3::content::ContentStore,
    /// What was asked, and by whom.
    pub trail: cloudtrail::Trail,
    /// Callers and their policies.
    pub holders: crate::authorization::Holders,
    pub page_tokens: PageTokens,
    pub settings: Settings,
    /// Ranges that the machine itself routes; default networks keep clear of them.
    pub host_ranges: Vec<Cidr>,
    /// What is measured of load balancers' targets.
    pub target_health: elbv2::health::Board,
    /// Container instances that are connected.
    pub agents: crate::agents::Agents,
    /// The container instances of each cluster, as placement sees them.
    pub placing: ecs::placing::Fleets,
    /// Seals the private keys of certificates.
    pub certificate_keys: SealingKey,
    /// Seals what a refusal tells of its decision, for those who may have it decoded.
    pub authorization_messages: SealingKey,
    /// The keys with which identity providers sign their tokens.
    pub identity_keys: sts::web_identity::keys::IdentityKeys,
    /// Sessions in containers that are open.
    pub sessions: ssm::sessions::Sessions,
    /// Wakes the removal of task definitions that are marked for deletion.
    pub purge_definitions: Notify,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account that unknown keys act for.
    pub account: AccountId,
    /// The region of requests that name none.
    pub region: Region,
    /// Where the front door listens.
    pub listen: SocketAddr,
    /// `host:port` by which clients reach the front door; part of repository URIs.
    pub public_name: String,
    /// Public addresses come from here.
    pub public_pool: Cidr,
    /// Whether the front door has TLS and lets nobody in without an issued key.
    pub secure: bool,
    /// Where tasks and the agent of this machine reach the platform, where that is not the front door.
    pub task_endpoint: Option<String>,
    /// How long the credentials of a task's role hold.
    pub task_credentials_lifetime: std::time::Duration,
}

impl Settings {
    /// The front door by its outside name.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.public_name)
    }

    /// The platform as this machine's own agent reaches it.
    pub fn inner_url(&self) -> String {
        self.task_endpoint.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

impl Services {
    /// Fresh ids from the operating system's randomness.
    pub fn ids(&self) -> SystemIds {
        SystemIds
    }

    pub fn now(&self) -> Timestamp {
        now()
    }
}

/// The wall clock. Handlers take the time from their [`Call`](crate::gateway::Call) instead.
pub fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Ids from the operating system's randomness.
#[derive(Debug, Clone, Copy)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fill(&mut self, bytes: &mut [u8]) {
        #[cfg(test)]
        if testing::fill_seeded(bytes) {
            return;
        }
        // Only a kernel without its random device fails here; nothing could go on safely then.
        getrandom::fill(bytes).expect("the kernel gives random bytes");
    }
}

/// Every kind of record.
pub fn tables() -> Tables {
    let tables = ecs::tables(Tables::new());
    let tables = ec2::tables(tables);
    let tables = ecr::tables(tables);
    let tables = iam::tables(tables);
    let tables = logs::tables(tables);
    let tables = acm::tables(tables);
    let tables = cloudtrail::tables(tables);
    let tables = cloudwatch::tables(tables);
    let tables = elb::tables(tables);
    let tables = elbv2::tables(tables);
    let tables = kms::tables(tables);
    let tables = s3::tables(tables);
    let tables = secretsmanager::tables(tables);
    ssm::tables(tables)
}

/// Every operation that has a handler.
pub fn operations() -> Operations {
    let mut operations = Operations::default();
    ecs::register(&mut operations);
    ecr::register(&mut operations);
    ec2::register(&mut operations);
    iam::register(&mut operations);
    sts::register(&mut operations);
    logs::register(&mut operations);
    acm::register(&mut operations);
    cloudtrail::register(&mut operations);
    cloudwatch::register(&mut operations);
    elb::register(&mut operations);
    elbv2::register(&mut operations);
    kms::register(&mut operations);
    s3::register(&mut operations);
    secretsmanager::register(&mut operations);
    ssm::register(&mut operations);
    operations
}
