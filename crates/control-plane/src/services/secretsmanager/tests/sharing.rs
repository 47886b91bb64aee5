//! Who gets a value: policies of the secret and of its key; replicas; rotation.

use std::sync::Arc;

use aws_schema::{Operation, Shape};
use aws_shapes_ecs as ecs;
use vocabulary::Scope;

use super::*;
use crate::{
    authorization::{Holder, authorize},
    gateway::{Call, Context, Principal},
    services::{
        iam::testing::{role_session, user},
        testing::{HOUR, refused, scope},
    },
};

const READ: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}}"#;

/// What the front door and the handler say together.
async fn read(fixture: &Fixture, who: &Principal, name: &str) -> Result<String, ApiError> {
    let input = || secrets::GetSecretValueRequest { secret_id: text(name), ..Default::default() };
    let call = fixture.call_as(who.clone());
    authorize(&call, secrets::SERVICE, secrets::GetSecretValue::TABLE, &input().into_value())?;
    Ok(reads::get(call, input()).await?.secret_string.unwrap())
}

fn elsewhere(fixture: &Fixture, region: &str) -> Call {
    let call = fixture.call();
    let context = Context {
        scope: Scope::new(call.scope().account.clone(), region.parse().unwrap()),
        principal: call.principal.clone(),
        request_id: "request".to_owned(),
        now: call.now(),
        host: call.host.clone(),
        origin: Default::default(),
    };
    Call { context: Arc::new(context), ..call }
}

#[tokio::test]
async fn the_policy_of_a_secret_lets_in_and_keeps_out() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "hidden").await;
    let (ann, bob) = (user(&fixture, "ann", &[READ]).await, user(&fixture, "bob", &[]).await);
    assert_eq!(read(&fixture, &ann, "db").await.unwrap(), "hidden");
    refused(
        read(&fixture, &bob, "db").await,
        "AccessDeniedException",
        "is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:000000000000:secret:db-",
    );
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/bob"},"Action":"secretsmanager:GetSecretValue","Resource":"*"},
        {"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:user/ann"},"Action":"*","Resource":"*"}]}"#;
    let put = |policy: &str, block| secrets::PutResourcePolicyRequest {
        secret_id: text("db"),
        resource_policy: text(policy),
        block_public_policy: block,
        ..Default::default()
    };
    policies::put(fixture.call(), put(policy, Some(true))).await.unwrap();
    assert_eq!(read(&fixture, &bob, "db").await.unwrap(), "hidden");
    refused(
        read(&fixture, &ann, "db").await,
        "AccessDeniedException",
        "explicit deny in a resource-based policy",
    );
    let public = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
    refused(policies::put(fixture.call(), put(public, Some(true))).await, "PublicPolicyException", "");
    refused(policies::put(fixture.call(), put("{", None)).await, "MalformedPolicyDocumentException", "");
    let validate =
        secrets::ValidateResourcePolicyRequest { resource_policy: text(public), secret_id: text("db") };
    let answer = policies::validate(fixture.call(), validate).await.unwrap();
    assert_eq!(answer.policy_validation_passed, Some(false));
}

#[tokio::test]
async fn a_key_of_ones_own_has_its_own_say() {
    let fixture = Fixture::new().await;
    let made = ask::<aws_shapes_kms::CreateKey>(&fixture, aws_shapes_kms::SERVICE, Default::default()).await;
    let made = made.key_metadata.unwrap().key_id.unwrap();
    create(&fixture, "db", "hidden").await;
    let update = |key: &str| secrets::UpdateSecretRequest {
        secret_id: text("db"),
        kms_key_id: text(key),
        ..Default::default()
    };
    writes::update(fixture.call(), update(&made)).await.unwrap();
    let ann = user(&fixture, "ann", &[READ]).await;
    refused(read(&fixture, &ann, "db").await, "AccessDeniedException", "Access to KMS is not allowed");
    let both = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["secretsmanager:*","kms:Decrypt"],"Resource":"*",
        "Condition":{"StringEqualsIfExists":{"kms:ViaService":"secretsmanager.us-east-1.amazonaws.com"}}}}"#;
    let bob = user(&fixture, "bob", &[both]).await;
    assert_eq!(read(&fixture, &bob, "db").await.unwrap(), "hidden");
    let disable = aws_shapes_kms::DisableKeyRequest { key_id: text(&made) };
    ask::<aws_shapes_kms::DisableKey>(&fixture, aws_shapes_kms::SERVICE, disable).await;
    refused(read(&fixture, &bob, "db").await, "DecryptionFailure", "can't decrypt the protected secret text");
    refused(writes::update(fixture.call(), update("alias/none")).await, "DecryptionFailure", "");
    let input = secrets::CreateSecretRequest {
        name: text("other"),
        secret_string: text("x"),
        kms_key_id: text("alias/none"),
        ..Default::default()
    };
    refused(writes::create(fixture.call(), input).await, "EncryptionFailure", "alias/none is not found");
}

fn holder(fixture: &Fixture, who: &Principal) -> Arc<Holder> {
    let view = fixture.services.state.view();
    fixture.services.holders.find(&view, &fixture.call_as(who.clone()))
}

#[tokio::test]
async fn a_task_is_given_what_its_role_may_read() {
    let fixture = Fixture::new().await;
    let arn = create(&fixture, "db", r#"{"user":"app","port":5432}"#).await.arn.unwrap();
    let app = role_session(&fixture, "app", &[READ]).await;
    let holder = holder(&fixture, &app);
    let give = |id: &str, key: Option<&str>, which: Which<'_>| {
        value(&fixture.services, &scope(), &holder, id, key, which)
    };
    assert_eq!(give(&arn, Some("user"), Which::default()).unwrap(), "app");
    assert_eq!(give("db", Some("port"), Which::default()).unwrap(), "5432");
    let missing = give(&arn, Some("password"), Which::default());
    refused(missing, "InvalidRequestException", "did not contain json key password");
    let missing = give(&arn, None, Which { stage: Some("mine"), ..Default::default() });
    refused(missing, "ResourceNotFoundException", "staging label: mine");
    let other = role_session(&fixture, "other", &[]).await;
    let denied =
        value(&fixture.services, &scope(), &self::holder(&fixture, &other), &arn, None, Which::default());
    refused(denied, "AccessDeniedException", "because no identity-based policy allows");
}

#[tokio::test]
async fn replicas_follow_their_primary_until_they_are_let_go() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "one").await;
    let west = || elsewhere(&fixture, "us-west-2");
    let replicate = secrets::ReplicateSecretToRegionsRequest {
        secret_id: text("db"),
        add_replica_regions: Some(vec![secrets::ReplicaRegionType {
            region: text("us-west-2"),
            kms_key_id: None,
        }]),
        ..Default::default()
    };
    let answer = replication::replicate(fixture.call(), replicate).await.unwrap();
    assert_eq!(answer.replication_status.unwrap()[0].status, Some(secrets::StatusType::InSync));
    let there = async || {
        let input = secrets::GetSecretValueRequest { secret_id: text("db"), ..Default::default() };
        Ok::<_, ApiError>(reads::get(west(), input).await?.secret_string.unwrap())
    };
    assert_eq!(there().await.unwrap(), "one");
    put(&fixture, "db", "two", None, None).await.unwrap();
    assert_eq!(there().await.unwrap(), "two");
    let write = secrets::PutSecretValueRequest {
        secret_id: text("db"),
        secret_string: text("three"),
        ..Default::default()
    };
    refused(writes::put(west(), write.clone()).await, "InvalidRequestException", "replica secret");
    let delete = secrets::DeleteSecretRequest { secret_id: text("db"), ..Default::default() };
    refused(
        deletion::delete(fixture.call(), delete).await,
        "InvalidRequestException",
        "still has replica regions [us-west-2]",
    );
    let stop = secrets::StopReplicationToReplicaRequest { secret_id: text("db") };
    replication::stop(west(), stop).await.unwrap();
    writes::put(west(), write).await.unwrap();
    assert_eq!(there().await.unwrap(), "three");
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "two");
    assert_eq!(describe(&fixture, "db").await.replication_status, None);
}

#[tokio::test]
async fn a_replica_does_not_take_the_place_of_another_secret_unasked() {
    let fixture = Fixture::new().await;
    let west = || elsewhere(&fixture, "us-west-2");
    let own =
        secrets::CreateSecretRequest { name: text("db"), secret_string: text("own"), ..Default::default() };
    writes::create(west(), own).await.unwrap();
    let with_replica = |name: &str, force| secrets::CreateSecretRequest {
        name: text(name),
        secret_string: text("one"),
        add_replica_regions: Some(vec![secrets::ReplicaRegionType {
            region: text("us-west-2"),
            kms_key_id: None,
        }]),
        force_overwrite_replica_secret: force,
        ..Default::default()
    };
    let answer = writes::create(fixture.call(), with_replica("db", None)).await.unwrap();
    assert_eq!(answer.replication_status.unwrap()[0].status, Some(secrets::StatusType::Failed));
    let input = || secrets::GetSecretValueRequest { secret_id: text("db"), ..Default::default() };
    let there = reads::get(west(), input()).await.unwrap();
    assert_eq!(there.secret_string.as_deref(), Some("own"));
    let force = secrets::ReplicateSecretToRegionsRequest {
        secret_id: text("db"),
        add_replica_regions: with_replica("db", None).add_replica_regions,
        force_overwrite_replica_secret: Some(true),
    };
    replication::replicate(fixture.call(), force).await.unwrap();
    assert_eq!(reads::get(west(), input()).await.unwrap().secret_string.as_deref(), Some("one"));
}

#[tokio::test]
async fn a_rotation_is_one_for_a_task_definition() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "one").await;
    let rotate = |hook: Option<&str>| secrets::RotateSecretRequest {
        secret_id: text("db"),
        rotation_lambda_arn: hook.map(str::to_owned),
        rotation_rules: Some(secrets::RotationRulesType {
            automatically_after_days: Some(10),
            ..Default::default()
        }),
        rotate_immediately: Some(false),
        ..Default::default()
    };
    refused(
        rotation::rotate(fixture.call(), rotate(None)).await,
        "InvalidRequestException",
        "No Lambda rotation function ARN is associated with this secret.",
    );
    let lambda = "arn:aws:lambda:us-east-1:000000000000:function:rotate";
    refused(
        rotation::rotate(fixture.call(), rotate(Some(lambda))).await,
        "InvalidParameterException",
        "Lambda functions are not available here",
    );
    let absent = "arn:aws:ecs:us-east-1:000000000000:task-definition/rotate:1";
    let answer = rotation::rotate(fixture.call(), rotate(Some(absent))).await;
    refused(answer, "InvalidRequestException", "does not exist");
}

/// Asks another service, by its operation.
async fn ask<O: Operation>(
    fixture: &Fixture,
    service: &'static aws_schema::ServiceTable,
    input: O::Input,
) -> O::Output {
    let operations = crate::services::operations();
    let answer = operations.answer(service, O::TABLE, fixture.call(), input.into_value()).await.unwrap();
    let crate::gateway::Answer::Value(answer) = answer else { panic!("a stream") };
    O::Output::from_value(answer).unwrap()
}

/// Something to rotate with: a cluster, and a task definition.
async fn task_definition(fixture: &Fixture) -> String {
    let cluster = ecs::CreateClusterRequest { cluster_name: text("default"), ..Default::default() };
    ask::<ecs::CreateCluster>(fixture, ecs::SERVICE, cluster).await;
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: text("rotate"),
        requires_compatibilities: Some(vec![ecs::Compatibility::Fargate]),
        network_mode: Some(ecs::NetworkMode::Awsvpc),
        cpu: text("256"),
        memory: text("512"),
        container_definitions: Some(vec![ecs::ContainerDefinition {
            name: text("app"),
            image: text("busybox"),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let made = ask::<ecs::RegisterTaskDefinition>(fixture, ecs::SERVICE, definition).await;
    made.task_definition.unwrap().task_definition_arn.unwrap()
}

#[tokio::test]
async fn a_rotation_makes_room_for_a_value_and_ends_when_it_is_current() {
    let fixture = Fixture::new().await;
    create(&fixture, "db", "one").await;
    let hook = task_definition(&fixture).await;
    let rotate = secrets::RotateSecretRequest {
        secret_id: text("db"),
        rotation_lambda_arn: Some(hook.clone()),
        rotation_rules: Some(secrets::RotationRulesType {
            schedule_expression: text("rate(10 days)"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let pending = rotation::rotate(fixture.call(), rotate.clone()).await.unwrap().version_id.unwrap();
    let tasks = fixture.services.state.read(|view| {
        view.scan_all::<crate::services::ecs::records::Task>().map(|found| found.value).collect::<Vec<_>>()
    });
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].started_by.as_deref(), Some("secretsmanager"));
    let staged = describe(&fixture, "db").await.version_ids_to_stages.unwrap();
    assert_eq!(staged[&pending], ["AWSPENDING"]);
    refused(get(&fixture, "db", None, Some("AWSPENDING")).await, "ResourceNotFoundException", "");
    let again = rotation::rotate(fixture.call(), rotate).await;
    refused(again, "InvalidRequestException", "A previous rotation isn't complete.");
    // What the task does.
    put(&fixture, "db", "two", Some(&pending), Some(&["AWSPENDING"])).await.unwrap();
    let current = describe(&fixture, "db").await.version_ids_to_stages.unwrap();
    let current = current.iter().find(|(_, held)| held.contains(&"AWSCURRENT".to_owned())).unwrap().0.clone();
    let input = secrets::UpdateSecretVersionStageRequest {
        secret_id: text("db"),
        version_stage: text("AWSCURRENT"),
        remove_from_version_id: Some(current),
        move_to_version_id: Some(pending),
    };
    super::super::stages::update(fixture.call(), input).await.unwrap();
    assert_eq!(get(&fixture, "db", None, None).await.unwrap(), "two");
    let shown = describe(&fixture, "db").await;
    assert!(shown.last_rotated_date.is_some());
    let next = shown.next_rotation_date.unwrap().as_millis();
    assert_eq!(next, fixture.now().as_millis() + 10 * 24 * HOUR);
    // The next one comes by itself.
    fixture.pass(10 * 24 * HOUR);
    upkeep::run(&fixture.services, fixture.now()).await.unwrap();
    let staged = describe(&fixture, "db").await.version_ids_to_stages.unwrap();
    assert_eq!(staged.len(), 3);
    let cancel = secrets::CancelRotateSecretRequest { secret_id: text("db") };
    rotation::cancel(fixture.call(), cancel).await.unwrap();
    assert_eq!(describe(&fixture, "db").await.rotation_enabled, Some(false));
}
