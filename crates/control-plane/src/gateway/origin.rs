//! Keeps web pages out: a page that a user of this machine has open must not speak for the user.
//!
//! On loopback, strangers' keys act as the account's root, so whatever reaches the port is believed. A browser reaches it
//! on behalf of any page: by a form post to `127.0.0.1` (its `Origin` tells), by an image or a link there (`Sec-Fetch-Site` tells), or by a
//! name of the page's own that is made to resolve to `127.0.0.1` (the `Host` tells). None of it is ever what a client of AWS sends.
//!
//! The console is the one page that may: it comes from this door, so its origin is the `Host` it calls. Pages of other ports of this machine
//! may not, since what listens there may be a container; nor may pages of load balancers, whose names are names of this door.

use http::{HeaderMap, Uri, header};

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
pub fn check(uri: &Uri, headers: &HeaderMap, own_name: &str) -> Result<(), Foreign> {
    let asked = authority(uri, headers);
    if asked.is_some_and(|host| !is_ours(host_of(host), own_name)) {
        return Err(Foreign::Host);
    }
    let site = headers.get("sec-fetch-site");
    let origin = text(headers, header::ORIGIN);
    let for_a_page = site.is_some() || origin.is_some();
    if for_a_page && asked.is_some_and(|host| is_load_balancer(host_of(host))) {
        return Err(Foreign::Origin);
    }
    // `none` is what a person typed; everything but one's own pages is somebody else's.
    if site.is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Err(Foreign::Origin);
    }
    let page = origin.map(|origin| origin.split_once("://").map_or("", |(_, authority)| authority));
    match page {
        None => Ok(()),
        Some(page) if asked.is_some_and(|asked| asked.eq_ignore_ascii_case(page)) => Ok(()),
        Some(page) if page.eq_ignore_ascii_case(own_name) => Ok(()),
        Some(_) => Err(Foreign::Origin),
    }
}

/// Whether the console's files may be given away under this name: they are nobody's secret and do nothing when read, so that a link
/// from another site may lead to them; but under the name of a load balancer, or of a stranger, there is no console.
///
/// # Errors
/// [`Foreign::Host`] when there is not.
pub fn check_host(uri: &Uri, headers: &HeaderMap, own_name: &str) -> Result<(), Foreign> {
    match authority(uri, headers).map(host_of) {
        Some(host) if !is_ours(host, own_name) || is_load_balancer(host) => Err(Foreign::Host),
        _ => Ok(()),
    }
}

/// `host:port` that the client asks for; HTTP/2 has it in the URI.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    text(headers, header::HOST).or_else(|| uri.authority().map(http::uri::Authority::as_str))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

/// Whether what is behind the name is not this door but what a load balancer leads to.
fn is_load_balancer(host: &str) -> bool {
    super::balancers::is_name(&host.trim_end_matches('.').to_ascii_lowercase())
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
    use http::{HeaderMap, Uri, header};

    use super::{Foreign, check, check_host};

    const OWN: &str = "longshore.example:4566";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn request(host: &str, origin: Option<&str>) -> Result<(), Foreign> {
        let mut pairs = vec![("host", host)];
        pairs.extend(origin.map(|origin| ("origin", origin)));
        check(&Uri::from_static("/"), &headers(&pairs), OWN)
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
        assert_eq!(check(&Uri::from_static("/"), &HeaderMap::new(), "x"), Ok(()));
    }

    #[test]
    fn the_console_is_let_in() {
        for host in ["localhost:4566", "127.0.0.1:4566", "[::1]:4566", OWN] {
            assert_eq!(request(host, Some(&format!("http://{host}"))), Ok(()), "{host}");
            assert_eq!(check_host(&Uri::from_static("/console/"), &headers(&[("host", host)]), OWN), Ok(()));
        }
        assert_eq!(request("10.0.0.1:4566", Some("https://longshore.example:4566")), Ok(()));
        let http2: Uri = "http://localhost:4566/".parse().unwrap();
        assert_eq!(check(&http2, &headers(&[("origin", "http://localhost:4566")]), OWN), Ok(()));
    }

    #[test]
    fn what_a_page_fetches_without_saying_so_is_not() {
        for (site, expected) in [
            ("cross-site", Err(Foreign::Origin)),
            ("same-site", Err(Foreign::Origin)),
            ("same-origin", Ok(())),
            ("none", Ok(())),
        ] {
            let headers = headers(&[("host", "127.0.0.1:4566"), ("sec-fetch-site", site)]);
            assert_eq!(check(&Uri::from_static("/"), &headers, "x"), expected, "{site}");
        }
    }

    #[test]
    fn pages_of_others_are_not() {
        for origin in [
            "https://evil.example",
            "null",
            "https://localhost.evil.example",
            // A container with a port of this machine, and one with a public address.
            "http://127.0.0.1:32768",
            "http://localhost",
            "http://198.18.0.5:4566",
            // The same machine by another name: not the page that was asked.
            "http://localhost:4566",
            "http://web-1.us-east-1.elb.localhost:4566",
        ] {
            assert_eq!(request("127.0.0.1:4566", Some(origin)), Err(Foreign::Origin), "{origin}");
        }
    }

    #[test]
    fn names_of_others_are_not() {
        for host in [
            "evil.example:4566",
            "127.0.0.1.evil.example",
            "127.0.0.1.evil.example:4566",
            "[::1].evil.example",
        ] {
            assert_eq!(request(host, None), Err(Foreign::Host), "{host}");
            assert_eq!(request(host, Some(&format!("http://{host}"))), Err(Foreign::Host), "{host}");
        }
        let http2: Uri = "http://evil.example:4566/".parse().unwrap();
        assert_eq!(check(&http2, &HeaderMap::new(), OWN), Err(Foreign::Host));
    }

    #[test]
    fn a_page_behind_a_load_balancer_is_not_the_console() {
        let host = "web-1.us-east-1.elb.localhost:4566";
        assert_eq!(request(host, Some(&format!("http://{host}"))), Err(Foreign::Origin));
        let fetched = headers(&[("host", host), ("sec-fetch-site", "same-origin")]);
        assert_eq!(check(&Uri::from_static("/"), &fetched, OWN), Err(Foreign::Origin));
        assert_eq!(
            check_host(&Uri::from_static("/console/"), &headers(&[("host", host)]), OWN),
            Err(Foreign::Host)
        );
    }
}
