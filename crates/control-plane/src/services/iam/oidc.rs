//! OpenID Connect providers. They are kept and shown; no token of theirs is taken yet.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    AddClientIDToOpenIDConnectProviderRequest, CreateOpenIDConnectProviderRequest,
    CreateOpenIDConnectProviderResponse, DeleteOpenIDConnectProviderRequest, GetOpenIDConnectProviderRequest,
    GetOpenIDConnectProviderResponse, ListOpenIDConnectProviderTagsRequest,
    ListOpenIDConnectProviderTagsResponse, ListOpenIDConnectProvidersRequest,
    ListOpenIDConnectProvidersResponse, RemoveClientIDFromOpenIDConnectProviderRequest,
    TagOpenIDConnectProviderRequest, UntagOpenIDConnectProviderRequest,
    UpdateOpenIDConnectProviderThumbprintRequest,
};
use state_store::Tx;
use vocabulary::Scope;

use super::{
    errors,
    names::{self, Wanted, page, time},
    records::OidcProvider,
};
use crate::gateway::{ApiError, Call};

const MOST: usize = 100;
const MOST_CLIENTS: usize = 100;
const MOST_THUMBPRINTS: usize = 5;

fn arn(scope: &Scope, provider: &OidcProvider) -> String {
    format!("arn:aws:iam::{}:oidc-provider/{}", scope.account, provider.url)
}

fn missing(arn: &str) -> ApiError {
    errors::no_such_entity(format!("OpenIDConnect Provider not found for arn {arn}"))
}

/// The id under which the provider lies: what follows `oidc-provider/`.
fn id(scope: &Scope, arn: &str) -> Result<String, ApiError> {
    let prefix = format!("arn:aws:iam::{}:oidc-provider/", scope.account);
    arn.strip_prefix(&prefix).map(str::to_owned).ok_or_else(|| missing(arn))
}

fn checked_thumbprints(given: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let given = given.unwrap_or_default();
    if given.len() > MOST_THUMBPRINTS {
        return Err(errors::invalid_input("Thumbprint list must contain fewer than 5 entries."));
    }
    Ok(given)
}

pub async fn create(
    call: Call,
    input: CreateOpenIDConnectProviderRequest,
) -> Result<CreateOpenIDConnectProviderResponse, ApiError> {
    let scope = names::of(&call);
    let url = input.url.unwrap_or_default();
    let host = url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    let Some(host) = host.filter(|rest| !rest.is_empty() && !rest.contains(['?', '#', ' '])) else {
        return Err(errors::validation("Invalid Open ID Connect Provider URL"));
    };
    let clients = input.client_id_list.unwrap_or_default();
    if clients.len() > MOST_CLIENTS {
        return Err(errors::quota("ClientIdsPerOpenIdConnectProvider", MOST_CLIENTS));
    }
    let provider = OidcProvider {
        url: host.to_owned(),
        created_at: call.now(),
        clients,
        thumbprints: checked_thumbprints(input.thumbprint_list)?,
        tags: names::tags(input.tags)?,
    };
    call.services
        .state
        .transact(|tx| {
            if tx.view().scan::<OidcProvider>(&scope).count() >= MOST {
                return Err(errors::quota("OpenIdConnectProvidersPerAccount", MOST));
            }
            let url = format!("Provider with url https://{} already exists.", provider.url);
            tx.create(&scope, &provider.url, provider.clone()).map_err(|_| errors::already_exists(url))
        })
        .await?;
    Ok(CreateOpenIDConnectProviderResponse {
        open_id_connect_provider_arn: Some(arn(&scope, &provider)),
        tags: names::tags_unless_empty(&provider.tags),
    })
}

pub async fn get(
    call: Call,
    input: GetOpenIDConnectProviderRequest,
) -> Result<GetOpenIDConnectProviderResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.open_id_connect_provider_arn.unwrap_or_default());
    let id = id(&scope, &arn)?;
    let provider = call.services.state.read(|view| view.get::<OidcProvider>(&scope, &id));
    let provider = provider.ok_or_else(|| missing(&arn))?;
    Ok(GetOpenIDConnectProviderResponse {
        url: Some(provider.url.clone()),
        client_id_list: Some(provider.clients.clone()),
        thumbprint_list: Some(provider.thumbprints.clone()),
        create_date: Some(time(provider.created_at)),
        tags: Some(names::tag_list(&provider.tags)),
    })
}

pub async fn list(
    call: Call,
    _: ListOpenIDConnectProvidersRequest,
) -> Result<ListOpenIDConnectProvidersResponse, ApiError> {
    let scope = names::of(&call);
    let entry =
        |provider: &OidcProvider| iam::OpenIDConnectProviderListEntry { arn: Some(arn(&scope, provider)) };
    let list = call
        .services
        .state
        .read(|view| view.scan::<OidcProvider>(&scope).map(|(_, provider)| entry(&provider)).collect());
    Ok(ListOpenIDConnectProvidersResponse { open_id_connect_provider_list: Some(list) })
}

/// Deleting what is not there is no error.
pub async fn delete(call: Call, input: DeleteOpenIDConnectProviderRequest) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(&call), input.open_id_connect_provider_arn.unwrap_or_default());
    let id = id(&scope, &arn)?;
    call.services
        .state
        .transact(|tx: &mut Tx| {
            tx.delete::<OidcProvider>(&scope, &id);
            Ok(Unit)
        })
        .await
}

async fn change(
    call: &Call,
    arn: Option<String>,
    change: impl Fn(&mut OidcProvider) -> Result<(), ApiError>,
) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(call), arn.unwrap_or_default());
    let id = id(&scope, &arn)?;
    call.services
        .state
        .transact(|tx| {
            let provider = tx.get::<OidcProvider>(&scope, &id).ok_or_else(|| missing(&arn))?;
            let mut provider = (*provider).clone();
            change(&mut provider)?;
            tx.put(&scope, &id, provider);
            Ok(Unit)
        })
        .await
}

pub async fn add_client(
    call: Call,
    input: AddClientIDToOpenIDConnectProviderRequest,
) -> Result<Unit, ApiError> {
    let client = input.client_id.unwrap_or_default();
    change(&call, input.open_id_connect_provider_arn, |provider| {
        if provider.clients.contains(&client) {
            return Ok(());
        }
        if provider.clients.len() >= MOST_CLIENTS {
            return Err(errors::quota("ClientIdsPerOpenIdConnectProvider", MOST_CLIENTS));
        }
        provider.clients.push(client.clone());
        Ok(())
    })
    .await
}

pub async fn remove_client(
    call: Call,
    input: RemoveClientIDFromOpenIDConnectProviderRequest,
) -> Result<Unit, ApiError> {
    let client = input.client_id.unwrap_or_default();
    change(&call, input.open_id_connect_provider_arn, |provider| {
        provider.clients.retain(|known| *known != client);
        Ok(())
    })
    .await
}

pub async fn update_thumbprints(
    call: Call,
    input: UpdateOpenIDConnectProviderThumbprintRequest,
) -> Result<Unit, ApiError> {
    let thumbprints = checked_thumbprints(input.thumbprint_list)?;
    change(&call, input.open_id_connect_provider_arn, |provider| {
        provider.thumbprints = thumbprints.clone();
        Ok(())
    })
    .await
}

pub async fn tag(call: Call, input: TagOpenIDConnectProviderRequest) -> Result<Unit, ApiError> {
    let added = names::tags(input.tags)?;
    change(&call, input.open_id_connect_provider_arn, |provider| {
        provider.tags = names::merged(&provider.tags, &added)?;
        Ok(())
    })
    .await
}

pub async fn untag(call: Call, input: UntagOpenIDConnectProviderRequest) -> Result<Unit, ApiError> {
    let keys = input.tag_keys.unwrap_or_default();
    change(&call, input.open_id_connect_provider_arn, |provider| {
        provider.tags = names::without(&provider.tags, &keys);
        Ok(())
    })
    .await
}

pub async fn list_tags(
    call: Call,
    input: ListOpenIDConnectProviderTagsRequest,
) -> Result<ListOpenIDConnectProviderTagsResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.open_id_connect_provider_arn.unwrap_or_default());
    let id = id(&scope, &arn)?;
    let provider = call.services.state.read(|view| view.get::<OidcProvider>(&scope, &id));
    let provider = provider.ok_or_else(|| missing(&arn))?;
    let wanted = Wanted::new(input.marker, input.max_items);
    let tags = names::tag_list(&provider.tags);
    let page = page(&call, &format!("provider tags {id}"), tags, names::tag_key, wanted)?;
    Ok(ListOpenIDConnectProviderTagsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        tags: Some(page.items),
    })
}
