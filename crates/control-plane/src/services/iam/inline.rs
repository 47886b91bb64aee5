//! Policies embedded in users, groups and roles.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    DeleteGroupPolicyRequest, DeleteRolePolicyRequest, DeleteUserPolicyRequest, GetGroupPolicyRequest,
    GetGroupPolicyResponse, GetRolePolicyRequest, GetRolePolicyResponse, GetUserPolicyRequest,
    GetUserPolicyResponse, ListGroupPoliciesRequest, ListGroupPoliciesResponse, ListRolePoliciesRequest,
    ListRolePoliciesResponse, ListUserPoliciesRequest, ListUserPoliciesResponse, PutGroupPolicyRequest,
    PutRolePolicyRequest, PutUserPolicyRequest, errors::LIMIT_EXCEEDED_EXCEPTION,
};

use super::{
    errors,
    names::{self, Wanted, page},
    policies::characters,
    policy_document::{self, Use},
    records::{self, Group, Holder, Permissions, Role, User},
};
use crate::{
    gateway::{ApiError, Call},
    services::paging::Page,
};

/// Bytes of all policies of one holder with their white space, which does not count towards AWS's limit: a record has to fit into
/// the store.
const MOST_STORED: usize = 512 << 10;

fn missing<T: Holder>(policy: &str) -> ApiError {
    errors::no_such_entity(format!("The {} policy with name {policy} cannot be found.", T::WORD))
}

async fn put<T: Holder>(
    call: Call,
    name: Option<String>,
    policy: Option<String>,
    document: Option<String>,
) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), name.unwrap_or_default());
    let (policy, document) = (policy.unwrap_or_default(), document.unwrap_or_default());
    policy_document::parse(&document, Use::Inline).map_err(|error| errors::malformed(error.to_string()))?;
    call.services
        .state
        .transact(|tx| {
            let mut holder = (*records::get::<T>(tx, &scope, &name)?).clone();
            holder.changeable()?;
            let inline = &mut holder.permissions_mut().inline;
            inline.insert(policy.clone(), document.clone());
            let most = T::INLINE_CHARACTERS;
            let counted: usize = inline.values().map(|document| characters(document)).sum();
            let stored: usize = inline.values().map(String::len).sum();
            if counted > most || stored > MOST_STORED {
                return Err(ApiError::new(
                    &LIMIT_EXCEEDED_EXCEPTION,
                    format!("Maximum policy size of {most} bytes exceeded for {} {name}", T::WORD),
                ));
            }
            tx.put(&scope, &names::key(&name), holder);
            Ok(Unit)
        })
        .await
}

async fn delete<T: Holder>(
    call: Call,
    name: Option<String>,
    policy: Option<String>,
) -> Result<Unit, ApiError> {
    let (scope, name, policy) = (names::of(&call), name.unwrap_or_default(), policy.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let mut holder = (*records::get::<T>(tx, &scope, &name)?).clone();
            holder.changeable()?;
            if holder.permissions_mut().inline.remove(&policy).is_none() {
                return Err(missing::<T>(&policy));
            }
            tx.put(&scope, &names::key(&name), holder);
            Ok(Unit)
        })
        .await
}

/// The document, encoded as IAM gives it out.
fn get<T: Holder>(call: &Call, name: &Option<String>, policy: &Option<String>) -> Result<String, ApiError> {
    let (scope, policy) = (names::of(call), policy.as_deref().unwrap_or_default());
    let name = name.as_deref().unwrap_or_default();
    let holder = call.services.state.read(|view| records::see::<T>(view, &scope, name))?;
    let document = holder.permissions().inline.get(policy);
    document.map(|document| names::url_encoded(document)).ok_or_else(|| missing::<T>(policy))
}

fn list<T: Holder>(call: &Call, name: Option<String>, wanted: Wanted) -> Result<Page<String>, ApiError> {
    let (scope, name) = (names::of(call), name.unwrap_or_default());
    let holder = call.services.state.read(|view| records::see::<T>(view, &scope, &name))?;
    let policies: Vec<String> = holder.permissions().inline.keys().cloned().collect();
    page(call, &format!("inline {}", holder.id()), policies, String::clone, wanted)
}

/// The policies with their documents, as the account's details show them.
pub fn details(permissions: &Permissions) -> Vec<iam::PolicyDetail> {
    let detail = |(name, document): (&String, &String)| iam::PolicyDetail {
        policy_name: Some(name.clone()),
        policy_document: Some(names::url_encoded(document)),
    };
    permissions.inline.iter().map(detail).collect()
}

macro_rules! operations {
    ($holder:ty, $name:ident,
     $put:ident: $put_request:ty, $delete:ident: $delete_request:ty,
     $get:ident: $get_request:ty => $got:ident,
     $list:ident: $list_request:ty => $listed:ident) => {
        pub async fn $put(call: Call, input: $put_request) -> Result<Unit, ApiError> {
            put::<$holder>(call, input.$name, input.policy_name, input.policy_document).await
        }

        pub async fn $delete(call: Call, input: $delete_request) -> Result<Unit, ApiError> {
            delete::<$holder>(call, input.$name, input.policy_name).await
        }

        pub async fn $get(call: Call, input: $get_request) -> Result<$got, ApiError> {
            let document = get::<$holder>(&call, &input.$name, &input.policy_name)?;
            let (policy_name, policy_document) = (input.policy_name, Some(document));
            Ok($got { $name: input.$name, policy_name, policy_document })
        }

        pub async fn $list(call: Call, input: $list_request) -> Result<$listed, ApiError> {
            let wanted = Wanted::new(input.marker, input.max_items);
            let page = list::<$holder>(&call, input.$name, wanted)?;
            Ok($listed {
                is_truncated: Some(page.next_token.is_some()),
                marker: page.next_token,
                policy_names: Some(page.items),
            })
        }
    };
}

operations!(User, user_name,
    put_user: PutUserPolicyRequest, delete_user: DeleteUserPolicyRequest,
    get_user: GetUserPolicyRequest => GetUserPolicyResponse,
    list_user: ListUserPoliciesRequest => ListUserPoliciesResponse);
operations!(Group, group_name,
    put_group: PutGroupPolicyRequest, delete_group: DeleteGroupPolicyRequest,
    get_group: GetGroupPolicyRequest => GetGroupPolicyResponse,
    list_group: ListGroupPoliciesRequest => ListGroupPoliciesResponse);
operations!(Role, role_name,
    put_role: PutRolePolicyRequest, delete_role: DeleteRolePolicyRequest,
    get_role: GetRolePolicyRequest => GetRolePolicyResponse,
    list_role: ListRolePoliciesRequest => ListRolePoliciesResponse);
