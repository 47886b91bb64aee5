//! ListSecrets: which secrets, in which order.

use std::sync::Arc;

use aws_shapes_secretsmanager::{
    Filter, FilterNameStringType, ListSecretsRequest, ListSecretsResponse, SecretListEntry, SortByType,
    SortOrderType, errors,
};

use super::{errors::invalid_parameter, reads, records::Secret};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::paging::Page,
};

/// Whether `text` begins with what a filter looks for.
fn begins(text: &str, wanted: &str, exact_case: bool) -> bool {
    if exact_case {
        text.starts_with(wanted)
    } else {
        text.to_lowercase().starts_with(&wanted.to_lowercase())
    }
}

/// The words of a text, in lower case: what is neither letter nor digit parts them, and so does a capital that begins one (`AppBeta`).
fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, character) in characters.iter().enumerate() {
        let is_after_small = at > 0 && !characters[at - 1].is_uppercase();
        let is_before_small = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if !character.is_alphanumeric() || (character.is_uppercase() && (is_after_small || is_before_small)) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_alphanumeric(), words.last_mut()) {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A description is looked through word by word.
fn has_words(text: &str, wanted: &str) -> bool {
    let (there, wanted) = (words(text), words(wanted));
    !wanted.is_empty() && wanted.iter().all(|word| there.iter().any(|one| one.starts_with(word.as_str())))
}

fn has(call: &Call, secret: &Secret, key: FilterNameStringType, wanted: &str) -> bool {
    let description = || secret.description.as_deref().unwrap_or_default();
    let primary = || reads::primary_region(call, secret).unwrap_or_default();
    match key {
        FilterNameStringType::Name => begins(&secret.name, wanted, true),
        FilterNameStringType::Description => has_words(description(), wanted),
        FilterNameStringType::TagKey => secret.tags.keys().any(|name| begins(name, wanted, true)),
        FilterNameStringType::TagValue => secret.tags.values().any(|value| begins(value, wanted, true)),
        FilterNameStringType::PrimaryRegion => begins(&primary(), wanted, true),
        // No service owns a secret here.
        FilterNameStringType::OwningService => false,
        FilterNameStringType::All => {
            let texts = [secret.name.as_str(), description()];
            let tags = secret.tags.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
            texts.into_iter().chain(tags).any(|text| has_words(text, wanted) || begins(text, wanted, false))
        }
    }
}

/// The secrets that all filters let through, by name. Of one filter's values any will do; a value behind `!` is one that must not be.
///
/// # Errors
/// `InvalidParameterException`.
pub fn matching(call: &Call, filters: &[Filter], with_deleted: bool) -> Result<Vec<Arc<Secret>>, ApiError> {
    for filter in filters {
        if filter.key.is_none() || filter.values.as_ref().is_none_or(Vec::is_empty) {
            return Err(invalid_parameter("Invalid filter key or value."));
        }
    }
    let passes = |secret: &Secret| {
        filters.iter().all(|filter| {
            let Some(key) = filter.key else { return false };
            let values = filter.values.as_deref().unwrap_or_default();
            let (unwanted, wanted): (Vec<&String>, Vec<&String>) =
                values.iter().partition(|value| value.starts_with('!'));
            unwanted.iter().all(|value| !has(call, secret, key, &value[1..]))
                && (wanted.is_empty() || wanted.iter().any(|value| has(call, secret, key, value)))
        })
    };
    let view = call.services.state.view();
    let all = view.scan::<Secret>(call.scope()).map(|(_, secret)| secret);
    Ok(all.filter(|secret| (with_deleted || secret.deletion.is_none()) && passes(secret)).collect())
}

/// Cuts a list, in whatever order, to the page behind the secret that the last one ended with.
///
/// # Errors
/// `InvalidNextTokenException`.
pub fn page(
    call: &Call,
    list: &str,
    mut secrets: Vec<Arc<Secret>>,
    token: Option<&str>,
    size: usize,
) -> Result<Page<Arc<Secret>>, ApiError> {
    let list = format!("secretsmanager/{}/{list}", call.scope());
    let tokens = &call.services.page_tokens;
    if let Some(token) = token {
        let last = tokens.open(&list, token);
        let last =
            last.map_err(|_| ApiError::new(&errors::INVALID_NEXT_TOKEN_EXCEPTION, "Invalid NextToken."))?;
        let behind = secrets.iter().position(|secret| secret.name == last).map_or(0, |at| at + 1);
        secrets.drain(..behind);
    }
    let more = secrets.len() > size;
    secrets.truncate(size);
    let next_token = secrets.last().filter(|_| more).map(|secret| tokens.seal(&list, &secret.name));
    Ok(Page { items: secrets, next_token })
}

pub async fn list(call: Call, input: ListSecretsRequest) -> Result<ListSecretsResponse, ApiError> {
    let filters = input.filters.unwrap_or_default();
    let mut secrets = matching(&call, &filters, input.include_planned_deletion == Some(true))?;
    match input.sort_by.unwrap_or(SortByType::CreatedDate) {
        SortByType::CreatedDate => secrets.sort_by_key(|secret| secret.created_at),
        SortByType::LastAccessedDate => secrets.sort_by_key(|secret| secret.accessed_on),
        SortByType::LastChangedDate => secrets.sort_by_key(|secret| secret.changed_at),
        SortByType::Name => {}
    }
    if input.sort_order == Some(SortOrderType::Desc) {
        secrets.reverse();
    }
    let size = input.max_results.and_then(|size| usize::try_from(size).ok()).unwrap_or(100);
    let page = page(&call, "secrets", secrets, input.next_token.as_deref(), size)?;
    Ok(ListSecretsResponse {
        next_token: page.next_token,
        secret_list: Some(page.items.iter().map(|secret| entry(&call, secret)).collect()),
    })
}

fn entry(call: &Call, secret: &Secret) -> SecretListEntry {
    let rotation = secret.rotation.as_ref();
    SecretListEntry {
        arn: Some(secret.arn(call.scope())),
        created_date: Some(time(secret.created_at)),
        deleted_date: secret.deletion.map(|deletion| time(deletion.at)),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key.clone(),
        last_accessed_date: secret.accessed_on.map(time),
        last_changed_date: Some(time(secret.changed_at)),
        last_rotated_date: secret.rotated_at.map(time),
        name: Some(secret.name.clone()),
        next_rotation_date: rotation.and_then(|rotation| rotation.next).map(time),
        primary_region: reads::primary_region(call, secret),
        rotation_enabled: rotation.map(|rotation| rotation.enabled),
        rotation_lambda_arn: rotation.map(|rotation| rotation.hook.clone()),
        rotation_rules: reads::rules(secret),
        secret_versions_to_stages: reads::stages_by_version(secret),
        tags: reads::tags(secret),
        ..SecretListEntry::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_capitals_and_by_what_is_no_letter() {
        for (text, wanted, expected) in [
            ("prod/AppBeta/2b4f", "AppBeta", true),
            ("prod_AppBeta_2b4f", "Beta", true),
            ("prod+AppBeta", "2b", false),
            ("uat/COMPANY/2b", "company", true),
            ("uat/COMPANYthings/2b", "company", false),
            ("uat/COMPANYthings/2b", "Ythings", true),
            ("uat/COMPANYthings/2b", "things", false),
            ("uat/COMPANY", "pany", false),
            ("a+b", "+", false),
            ("The first one", "first one", true),
        ] {
            assert_eq!(has_words(text, wanted), expected, "{wanted} in {text}");
        }
    }
}
