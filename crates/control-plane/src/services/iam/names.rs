//! Where IAM's things lie, and how they are named: scopes, ARNs, unique ids, tags, pages.

use aws_shapes_iam as iam;
use aws_shapes_iam::errors;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use vocabulary::{AccountId, Ids, Scope, Timestamp};

use crate::{
    gateway::{ApiError, Call},
    services::{
        paging::Page,
        tagging::{self, InvalidTags, Tags},
    },
};

/// IAM has no regions: everything of an account lies here.
pub fn global(account: &AccountId) -> Scope {
    Scope::new(account.clone(), "global".parse().expect("a valid region name"))
}

/// The caller's account.
pub fn of(call: &Call) -> Scope {
    global(&call.scope().account)
}

/// The id under which something named `name` is kept: names that differ only in case are the same name.
pub fn key(name: &str) -> String {
    name.to_lowercase()
}

/// `arn:aws:iam::ACCOUNT:KIND/PATH/NAME`
pub fn arn(account: &AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// The last part of a resource's path: the name.
pub fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// `characters` of base 32, as unique ids and access keys have them.
fn base32(ids: &mut impl Ids, characters: usize) -> String {
    let mut bytes = vec![0; characters];
    ids.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)])).collect()
}

/// A unique id: `AROA` and 17 characters.
pub fn unique_id(ids: &mut impl Ids, prefix: &str) -> String {
    prefix.to_owned() + &base32(ids, 17)
}

/// An access key: `AKIA` or `ASIA` and 16 characters, the last four of which tell that it was issued here.
pub fn access_key_id(ids: &mut impl Ids, prefix: &str) -> String {
    let id = prefix.to_owned() + &base32(ids, 12);
    let mark = mark(&id);
    id + &mark
}

/// Whether an access key was issued by a platform of this kind, now or ever: one that is forgotten must not be taken for a
/// stranger's, who acts as the account's root where strangers are let in. One key of AWS in a million looks like it.
pub fn is_issued_key(id: &str) -> bool {
    id.len() == 20 && id.is_char_boundary(16) && id.split_at(16).1 == mark(id.split_at(16).0)
}

/// What follows from the first characters of an access key.
fn mark(start: &str) -> String {
    let digest = Sha256::digest([b"longshore access key ", start.as_bytes()].concat());
    digest.iter().take(4).map(|byte| char::from(BASE32[usize::from(byte % 32)])).collect()
}

/// 40 characters of base 64: 240 bits.
pub fn secret(ids: &mut impl Ids) -> String {
    let mut bytes = [0; 30];
    ids.fill(&mut bytes);
    STANDARD.encode(bytes)
}

/// A session token. It only has to be unpredictable; what it stands for is kept with its key.
pub fn session_token(ids: &mut impl Ids) -> String {
    let mut bytes = [0; 96];
    ids.fill(&mut bytes);
    format!("IQoJ{}", STANDARD.encode(bytes))
}

/// A policy document as IAM gives it out: percent-encoded after RFC 3986.
pub fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

pub fn path(given: Option<String>) -> String {
    given.unwrap_or_else(|| "/".to_owned())
}

/// A time as IAM shows it: in whole seconds.
pub fn time(time: Timestamp) -> aws_schema::Timestamp {
    aws_schema::Timestamp::from_millis(time.as_millis().div_euclid(1000) * 1000)
}

/// Where a list is to go on, and how long a page may be.
#[derive(Debug, Default)]
pub struct Wanted {
    pub marker: Option<String>,
    pub max_items: Option<i32>,
}

impl Wanted {
    pub fn new(marker: Option<String>, max_items: Option<i32>) -> Wanted {
        Wanted { marker, max_items }
    }
}

/// Cuts a list to the page that a request asks for; 100 unless it says otherwise.
///
/// # Errors
/// `ValidationError` for a marker of another list.
pub fn page<T>(
    call: &Call,
    list: &str,
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    wanted: Wanted,
) -> Result<Page<T>, ApiError> {
    let size = usize::try_from(wanted.max_items.unwrap_or(100)).unwrap_or(1).clamp(1, 1000);
    let list = format!("iam/{}/{list}", call.scope().account);
    let page = call.services.page_tokens.page(&list, items, key, wanted.marker.as_deref(), size);
    page.map_err(|_| ApiError::undeclared("ValidationError", 400, "Invalid Marker."))
}

/// Tags from a request. Keys are told apart without regard to case.
///
/// # Errors
/// `InvalidInput`, `LimitExceeded`.
pub fn tags(given: Option<Vec<iam::Tag>>) -> Result<Tags, ApiError> {
    let pairs = given.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    let tags = tagging::checked(pairs).map_err(|error| match error {
        InvalidTags::Duplicate(_) => duplicate(),
        InvalidTags::TooMany => too_many_tags(),
        other => ApiError::new(&errors::INVALID_INPUT_EXCEPTION, other.to_string()),
    })?;
    let mut folded: Vec<String> = tags.keys().map(|key| key.to_lowercase()).collect();
    folded.sort_unstable();
    if folded.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(duplicate());
    }
    Ok(tags)
}

/// `existing` with `added` laid over it.
///
/// # Errors
/// `LimitExceeded`.
pub fn merged(existing: &Tags, added: &Tags) -> Result<Tags, ApiError> {
    let mut tags = without(existing, &added.keys().cloned().collect::<Vec<_>>());
    tags.extend(added.iter().map(|(key, value)| (key.clone(), value.clone())));
    if tags.len() > tagging::MOST_TAGS { Err(too_many_tags()) } else { Ok(tags) }
}

/// `existing` without the tags named `keys`.
pub fn without(existing: &Tags, keys: &[String]) -> Tags {
    let gone = |name: &str| keys.iter().any(|key| key.to_lowercase() == name.to_lowercase());
    existing.iter().filter(|(key, _)| !gone(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Tags as the API shows them.
pub fn tag_list(tags: &Tags) -> Vec<iam::Tag> {
    let shown =
        |(key, value): (&String, &String)| iam::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    tags.iter().map(shown).collect()
}

/// As [`tag_list`], for answers that leave out what is empty.
pub fn tags_unless_empty(tags: &Tags) -> Option<Vec<iam::Tag>> {
    (!tags.is_empty()).then(|| tag_list(tags))
}

fn duplicate() -> ApiError {
    ApiError::new(
        &errors::INVALID_INPUT_EXCEPTION,
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    )
}

fn too_many_tags() -> ApiError {
    ApiError::new(&errors::LIMIT_EXCEEDED_EXCEPTION, "The number of tags has reached the maximum limit.")
}

/// Tags are listed by their keys.
pub fn tag_key(tag: &iam::Tag) -> String {
    tag.key.clone().unwrap_or_default()
}
