//! Parameter Store: settings and secrets by name, in hierarchies, with their history.
//!
//! A parameter is a record with its newest version's number; each version is a record of its own. What a `SecureString` says is encrypted
//! with a key of KMS before it is kept. What is not here: AWS's public parameters, sharing between accounts, data types other
//! than text, and the events that policies send.

mod delete;
mod describe;
mod errors;
mod filters;
mod get;
mod labels;
mod names;
mod policies;
mod put;
pub mod records;
mod secrets;
mod secure;
mod tags;
#[cfg(test)]
pub mod testing {
    //! For the tests of others.

    pub use super::put::put;
}
#[cfg(test)]
mod tests;

use aws_shapes_ssm as ssm;
use state_store::{Tables, View};
use vocabulary::Scope;

use crate::{
    authorization::{Holder, Wish, authorize_with_resource_policy, resources::Facts},
    gateway::{ApiError, ServiceOperations},
    services::Services,
};
pub use delete::carry_out_policies;
use names::Reference;
use records::{Parameter, Value, Version, arn};

/// Registers the handlers.
pub fn register(mut service: ServiceOperations<'_>) {
    service
        .on::<ssm::PutParameter, _, _>(put::put)
        .on::<ssm::GetParameter, _, _>(get::get)
        .on::<ssm::GetParameters, _, _>(get::get_several)
        .on::<ssm::GetParametersByPath, _, _>(get::by_path)
        .on::<ssm::GetParameterHistory, _, _>(get::history)
        .on::<ssm::DescribeParameters, _, _>(describe::describe)
        .on::<ssm::LabelParameterVersion, _, _>(labels::label)
        .on::<ssm::UnlabelParameterVersion, _, _>(labels::unlabel)
        .on::<ssm::DeleteParameter, _, _>(delete::delete)
        .on::<ssm::DeleteParameters, _, _>(delete::delete_several)
        .on::<ssm::AddTagsToResource, _, _>(tags::add)
        .on::<ssm::RemoveTagsFromResource, _, _>(tags::remove)
        .on::<ssm::ListTagsForResource, _, _>(tags::list);
}

/// Declares the records.
pub fn tables(tables: Tables) -> Tables {
    tables.with::<Parameter>().with::<Version>()
}

/// What authorization is told of a parameter (`parameter/NAME`, with or without a version behind it).
pub fn facts(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    let name = resource.strip_prefix("parameter/")?;
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let own = view.get::<Parameter>(scope, name).or_else(|| view.get(scope, &format!("/{name}")));
    Some(Facts {
        arn: Some(arn(scope, name)),
        tags: own.map(|own| own.tags.clone()).unwrap_or_default(),
        ..Facts::default()
    })
}

/// The value of a parameter, decrypted, as `holder` may read it: what ECS does with GetParameters in the name of an execution role. The
/// name may be an ARN, and have a version or a label behind it.
///
/// # Errors
/// `AccessDeniedException`, `ParameterNotFound`, `ParameterVersionNotFound`, and those of the key.
pub fn value(services: &Services, scope: &Scope, holder: &Holder, asked: &str) -> Result<String, ApiError> {
    let reference = Reference::parse(scope, asked)?;
    let view = services.state.view();
    let resource = arn(scope, &reference.name(&view, scope));
    let context = holder.context(&scope.region, services.now());
    let wish = Wish::new("ssm:GetParameters", &resource);
    authorize_with_resource_policy(services, holder, &context, ssm::SERVICE, &wish)?;
    let found = get::find(&view, scope, asked, &reference)?;
    match &found.version.value {
        Value::Plain(text) => Ok(text.clone()),
        Value::Encrypted(sealed) => {
            secure::decrypt_for(services, &view, scope, (holder, &context), &found.name, sealed)
        }
    }
}
