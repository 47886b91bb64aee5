//! Keeps web pages out: a page that a user of this machine has open must not speak for the user.
//!
//! On loopback, strangers' keys act as the account's root, so whatever reaches the port is believed. A browser reaches it
//! on behalf of any page: by a form post to `127.0.0.1` (its `Origin` tells), by an image or a link there (`Sec-Fetch-Site` tells), or by a
//! name of the page's own that is made to resolve to `127.0.0.1` (the `Host` tells). None of it is ever what a client of AWS sends.

use http::{HeaderMap, header};

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    #[error("Requests from web pages of other hosts are not accepted.")]
    Origin,
    #[error("Requests for this host name are not accepted; use 127.0.0.1 or localhost.")]
    Host,
}

/// Whether a request may be looked at. `own_name` is the configured outside name, `host:port`.
///
/// # Errors
/// [`Foreign`] for one that a browser sends for somebody else's page.
pub fn check(headers: &HeaderMap, own_name: &str) -> Result<(), Foreign> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or(""));
    if let Some(host) = text(header::HOST)
        && !is_ours(host_of(host), own_name)
    {
        return Err(Foreign::Host);
    }
    // `none` is what a person typed; everything but one's own pages is somebody else's.
    let fetched_by_a_page = headers
        .get("sec-fetch-site")
        .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    let from_loopback = text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").is_some_and(|(_, host)| is_loopback(host_of(host))));
    if fetched_by_a_page && !from_loopback {
        return Err(Foreign::Origin);
    }
    match text(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let host = origin.split_once("://").map_or("", |(_, host)| host_of(host));
            if is_loopback(host) || host == host_of(own_name) { Ok(()) } else { Err(Foreign::Origin) }
        }
    }
}

/// The host of `host:port`, brackets kept.
fn host_of(text: &str) -> &str {
    match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => &text[..colon],
        _ => text,
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Addresses, loopback names, AWS's own names (which a client may be made to resolve to this machine), the configured one, and
/// names that nobody can own on the internet: without a dot, or under the reserved `.internal` and `.test`.
/// Clients that put a label before the endpoint (`streaming-127.0.0.1`) are let in too.
fn is_ours(host: &str, own_name: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let labelled = bare.split_once('-').is_some_and(|(_, rest)| is_loopback(rest));
    is_loopback(host)
        || labelled
        || bare.parse::<std::net::IpAddr>().is_ok()
        || (!bare.is_empty() && !bare.contains('.'))
        || [".amazonaws.com", ".internal", ".test"].iter().any(|ending| bare.ends_with(ending))
        || host == host_of(own_name)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};

    use super::{Foreign, check};

    fn request(host: &str, origin: Option<&str>) -> Result<(), Foreign> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&headers, "longshore.example:4566")
    }

    #[test]
    fn clients_are_let_in() {
        for host in [
            "127.0.0.1:4566",
            "localhost:4566",
            "[::1]:4566",
            "169.254.170.2:4566",
            "web-1.us-east-1.elb.localhost:4566",
            "000000000000.dkr.ecr.us-east-1.amazonaws.com",
            "streaming-127.0.0.1:4566",
            "longshore.example:4566",
            "longshore:4566",
            "host.docker.internal:4566",
        ] {
            assert_eq!(request(host, None), Ok(()), "{host}");
        }
        assert_eq!(request("localhost:4566", Some("http://localhost:3000")), Ok(()));
        assert_eq!(check(&HeaderMap::new(), "x"), Ok(()));
    }

    #[test]
    fn what_a_page_fetches_without_saying_so_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:4566".parse().unwrap());
        for (site, expected) in [
            ("cross-site", Err(Foreign::Origin)),
            ("same-site", Err(Foreign::Origin)),
            ("same-origin", Ok(())),
            ("none", Ok(())),
        ] {
            headers.insert("sec-fetch-site", site.parse().unwrap());
            assert_eq!(check(&headers, "x"), expected, "{site}");
        }
        headers.insert("sec-fetch-site", "same-site".parse().unwrap());
        headers.insert(header::ORIGIN, "http://localhost:3000".parse().unwrap());
        assert_eq!(check(&headers, "x"), Ok(()));
    }

    #[test]
    fn pages_of_others_are_not() {
        assert_eq!(request("127.0.0.1:4566", Some("https://evil.example")), Err(Foreign::Origin));
        assert_eq!(request("127.0.0.1:4566", Some("null")), Err(Foreign::Origin));
        assert_eq!(request("127.0.0.1:4566", Some("https://localhost.evil.example")), Err(Foreign::Origin));
        assert_eq!(request("evil.example:4566", None), Err(Foreign::Host));
        assert_eq!(request("127.0.0.1.evil.example", None), Err(Foreign::Host));
    }
}
