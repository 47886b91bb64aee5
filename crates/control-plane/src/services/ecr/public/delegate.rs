//! Carrying out a public operation as the private one of the same name, on the account's public registry.
//!
//! The shapes of the two services have the same members under the same names, so that they are carried over through their JSON;
//! on the way names and ARNs get and lose the prefix of public repositories.

use std::sync::Arc;

use aws_schema::Shape;
use serde_json::Value;
use vocabulary::AccountId;

use crate::gateway::{ApiError, Call, Context};
use crate::registry::public;

/// Answers `input` with the private operation's `handler`.
pub async fn delegate<PI, PO, I, O, F, R>(call: Call, input: PI, handler: F) -> Result<PO, ApiError>
where
    PI: Shape,
    PO: Shape,
    I: Shape,
    O: Shape,
    F: FnOnce(Call, I) -> R,
    R: Future<Output = Result<O, ApiError>>,
{
    let account = call.scope().account.clone();
    let input = recast::<PI, I>(input, |value| inward(&account, value))?;
    match handler(of_public_registry(&call), input).await {
        Ok(output) => recast::<O, PO>(output, |value| outward(&account, value)),
        Err(error) => Err(named_outward(&account, error)),
    }
}

/// The same call on the account's public registry.
pub fn of_public_registry(call: &Call) -> Call {
    let context = Context {
        scope: public::scope(&call.scope().account),
        principal: call.principal.clone(),
        request_id: call.request_id.clone(),
        now: call.now(),
        host: call.host.clone(),
        origin: call.origin.clone(),
    };
    Call { services: Arc::clone(&call.services), context: Arc::new(context) }
}

/// An error whose text names repositories as the client knows them.
pub fn named_outward(account: &AccountId, mut error: ApiError) -> ApiError {
    error.message = error.message.replace(&public::prefix(account), "");
    error
}

/// A shape as another one with members of the same names; others are left behind.
pub fn recast<A: Shape, B: Shape>(shape: A, change: impl Fn(&mut Value)) -> Result<B, ApiError> {
    let text = aws_wire::document::to_json(A::TABLE, &shape.into_value());
    let mut document = serde_json::from_slice::<Value>(&text).map_err(ApiError::internal)?;
    change(&mut document);
    let text = document.to_string();
    let value = aws_wire::document::from_json(B::TABLE, text.as_bytes()).map_err(ApiError::internal)?;
    B::from_value(value).map_err(ApiError::internal)
}

/// Names as the registry keeps them.
fn inward(account: &AccountId, input: &mut Value) {
    let Some(members) = input.as_object_mut() else { return };
    let prefix = public::prefix(account);
    for (name, value) in members.iter_mut() {
        match (name.as_str(), value) {
            ("repositoryName", Value::String(text)) => *text = format!("{prefix}{text}"),
            ("repositoryNames", Value::Array(names)) => {
                for name in names {
                    *name = Value::String(format!("{prefix}{}", name.as_str().unwrap_or_default()));
                }
            }
            ("resourceArn", Value::String(text)) => {
                let outside = format!("arn:aws:ecr-public::{account}:repository/");
                if let Some(name) = text.strip_prefix(&outside) {
                    *text = public::scope(account)
                        .arn("ecr", format_args!("repository/{prefix}{name}"))
                        .to_string();
                }
            }
            _ => {}
        }
    }
}

/// Names as the client knows them, wherever in the answer they are. A repository's URI keeps the prefix: it is where
/// the repository is.
fn outward(account: &AccountId, output: &mut Value) {
    match output {
        Value::Array(list) => list.iter_mut().for_each(|value| outward(account, value)),
        Value::Object(members) => {
            let prefix = public::prefix(account);
            for (name, value) in members.iter_mut() {
                match (name.as_str(), value) {
                    ("repositoryName", Value::String(text)) => {
                        *text = text.strip_prefix(&prefix).unwrap_or(text).to_owned();
                    }
                    ("repositoryArn", Value::String(text)) => {
                        let name = text.rsplit_once(&prefix).map_or("", |(_, name)| name);
                        *text = format!("arn:aws:ecr-public::{account}:repository/{name}");
                    }
                    (_, value) => outward(account, value),
                }
            }
        }
        _ => {}
    }
}
