//! All services in memory, for tests that call handlers: what clients ask, without a socket between.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use blob_store::{FileBlobStore, Limits};
use state_store::{SqliteStore, State};
use telemetry_store::{Options, TelemetryStore};
use vocabulary::{AccountId, Ids, Scope, SeededIds, Timestamp};

use super::{Services, Settings, logs::Logs, paging::PageTokens};
use crate::{
    gateway::{ApiError, Call, Context, Principal},
    registry::{
        Authorize, Registry,
        catalog::Catalog,
        token::{Access, TokenKey},
    },
    secret::SealingKey,
};

pub const HOUR: i64 = 3_600_000;
/// Noon of some day, in milliseconds.
pub const NOW: i64 = 20_000 * 24 * HOUR + 12 * HOUR;

/// The scope that calls address unless a test says otherwise.
pub fn scope() -> Scope {
    Scope::new(AccountId::local(), "us-east-1".parse().unwrap())
}

pub fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Asserts that a call failed with this code and a message that contains `fragment`.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str, fragment: &str) {
    let error = answer.expect_err(&format!("{code}: {fragment}"));
    assert_eq!(error.code, code, "{}", error.message);
    assert!(error.message.contains(fragment), "{:?} does not contain {fragment:?}", error.message);
}

thread_local! {
    static SEEDED: RefCell<Option<SeededIds>> = const { RefCell::new(None) };
}

/// From now on ids made on this thread follow from `seed`.
pub fn seed_ids(seed: u64) {
    SEEDED.set(Some(SeededIds::new(seed)));
}

/// Whether ids follow from a seed on this thread; then `bytes` are the next of them.
pub fn fill_seeded(bytes: &mut [u8]) -> bool {
    SEEDED.with_borrow_mut(|seeded| seeded.as_mut().map(|ids| ids.fill(bytes)).is_some())
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

/// Services over empty stores, and a clock that stands until a test moves it.
pub struct Fixture {
    pub services: Arc<Services>,
    now: Cell<i64>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub async fn new() -> Fixture {
        Fixture::over(Arc::new(SqliteStore::in_memory().unwrap())).await
    }

    /// Over a store that may hold something already: a process that takes up where another has ended.
    pub async fn over(store: Arc<SqliteStore>) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(store, super::tables().sealed_with(Arc::new(SealingKey::new([4; 32]))))
            .await
            .unwrap();
        let telemetry = TelemetryStore::ephemeral(Options::default()).unwrap();
        let tokens = PageTokens::new([7; 32]);
        let blobs = Arc::new(FileBlobStore::open(folder.path(), Limits::default()).unwrap());
        let catalog = Catalog::new(state.clone());
        let services = Arc::new(Services {
            logs: Logs::new(state.clone(), telemetry, tokens.clone()),
            registry: Registry::new(catalog, blobs, TokenKey::new([1; 32]), Arc::new(Nobody)),
            trail: super::cloudtrail::Trail::start(
                TelemetryStore::ephemeral(Options::default()).unwrap(),
                state.clone(),
                None,
            ),
            objects: super::s3::content::ContentStore::open(&folder.path().join("objects"), [6; 32], false)
                .unwrap(),
            metrics: telemetry_store::MetricStore::ephemeral().unwrap(),
            holders: Default::default(),
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
                task_credentials_lifetime: super::iam::sessions::SESSION_OF_THE_PLATFORM,
            },
            host_ranges: Vec::new(),
            target_health: Default::default(),
            certificate_keys: SealingKey::new([3; 32]),
            authorization_messages: SealingKey::new([4; 32]),
            identity_keys: Default::default(),
            agents: Default::default(),
            placing: Default::default(),
            sessions: Default::default(),
            purge_definitions: tokio::sync::Notify::new(),
        });
        Fixture { services, now: NOW.into(), _folder: folder }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.get())
    }

    /// Lets time pass.
    pub fn pass(&self, millis: i64) {
        self.now.set(self.now.get() + millis);
    }

    /// A call of the account's root.
    pub fn call(&self) -> Call {
        self.call_as(Principal::root(&AccountId::local(), "test"))
    }

    pub fn call_as(&self, principal: Principal) -> Call {
        let context = Context {
            scope: scope(),
            principal,
            request_id: "request".to_owned(),
            now: self.now(),
            host: "localhost:4566".to_owned(),
            origin: Default::default(),
        };
        Call { services: self.services.clone(), context: Arc::new(context) }
    }
}
