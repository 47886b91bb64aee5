//! GetParameter, GetParameters, GetParametersByPath and GetParameterHistory.

use std::sync::Arc;

use aws_shapes_ssm as ssm;
use aws_shapes_ssm::{
    GetParameterHistoryRequest, GetParameterHistoryResult, GetParameterRequest, GetParameterResult,
    GetParametersByPathRequest, GetParametersByPathResult, GetParametersRequest, GetParametersResult,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    errors::{bad_token, invalid, no_label, no_version, not_found},
    filters::{self, Filters},
    names::{self, Reference, Selector},
    policies,
    records::{Kind, Parameter, Value, Version, arn, version_id, versions_of},
    secrets, secure,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
};

/// The most on a page of GetParametersByPath.
const PATH_PAGE: i32 = 10;
/// The most on a page of GetParameterHistory.
const HISTORY_PAGE: i32 = 50;

/// A version that was asked for.
#[derive(Debug)]
pub struct Found {
    pub name: String,
    pub version: Arc<Version>,
}

/// The version that `asked` names.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`.
pub fn find(view: &View, scope: &Scope, asked: &str, reference: &Reference) -> Result<Found, ApiError> {
    let name = reference.name(view, scope);
    let parameter = view.get::<Parameter>(scope, &name).ok_or_else(|| not_found(asked))?;
    let version = match &reference.selector {
        Selector::Newest => view.get::<Version>(scope, &version_id(&name, parameter.version)),
        Selector::Version(text) => {
            let found =
                text.parse().ok().and_then(|number| view.get::<Version>(scope, &version_id(&name, number)));
            Some(found.ok_or_else(|| no_version(text, &name))?)
        }
        Selector::Label(label) => {
            Some(labelled(view, scope, &name, label).ok_or_else(|| no_label(label, &name))?)
        }
    };
    let version = version.ok_or_else(|| not_found(asked))?;
    Ok(Found { name, version })
}

/// The version of a parameter that has a label.
pub fn labelled(view: &View, scope: &Scope, name: &str, label: &str) -> Option<Arc<Version>> {
    let mut versions = view.scan_prefix::<Version>(scope, &versions_of(name)).map(|(_, version)| version);
    versions.find(|version| version.labels.contains(label))
}

/// What a version says, decrypted when that is asked for.
fn text(call: &Call, found: &Found, decrypt: bool) -> Result<String, ApiError> {
    match &found.version.value {
        Value::Plain(text) => Ok(text.clone()),
        Value::Encrypted(sealed) if !decrypt => Ok(sealed.clone()),
        Value::Encrypted(sealed) => secure::decrypt(call, &found.name, sealed),
    }
}

fn shape(
    call: &Call,
    found: &Found,
    selector: Option<String>,
    decrypt: bool,
) -> Result<ssm::Parameter, ApiError> {
    let version = &found.version;
    Ok(ssm::Parameter {
        arn: Some(arn(call.scope(), &found.name)),
        data_type: Some(version.data_type.clone()),
        last_modified_date: Some(time(version.modified_at)),
        name: Some(found.name.clone()),
        selector,
        source_result: None,
        r#type: Some(version.kind.shape()),
        value: Some(text(call, found, decrypt)?),
        version: Some(version.version),
    })
}

fn one(call: &Call, asked: &str, decrypt: bool) -> Result<ssm::Parameter, ApiError> {
    let reference = Reference::parse(call.scope(), asked)?;
    if let Some(secret) = reference.secret() {
        return secrets::parameter(call, asked, secret, &reference, decrypt);
    }
    let found = call.services.state.read(|view| find(view, call.scope(), asked, &reference))?;
    shape(call, &found, reference.shown_selector(), decrypt)
}

pub async fn get(call: Call, input: GetParameterRequest) -> Result<GetParameterResult, ApiError> {
    let asked = input.name.unwrap_or_default();
    let parameter = one(&call, &asked, input.with_decryption.unwrap_or(false))?;
    Ok(GetParameterResult { parameter: Some(parameter) })
}

pub async fn get_several(call: Call, input: GetParametersRequest) -> Result<GetParametersResult, ApiError> {
    let names = input.names.unwrap_or_default();
    let decrypt = input.with_decryption.unwrap_or(false);
    let repeated = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name));
    if let Some((_, name)) = repeated {
        return Err(invalid(format!("Duplicate parameter name: {name}.")));
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match one(&call, &name, decrypt) {
            Ok(parameter) => found.push(parameter),
            Err(error) if matches!(&*error.code, "ParameterNotFound" | "ParameterVersionNotFound") => {
                missing.push(name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(GetParametersResult { parameters: Some(found), invalid_parameters: Some(missing) })
}

pub async fn by_path(
    call: Call,
    input: GetParametersByPathRequest,
) -> Result<GetParametersByPathResult, ApiError> {
    let path = input.path.unwrap_or_default();
    names::check_path(&path)?;
    let filters = Filters::of_path(input.parameter_filters.unwrap_or_default())?;
    let recursive = input.recursive.unwrap_or(false);
    let scope = call.scope();
    let page = call.services.state.read(|view| {
        let under = view.scan::<Parameter>(scope).map(|(_, parameter)| parameter);
        let under = under.filter(|parameter| filters::is_under(&parameter.name, &path, recursive));
        let found = under.filter_map(|parameter| {
            let version = match filters.label() {
                None => view.get::<Version>(scope, &version_id(&parameter.name, parameter.version)),
                Some(labels) => labels.iter().find_map(|label| labelled(view, scope, &parameter.name, label)),
            }?;
            filters.matches(&parameter, &version).then(|| Found { name: parameter.name.clone(), version })
        });
        call.services.page_tokens.page(
            &format!("ssm path {scope:?} {path} {recursive}"),
            found,
            |found| found.name.clone(),
            input.next_token.as_deref(),
            size(input.max_results, PATH_PAGE),
        )
    });
    let page = page.map_err(|_| bad_token())?;
    let decrypt = input.with_decryption.unwrap_or(false);
    let parameters: Result<Vec<_>, _> =
        page.items.iter().map(|found| shape(&call, found, None, decrypt)).collect();
    Ok(GetParametersByPathResult { parameters: Some(parameters?), next_token: page.next_token })
}

pub async fn history(
    call: Call,
    input: GetParameterHistoryRequest,
) -> Result<GetParameterHistoryResult, ApiError> {
    let asked = input.name.unwrap_or_default();
    let scope = call.scope();
    let reference = Reference::parse(scope, &asked)?;
    let (name, page) = call.services.state.read(|view| {
        let name = reference.name(view, scope);
        view.get::<Parameter>(scope, &name).ok_or_else(|| not_found(&asked))?;
        let versions = view.scan_prefix::<Version>(scope, &versions_of(&name)).map(|(_, version)| version);
        let page = call.services.page_tokens.page(
            &format!("ssm history {scope:?} {name}"),
            versions,
            |version| version_id(&name, version.version),
            input.next_token.as_deref(),
            size(input.max_results, HISTORY_PAGE),
        );
        Ok::<_, ApiError>((name, page.map_err(|_| bad_token())?))
    })?;
    let decrypt = input.with_decryption.unwrap_or(false);
    let mut shown = Vec::with_capacity(page.items.len());
    for version in page.items {
        let found = Found { name: name.clone(), version };
        let value = text(&call, &found, decrypt)?;
        shown.push(past(found, value));
    }
    Ok(GetParameterHistoryResult { parameters: Some(shown), next_token: page.next_token })
}

fn past(found: Found, value: String) -> ssm::ParameterHistory {
    let version = found.version;
    ssm::ParameterHistory {
        allowed_pattern: version.allowed_pattern.clone(),
        data_type: Some(version.data_type.clone()),
        description: version.description.clone(),
        key_id: version.key_id.clone().filter(|_| version.kind == Kind::SecureString),
        labels: Some(version.labels.iter().cloned().collect()),
        last_modified_date: Some(time(version.modified_at)),
        last_modified_user: Some(version.modified_by.clone()),
        name: Some(found.name),
        policies: Some(policies::shown(&version.policies)),
        tier: Some(version.tier.shape()),
        r#type: Some(version.kind.shape()),
        value: Some(value),
        version: Some(version.version),
    }
}

/// A page's size.
pub fn size(asked: Option<i32>, most: i32) -> usize {
    usize::try_from(asked.unwrap_or(most)).unwrap_or(1).max(1)
}
