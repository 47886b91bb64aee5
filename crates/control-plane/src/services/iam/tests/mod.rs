//! The service through its handlers, and through the front door where signatures count.

mod door;
mod instances;
mod people;
mod policies;
mod roles;
mod sessions;

use std::sync::Arc;

use aws_shapes_iam as api;
use blob_store::{FileBlobStore, Limits};
use state_store::{SqliteStore, State};
use telemetry_store::{Options, TelemetryStore};
use vocabulary::{AccountId, Scope, Timestamp};

use super::{access_keys, keys, names, records::Role, roles as role_calls, users as user_calls};
use crate::{
    gateway::{ApiError, Call, Context, Principal},
    registry::{
        Authorize, Registry,
        catalog::Catalog,
        token::{Access, TokenKey},
    },
    services::{self, Services, Settings, logs::Logs, paging::PageTokens},
};

const NOW: i64 = 1_800_000_000_000;
const ALLOW_S3: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
const TASKS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// The registry is not asked here.
struct Nobody;

impl Authorize for Nobody {
    fn may(
        &self,
        _: &Access,
        _: &str,
        _: &str,
        _: &crate::gateway::Origin,
        _: Timestamp,
    ) -> Result<(), String> {
        Err("nobody asks here".to_owned())
    }
}

/// The services with nothing in them.
struct Fixture {
    services: Arc<Services>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let state = State::open(
            store,
            services::tables().sealed_with(Arc::new(crate::secret::SealingKey::new([4; 32]))),
        )
        .await
        .unwrap();
        let telemetry = TelemetryStore::ephemeral(Options::default()).unwrap();
        let tokens = PageTokens::new([7; 32]);
        let blobs = Arc::new(FileBlobStore::open(folder.path(), Limits::default()).unwrap());
        let catalog = Catalog::new(state.clone());
        let services = Arc::new(Services {
            trail: services::cloudtrail::Trail::start(
                TelemetryStore::ephemeral(Options::default()).unwrap(),
                state.clone(),
            ),
            metrics: telemetry_store::MetricStore::ephemeral().unwrap(),
            holders: Default::default(),
            logs: Logs::new(state.clone(), telemetry, tokens.clone()),
            registry: Registry::new(catalog, blobs, TokenKey::new([1; 32]), Arc::new(Nobody)),
            state,
            page_tokens: tokens,
            settings: Settings {
                account: AccountId::local(),
                region: "us-east-1".parse().unwrap(),
                listen: ([127, 0, 0, 1], 4566).into(),
                public_name: "localhost:4566".to_owned(),
                public_pool: "198.18.0.0/16".parse().unwrap(),
                secure: false,
                task_endpoint: None,
            },
            host_ranges: Vec::new(),
            target_health: Default::default(),
            agents: Default::default(),
            placing: Default::default(),
            certificate_keys: crate::secret::SealingKey::new([3; 32]),
            authorization_messages: crate::secret::SealingKey::new([4; 32]),
            identity_keys: Default::default(),
            sessions: Default::default(),
            purge_definitions: tokio::sync::Notify::new(),
        });
        Fixture { services, _folder: folder }
    }

    /// A call by the account's root.
    fn call(&self) -> Call {
        self.call_by(Principal::root(&AccountId::local(), "test"), NOW)
    }

    fn call_by(&self, principal: Principal, now: i64) -> Call {
        let context = Context {
            scope: Scope::new(principal.account.clone(), "us-east-1".parse().unwrap()),
            principal,
            request_id: "request".to_owned(),
            now: Timestamp::from_millis(now),
            host: "localhost:4566".to_owned(),
            origin: Default::default(),
        };
        Call { services: self.services.clone(), context: Arc::new(context) }
    }

    async fn user(&self, name: &str) -> api::User {
        let input = api::CreateUserRequest { user_name: text(name), ..Default::default() };
        user_calls::create(self.call(), input).await.unwrap().user.unwrap()
    }

    async fn key(&self, user: &str) -> api::AccessKey {
        let input = api::CreateAccessKeyRequest { user_name: text(user) };
        keys::create(self.call(), input).await.unwrap().access_key.unwrap()
    }

    async fn role(&self, name: &str, trust: &str) -> Result<api::Role, ApiError> {
        let input = api::CreateRoleRequest {
            role_name: text(name),
            assume_role_policy_document: text(trust),
            ..Default::default()
        };
        Ok(role_calls::create(self.call(), input).await?.role.unwrap())
    }

    fn stored_role(&self, name: &str) -> Option<Arc<Role>> {
        let scope = names::global(&AccountId::local());
        self.services.state.read(|view| view.get::<Role>(&scope, name))
    }

    /// Who a key stands for at a time, if it may sign then.
    fn signer(&self, key: &str, now: i64) -> Option<Principal> {
        access_keys::find(&self.services, key, Timestamp::from_millis(now)).map(|key| key.principal)
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str, message: &str) {
    let error = answer.expect_err("an error");
    assert_eq!((&*error.code, &*error.message), (code, message));
}
