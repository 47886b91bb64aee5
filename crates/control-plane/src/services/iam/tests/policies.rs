//! Managed policies, their versions, and who holds them.

use aws_shapes_iam as api;

use super::{ALLOW_S3, Fixture, TASKS, refused, text};
use crate::services::iam::{attachments, context_keys, inline, policies, versions};

const ARN: &str = "arn:aws:iam::000000000000:policy/team/p";

async fn create(fixture: &Fixture) -> Result<api::CreatePolicyResponse, crate::gateway::ApiError> {
    let input = api::CreatePolicyRequest {
        policy_name: text("p"),
        path: text("/team/"),
        policy_document: text(ALLOW_S3),
        ..Default::default()
    };
    policies::create(fixture.call(), input).await
}

#[tokio::test]
async fn a_policy_has_at_most_five_versions_one_of_them_in_force() {
    let fixture = Fixture::new().await;
    let call = || fixture.call();
    create(&fixture).await.unwrap();
    refused(
        create(&fixture).await,
        "EntityAlreadyExists",
        "A policy called p already exists. Duplicate names are not allowed.",
    );
    let add = |set_as_default| {
        let input = api::CreatePolicyVersionRequest {
            policy_arn: text(ARN),
            policy_document: text(ALLOW_S3),
            set_as_default: Some(set_as_default),
        };
        versions::create(call(), input)
    };
    for default in [false, true, false, false] {
        add(default).await.unwrap();
    }
    refused(
        add(false).await,
        "LimitExceeded",
        "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
    );
    let delete = |version: &str| {
        let input = api::DeletePolicyVersionRequest { policy_arn: text(ARN), version_id: text(version) };
        versions::delete(call(), input)
    };
    refused(delete("v3").await, "DeleteConflict", "Cannot delete the default version of a policy.");
    delete("v5").await.unwrap();
    // A number is never given twice.
    let made = add(true).await.unwrap().policy_version.unwrap();
    assert_eq!(made.version_id.as_deref(), Some("v6"));
    let message = format!("Policy {ARN} version v5 does not exist or is not attachable.");
    let get = api::GetPolicyVersionRequest { policy_arn: text(ARN), version_id: text("v5") };
    refused(versions::get(call(), get).await, "NoSuchEntity", &message);
    let get = api::GetPolicyVersionRequest { policy_arn: text(ARN), version_id: text("v6") };
    let document = versions::get(call(), get).await.unwrap().policy_version.unwrap().document.unwrap();
    assert!(document.starts_with("%7B%22Version%22%3A%222012-10-17%22"), "{document}");

    let list = api::ListPolicyVersionsRequest { policy_arn: text(ARN), ..Default::default() };
    let listed = versions::list(call(), list).await.unwrap().versions.unwrap();
    let ids: Vec<_> = listed.iter().filter_map(|version| version.version_id.as_deref()).collect();
    assert_eq!(ids, ["v6", "v4", "v3", "v2", "v1"]);
    let gone = policies::delete(call(), api::DeletePolicyRequest { policy_arn: text(ARN) }).await;
    refused(
        gone,
        "DeleteConflict",
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
    );
}

#[tokio::test]
async fn a_policy_that_somebody_holds_stays() {
    let fixture = Fixture::new().await;
    let call = || fixture.call();
    create(&fixture).await.unwrap();
    fixture.role("r", TASKS).await.unwrap();
    let attach = |arn: &str| {
        let input = api::AttachRolePolicyRequest { role_name: text("r"), policy_arn: text(arn) };
        attachments::attach_role(call(), input)
    };
    attach(ARN).await.unwrap();
    attach(ARN).await.unwrap();
    refused(
        attach("arn:aws:iam::aws:policy/Nothing").await,
        "NoSuchEntity",
        "Policy arn:aws:iam::aws:policy/Nothing does not exist or is not attachable.",
    );
    refused(
        attach("a-name-and-no-arn-at-all").await,
        "InvalidInput",
        "ARN a-name-and-no-arn-at-all is not valid.",
    );
    refused(
        attach("arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy").await,
        "PolicyNotAttachable",
        "Cannot attach a Service Role Policy to a Customer Role.",
    );
    let get = || policies::get(call(), api::GetPolicyRequest { policy_arn: text(ARN) });
    assert_eq!(get().await.unwrap().policy.unwrap().attachment_count, Some(1));
    let entities = api::ListEntitiesForPolicyRequest { policy_arn: text(ARN), ..Default::default() };
    let roles = attachments::entities(call(), entities).await.unwrap().policy_roles.unwrap();
    assert_eq!(roles[0].role_name.as_deref(), Some("r"));
    let delete = || policies::delete(call(), api::DeletePolicyRequest { policy_arn: text(ARN) });
    refused(delete().await, "DeleteConflict", "Cannot delete a policy attached to entities.");
    let detach = || {
        attachments::detach_role(
            call(),
            api::DetachRolePolicyRequest { role_name: text("r"), policy_arn: text(ARN) },
        )
    };
    detach().await.unwrap();
    refused(detach().await, "NoSuchEntity", &format!("Policy {ARN} was not found."));
    delete().await.unwrap();
    refused(get().await, "NoSuchEntity", &format!("Policy {ARN} was not found."));
}

#[tokio::test]
async fn awss_own_policies_are_only_read() {
    let fixture = Fixture::new().await;
    let arn = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role";
    let input = api::GetPolicyRequest { policy_arn: text(arn) };
    let policy = policies::get(fixture.call(), input).await.unwrap().policy.unwrap();
    assert_eq!(policy.path.as_deref(), Some("/service-role/"));
    let error = policies::delete(fixture.call(), api::DeletePolicyRequest { policy_arn: text(arn) }).await;
    assert_eq!(error.unwrap_err().code, "AccessDenied");
}

#[tokio::test]
async fn embedded_policies_have_limits_and_a_grammar() {
    let fixture = Fixture::new().await;
    fixture.role("r", TASKS).await.unwrap();
    let put = |name: &str, document: &str| {
        let (policy_name, policy_document) = (text(name), text(document));
        inline::put_role(
            fixture.call(),
            api::PutRolePolicyRequest { role_name: text("r"), policy_name, policy_document },
        )
    };
    put("a", ALLOW_S3).await.unwrap();
    refused(put("b", "{}").await, "MalformedPolicyDocument", "Syntax errors in policy.");
    let large = ALLOW_S3.replace("s3:*", &format!("s3:{}", "x".repeat(10_240)));
    refused(
        put("b", &large).await,
        "LimitExceeded",
        "Maximum policy size of 10240 bytes exceeded for role r",
    );
    // White space does not count.
    let spaced = ALLOW_S3.replace('{', &format!("{{{}", " ".repeat(9_000)));
    put("b", &spaced).await.unwrap();
    let get = api::GetRolePolicyRequest { role_name: text("r"), policy_name: text("c") };
    refused(
        inline::get_role(fixture.call(), get).await,
        "NoSuchEntity",
        "The role policy with name c cannot be found.",
    );
}

#[tokio::test]
async fn the_keys_that_policies_ask_about_are_listed() {
    let fixture = Fixture::new().await;
    fixture.user("bob").await;
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*",
        "Resource":"arn:aws:s3:::home/${aws:username}/${*}","Condition":{"StringLike":{"s3:prefix":["${aws:PrincipalTag/team, 'none'}"]}}}]}"#;
    let input = api::PutUserPolicyRequest {
        user_name: text("bob"),
        policy_name: text("home"),
        policy_document: text(document),
    };
    inline::put_user(fixture.call(), input).await.unwrap();
    let input = api::GetContextKeysForPrincipalPolicyRequest {
        policy_source_arn: text("arn:aws:iam::000000000000:user/bob"),
        ..Default::default()
    };
    let answer = context_keys::principal(fixture.call(), input).await.unwrap();
    assert_eq!(answer.context_key_names.unwrap(), ["aws:PrincipalTag/team", "aws:username", "s3:prefix"]);
}
