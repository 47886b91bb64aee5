//! Names of buckets and keys, and what they must look like. Source: "General purpose bucket naming rules" and "Naming Amazon S3 objects" of the
//! S3 user guide.

use std::net::Ipv4Addr;

use super::errors;
use crate::gateway::ApiError;

/// The longest key, in bytes of UTF-8.
pub const LONGEST_KEY_BYTES: usize = 1024;

/// Whether a bucket may have this name.
pub fn is_bucket_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let outer = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let bytes = name.as_bytes();
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|start| name.starts_with(start))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|end| name.ends_with(end));
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| allowed(*byte))
        && outer(bytes.first())
        && outer(bytes.last())
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !reserved
}

/// # Errors
/// `InvalidBucketName`.
pub fn check_bucket(name: &str) -> Result<(), ApiError> {
    if is_bucket_name(name) { Ok(()) } else { Err(errors::invalid_bucket_name()) }
}

/// # Errors
/// `KeyTooLongError`.
pub fn check_key(key: &str) -> Result<(), ApiError> {
    if key.len() > LONGEST_KEY_BYTES { Err(errors::key_too_long()) } else { Ok(()) }
}

pub fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

pub fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// Bucket and key of `x-amz-copy-source`: `[/]BUCKET/KEY[?versionId=ID]`, percent-encoded.
///
/// # Errors
/// `InvalidArgument` for another form, `NoSuchVersion` for a version.
pub fn copy_source(text: &str) -> Result<(String, String), ApiError> {
    let malformed = || {
        errors::invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if let Some(version) = query.and_then(|query| query.strip_prefix("versionId="))
        && version != "null"
    {
        return Err(errors::no_such_version());
    }
    let path = decode(path).ok_or_else(malformed)?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path.split_once('/').ok_or_else(malformed)?;
    if bucket.is_empty() || key.is_empty() {
        return Err(malformed());
    }
    Ok((bucket.to_owned(), key.to_owned()))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).ok()?);
                at += 3;
            }
            (byte, _, _) => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// A key as `encoding-type=url` has it in answers: everything but what a path may hold is percent-encoded, and a blank is a plus.
pub fn encoded(key: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => _ = write!(out, "%{other:02X}"),
        }
    }
    out
}

/// A query as `x-amz-tagging` has it: `a=b&c=d`.
pub fn tag_pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(&key.replace('+', " "))?, decode(&value.replace('+', " "))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{copy_source, encoded, is_bucket_name, tag_pairs};

    #[test]
    fn bucket_names() {
        for name in ["abc", "a-b.c", "123", "logs-2026", &"a".repeat(63)] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in [
            "",
            "ab",
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "10.0.0.1",
            "xn--a",
            "a-s3alias",
            "a/b",
            "ä-bucket",
            &"a".repeat(64),
        ] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }

    #[test]
    fn sources_of_copies() {
        for text in ["bucket/a%20b/c", "/bucket/a b/c", "bucket/a%20b/c?versionId=null"] {
            assert_eq!(copy_source(text).unwrap(), ("bucket".to_owned(), "a b/c".to_owned()), "{text}");
        }
        for text in ["", "bucket", "bucket/", "/", "bucket/%ff"] {
            assert_eq!(copy_source(text).unwrap_err().code, "InvalidArgument", "{text}");
        }
        assert_eq!(copy_source("b/k?versionId=3").unwrap_err().code, "NoSuchVersion");
    }

    #[test]
    fn encodings() {
        assert_eq!(encoded("a b/ü&\u{1}*"), "a+b/%C3%BC%26%01*");
        let pairs = tag_pairs("a=b&c%20d=e+f&g").unwrap();
        assert_eq!(pairs, [("a".into(), "b".into()), ("c d".into(), "e f".into()), ("g".into(), "".into())]);
        assert_eq!(tag_pairs("a=%ff"), None);
    }
}
