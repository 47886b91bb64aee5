//! Where a redirect sends the client.

use crate::config::{Redirect, RedirectCode, RedirectProtocol};

/// The request that is redirected.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    pub encrypted: bool,
    /// Without the port.
    pub host: &'a str,
    /// Of the listener.
    pub port: u16,
    /// With its leading slash.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
}

impl RedirectCode {
    pub fn status(self) -> u16 {
        match self {
            RedirectCode::Permanent => 301,
            RedirectCode::Found => 302,
        }
    }
}

/// The value of `Location`. The port is always written, as the load balancer does.
pub fn location(redirect: &Redirect, requested: &Requested<'_>) -> String {
    let protocol = match redirect.protocol {
        RedirectProtocol::Http => "http",
        RedirectProtocol::Https => "https",
        RedirectProtocol::AsRequested => protocol(requested),
    };
    let mut location = format!("{protocol}://");
    expand(&redirect.host, requested, &mut location);
    location.push(':');
    expand(&redirect.port, requested, &mut location);
    let before = location.len();
    expand(&redirect.path, requested, &mut location);
    if location.len() == before {
        location.push('/');
    }
    let before = location.len();
    location.push('?');
    expand(&redirect.query, requested, &mut location);
    if location.len() == before + 1 {
        location.pop();
    }
    location
}

fn protocol(requested: &Requested<'_>) -> &'static str {
    if requested.encrypted { "https" } else { "http" }
}

fn expand(template: &str, requested: &Requested<'_>, into: &mut String) {
    let mut rest = template;
    while let Some(start) = rest.find("#{") {
        let Some(length) = rest[start..].find('}') else { break };
        into.push_str(&rest[..start]);
        match &rest[start + 2..start + length] {
            "protocol" => into.push_str(protocol(requested)),
            "host" => into.push_str(requested.host),
            "port" => into.push_str(&requested.port.to_string()),
            "path" => into.push_str(requested.path.strip_prefix('/').unwrap_or(requested.path)),
            "query" => into.push_str(requested.query),
            _ => into.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    into.push_str(rest);
}
