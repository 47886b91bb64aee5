//! Callers with policies, for the tests of others.

use std::time::Duration;

use aws_shapes_iam as iam;

use super::{access_keys::begin_session, attachments, inline, records::Role, roles, sessions, users};
use crate::{
    gateway::{ApiError, Principal},
    services::testing::{Fixture, text},
};

/// A new user with inline policies.
pub async fn user(fixture: &Fixture, name: &str, documents: &[&str]) -> Principal {
    let input = iam::CreateUserRequest { user_name: text(name), ..Default::default() };
    let made = users::create(fixture.call(), input).await.unwrap().user.unwrap();
    for (number, document) in documents.iter().enumerate() {
        let input = iam::PutUserPolicyRequest {
            user_name: text(name),
            policy_name: Some(format!("policy-{number}")),
            policy_document: text(document),
        };
        inline::put_user(fixture.call(), input).await.unwrap();
    }
    Principal {
        account: fixture.call().scope().account.clone(),
        arn: made.arn.unwrap(),
        user_id: made.user_id.unwrap(),
        access_key: format!("AKIA{name}"),
    }
}

/// A new role that trusts a service, with managed policies of AWS; its ARN.
pub async fn service_role(fixture: &Fixture, name: &str, service: &str, policies: &[&str]) -> String {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    let input = iam::CreateRoleRequest {
        role_name: text(name),
        assume_role_policy_document: Some(trust),
        ..Default::default()
    };
    let made = roles::create(fixture.call(), input).await.unwrap().role.unwrap();
    for policy in policies {
        let input = iam::AttachRolePolicyRequest {
            role_name: text(name),
            policy_arn: Some(format!("arn:aws:iam::aws:policy/{policy}")),
        };
        attachments::attach_role(fixture.call(), input).await.unwrap();
    }
    made.arn.unwrap()
}

/// A session of a new role with inline policies.
pub async fn role_session(fixture: &Fixture, name: &str, documents: &[&str]) -> Principal {
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let input = iam::CreateRoleRequest {
        role_name: text(name),
        assume_role_policy_document: text(trust),
        ..Default::default()
    };
    roles::create(fixture.call(), input).await.unwrap();
    for (number, document) in documents.iter().enumerate() {
        let input = iam::PutRolePolicyRequest {
            role_name: text(name),
            policy_name: Some(format!("policy-{number}")),
            policy_document: text(document),
        };
        inline::put_role(fixture.call(), input).await.unwrap();
    }
    let call = fixture.call();
    let (account, times) =
        (call.scope().account.clone(), (call.now(), call.now() + Duration::from_secs(3600)));
    let credentials = fixture
        .services
        .state
        .transact(|tx| {
            let role = tx.get::<Role>(&super::names::of(&call), name).unwrap();
            let principal = sessions::principal(&account, &role, "session");
            Ok::<_, ApiError>(begin_session(
                tx,
                &account,
                principal,
                Default::default(),
                times,
                &mut fixture.services.ids(),
            ))
        })
        .await
        .unwrap();
    Principal {
        account,
        arn: credentials.principal_arn,
        user_id: credentials.principal_id,
        access_key: credentials.access_key,
    }
}
