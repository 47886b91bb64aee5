//! What tasks are given by their execution role, and what becomes of those whose role may not.

use aws_shapes_ssm as ssm;

use super::*;
use crate::services::{iam, ssm::parameters};

const ROLE: &str = "arn:aws:iam::000000000000:role/exec";

fn allow(action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}]}}"#
    )
}

fn secret(name: &str, from: &str) -> ecs::Secret {
    ecs::Secret { name: text(name), value_from: text(from) }
}

fn with(change: impl FnOnce(&mut ecs::ContainerDefinition)) -> ecs::RegisterTaskDefinitionRequest {
    let mut request = fargate("given");
    request.execution_role_arn = text(ROLE);
    change(&mut request.container_definitions.as_mut().unwrap()[0]);
    request
}

impl Fixture {
    async fn parameter(&self, name: &str, value: &str) {
        let input = ssm::PutParameterRequest {
            name: text(name),
            value: text(value),
            r#type: Some(ssm::ParameterType::SecureString),
            ..Default::default()
        };
        parameters::testing::put(self.call(), input).await.unwrap();
    }

    /// What a task of this definition is given.
    async fn given(
        &self,
        request: ecs::RegisterTaskDefinitionRequest,
    ) -> Result<agent_protocol::TaskSecrets, String> {
        self.register(request).await.unwrap();
        let task = self.run(run_request(self, "given")).await.unwrap().remove(0).task_arn.unwrap();
        tasks::injection::resolve(&self.services, &task, self.now()).await
    }
}

#[tokio::test]
async fn secrets_are_read_with_the_execution_roles_rights() {
    let fixture = fixture().await;
    fixture.parameter("/shop/color", "blue").await;
    let resource = "arn:aws:ssm:us-east-1:000000000000:parameter/shop/*";
    iam::testing::role_session(&fixture, "exec", &[&allow("ssm:GetParameters", resource)]).await;
    let by_arn = "arn:aws:ssm:us-east-1:000000000000:parameter/shop/color";
    let both = vec![secret("A", "/shop/color"), secret("B", by_arn)];
    let given = fixture.given(with(|app| app.secrets = Some(both))).await.unwrap();
    let values: Vec<_> =
        given.containers[0].secrets.iter().map(|one| (one.name.as_str(), one.value.expose())).collect();
    assert_eq!(values, [("A", "blue"), ("B", "blue")]);
    assert!(!format!("{given:?}").contains("blue"));

    fixture.parameter("/bank/pin", "1234").await;
    let refusal =
        fixture.given(with(|app| app.secrets = Some(vec![secret("A", "/bank/pin")]))).await.unwrap_err();
    for part in [
        "unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: \
         service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::000000000000:assumed-role/exec/",
        "is not authorized to perform: ssm:GetParameters on resource: arn:aws:ssm:us-east-1:000000000000:parameter/bank/pin",
        "because no identity-based policy allows the ssm:GetParameters action",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let missing = fixture.given(with(|app| app.secrets = Some(vec![secret("A", "/shop/none")]))).await;
    assert!(missing.unwrap_err().ends_with("invalid ssm parameters: /shop/none"));
}

#[tokio::test]
async fn what_is_given_is_checked_when_it_is_registered() {
    let fixture = fixture().await;
    let file =
        |arn: &str| ecs::EnvironmentFile { value: text(arn), r#type: Some(ecs::EnvironmentFileType::S3) };
    let pair = |name: &str| ecs::KeyValuePair { name: text(name), value: text("x") };
    let twice = with(|app| {
        app.secrets = Some(vec![secret("A", "/a")]);
        app.environment = Some(vec![pair("A")]);
    });
    refused(fixture.register(twice).await, CLIENT, "The secret name must be unique");
    refused(
        fixture.register(with(|app| app.secrets = Some(vec![secret("A", "")]))).await,
        CLIENT,
        "valueFrom",
    );
    for arn in ["s3://bucket/a.env", "arn:aws:s3:::bucket/a.txt", "arn:aws:s3:::a.env"] {
        let wrong = with(|app| app.environment_files = Some(vec![file(arn)]));
        refused(fixture.register(wrong).await, CLIENT, "'environmentFiles'");
    }
    let many = (0..11).map(|number| file(&format!("arn:aws:s3:::bucket/{number}.env"))).collect();
    refused(
        fixture.register(with(|app| app.environment_files = Some(many))).await,
        CLIENT,
        "10 environment files",
    );
    let mut roleless = with(|app| app.environment_files = Some(vec![file("arn:aws:s3:::bucket/a.env")]));
    roleless.execution_role_arn = None;
    refused(fixture.register(roleless).await, CLIENT, "you must also specify a value for 'executionRoleArn'");
}

#[tokio::test]
async fn a_log_option_may_be_a_secret() {
    let fixture = fixture().await;
    fixture.parameter("/log/group", "/made/of/secrets").await;
    iam::testing::role_session(&fixture, "exec", &[&allow("ssm:GetParameters", "*")]).await;
    let log = ecs::LogConfiguration {
        log_driver: Some(ecs::LogDriver::Awslogs),
        options: Some([("awslogs-region".to_owned(), "us-east-1".to_owned())].into()),
        secret_options: Some(vec![secret("awslogs-group", "/log/group")]),
    };
    let given = fixture.given(with(|app| app.log_configuration = Some(log))).await.unwrap();
    let Some(agent_protocol::spec::LogConfiguration::Awslogs(options)) = &given.containers[0].log else {
        panic!("the options of awslogs")
    };
    assert_eq!(options.group, "/made/of/secrets");
}

#[tokio::test]
async fn a_task_without_a_role_that_can_be_had_is_given_nothing() {
    let fixture = fixture().await;
    let refusal = fixture.given(with(|app| app.secrets = Some(vec![secret("A", "/a")]))).await.unwrap_err();
    assert!(refusal.contains(&format!("ECS was unable to assume the role '{ROLE}'")), "{refusal}");
}
