//! Account settings: whose value holds.

use super::{super::settings, *};
use crate::gateway::Principal;
use ecs::SettingName;

fn user(name: &str) -> Principal {
    let account = scope().account;
    Principal { arn: format!("arn:aws:iam::{account}:user/{name}"), ..Principal::root(&account, "test") }
}

async fn effective(fixture: &Fixture, principal: Principal, name: SettingName) -> String {
    let input = ecs::ListAccountSettingsRequest {
        name: Some(name),
        effective_settings: Some(true),
        ..Default::default()
    };
    let answer = settings::list_account_settings(fixture.call_as(principal), input).await.unwrap();
    answer.settings.unwrap().remove(0).value.unwrap()
}

async fn put(
    fixture: &Fixture,
    principal: Principal,
    name: SettingName,
    value: &str,
) -> Result<ecs::Setting, ApiError> {
    let input = ecs::PutAccountSettingRequest { name: Some(name), value: text(value), principal_arn: None };
    Ok(settings::put_account_setting(fixture.call_as(principal), input).await?.setting.unwrap())
}

#[tokio::test]
async fn the_principals_own_value_goes_before_the_accounts_and_that_before_awss() {
    let fixture = fixture().await;
    let name = SettingName::ContainerInsights;
    assert_eq!(effective(&fixture, user("ann"), name).await, "disabled");
    let default = ecs::PutAccountSettingDefaultRequest { name: Some(name), value: text("enabled") };
    settings::put_account_setting_default(fixture.call(), default).await.unwrap();
    assert_eq!(effective(&fixture, user("ann"), name).await, "enabled");
    put(&fixture, user("ann"), name, "enhanced").await.unwrap();
    assert_eq!(effective(&fixture, user("ann"), name).await, "enhanced");
    assert_eq!(effective(&fixture, user("bob"), name).await, "enabled");

    let own = async |principal: Principal| {
        let call = fixture.call_as(principal);
        let input = ecs::ListAccountSettingsRequest::default();
        settings::list_account_settings(call, input).await.unwrap().settings.unwrap()
    };
    assert_eq!(own(user("bob")).await, vec![]);
    let anns = own(user("ann")).await;
    assert_eq!(anns.len(), 1);
    assert_eq!(anns[0].principal_arn, Some(user("ann").arn));

    let delete = ecs::DeleteAccountSettingRequest { name: Some(name), principal_arn: None };
    let shown = settings::delete_account_setting(fixture.call_as(user("ann")), delete).await.unwrap();
    assert_eq!(shown.setting.unwrap().value.as_deref(), Some("enabled"));
    assert_eq!(effective(&fixture, user("ann"), name).await, "enabled");
}

#[tokio::test]
async fn the_roots_value_is_the_accounts() {
    let fixture = fixture().await;
    let root = Principal::root(&scope().account, "test");
    put(&fixture, root, SettingName::AwsvpcTrunking, "enabled").await.unwrap();
    assert_eq!(effective(&fixture, user("ann"), SettingName::AwsvpcTrunking).await, "enabled");
}

#[tokio::test]
async fn values_are_those_that_the_setting_has() {
    let fixture = fixture().await;
    for (name, value) in [
        (SettingName::ContainerInsights, "on"),
        (SettingName::FargateTaskRetirementWaitPeriod, "3"),
        (SettingName::DefaultLogDriverMode, "maybe"),
        (SettingName::AwsvpcTrunking, ""),
    ] {
        refused(put(&fixture, user("ann"), name, value).await, INVALID, "Invalid value");
    }
    let answer = put(&fixture, user("ann"), SettingName::GuardDutyActivate, "on").await;
    refused(answer, INVALID, "read-only");
    let all = ecs::ListAccountSettingsRequest { effective_settings: Some(true), ..Default::default() };
    let shown = settings::list_account_settings(fixture.call(), all).await.unwrap().settings.unwrap();
    assert!(shown.iter().all(|setting| setting.name.is_some() && setting.value.is_some()));
    assert_eq!(shown.len(), 11);
}
