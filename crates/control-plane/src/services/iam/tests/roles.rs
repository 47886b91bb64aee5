//! Roles, and what carries them.

use aws_shapes_iam as api;
use aws_shapes_iam::DeletionTaskStatusType;

use super::{ALLOW_S3, Fixture, TASKS, refused, text};
use crate::services::iam::{inline, instance_profiles, roles, service_linked};

fn trust(principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}]}}"#
    )
}

#[tokio::test]
async fn trust_policies_are_checked_and_given_out_encoded() {
    let fixture = Fixture::new().await;
    let role = fixture.role("web", TASKS).await.unwrap();
    assert!(role.assume_role_policy_document.unwrap().starts_with("%7B%22Version%22%3A"));
    assert_eq!(role.max_session_duration, Some(3600));
    refused(fixture.role("web", TASKS).await, "EntityAlreadyExists", "Role with name web already exists.");
    for (principal, message) in [
        (
            r#"{"AWS":"arn:aws:iam::000000000000:user/nobody"}"#,
            r#"Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:user/nobody""#,
        ),
        (r#"{"AWS":"bob"}"#, r#"Invalid principal in policy: "AWS":"bob""#),
        (r#"{"Service":"ecs-tasks"}"#, r#"Invalid principal in policy: "SERVICE":"ecs-tasks""#),
    ] {
        refused(fixture.role("bad", &trust(principal)).await, "MalformedPolicyDocument", message);
    }
    // Those of other accounts cannot be looked up.
    fixture.role("far", &trust(r#"{"AWS":"arn:aws:iam::111122223333:role/there"}"#)).await.unwrap();
    fixture.role("near", &trust(r#"{"AWS":"arn:aws:iam::000000000000:role/web"}"#)).await.unwrap();
}

#[tokio::test]
async fn a_role_is_deleted_when_nothing_hangs_on_it() {
    let fixture = Fixture::new().await;
    let call = || fixture.call();
    fixture.role("r", TASKS).await.unwrap();
    let create = api::CreateInstanceProfileRequest { instance_profile_name: text("p"), ..Default::default() };
    instance_profiles::create(call(), create).await.unwrap();
    let pair = || (text("p"), text("r"));
    let add = || {
        let (instance_profile_name, role_name) = pair();
        let input = api::AddRoleToInstanceProfileRequest { instance_profile_name, role_name };
        instance_profiles::add_role(call(), input)
    };
    add().await.unwrap();
    refused(add().await, "LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1");
    let put = api::PutRolePolicyRequest {
        role_name: text("r"),
        policy_name: text("s3"),
        policy_document: text(ALLOW_S3),
    };
    inline::put_role(call(), put).await.unwrap();
    let delete = || roles::delete(call(), api::DeleteRoleRequest { role_name: text("r") });
    refused(
        delete().await,
        "DeleteConflict",
        "Cannot delete entity, must remove roles from instance profile first.",
    );
    let (instance_profile_name, role_name) = pair();
    let remove = api::RemoveRoleFromInstanceProfileRequest { instance_profile_name, role_name };
    instance_profiles::remove_role(call(), remove).await.unwrap();
    refused(delete().await, "DeleteConflict", "Cannot delete entity, must delete policies first.");
    let drop = api::DeleteRolePolicyRequest { role_name: text("r"), policy_name: text("s3") };
    inline::delete_role(call(), drop).await.unwrap();
    delete().await.unwrap();
    refused(delete().await, "NoSuchEntity", "The role with name r cannot be found.");
}

#[tokio::test]
async fn a_service_linked_role_is_aws_own_to_change() {
    let fixture = Fixture::new().await;
    let call = || fixture.call();
    let create = || {
        let aws_service_name = text("ecs.amazonaws.com");
        service_linked::create(
            call(),
            api::CreateServiceLinkedRoleRequest { aws_service_name, ..Default::default() },
        )
    };
    let role = create().await.unwrap().role.unwrap();
    assert_eq!(
        role.arn.as_deref(),
        Some("arn:aws:iam::000000000000:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS")
    );
    refused(
        create().await,
        "InvalidInput",
        "Service role name AWSServiceRoleForECS has been taken in this account, please try a different suffix.",
    );
    let name = || text("AWSServiceRoleForECS");
    refused(
        roles::delete(call(), api::DeleteRoleRequest { role_name: name() }).await,
        "UnmodifiableEntity",
        "Cannot perform the operation on the protected role 'AWSServiceRoleForECS' - this role is only modifiable by AWS",
    );
    let delete = api::DeleteServiceLinkedRoleRequest { role_name: name() };
    let task = service_linked::delete(call(), delete).await.unwrap().deletion_task_id.unwrap();
    assert!(task.starts_with("task/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS/"), "{task}");
    let status = api::GetServiceLinkedRoleDeletionStatusRequest { deletion_task_id: Some(task) };
    let status = service_linked::status(call(), status).await.unwrap().status;
    assert_eq!(status, Some(DeletionTaskStatusType::Succeeded));
    assert!(fixture.stored_role("awsserviceroleforecs").is_none());
}
