//! Account settings and cluster settings.
//!
//! An account setting holds for a principal, else for the account, else it has AWS's default. Longshore acts on
//! `containerInsights` (the setting of new clusters); of the others it keeps the value and shows it.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    ClusterSettingName, DeleteAccountSettingRequest, DeleteAccountSettingResponse,
    ListAccountSettingsRequest, ListAccountSettingsResponse, PutAccountSettingDefaultRequest,
    PutAccountSettingDefaultResponse, PutAccountSettingRequest, PutAccountSettingResponse, SettingName,
    SettingType,
};
use state_store::View;
use vocabulary::Scope;

use super::{names::invalid, records::AccountSetting};
use crate::gateway::{ApiError, Call};

/// Every setting with AWS's default and what it may be.
const SETTINGS: &[(&str, &str, &[&str])] = &[
    ("awsvpcTrunking", "disabled", ON_OFF),
    ("containerInsights", "disabled", &["enabled", "disabled", "enhanced"]),
    ("containerInstanceLongArnFormat", "enabled", ON_OFF),
    ("defaultLogDriverMode", "non-blocking", &["blocking", "non-blocking"]),
    ("fargateEventWindows", "disabled", ON_OFF),
    ("fargateFIPSMode", "disabled", ON_OFF),
    ("fargateTaskRetirementWaitPeriod", "7", &["0", "7", "14"]),
    ("guardDutyActivate", "off", &["on", "off"]),
    ("serviceLongArnFormat", "enabled", ON_OFF),
    ("tagResourceAuthorization", "on", &["on", "off", "enabled", "disabled"]),
    ("taskLongArnFormat", "enabled", ON_OFF),
];
const ON_OFF: &[&str] = &["enabled", "disabled", "on", "off"];
/// Settings that only AWS may change.
const READ_ONLY: &[&str] = &["guardDutyActivate"];

fn record_id(name: &str, principal: Option<&str>) -> String {
    match principal {
        Some(arn) => format!("{name}/{arn}"),
        None => name.to_owned(),
    }
}

fn check(name: &str, value: &str) -> Result<(), ApiError> {
    let Some((_, _, allowed)) = SETTINGS.iter().find(|(known, _, _)| *known == name) else {
        return Err(invalid(format!("Unknown account setting: {name}.")));
    };
    if READ_ONLY.contains(&name) {
        return Err(invalid(format!("The account setting {name} is read-only.")));
    }
    if !allowed.contains(&value) {
        return Err(invalid(format!(
            "Invalid value '{value}' for the account setting {name}. Use one of: {}.",
            allowed.join(", ")
        )));
    }
    Ok(())
}

/// What holds for `principal`: its own value, the account's, or AWS's default.
fn effective(view: &View, scope: &Scope, name: &str, principal: Option<&str>) -> String {
    principal
        .and_then(|arn| view.get::<AccountSetting>(scope, &record_id(name, Some(arn))))
        .or_else(|| view.get::<AccountSetting>(scope, name))
        .map(|setting| setting.value.clone())
        .or_else(|| {
            SETTINGS.iter().find(|(known, _, _)| *known == name).map(|(_, value, _)| (*value).to_owned())
        })
        .unwrap_or_default()
}

async fn put(
    call: &Call,
    name: SettingName,
    value: Option<String>,
    principal: Option<String>,
) -> Result<ecs::Setting, ApiError> {
    let value = value.unwrap_or_default();
    check(name.as_str(), &value)?;
    let scope = call.scope();
    let record =
        AccountSetting { name: name.as_str().to_owned(), principal: principal.clone(), value: value.clone() };
    call.services
        .state
        .transact(|tx| {
            tx.put(scope, &record_id(name.as_str(), principal.as_deref()), record.clone());
            Ok::<_, ApiError>(())
        })
        .await?;
    let owner = principal.unwrap_or_else(|| root_arn(scope));
    Ok(shape(name.as_str(), value, owner))
}

fn shape(name: &str, value: String, principal: String) -> ecs::Setting {
    let kind = if READ_ONLY.contains(&name) { SettingType::AwsManaged } else { SettingType::User };
    ecs::Setting {
        name: SettingName::parse(name),
        value: Some(value),
        principal_arn: Some(principal),
        r#type: Some(kind),
    }
}

fn root_arn(scope: &Scope) -> String {
    format!("arn:aws:iam::{}:root", scope.account)
}

fn required(name: Option<SettingName>) -> Result<SettingName, ApiError> {
    name.ok_or_else(|| invalid("The name of the account setting is required."))
}

pub async fn put_account_setting(
    call: Call,
    input: PutAccountSettingRequest,
) -> Result<PutAccountSettingResponse, ApiError> {
    let principal = input.principal_arn.unwrap_or_else(|| call.principal.arn.clone());
    // The root's own setting is the account's default.
    let principal = if principal == root_arn(call.scope()) { None } else { Some(principal) };
    let setting = put(&call, required(input.name)?, input.value, principal).await?;
    Ok(PutAccountSettingResponse { setting: Some(setting) })
}

pub async fn put_account_setting_default(
    call: Call,
    input: PutAccountSettingDefaultRequest,
) -> Result<PutAccountSettingDefaultResponse, ApiError> {
    let setting = put(&call, required(input.name)?, input.value, None).await?;
    Ok(PutAccountSettingDefaultResponse { setting: Some(setting) })
}

pub async fn delete_account_setting(
    call: Call,
    input: DeleteAccountSettingRequest,
) -> Result<DeleteAccountSettingResponse, ApiError> {
    let name = required(input.name)?;
    let scope = call.scope();
    let principal = input.principal_arn.unwrap_or_else(|| call.principal.arn.clone());
    let key = if principal == root_arn(scope) { None } else { Some(principal.as_str()) };
    let id = record_id(name.as_str(), key);
    call.services
        .state
        .transact(|tx| {
            if tx.get::<AccountSetting>(scope, &id).is_some() {
                tx.delete::<AccountSetting>(scope, &id);
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    let value = call.services.state.read(|view| effective(view, scope, name.as_str(), key));
    Ok(DeleteAccountSettingResponse { setting: Some(shape(name.as_str(), value, principal)) })
}

pub async fn list_account_settings(
    call: Call,
    input: ListAccountSettingsRequest,
) -> Result<ListAccountSettingsResponse, ApiError> {
    let scope = call.scope();
    let principal = input.principal_arn.clone().unwrap_or_else(|| call.principal.arn.clone());
    let key = if principal == root_arn(scope) { None } else { Some(principal.as_str()) };
    let wanted = input.name.map(|name| name.as_str());
    let settings: Vec<ecs::Setting> = call.services.state.read(|view| {
        let known = SETTINGS
            .iter()
            .map(|(name, _, _)| *name)
            .filter(|name| wanted.is_none_or(|wanted| wanted == *name));
        if input.effective_settings == Some(true) {
            return known
                .map(|name| shape(name, effective(view, scope, name, key), principal.clone()))
                .collect();
        }
        known
            .filter_map(|name| {
                let record = view.get::<AccountSetting>(scope, &record_id(name, key))?;
                Some(shape(name, record.value.clone(), principal.clone()))
            })
            .filter(|setting| input.value.is_none() || setting.value == input.value)
            .collect()
    });
    let list = format!("account-settings/{scope}/{principal}");
    let name_of =
        |setting: &ecs::Setting| setting.name.map(|name| name.as_str().to_owned()).unwrap_or_default();
    let page = super::page(&call, &list, settings, name_of, input.next_token, input.max_results)?;
    Ok(ListAccountSettingsResponse { settings: Some(page.items), next_token: page.next_token })
}

/// The settings of a request, as pairs.
///
/// # Errors
/// `InvalidParameterException` for a value that the setting does not have.
pub fn cluster_settings(given: &[ecs::ClusterSetting]) -> Result<Vec<(String, String)>, ApiError> {
    given
        .iter()
        .map(|setting| {
            let name = setting.name.unwrap_or(ClusterSettingName::ContainerInsights);
            let value = setting.value.clone().unwrap_or_default();
            if !matches!(value.as_str(), "enabled" | "disabled" | "enhanced") {
                return Err(invalid(format!("Invalid cluster setting value: {value}")));
            }
            Ok((name.as_str().to_owned(), value))
        })
        .collect()
}

/// Lays `chosen` over `settings`.
pub fn overlay(settings: &mut Vec<(String, String)>, chosen: &[(String, String)]) {
    for (name, value) in chosen {
        settings.retain(|(known, _)| known != name);
        settings.push((name.clone(), value.clone()));
    }
}

/// What a new cluster gets from the account's settings.
pub fn default_cluster_settings(view: &View, scope: &Scope) -> Vec<(String, String)> {
    vec![("containerInsights".to_owned(), effective(view, scope, "containerInsights", None))]
}

/// As the API shows them.
pub fn cluster_shape(settings: &[(String, String)]) -> Vec<ecs::ClusterSetting> {
    settings
        .iter()
        .map(|(name, value)| ecs::ClusterSetting {
            name: ClusterSettingName::parse(name),
            value: Some(value.clone()),
        })
        .collect()
}
