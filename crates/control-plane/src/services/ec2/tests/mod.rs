//! The service through its operations, as the front door calls them, and what nodes are told of it.

mod addresses;
mod dry_run;
mod groups;
mod interfaces;
mod overlap;
mod routes;
mod vpcs;

use std::sync::Arc;

use aws_schema::{Operation, Shape};
use aws_shapes_ec2 as api;
use blob_store::{FileBlobStore, Limits};
use state_store::{SqliteStore, State};
use telemetry_store::{Options, TelemetryStore};
use vocabulary::{AccountId, Scope, Timestamp};

use super::interfaces::{InterfaceRequest, create_for_task, delete};
use super::records::NetworkInterface;
use crate::{
    gateway::{Answer, ApiError, Call, Context, Operations, Principal},
    registry::{
        Authorize, Registry,
        catalog::Catalog,
        token::{Access, TokenKey},
    },
    services::{self, Services, Settings, logs::Logs, paging::PageTokens},
};

fn scope_of(account: &str) -> Scope {
    Scope::new(account.parse().unwrap(), "us-east-1".parse().unwrap())
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

/// The platform with nothing in it, asked by one account.
pub struct Fixture {
    pub services: Arc<Services>,
    operations: Operations,
    pub scope: Scope,
    _folder: tempfile::TempDir,
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
        let tokens = PageTokens::new([7; 32]);
        let blobs = Arc::new(FileBlobStore::open(folder.path(), Limits::default()).unwrap());
        let objects =
            services::s3::content::ContentStore::open(&folder.path().join("objects"), [6; 32], false)
                .unwrap();
        let services = Arc::new(Services {
            objects,
            trail: services::cloudtrail::Trail::start(
                TelemetryStore::ephemeral(Options::default()).unwrap(),
                state.clone(),
                None,
            ),
            metrics: telemetry_store::MetricStore::ephemeral().unwrap(),
            holders: Default::default(),
            logs: Logs::new(state.clone(), telemetry, tokens.clone()),
            registry: Registry::new(
                Catalog::new(state.clone()),
                blobs,
                TokenKey::new([1; 32]),
                Arc::new(Nobody),
            ),
            state,
            page_tokens: tokens,
            settings: Settings {
                account: AccountId::local(),
                region: "us-east-1".parse().unwrap(),
                listen: ([127, 0, 0, 1], 4566).into(),
                public_name: "localhost:4566".to_owned(),
                public_pool: "198.18.0.0/29".parse().unwrap(),
                secure: false,
                task_endpoint: None,
                task_credentials_lifetime: crate::services::iam::sessions::SESSION_OF_THE_PLATFORM,
            },
            host_ranges: vec!["192.168.7.0/24".parse().unwrap()],
            target_health: Default::default(),
            agents: Default::default(),
            placing: Default::default(),
            certificate_keys: crate::secret::SealingKey::new([3; 32]),
            authorization_messages: crate::secret::SealingKey::new([4; 32]),
            identity_keys: Default::default(),
            sessions: Default::default(),
            purge_definitions: tokio::sync::Notify::new(),
        });
        let operations = services::operations();
        Fixture { services, operations, scope: scope_of("111111111111"), _folder: folder }
    }

    /// The same platform asked by another account.
    pub fn as_account(&self, account: &str) -> Fixture {
        Fixture {
            services: Arc::clone(&self.services),
            operations: services::operations(),
            scope: scope_of(account),
            _folder: tempfile::tempdir().unwrap(),
        }
    }

    pub async fn call<O: Operation>(&self, input: O::Input) -> Result<O::Output, ApiError> {
        let context = Context {
            scope: self.scope.clone(),
            principal: Principal::root(&self.scope.account, "test"),
            request_id: "request".to_owned(),
            now: Timestamp::from_millis(1_700_000_000_000),
            host: "localhost:4566".to_owned(),
            origin: Default::default(),
        };
        let call = Call { services: Arc::clone(&self.services), context: Arc::new(context) };
        match self.operations.answer(api::SERVICE, O::TABLE, call, input.into_value()).await? {
            Answer::Value(value) => Ok(O::Output::from_value(value).unwrap()),
            Answer::Events(_) | Answer::Content { .. } => panic!("no value"),
        }
    }

    pub async fn vpc(&self, cidr: &str) -> String {
        let input = api::CreateVpcRequest { cidr_block: text(cidr), ..Default::default() };
        self.call::<api::CreateVpc>(input).await.unwrap().vpc.unwrap().vpc_id.unwrap()
    }

    pub async fn subnet(&self, vpc_id: &str, cidr: &str) -> String {
        let input =
            api::CreateSubnetRequest { vpc_id: text(vpc_id), cidr_block: text(cidr), ..Default::default() };
        self.call::<api::CreateSubnet>(input).await.unwrap().subnet.unwrap().subnet_id.unwrap()
    }

    pub async fn default_subnet(&self) -> api::Subnet {
        let subnets = self.call::<api::DescribeSubnets>(Default::default()).await.unwrap().subnets.unwrap();
        subnets.into_iter().find(|subnet| subnet.default_for_az == Some(true)).unwrap()
    }

    /// The interface of a task that starts in the subnet with a public address.
    pub async fn start_task(&self, subnet_id: &str) -> Result<NetworkInterface, ApiError> {
        let subnets = [subnet_id.to_owned()];
        let pool = self.services.settings.public_pool;
        let request = || InterfaceRequest {
            subnets: &subnets,
            security_groups: &[],
            public_address: Some(pool),
            description: "a task's".to_owned(),
            now: Timestamp::from_millis(0),
        };
        let mut ids = self.services.ids();
        self.services.state.transact(|tx| create_for_task(tx, &self.scope, request(), &mut ids)).await
    }

    pub async fn end_task(&self, interface: &NetworkInterface) {
        let state = &self.services.state;
        let ended = state.transact(|tx| {
            delete(tx, &self.scope, &interface.id);
            Ok::<_, ApiError>(())
        });
        ended.await.unwrap();
    }

    /// The public address as the node of the task gets it.
    pub fn told_public_address(&self, interface: &NetworkInterface) -> Option<std::net::Ipv4Addr> {
        let view = self.services.state.view();
        super::state::task_interface(&view, &self.scope, &interface.id, "attachment").unwrap().public_address
    }

    /// The VPCs as nodes get them, by id.
    pub fn told_vpcs(&self) -> Vec<String> {
        let told = super::state::vpcs(&self.services.state.view());
        told.into_iter().map(|vpc| vpc.vpc_id).collect()
    }
}

pub fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub fn filter(name: &str, value: &str) -> Option<Vec<api::Filter>> {
    Some(vec![api::Filter { name: text(name), values: Some(vec![value.to_owned()]) }])
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str, message: &str) {
    let error = answer.expect_err("an error");
    assert_eq!((&*error.code, &*error.message), (code, message));
}

#[track_caller]
pub fn refused_as<T: std::fmt::Debug>(answer: Result<T, ApiError>, code: &str) {
    let error = answer.expect_err("an error");
    assert_eq!(&*error.code, code, "{}", error.message);
}
