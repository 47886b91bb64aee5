//! Identity and Access Management: who there is in an account, and which policies they have. What the policies mean for a
//! request is decided in `authorization`.

mod absent;
pub mod access_keys;
mod account;
pub mod attachments;
pub mod aws_managed;
mod boundaries;
mod context_keys;
mod details;
mod errors;
mod groups;
pub mod inline;
mod instance_profiles;
pub mod instance_roles;
pub mod keys;
mod logins;
pub mod names;
pub mod oidc;
pub mod policies;
pub mod policy_document;
pub mod records;
mod report;
pub mod roles;
mod service_linked;
pub mod sessions;
mod simulate;
mod users;
mod versions;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use aws_shapes_iam as iam;
use state_store::Tables;

use crate::gateway::Operations;

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables
        .with::<access_keys::AccessKey>()
        .with::<records::User>()
        .with::<records::Group>()
        .with::<records::Role>()
        .with::<records::Policy>()
        .with::<records::InstanceProfile>()
        .with::<records::OidcProvider>()
        .with::<records::Account>()
        .with::<records::AliasClaim>()
        .with::<records::Deletion>()
        .with::<records::LastUse>()
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(iam::SERVICE)
        // users, groups and their keys
        .on::<iam::CreateUser, _, _>(users::create)
        .on::<iam::GetUser, _, _>(users::get)
        .on::<iam::ListUsers, _, _>(users::list)
        .on::<iam::UpdateUser, _, _>(users::update)
        .on::<iam::DeleteUser, _, _>(users::delete)
        .on::<iam::TagUser, _, _>(users::tag)
        .on::<iam::UntagUser, _, _>(users::untag)
        .on::<iam::ListUserTags, _, _>(users::list_tags)
        .on::<iam::PutUserPermissionsBoundary, _, _>(users::put_boundary)
        .on::<iam::DeleteUserPermissionsBoundary, _, _>(users::delete_boundary)
        .on::<iam::CreateGroup, _, _>(groups::create)
        .on::<iam::GetGroup, _, _>(groups::get)
        .on::<iam::ListGroups, _, _>(groups::list)
        .on::<iam::UpdateGroup, _, _>(groups::update)
        .on::<iam::DeleteGroup, _, _>(groups::delete)
        .on::<iam::AddUserToGroup, _, _>(groups::add_user)
        .on::<iam::RemoveUserFromGroup, _, _>(groups::remove_user)
        .on::<iam::ListGroupsForUser, _, _>(groups::list_for_user)
        .on::<iam::CreateAccessKey, _, _>(keys::create)
        .on::<iam::ListAccessKeys, _, _>(keys::list)
        .on::<iam::UpdateAccessKey, _, _>(keys::update)
        .on::<iam::DeleteAccessKey, _, _>(keys::delete)
        .on::<iam::GetAccessKeyLastUsed, _, _>(keys::last_used)
        .on::<iam::CreateLoginProfile, _, _>(logins::create)
        .on::<iam::GetLoginProfile, _, _>(logins::get)
        .on::<iam::UpdateLoginProfile, _, _>(logins::update)
        .on::<iam::DeleteLoginProfile, _, _>(logins::delete)
        .on::<iam::ChangePassword, _, _>(logins::change)
        // roles
        .on::<iam::CreateRole, _, _>(roles::create)
        .on::<iam::GetRole, _, _>(roles::get)
        .on::<iam::ListRoles, _, _>(roles::list)
        .on::<iam::UpdateRole, _, _>(roles::update)
        .on::<iam::UpdateRoleDescription, _, _>(roles::update_description)
        .on::<iam::UpdateAssumeRolePolicy, _, _>(roles::update_trust)
        .on::<iam::DeleteRole, _, _>(roles::delete)
        .on::<iam::TagRole, _, _>(roles::tag)
        .on::<iam::UntagRole, _, _>(roles::untag)
        .on::<iam::ListRoleTags, _, _>(roles::list_tags)
        .on::<iam::PutRolePermissionsBoundary, _, _>(roles::put_boundary)
        .on::<iam::DeleteRolePermissionsBoundary, _, _>(roles::delete_boundary)
        .on::<iam::CreateServiceLinkedRole, _, _>(service_linked::create)
        .on::<iam::DeleteServiceLinkedRole, _, _>(service_linked::delete)
        .on::<iam::GetServiceLinkedRoleDeletionStatus, _, _>(service_linked::status)
        // managed policies
        .on::<iam::CreatePolicy, _, _>(policies::create)
        .on::<iam::GetPolicy, _, _>(policies::get)
        .on::<iam::ListPolicies, _, _>(policies::list)
        .on::<iam::DeletePolicy, _, _>(policies::delete)
        .on::<iam::TagPolicy, _, _>(policies::tag)
        .on::<iam::UntagPolicy, _, _>(policies::untag)
        .on::<iam::ListPolicyTags, _, _>(policies::list_tags)
        .on::<iam::ListEntitiesForPolicy, _, _>(attachments::entities)
        .on::<iam::CreatePolicyVersion, _, _>(versions::create)
        .on::<iam::GetPolicyVersion, _, _>(versions::get)
        .on::<iam::ListPolicyVersions, _, _>(versions::list)
        .on::<iam::DeletePolicyVersion, _, _>(versions::delete)
        .on::<iam::SetDefaultPolicyVersion, _, _>(versions::set_default)
        .on::<iam::AttachUserPolicy, _, _>(attachments::attach_user)
        .on::<iam::DetachUserPolicy, _, _>(attachments::detach_user)
        .on::<iam::ListAttachedUserPolicies, _, _>(attachments::list_user)
        .on::<iam::AttachGroupPolicy, _, _>(attachments::attach_group)
        .on::<iam::DetachGroupPolicy, _, _>(attachments::detach_group)
        .on::<iam::ListAttachedGroupPolicies, _, _>(attachments::list_group)
        .on::<iam::AttachRolePolicy, _, _>(attachments::attach_role)
        .on::<iam::DetachRolePolicy, _, _>(attachments::detach_role)
        .on::<iam::ListAttachedRolePolicies, _, _>(attachments::list_role)
        // inline policies
        .on::<iam::PutUserPolicy, _, _>(inline::put_user)
        .on::<iam::GetUserPolicy, _, _>(inline::get_user)
        .on::<iam::ListUserPolicies, _, _>(inline::list_user)
        .on::<iam::DeleteUserPolicy, _, _>(inline::delete_user)
        .on::<iam::PutGroupPolicy, _, _>(inline::put_group)
        .on::<iam::GetGroupPolicy, _, _>(inline::get_group)
        .on::<iam::ListGroupPolicies, _, _>(inline::list_group)
        .on::<iam::DeleteGroupPolicy, _, _>(inline::delete_group)
        .on::<iam::PutRolePolicy, _, _>(inline::put_role)
        .on::<iam::GetRolePolicy, _, _>(inline::get_role)
        .on::<iam::ListRolePolicies, _, _>(inline::list_role)
        .on::<iam::DeleteRolePolicy, _, _>(inline::delete_role)
        .on::<iam::GetContextKeysForCustomPolicy, _, _>(context_keys::custom)
        .on::<iam::GetContextKeysForPrincipalPolicy, _, _>(context_keys::principal)
        .on::<iam::SimulateCustomPolicy, _, _>(simulate::custom)
        .on::<iam::SimulatePrincipalPolicy, _, _>(simulate::principal)
        // instance profiles
        .on::<iam::CreateInstanceProfile, _, _>(instance_profiles::create)
        .on::<iam::GetInstanceProfile, _, _>(instance_profiles::get)
        .on::<iam::ListInstanceProfiles, _, _>(instance_profiles::list)
        .on::<iam::ListInstanceProfilesForRole, _, _>(instance_profiles::list_for_role)
        .on::<iam::DeleteInstanceProfile, _, _>(instance_profiles::delete)
        .on::<iam::AddRoleToInstanceProfile, _, _>(instance_profiles::add_role)
        .on::<iam::RemoveRoleFromInstanceProfile, _, _>(instance_profiles::remove_role)
        .on::<iam::TagInstanceProfile, _, _>(instance_profiles::tag)
        .on::<iam::UntagInstanceProfile, _, _>(instance_profiles::untag)
        .on::<iam::ListInstanceProfileTags, _, _>(instance_profiles::list_tags)
        // OpenID Connect providers
        .on::<iam::CreateOpenIDConnectProvider, _, _>(oidc::create)
        .on::<iam::GetOpenIDConnectProvider, _, _>(oidc::get)
        .on::<iam::ListOpenIDConnectProviders, _, _>(oidc::list)
        .on::<iam::DeleteOpenIDConnectProvider, _, _>(oidc::delete)
        .on::<iam::AddClientIDToOpenIDConnectProvider, _, _>(oidc::add_client)
        .on::<iam::RemoveClientIDFromOpenIDConnectProvider, _, _>(oidc::remove_client)
        .on::<iam::UpdateOpenIDConnectProviderThumbprint, _, _>(oidc::update_thumbprints)
        .on::<iam::TagOpenIDConnectProvider, _, _>(oidc::tag)
        .on::<iam::UntagOpenIDConnectProvider, _, _>(oidc::untag)
        .on::<iam::ListOpenIDConnectProviderTags, _, _>(oidc::list_tags)
        // what cannot exist
        .on::<iam::ListMFADevices, _, _>(absent::mfa_devices)
        .on::<iam::ListSigningCertificates, _, _>(absent::signing_certificates)
        .on::<iam::ListSSHPublicKeys, _, _>(absent::ssh_keys)
        .on::<iam::ListServiceSpecificCredentials, _, _>(absent::service_credentials)
        .on::<iam::ListServerCertificates, _, _>(absent::server_certificates)
        .on::<iam::GetServerCertificate, _, _>(absent::get_server_certificate)
        .on::<iam::DeleteServerCertificate, _, _>(absent::delete_server_certificate)
        // the account
        .on::<iam::GenerateCredentialReport, _, _>(report::generate)
        .on::<iam::GetCredentialReport, _, _>(report::get)
        .on::<iam::GetAccountAuthorizationDetails, _, _>(details::get)
        .on::<iam::CreateAccountAlias, _, _>(account::create_alias)
        .on::<iam::ListAccountAliases, _, _>(account::list_aliases)
        .on::<iam::DeleteAccountAlias, _, _>(account::delete_alias)
        .on::<iam::GetAccountSummary, _, _>(account::summary)
        .on::<iam::GetAccountPasswordPolicy, _, _>(account::get_password_policy)
        .on::<iam::UpdateAccountPasswordPolicy, _, _>(account::update_password_policy)
        .on::<iam::DeleteAccountPasswordPolicy, _, _>(account::delete_password_policy);
}
