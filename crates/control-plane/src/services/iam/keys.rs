//! The long-lived access keys of users, and of the account's root.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreateAccessKeyRequest, CreateAccessKeyResponse, DeleteAccessKeyRequest, GetAccessKeyLastUsedRequest,
    GetAccessKeyLastUsedResponse, ListAccessKeysRequest, ListAccessKeysResponse, StatusType,
    UpdateAccessKeyRequest,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    access_keys::{AccessKey, Session},
    errors,
    names::{self, Wanted, page, time},
    records::{self, LastUse, User},
    users,
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::records::global,
};

/// Keys of one user.
const MOST: usize = 2;

/// Whose keys a request is about.
struct Owner {
    /// None: the account's root.
    user_name: Option<String>,
    id: String,
    arn: String,
}

/// The user that is named, or else the one who asks.
fn owner(call: &Call, view: &View, name: Option<&str>) -> Result<Owner, ApiError> {
    let scope = names::of(call);
    let name = match name {
        Some(name) => name.to_owned(),
        None => match users::caller(call)? {
            users::Caller::Root => {
                let arn = format!("arn:aws:iam::{}:root", scope.account);
                return Ok(Owner { user_name: None, id: scope.account.to_string(), arn });
            }
            users::Caller::User(name) => name,
        },
    };
    let user = records::see::<User>(view, &scope, &name)?;
    let arn = users::arn(&scope.account, &user);
    Ok(Owner { user_name: Some(name), id: user.id.clone(), arn })
}

fn missing(id: &str) -> ApiError {
    errors::no_such_entity(format!("The Access Key with id {id} cannot be found."))
}

fn status(active: bool) -> StatusType {
    if active { StatusType::Active } else { StatusType::Inactive }
}

pub async fn create(call: Call, input: CreateAccessKeyRequest) -> Result<CreateAccessKeyResponse, ApiError> {
    let ids = &mut call.services.ids();
    let (id, secret) = (names::access_key_id(ids, "AKIA"), names::secret(ids));
    let scope = names::of(&call);
    let user_name = call
        .services
        .state
        .transact(|tx| {
            let owner = owner(&call, tx.view(), input.user_name.as_deref())?;
            if let Some(name) = &owner.user_name {
                // The user has to be there still when the key is written.
                records::get::<User>(tx, &scope, name)?;
            }
            let keys = tx.by_index::<AccessKey>(&global(), "owner", &owner.id);
            if keys.iter().filter(|(_, key)| !key.is_temporary()).count() >= MOST {
                return Err(errors::quota("AccessKeysPerUser", MOST));
            }
            tx.put(
                &global(),
                &id,
                AccessKey {
                    account: scope.account.clone(),
                    secret: secret.clone(),
                    session_token: None,
                    expires_at: None,
                    active: true,
                    principal_arn: owner.arn,
                    principal_id: owner.id,
                    created_at: call.now(),
                    session: Session::default(),
                },
            );
            Ok(owner.user_name)
        })
        .await?;
    Ok(CreateAccessKeyResponse {
        access_key: Some(iam::AccessKey {
            user_name,
            access_key_id: Some(id),
            status: Some(StatusType::Active),
            secret_access_key: Some(secret),
            create_date: Some(time(call.now())),
        }),
    })
}

pub async fn list(call: Call, input: ListAccessKeysRequest) -> Result<ListAccessKeysResponse, ApiError> {
    let view = call.services.state.view();
    let owner = owner(&call, &view, input.user_name.as_deref())?;
    let keys = view.by_index::<AccessKey>(&global(), "owner", &owner.id);
    let keys = keys.filter(|(_, key)| !key.is_temporary());
    let wanted = Wanted::new(input.marker, input.max_items);
    let list = format!("access keys {}", owner.id);
    let page = page(&call, &list, keys, |(id, _)| (*id).to_owned(), wanted)?;
    let shown = |(id, key): (&str, std::sync::Arc<AccessKey>)| iam::AccessKeyMetadata {
        user_name: owner.user_name.clone(),
        access_key_id: Some(id.to_owned()),
        status: Some(status(key.active)),
        create_date: Some(time(key.created_at)),
    };
    Ok(ListAccessKeysResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        access_key_metadata: Some(page.items.into_iter().map(shown).collect()),
    })
}

pub async fn update(call: Call, input: UpdateAccessKeyRequest) -> Result<Unit, ApiError> {
    let id = input.access_key_id.unwrap_or_default();
    let active = match input.status {
        Some(StatusType::Active) => true,
        Some(StatusType::Inactive) => false,
        _ => return Err(errors::validation("Status must be Active or Inactive.")),
    };
    call.services
        .state
        .transact(|tx| {
            let owner = owner(&call, tx.view(), input.user_name.as_deref())?;
            let key = tx.get::<AccessKey>(&global(), &id);
            let key = key.filter(|key| !key.is_temporary() && key.owner() == owner.id);
            let key = key.ok_or_else(|| missing(&id))?;
            if key.active != active {
                tx.put(&global(), &id, AccessKey { active, ..(*key).clone() });
            }
            Ok(Unit)
        })
        .await
}

pub async fn delete(call: Call, input: DeleteAccessKeyRequest) -> Result<Unit, ApiError> {
    let id = input.access_key_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let owner = owner(&call, tx.view(), input.user_name.as_deref())?;
            let key = tx.get::<AccessKey>(&global(), &id);
            if key.is_none_or(|key| key.is_temporary() || key.owner() != owner.id) {
                return Err(missing(&id));
            }
            tx.delete::<AccessKey>(&global(), &id);
            tx.delete::<LastUse>(&global(), &id);
            Ok(Unit)
        })
        .await
}

pub async fn last_used(
    call: Call,
    input: GetAccessKeyLastUsedRequest,
) -> Result<GetAccessKeyLastUsedResponse, ApiError> {
    let id = input.access_key_id.unwrap_or_default();
    let scope: Scope = names::of(&call);
    let view = call.services.state.view();
    let key = view.get::<AccessKey>(&global(), &id);
    let key = key.filter(|key| !key.is_temporary() && key.account == scope.account);
    let key = key.ok_or_else(|| missing(&id))?;
    let last = view.get::<LastUse>(&global(), &id);
    let text = |of: fn(&LastUse) -> &String| last.as_deref().map_or("N/A", |last| of(last)).to_owned();
    Ok(GetAccessKeyLastUsedResponse {
        user_name: key
            .principal_arn
            .contains(":user/")
            .then(|| names::last_segment(&key.principal_arn).to_owned()),
        access_key_last_used: Some(iam::AccessKeyLastUsed {
            last_used_date: last.as_ref().map(|last| time(last.at)),
            service_name: Some(text(|last| &last.service)),
            region: Some(text(|last| &last.region)),
        }),
    })
}
