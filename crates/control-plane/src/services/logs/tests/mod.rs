//! The service through its handlers: what clients ask, in the order in which they ask it.

mod events;
mod groups;
mod live_tail;
mod rules;
mod sink;

use std::sync::Arc;

use aws_shapes_logs as api;
use blob_store::{FileBlobStore, Limits};
use state_store::{SqliteStore, State};
use telemetry_store::{Options, TelemetryStore};
use vocabulary::{AccountId, Scope, Timestamp};

use super::{Logs, groups as group_calls, ingest, streams};
use crate::{
    gateway::{ApiError, Call, Context, Principal},
    registry::{
        Authorize, Registry,
        catalog::Catalog,
        token::{Access, TokenKey},
    },
    services::{self, Services, Settings, paging::PageTokens},
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Noon of some day.
pub(super) const NOW: i64 = 20_000 * DAY + 12 * HOUR;

fn scope() -> Scope {
    Scope::new(AccountId::local(), "us-east-1".parse().unwrap())
}

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

/// The service with nothing in it.
pub(super) struct Fixture {
    services: Arc<Services>,
    folder: tempfile::TempDir,
    now: i64,
    calls: std::cell::Cell<u32>,
}

impl Fixture {
    pub async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let state = State::open(
            store,
            services::tables().sealed_with(Arc::new(crate::secret::SealingKey::new([4; 32]))),
        )
        .await
        .unwrap();
        let telemetry = TelemetryStore::ephemeral(Options::default()).unwrap();
        let services = Fixture::services(&folder, state, telemetry);
        Fixture { services, folder, now: NOW, calls: 0.into() }
    }

    fn services(folder: &tempfile::TempDir, state: State, telemetry: TelemetryStore) -> Arc<Services> {
        let tokens = PageTokens::new([7; 32]);
        let blobs = Arc::new(FileBlobStore::open(folder.path(), Limits::default()).unwrap());
        let catalog = Catalog::new(state.clone());
        let objects =
            services::s3::content::ContentStore::open(&folder.path().join("objects"), [6; 32], false)
                .unwrap();
        Arc::new(Services {
            objects,
            trail: services::cloudtrail::Trail::start(
                TelemetryStore::ephemeral(Options::default()).unwrap(),
                state.clone(),
                None,
            ),
            metrics: telemetry_store::MetricStore::ephemeral().unwrap(),
            holders: Default::default(),
            logs: Logs::new(state.clone(), telemetry, tokens.clone()),
            registry: Registry::new(catalog, blobs, TokenKey::new([1; 32]), Arc::new(Nobody)),
            state,
            page_tokens: tokens,
            settings: Settings {
                account: AccountId::local(),
                region: scope().region,
                listen: ([127, 0, 0, 1], 4566).into(),
                public_name: "localhost:4566".to_owned(),
                public_pool: "198.18.0.0/16".parse().unwrap(),
                secure: false,
                task_endpoint: None,
                task_credentials_lifetime: crate::services::iam::sessions::SESSION_OF_THE_PLATFORM,
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
        })
    }

    /// The process that opens the same stores anew: nothing that was only in memory is there.
    pub fn restarted(self) -> Fixture {
        let Logs { state, telemetry, .. } = self.logs().clone();
        Fixture { services: Fixture::services(&self.folder, state, telemetry), ..self }
    }

    pub fn logs(&self) -> &Logs {
        &self.services.logs
    }

    pub fn call(&self) -> Call {
        self.calls.set(self.calls.get() + 1);
        let context = Context {
            scope: scope(),
            principal: Principal::root(&AccountId::local(), "test"),
            request_id: format!("request-{}", self.calls.get()),
            now: Timestamp::from_millis(self.now),
            host: "localhost:4566".to_owned(),
            origin: Default::default(),
        };
        Call { services: self.services.clone(), context: Arc::new(context) }
    }

    pub async fn group(&self, name: &str) {
        let input = api::CreateLogGroupRequest { log_group_name: text(name), ..Default::default() };
        group_calls::create(self.call(), input).await.unwrap();
    }

    pub async fn stream(&self, group: &str, stream: &str) {
        let input =
            api::CreateLogStreamRequest { log_group_name: text(group), log_stream_name: text(stream) };
        streams::create(self.call(), input).await.unwrap();
    }

    pub async fn put(
        &self,
        group: &str,
        stream: &str,
        events: &[(i64, &str)],
    ) -> Result<api::PutLogEventsResponse, ApiError> {
        let event =
            |(at, message): &(i64, &str)| api::InputLogEvent { message: text(message), timestamp: Some(*at) };
        let input = api::PutLogEventsRequest {
            log_group_name: text(group),
            log_stream_name: text(stream),
            log_events: Some(events.iter().map(event).collect()),
            ..Default::default()
        };
        ingest::put(self.call(), input).await
    }
}

pub(super) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str, message: &str) {
    let error = answer.expect_err("an error");
    assert_eq!((&*error.code, &*error.message), (code, message));
}
