//! The service through its handlers, and through the front door where signatures count.

mod door;
mod instances;
mod people;
mod policies;
mod roles;
mod sessions;

use std::sync::Arc;

use aws_shapes_iam as api;
use vocabulary::{AccountId, Scope, Timestamp};

use super::{access_keys, keys, names, records::Role, roles as role_calls, users as user_calls};
use crate::{
    gateway::{ApiError, Call, Context, Principal},
    services::{self, Services},
};

const NOW: i64 = 1_800_000_000_000;
const ALLOW_S3: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
const TASKS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// The services with nothing in them.
struct Fixture {
    services: Arc<Services>,
    _whole: services::testing::Fixture,
}

impl Fixture {
    async fn new() -> Fixture {
        let whole = services::testing::Fixture::new().await;
        Fixture { services: Arc::clone(&whole.services), _whole: whole }
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
