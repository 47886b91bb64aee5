//! Tags, as most services have them: up to fifty pairs, keys unique, `aws:` reserved.

use std::collections::BTreeMap;

/// Key to value.
pub type Tags = BTreeMap<String, String>;

/// The most tags that a resource may have.
pub const MOST_TAGS: usize = 50;

/// Why a set of tags is refused. The text is AWS's where it is known; each service wraps it into its own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTags {
    #[error("The number of tags exceeds the limit of {MOST_TAGS}.")]
    TooMany,
    #[error("Tag keys must be between 1 and 128 characters long.")]
    KeyLength,
    #[error("Tag values must be at most 256 characters long.")]
    ValueLength,
    #[error(
        "Tag keys and values may contain letters, numbers, spaces and the characters _ . : / = + - @ only."
    )]
    Characters,
    #[error("Duplicate tag keys are not allowed: {0}.")]
    Duplicate(String),
    #[error("Tag keys may not start with aws:, which is reserved.")]
    Reserved,
}

/// Checks pairs from a request.
///
/// # Errors
/// The first rule that a pair breaks.
pub fn checked<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Tags, InvalidTags>
where
    K: Into<Option<String>>,
    V: Into<Option<String>>,
{
    let mut tags = Tags::new();
    for (key, value) in pairs {
        let key = key.into().unwrap_or_default();
        let value = value.into().unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 {
            return Err(InvalidTags::KeyLength);
        }
        if value.chars().count() > 256 {
            return Err(InvalidTags::ValueLength);
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(InvalidTags::Reserved);
        }
        if !key.chars().chain(value.chars()).all(allowed) {
            return Err(InvalidTags::Characters);
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(InvalidTags::Duplicate(key));
        }
    }
    within_limit(tags)
}

/// `existing` with `added` laid over it.
///
/// # Errors
/// [`InvalidTags::TooMany`].
pub fn merged(mut existing: Tags, added: Tags) -> Result<Tags, InvalidTags> {
    existing.extend(added);
    within_limit(existing)
}

fn within_limit(tags: Tags) -> Result<Tags, InvalidTags> {
    if tags.len() > MOST_TAGS { Err(InvalidTags::TooMany) } else { Ok(tags) }
}

fn allowed(character: char) -> bool {
    character.is_alphanumeric() || character.is_whitespace() || "_.:/=+-@".contains(character)
}
