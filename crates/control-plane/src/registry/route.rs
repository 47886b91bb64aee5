//! From a method and a path to one of the distribution protocol's requests.
//!
//! Repository names contain slashes, so that a path is read from its end. What has no route is not of the protocol.

use std::fmt;
use std::str::FromStr;

use blob_store::{Digest, UploadId};
use http::Method;

/// A repository's name, in the protocol's form and ECR's length: 2 to 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

/// The text is no repository name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a repository name")]
pub struct InvalidName;

impl RepositoryName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let formed = (2..=256).contains(&text.len()) && text.split('/').all(is_component);
        if formed { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`: the distribution specification's path component.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    bytes.split(|byte| alphanumeric(*byte)).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

/// Whether the text can be a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Tag(String),
    Digest(Digest),
    /// Neither; which error that is depends on the request.
    Invalid(String),
}

impl Reference {
    fn parse(text: &str) -> Self {
        match text.parse::<Digest>() {
            Ok(digest) => Self::Digest(digest),
            Err(_) if is_tag(text) => Self::Tag(text.to_owned()),
            Err(_) => Self::Invalid(text.chars().take(160).collect()),
        }
    }
}

/// One request of the protocol, its names checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: is this a registry, and am I let in?
    Base,
    /// `/v2/token`: a bearer token for the credentials given.
    Token,
    Catalog,
    Tags(RepositoryName),
    Referrers(RepositoryName, Digest),
    GetManifest(RepositoryName, Reference),
    PutManifest(RepositoryName, Reference),
    DeleteManifest(RepositoryName, Reference),
    GetBlob(RepositoryName, Digest),
    DeleteBlob(RepositoryName, Digest),
    StartUpload(RepositoryName),
    UploadStatus(RepositoryName, UploadId),
    AppendUpload(RepositoryName, UploadId),
    FinishUpload(RepositoryName, UploadId),
    CancelUpload(RepositoryName, UploadId),
}

/// Why a request has no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unroutable {
    NoSuchPath,
    WrongMethod,
    InvalidName(String),
    InvalidDigest(String),
    /// The id has not the form of an upload's id, so that there can be no such upload.
    NoSuchUpload,
}

impl Route {
    /// Parses a request line. `path` is as sent, percent-encoded. `HEAD` has the routes of `GET`.
    pub fn parse(method: &Method, path: &str) -> Result<Self, Unroutable> {
        let path = decode(path).ok_or(Unroutable::NoSuchPath)?;
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let only = |wanted: Method, route: Self| {
            if *method == wanted { Ok(route) } else { Err(Unroutable::WrongMethod) }
        };
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return only(Method::GET, Self::Base),
            Some("/token") => return only(Method::GET, Self::Token),
            Some("/_catalog") => return only(Method::GET, Self::Catalog),
            Some(rest) => rest.strip_prefix('/').ok_or(Unroutable::NoSuchPath)?,
            None => return Err(Unroutable::NoSuchPath),
        };
        let segments = rest.split('/').collect::<Vec<_>>();
        match segments.as_slice() {
            [name @ .., "tags", "list"] => only(Method::GET, Self::Tags(name_of(name)?)),
            [name @ .., "referrers", digest] => {
                only(Method::GET, Self::Referrers(name_of(name)?, digest_of(digest)?))
            }
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => {
                only(Method::POST, Self::StartUpload(name_of(name)?))
            }
            [name @ .., "blobs", "uploads", id] => {
                let name = name_of(name)?;
                let id = id.parse().map_err(|()| Unroutable::NoSuchUpload)?;
                Self::of_upload(method, name, id)
            }
            [name @ .., "blobs", digest] => {
                let (name, digest) = (name_of(name)?, digest_of(digest)?);
                match *method {
                    Method::GET => Ok(Self::GetBlob(name, digest)),
                    Method::DELETE => Ok(Self::DeleteBlob(name, digest)),
                    _ => Err(Unroutable::WrongMethod),
                }
            }
            [name @ .., "manifests", reference] => {
                let (name, reference) = (name_of(name)?, Reference::parse(reference));
                match *method {
                    Method::GET => Ok(Self::GetManifest(name, reference)),
                    Method::PUT => Ok(Self::PutManifest(name, reference)),
                    Method::DELETE => Ok(Self::DeleteManifest(name, reference)),
                    _ => Err(Unroutable::WrongMethod),
                }
            }
            _ => Err(Unroutable::NoSuchPath),
        }
    }

    /// The repository that is spoken of.
    pub fn name(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Token | Self::Catalog => None,
            Self::Tags(name)
            | Self::Referrers(name, _)
            | Self::GetManifest(name, _)
            | Self::PutManifest(name, _)
            | Self::DeleteManifest(name, _)
            | Self::GetBlob(name, _)
            | Self::DeleteBlob(name, _)
            | Self::StartUpload(name)
            | Self::UploadStatus(name, _)
            | Self::AppendUpload(name, _)
            | Self::FinishUpload(name, _)
            | Self::CancelUpload(name, _) => Some(name),
        }
    }

    /// Whether it only reads what a repository offers.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Tags(_) | Self::Referrers(..) | Self::GetManifest(..) | Self::GetBlob(..))
    }

    fn of_upload(method: &Method, name: RepositoryName, id: UploadId) -> Result<Self, Unroutable> {
        match *method {
            Method::GET => Ok(Self::UploadStatus(name, id)),
            Method::PATCH => Ok(Self::AppendUpload(name, id)),
            Method::PUT => Ok(Self::FinishUpload(name, id)),
            Method::DELETE => Ok(Self::CancelUpload(name, id)),
            _ => Err(Unroutable::WrongMethod),
        }
    }
}

fn name_of(segments: &[&str]) -> Result<RepositoryName, Unroutable> {
    let name = segments.join("/");
    name.parse().map_err(|InvalidName| Unroutable::InvalidName(name.chars().take(256).collect()))
}

fn digest_of(text: &str) -> Result<Digest, Unroutable> {
    text.parse().map_err(|_| Unroutable::InvalidDigest(text.chars().take(160).collect()))
}

/// Undoes percent-encoding, `None` when it is broken.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                bytes.push(u8::try_from(value).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The value of a query parameter, its encoding undone. The first counts.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key == name { decode(&value.replace('+', " ")) } else { None }
    })
}

/// Makes text safe inside a query parameter.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
