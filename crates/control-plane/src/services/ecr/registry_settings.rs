//! Settings of a whole registry.

use aws_shapes_ecr::{
    GetAccountSettingRequest, GetAccountSettingResponse, PutAccountSettingRequest, PutAccountSettingResponse,
};

use super::catalog;
use super::errors::invalid;
use super::records::RegistrySettings;
use crate::gateway::{ApiError, Call};
use crate::registry::error::CatalogError;

/// Account settings: the name, the default first, then every other value.
const ACCOUNT_SETTINGS: [(&str, &[&str]); 2] =
    [("BASIC_SCAN_TYPE_VERSION", &["AWS_NATIVE", "CLAIR"]), ("REGISTRY_POLICY_SCOPE", &["V2", "V1"])];

pub async fn get_account_setting(
    call: Call,
    input: GetAccountSettingRequest,
) -> Result<GetAccountSettingResponse, ApiError> {
    let name = input.name.unwrap_or_default();
    let values = values_of(&name)?;
    let set = read(&call).account.remove(&name);
    let value = set.unwrap_or_else(|| values[0].to_owned());
    Ok(GetAccountSettingResponse { name: Some(name), value: Some(value) })
}

pub async fn put_account_setting(
    call: Call,
    input: PutAccountSettingRequest,
) -> Result<PutAccountSettingResponse, ApiError> {
    let name = input.name.unwrap_or_default();
    let value = input.value.unwrap_or_default();
    if !values_of(&name)?.contains(&value.as_str()) {
        return Err(invalid(format!(
            "Invalid parameter at 'value' failed to satisfy constraint: '{value} is not a value of {name}'"
        )));
    }
    update(&call, |settings| {
        settings.account.insert(name.clone(), value.clone());
    })
    .await?;
    Ok(PutAccountSettingResponse { name: Some(name), value: Some(value) })
}

fn values_of(name: &str) -> Result<&'static [&'static str], ApiError> {
    let setting = ACCOUNT_SETTINGS.iter().find(|(known, _)| *known == name);
    setting.map(|(_, values)| *values).ok_or_else(|| {
        invalid(format!(
            "Invalid parameter at 'name' failed to satisfy constraint: '{name} is not an account setting'"
        ))
    })
}

/// The settings as they are, the defaults when none were ever changed.
pub fn read(call: &Call) -> RegistrySettings {
    let found =
        catalog(call).state().read(|view| view.get::<RegistrySettings>(call.scope(), RegistrySettings::ID));
    found.map(|settings| RegistrySettings::clone(&settings)).unwrap_or_default()
}

/// Changes the settings.
pub async fn update<T>(call: &Call, change: impl Fn(&mut RegistrySettings) -> T) -> Result<T, ApiError> {
    let scope = call.scope();
    let changed = catalog(call).state().transact(|tx| {
        let current = tx.get::<RegistrySettings>(scope, RegistrySettings::ID);
        let mut settings = current.map(|settings| RegistrySettings::clone(&settings)).unwrap_or_default();
        let out = change(&mut settings);
        tx.put(scope, RegistrySettings::ID, settings);
        Ok::<_, CatalogError>(out)
    });
    Ok(changed.await?)
}
