//! The canonical request: one spelling of method, path, query and headers that both sides hash.

use crate::{Head, Presented, Source};

/// The canonical request, its last line being `payload_hash`.
pub fn canonical_request(head: &Head<'_>, presented: &Presented, payload_hash: &str) -> String {
    let mut text = String::with_capacity(512);
    text.push_str(head.method.as_str());
    text.push('\n');
    // S3 signs its path as it is sent; all others encode the sent path a second time.
    if presented.service == "s3" {
        text.push_str(head.path);
    } else {
        text.push_str(&encode(head.path, true));
    }
    text.push('\n');
    text.push_str(&canonical_query(head.query, presented.source));
    text.push('\n');
    for name in &presented.signed_headers {
        text.push_str(name);
        text.push(':');
        for (index, value) in head.headers.get_all(name).iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            push_folded(&mut text, &String::from_utf8_lossy(value.as_bytes()));
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&presented.signed_headers.join(";"));
    text.push('\n');
    text.push_str(payload_hash);
    text
}

/// The query as decoded pairs, in the order they came.
pub fn decoded_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

fn canonical_query(query: &str, source: Source) -> String {
    let mut pairs: Vec<(String, String)> = decoded_query(query)
        .into_iter()
        .filter(|(key, _)| source == Source::Header || key != "X-Amz-Signature")
        .map(|(key, value)| (encode(&key, false), encode(&value, false)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join("&")
}

/// Trims, and folds runs of blanks to one.
fn push_folded(text: &mut String, value: &str) {
    for (index, word) in value.split_ascii_whitespace().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}

/// RFC 3986 percent-encoding of all but the unreserved characters (and `/` where `keep_slash`).
fn encode(text: &str, keep_slash: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slash => out.push('/'),
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out
}

/// Undoes percent-encoding; what is not valid is kept as it is. `+` stays `+`, as SigV4 has it.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let nibble = |index: usize| bytes.get(index).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        match (bytes[index], nibble(index + 1), nibble(index + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                index += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
