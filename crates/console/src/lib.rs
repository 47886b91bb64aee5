//! The web console: which file a browser gets for a path below `/console/`, and with which headers.
//!
//! The console is plain HTML, CSS and ES modules under `web/`, embedded as they are: there is no build step, and nothing comes from another
//! host (the content security policy sees to that). All data come from the AWS APIs at the same origin, so a person sees what a client would,
//! and this crate knows nothing about them. Any path that is no file is a view, and the page itself finds out which.

mod assets;

use std::{collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sha2::{Digest, Sha256};

/// Where the console lives at the front door.
pub const ROOT: &str = "/console/";

/// Nothing but this origin's own files and APIs; no inline script or style; in nobody's frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
/// A changed file is seen at once after an upgrade; an unchanged one costs a request without a body.
const CACHING: &str = "no-cache";

/// A file of the console.
struct Asset {
    bytes: &'static [u8],
    content_type: &'static str,
    tag: HeaderValue,
}

/// By path below [`ROOT`].
static ASSETS: LazyLock<BTreeMap<&'static str, Asset>> = LazyLock::new(|| {
    assets::FILES
        .iter()
        .map(|(path, bytes)| {
            let digest = hex::encode(&Sha256::digest(bytes)[..12]);
            let tag = HeaderValue::try_from(format!("\"{digest}\""))
                .expect("hexadecimal digits are a header's value");
            (*path, Asset { bytes, content_type: content_type(path), tag })
        })
        .collect()
});

/// Whether a browser asks for the front door itself: a person has typed its address. Clients of AWS say with a signature or with
/// parameters what they want, and never that they would like a page.
pub fn is_visit(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> bool {
    *method == Method::GET
        && matches!(path, "/" | "/console")
        && query.is_none_or(str::is_empty)
        && !headers.contains_key(header::AUTHORIZATION)
        && headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

/// Sends a visitor to the console.
pub fn welcome() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(ROOT));
    guard(answer.headers_mut());
    answer
}

/// Answers a request for a path that starts with [`ROOT`]: the file of that name, or the page for a view.
///
/// 404 for a name that looks like a file and is none, 405 for methods that change things, 304 for a file that the browser has.
pub fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "The console's files can only be read.\n");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let name = path.strip_prefix(ROOT).unwrap_or(path);
    let asset = match ASSETS.get(name) {
        Some(asset) => asset,
        None if name.starts_with("assets/") => {
            return text(StatusCode::NOT_FOUND, "The console has no such file.\n");
        }
        None => &ASSETS[assets::PAGE],
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).is_some_and(|tags| {
        tags.split(',').any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == asset.tag.as_bytes())
    });
    let mut answer = Response::new(match known || *method == Method::HEAD {
        true => Bytes::new(),
        false => Bytes::from_static(asset.bytes),
    });
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    fields.insert(header::ETAG, asset.tag.clone());
    guard(fields);
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    answer
}

fn text(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(text.as_bytes()));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    guard(fields);
    answer
}

/// The headers of every answer.
fn guard(fields: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, CACHING),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        _ if path == assets::PAGE => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
