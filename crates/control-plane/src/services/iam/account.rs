//! The account as a whole: its alias, its password policy, how much of everything there is; and lists of what cannot exist.

use std::collections::BTreeMap;

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreateAccountAliasRequest, DeleteAccountAliasRequest, GetAccountPasswordPolicyResponse,
    GetAccountSummaryResponse, ListAccountAliasesRequest, ListAccountAliasesResponse,
    UpdateAccountPasswordPolicyRequest,
};

use super::{
    access_keys::AccessKey,
    errors,
    names::{self, Wanted, page},
    records::{
        Account, AliasClaim, Group, InstanceProfile, OidcProvider, PasswordPolicy, Policy, Role, User,
    },
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::records::global,
};

/// Lower-case letters, digits and single hyphens inside. The model says so with a look-ahead.
fn is_alias(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
        && !vocabulary::AccountId::is_valid(text)
}

pub async fn create_alias(call: Call, input: CreateAccountAliasRequest) -> Result<Unit, ApiError> {
    let (scope, alias) = (names::of(&call), input.account_alias.unwrap_or_default());
    if !is_alias(&alias) {
        return Err(errors::validation(format!(
            "1 validation error detected: Value '{alias}' at 'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){{1,61}}[a-z0-9]$"
        )));
    }
    call.services
        .state
        .transact(|tx| {
            let claim = tx.get::<AliasClaim>(&global(), &alias);
            if claim.is_some_and(|claim| claim.account != scope.account) {
                return Err(errors::already_exists(format!("The account alias {alias} already exists.")));
            }
            let mut account = current(tx, &scope);
            // An account has one alias; a new one takes the place of the old.
            if let Some(old) = account.alias.replace(alias.clone()) {
                tx.delete::<AliasClaim>(&global(), &old);
            }
            tx.put(&global(), &alias, AliasClaim { account: scope.account.clone() });
            tx.put(&scope, Account::ID, account);
            Ok(Unit)
        })
        .await
}

fn current(tx: &mut state_store::Tx, scope: &vocabulary::Scope) -> Account {
    tx.get::<Account>(scope, Account::ID).map(|account| (*account).clone()).unwrap_or_default()
}

pub async fn delete_alias(call: Call, input: DeleteAccountAliasRequest) -> Result<Unit, ApiError> {
    let (scope, alias) = (names::of(&call), input.account_alias.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let account = current(tx, &scope);
            if account.alias.as_ref() != Some(&alias) {
                let message = format!("The account alias with name {alias} cannot be found.");
                return Err(errors::no_such_entity(message));
            }
            tx.delete::<AliasClaim>(&global(), &alias);
            tx.put(&scope, Account::ID, Account { alias: None, ..account });
            Ok(Unit)
        })
        .await
}

pub async fn list_aliases(
    call: Call,
    input: ListAccountAliasesRequest,
) -> Result<ListAccountAliasesResponse, ApiError> {
    let scope = names::of(&call);
    let account = call.services.state.read(|view| view.get::<Account>(&scope, Account::ID));
    let aliases = account.and_then(|account| account.alias.clone());
    let wanted = Wanted::new(input.marker, input.max_items);
    let page = page(&call, "aliases", aliases, String::clone, wanted)?;
    Ok(ListAccountAliasesResponse {
        account_aliases: Some(page.items),
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
    })
}

fn no_policy(call: &Call) -> ApiError {
    let account = &call.scope().account;
    errors::no_such_entity(format!("The Password Policy with domain name {account} cannot be found."))
}

pub async fn get_password_policy(call: Call, _: Unit) -> Result<GetAccountPasswordPolicyResponse, ApiError> {
    let account = call.services.state.read(|view| view.get::<Account>(&names::of(&call), Account::ID));
    let policy = account.and_then(|account| account.password_policy.clone());
    let policy = policy.ok_or_else(|| no_policy(&call))?;
    Ok(GetAccountPasswordPolicyResponse {
        password_policy: Some(iam::PasswordPolicy {
            minimum_password_length: Some(policy.minimum_length),
            require_symbols: Some(policy.symbols),
            require_numbers: Some(policy.numbers),
            require_uppercase_characters: Some(policy.uppercase),
            require_lowercase_characters: Some(policy.lowercase),
            allow_users_to_change_password: Some(policy.users_may_change),
            expire_passwords: Some(policy.max_age_days.is_some()),
            max_password_age: policy.max_age_days,
            password_reuse_prevention: policy.reuse_prevention,
            hard_expiry: policy.hard_expiry,
        }),
    })
}

/// Replaces the whole policy: what a request leaves out goes back to its default.
pub async fn update_password_policy(
    call: Call,
    input: UpdateAccountPasswordPolicyRequest,
) -> Result<Unit, ApiError> {
    let scope = names::of(&call);
    let policy = PasswordPolicy {
        minimum_length: input.minimum_password_length.unwrap_or(6),
        symbols: input.require_symbols == Some(true),
        numbers: input.require_numbers == Some(true),
        uppercase: input.require_uppercase_characters == Some(true),
        lowercase: input.require_lowercase_characters == Some(true),
        users_may_change: input.allow_users_to_change_password == Some(true),
        max_age_days: input.max_password_age.filter(|days| *days > 0),
        reuse_prevention: input.password_reuse_prevention.filter(|count| *count > 0),
        hard_expiry: input.hard_expiry,
    };
    call.services
        .state
        .transact(|tx| {
            let account = current(tx, &scope);
            let password_policy = Some(policy.clone());
            tx.put(&scope, Account::ID, Account { password_policy, ..account });
            Ok(Unit)
        })
        .await
}

pub async fn delete_password_policy(call: Call, _: Unit) -> Result<Unit, ApiError> {
    let scope = names::of(&call);
    call.services
        .state
        .transact(|tx| {
            let account = current(tx, &scope);
            if account.password_policy.is_none() {
                return Err(errors::no_such_entity(
                    "The account policy with name PasswordPolicy cannot be found.",
                ));
            }
            tx.put(&scope, Account::ID, Account { password_policy: None, ..account });
            Ok(Unit)
        })
        .await
}

pub async fn summary(call: Call, _: Unit) -> Result<GetAccountSummaryResponse, ApiError> {
    let scope = names::of(&call);
    let view = call.services.state.view();
    let root = scope.account.as_str();
    let root_keys = view.by_index::<AccessKey>(&global(), "owner", root).any(|(_, key)| !key.is_temporary());
    let versions: usize = view.scan::<Policy>(&scope).map(|(_, policy)| policy.versions.len()).sum();
    let counts = [
        ("Users", view.scan::<User>(&scope).count()),
        ("Groups", view.scan::<Group>(&scope).count()),
        ("Roles", view.scan::<Role>(&scope).count()),
        ("Policies", view.scan::<Policy>(&scope).count()),
        ("PolicyVersionsInUse", versions),
        ("InstanceProfiles", view.scan::<InstanceProfile>(&scope).count()),
        ("Providers", view.scan::<OidcProvider>(&scope).count()),
        ("ServerCertificates", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("AccountMFAEnabled", 0),
        ("AccountAccessKeysPresent", usize::from(root_keys)),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("GlobalEndpointTokenVersion", 1),
    ];
    let quotas = [
        ("UsersQuota", 5000),
        ("GroupsQuota", 300),
        ("RolesQuota", 1000),
        ("PoliciesQuota", 1500),
        ("PolicyVersionsInUseQuota", 10000),
        ("InstanceProfilesQuota", 1000),
        ("ServerCertificatesQuota", 20),
        ("UserPolicySizeQuota", 2048),
        ("GroupPolicySizeQuota", 5120),
        ("RolePolicySizeQuota", 10240),
        ("AssumeRolePolicySizeQuota", 2048),
        ("PolicySizeQuota", 6144),
        ("VersionsPerPolicyQuota", 5),
        ("GroupsPerUserQuota", 10),
        ("SigningCertificatesPerUserQuota", 2),
        ("AccessKeysPerUserQuota", 2),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("AttachedPoliciesPerUserQuota", 10),
    ];
    let entry = |(name, count): (&str, usize)| (name.to_owned(), i32::try_from(count).unwrap_or(i32::MAX));
    let summary_map: BTreeMap<String, i32> = counts.into_iter().chain(quotas).map(entry).collect();
    Ok(GetAccountSummaryResponse { summary_map: Some(summary_map) })
}

#[cfg(test)]
mod tests {
    use super::is_alias;

    #[test]
    fn aliases_follow_the_models_pattern() {
        for good in ["abc", "a-b", "prod-2", "0a0"] {
            assert!(is_alias(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["ab", "-abc", "abc-", "a--b", "Abc", "a_b", "", long.as_str(), "123456789012"] {
            assert!(!is_alias(bad), "{bad}");
        }
    }
}
