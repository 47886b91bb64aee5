//! What the load balancer itself answers: errors, redirects, fixed responses.

use std::io::Write;

use routing::config::FixedResponse;

use super::{clock::Clock, snapshot::ListenerConfig};

/// Who says so.
const SERVER: &str = "awselb/2.0";

/// An answer without its connection: for either version of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The page of an error.
    pub(crate) fn error(status: u16) -> Answer {
        let reason = reason(status);
        let title = if reason.is_empty() { status.to_string() } else { format!("{status} {reason}") };
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Answer { status, content_type: Some("text/html".to_owned()), location: None, body: page.into_bytes() }
    }

    pub(crate) fn fixed(fixed: &FixedResponse) -> Answer {
        let content_type = fixed.content_type.clone().unwrap_or_else(|| "text/plain".to_owned());
        Answer {
            status: fixed.status,
            content_type: (!fixed.body.is_empty()).then_some(content_type),
            location: None,
            body: fixed.body.clone().into_bytes(),
        }
    }

    pub(crate) fn redirect(status: u16, location: String) -> Answer {
        Answer { location: Some(location), ..Answer::error(status) }
    }

    /// Everything but the framing and the connection, in the order in which it is sent.
    pub(crate) fn headers(&self, listener: &ListenerConfig, clock: &Clock) -> Vec<(String, String)> {
        let mut headers = Vec::with_capacity(6);
        let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        if listener.attributes.server_header {
            add("Server", SERVER);
        }
        add("Date", &String::from_utf8_lossy(&clock.date()));
        if let Some(content_type) = &self.content_type {
            add("Content-Type", content_type);
        }
        add("Content-Length", &self.body.len().to_string());
        if let Some(location) = &self.location {
            add("Location", location);
        }
        for header in &listener.attributes.response_headers {
            add(&header.name, &header.value);
        }
        headers
    }

    /// As a message of HTTP/1.1.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        listener: &ListenerConfig,
        clock: &Clock,
        to_head: bool,
        keep_alive: bool,
    ) {
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in self.headers(listener, clock) {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        let _ = write!(out, "Connection: {}\r\n\r\n", if keep_alive { "keep-alive" } else { "close" });
        if !to_head {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The usual phrase; empty for codes of the load balancer's own.
pub(crate) fn reason(status: u16) -> &'static str {
    match http::StatusCode::from_u16(status) {
        Ok(status) => match status.as_u16() {
            302 => "Found",
            408 => "Request Time-out",
            504 => "Gateway Time-out",
            _ => status.canonical_reason().unwrap_or_default(),
        },
        Err(_) => "",
    }
}
