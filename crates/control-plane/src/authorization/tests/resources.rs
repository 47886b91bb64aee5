//! Resources that have policies, tags, and names of their own.

use aws_shapes_ecr as ecr;
use aws_shapes_ecs as ecs;
use aws_shapes_iam as iam;

use super::may;
use crate::{
    authorization::{Wish, authorize_with_resource_policy, judge, of_call, resources::ResourcePolicy},
    gateway::Principal,
    services::{
        ecr as ecr_service, ecs as ecs_service,
        iam::testing::{role_session, user},
        testing::{Fixture, refused, text},
    },
};

const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/1";
const ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

fn policy(principal: &str, decides: bool) -> ResourcePolicy {
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"kms:Decrypt","Resource":"*"}}}}"#
    );
    ResourcePolicy { document: document.into(), decides }
}

/// Whether `who` may decrypt with a key that has this policy.
fn decrypts(fixture: &Fixture, who: &Principal, policy: Option<&ResourcePolicy>) -> bool {
    let (holder, context) = of_call(&fixture.call_as(who.clone()));
    let wish = Wish { policy, ..Wish::new("kms:Decrypt", KEY) };
    authorize_with_resource_policy(&fixture.services, &holder, &context, aws_shapes_kms::SERVICE, &wish)
        .is_ok()
}

#[tokio::test]
async fn either_policy_is_enough_unless_the_resources_decides() {
    let fixture = Fixture::new().await;
    let (ann, bob) = (user(&fixture, "ann", &[]).await, user(&fixture, "bob", &[ALL]).await);
    let root = fixture.call().principal.clone();
    let named = |decides| policy(r#"{"AWS":"arn:aws:iam::000000000000:user/ann"}"#, decides);
    let account = |decides| policy(r#"{"AWS":"000000000000"}"#, decides);
    for (who, policy, expected) in [
        (&ann, None, false),
        (&bob, None, true),
        (&ann, Some(named(false)), true),
        (&bob, Some(named(false)), true),
        (&ann, Some(account(false)), false),
        (&ann, Some(named(true)), true),
        (&bob, Some(named(true)), false),
        (&bob, Some(account(true)), true),
        (&ann, Some(account(true)), false),
        (&root, Some(named(true)), false),
        (&root, Some(account(true)), true),
        (&root, Some(named(false)), true),
    ] {
        assert_eq!(decrypts(&fixture, who, policy.as_ref()), expected, "{} {policy:?}", who.arn);
    }
}

#[tokio::test]
async fn another_account_needs_both() {
    let fixture = Fixture::new().await;
    let stranger = Principal::root(&"444455556666".parse().unwrap(), "test");
    assert!(!decrypts(&fixture, &stranger, None));
    assert!(decrypts(&fixture, &stranger, Some(&policy(r#"{"AWS":"444455556666"}"#, false))));
    assert!(!decrypts(&fixture, &stranger, Some(&policy(r#"{"AWS":"777788889999"}"#, false))));
    let eve = Principal { arn: "arn:aws:iam::444455556666:user/eve".into(), ..stranger };
    assert!(!decrypts(&fixture, &eve, Some(&policy(r#"{"AWS":"444455556666"}"#, false))));
}

#[tokio::test]
async fn a_repositorys_policy_lets_another_account_in() {
    let fixture = Fixture::new().await;
    let create = ecr::CreateRepositoryRequest { repository_name: text("app"), ..Default::default() };
    ecr_service::repositories::create(fixture.call(), create).await.unwrap();
    let stranger = Principal::root(&"444455556666".parse().unwrap(), "test");
    let ask = |who: &Principal| {
        let input = ecr::ListImagesRequest {
            registry_id: text("000000000000"),
            repository_name: text("app"),
            ..Default::default()
        };
        may::<ecr::ListImages>(&fixture, who, ecr::SERVICE, input)
    };
    ask(&fixture.call().principal).unwrap();
    refused(
        ask(&stranger),
        "AccessDeniedException",
        "because no resource-based policy allows the ecr:ListImages action",
    );
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Sid":"others","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"ecr:ListImages"}]}"#;
    let set = ecr::SetRepositoryPolicyRequest {
        repository_name: text("app"),
        policy_text: text(allow),
        ..Default::default()
    };
    ecr_service::policies::set(fixture.call(), set).await.unwrap();
    ask(&stranger).unwrap();
    let other = Principal::root(&"777788889999".parse().unwrap(), "test");
    ask(&other).unwrap_err();
}

async fn tagged_cluster(fixture: &Fixture, name: &str, team: &str) {
    let tag = ecs::Tag { key: text("team"), value: text(team) };
    let create =
        ecs::CreateClusterRequest { cluster_name: text(name), tags: Some(vec![tag]), ..Default::default() };
    ecs_service::clusters::create(fixture.call(), create).await.unwrap();
}

#[tokio::test]
async fn tags_are_those_of_the_resource_itself() {
    let fixture = Fixture::new().await;
    tagged_cluster(&fixture, "ours", "blue").await;
    tagged_cluster(&fixture, "theirs", "red").await;
    let own_team = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"blue","ecs:ResourceTag/team":"${aws:PrincipalTag/team}"}}}}"#;
    let session = role_session(&fixture, "app", &[own_team]).await;
    let tag = iam::TagRoleRequest {
        role_name: text("app"),
        tags: Some(vec![iam::Tag { key: text("team"), value: text("blue") }]),
    };
    crate::services::iam::roles::tag(fixture.call(), tag).await.unwrap();
    let ask = |name: &str| {
        let input = ecs::UpdateClusterSettingsRequest { cluster: text(name), ..Default::default() };
        may::<ecs::UpdateClusterSettings>(&fixture, &session, ecs::SERVICE, input)
    };
    ask("ours").unwrap();
    ask("theirs").unwrap_err();
    ask("missing").unwrap_err();
}

#[tokio::test]
async fn who_makes_something_with_tags_may_tag_as_well() {
    let fixture = Fixture::new().await;
    let create = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"ecs:CreateCluster","Resource":"*"}},{{"Effect":"Allow","Action":"ecs:TagResource","Resource":"*","Condition":{{"StringEquals":{{"ecs:CreateAction":"{action}"}}}}}}]}}"#
        )
    };
    let (ann, bob) = (
        user(&fixture, "ann", &[&create("CreateCluster")]).await,
        user(&fixture, "bob", &[&create("CreateService")]).await,
    );
    let input = |tagged: bool| ecs::CreateClusterRequest {
        cluster_name: text("c"),
        tags: tagged.then(|| vec![ecs::Tag { key: text("a"), value: text("b") }]),
        ..Default::default()
    };
    may::<ecs::CreateCluster>(&fixture, &ann, ecs::SERVICE, input(true)).unwrap();
    may::<ecs::CreateCluster>(&fixture, &bob, ecs::SERVICE, input(false)).unwrap();
    refused(
        may::<ecs::CreateCluster>(&fixture, &bob, ecs::SERVICE, input(true)),
        "AccessDeniedException",
        "ecs:TagResource",
    );
}

#[tokio::test]
async fn the_keys_of_ecs_are_those_of_the_request() {
    let fixture = Fixture::new().await;
    let no_shells = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"ecs:*","Resource":"*"},
        {"Effect":"Deny","Action":"ecs:RunTask","Resource":"*","Condition":{"StringEquals":{"ecs:enable-execute-command":"true"}}},
        {"Effect":"Deny","Action":"ecs:ExecuteCommand","Resource":"*","Condition":{"StringNotEquals":{"ecs:container-name":"app"}}},
        {"Effect":"Deny","Action":"ecs:RegisterTaskDefinition","Resource":"*","Condition":{"Bool":{"ecs:privileged":"true"}}}]}"#;
    let ann = user(&fixture, "ann", &[no_shells]).await;
    let run = |exec: bool| ecs::RunTaskRequest {
        task_definition: text("web:1"),
        enable_execute_command: Some(exec),
        ..Default::default()
    };
    may::<ecs::RunTask>(&fixture, &ann, ecs::SERVICE, run(false)).unwrap();
    may::<ecs::RunTask>(&fixture, &ann, ecs::SERVICE, run(true)).unwrap_err();
    let exec = |container: &str| ecs::ExecuteCommandRequest {
        container: text(container),
        task: text("1"),
        command: text("sh"),
        interactive: Some(true),
        ..Default::default()
    };
    may::<ecs::ExecuteCommand>(&fixture, &ann, ecs::SERVICE, exec("app")).unwrap();
    may::<ecs::ExecuteCommand>(&fixture, &ann, ecs::SERVICE, exec("sidecar")).unwrap_err();
    let register = |privileged: bool| ecs::RegisterTaskDefinitionRequest {
        family: text("web"),
        container_definitions: Some(vec![ecs::ContainerDefinition {
            privileged: Some(privileged),
            ..Default::default()
        }]),
        ..Default::default()
    };
    may::<ecs::RegisterTaskDefinition>(&fixture, &ann, ecs::SERVICE, register(false)).unwrap();
    may::<ecs::RegisterTaskDefinition>(&fixture, &ann, ecs::SERVICE, register(true)).unwrap_err();
}

#[tokio::test]
async fn what_was_decided_names_its_statement() {
    use aws_schema::{Operation, Shape};
    let fixture = Fixture::new().await;
    let named = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Look","Effect":"Allow","Action":"ecs:Describe*","Resource":"*"}]}"#;
    let ann = user(&fixture, "ann", &[named]).await;
    let call = fixture.call_as(ann);
    let input = ecs::DescribeClustersRequest { clusters: Some(vec!["c".to_owned()]), ..Default::default() };
    let (decided, outcome) = judge(&call, ecs::SERVICE, ecs::DescribeClusters::TABLE, &input.into_value());
    outcome.unwrap();
    let [one] = decided.as_slice() else { panic!("{decided:?}") };
    assert_eq!((one.action.as_str(), one.allowed), ("ecs:DescribeClusters", true));
    assert_eq!(one.statement.as_deref(), Some("ann/policy-0#Look"));
    assert_eq!(one.policy_kind, Some("identity-based policy"));
    let input = ecs::DeleteClusterRequest { cluster: text("c") };
    let (decided, outcome) = judge(&call, ecs::SERVICE, ecs::DeleteCluster::TABLE, &input.into_value());
    outcome.unwrap_err();
    assert!(!decided[0].allowed && decided[0].statement.is_none());
}
