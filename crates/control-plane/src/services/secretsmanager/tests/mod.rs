//! What clients see of Secrets Manager.

mod sharing;
mod versions;

use aws_shapes_secretsmanager as secrets;

use super::*;
use crate::{
    gateway::ApiError,
    services::testing::{Fixture, text},
};

pub async fn create(fixture: &Fixture, name: &str, value: &str) -> secrets::CreateSecretResponse {
    let input =
        secrets::CreateSecretRequest { name: text(name), secret_string: text(value), ..Default::default() };
    writes::create(fixture.call(), input).await.unwrap()
}

pub async fn put(
    fixture: &Fixture,
    name: &str,
    value: &str,
    token: Option<&str>,
    stages: Option<&[&str]>,
) -> Result<secrets::PutSecretValueResponse, ApiError> {
    let input = secrets::PutSecretValueRequest {
        secret_id: text(name),
        secret_string: text(value),
        client_request_token: token.map(str::to_owned),
        version_stages: stages.map(|stages| stages.iter().map(|stage| (*stage).to_owned()).collect()),
        ..Default::default()
    };
    writes::put(fixture.call(), input).await
}

pub async fn get(
    fixture: &Fixture,
    name: &str,
    version_id: Option<&str>,
    stage: Option<&str>,
) -> Result<String, ApiError> {
    let input = secrets::GetSecretValueRequest {
        secret_id: text(name),
        version_id: version_id.map(str::to_owned),
        version_stage: stage.map(str::to_owned),
    };
    Ok(reads::get(fixture.call(), input).await?.secret_string.unwrap())
}

pub async fn describe(fixture: &Fixture, name: &str) -> secrets::DescribeSecretResponse {
    let input = secrets::DescribeSecretRequest { secret_id: text(name) };
    reads::describe(fixture.call(), input).await.unwrap()
}
