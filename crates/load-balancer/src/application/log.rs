//! One line for each request, in the format that the guide gives for access logs of application load balancers.

use std::{fmt, net::SocketAddr, time::Duration};

use super::clock::civil;

/// Takes lines. Called from the threads that carry requests: it must not wait.
pub trait AccessLog: Send + Sync + 'static {
    /// A request to a load balancer that has access logs switched on. The line has no line end.
    fn record(&self, load_balancer_arn: &str, line: String);

    /// A connection to a load balancer that has connection logs switched on. The line has no line end.
    fn record_connection(&self, load_balancer_arn: &str, line: String);
}

/// What a line says. Texts are as the client sent them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    /// `http`, `https`, `h2`, `grpcs`, `ws`, `wss`.
    pub kind: &'static str,
    pub ended_unix: Duration,
    pub began_unix: Duration,
    pub load_balancer: String,
    pub client: Option<SocketAddr>,
    pub target: Option<SocketAddr>,
    /// Unset where there was no such part.
    pub request_time: Option<Duration>,
    pub target_time: Option<Duration>,
    pub response_time: Option<Duration>,
    pub status: u16,
    pub target_status: Option<u16>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Of these, what is no body.
    pub received_head_bytes: u64,
    pub sent_head_bytes: u64,
    /// Method, whole address, version.
    pub request: String,
    pub user_agent: String,
    pub tls_cipher: String,
    pub tls_version: &'static str,
    pub target_group_arn: String,
    pub trace_id: String,
    pub server_name: String,
    pub rule_priority: Option<u32>,
    pub actions: &'static str,
    pub redirect: String,
    pub ambiguous: Option<&'static str>,
    pub transformed_host: String,
    pub transformed_url: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.kind, Time(self.ended_unix), self.load_balancer)?;
        match self.client {
            Some(client) => write!(f, "{client} ")?,
            None => f.write_str("- ")?,
        }
        match self.target {
            Some(target) => write!(f, "{target} ")?,
            None => f.write_str("- ")?,
        }
        for time in [self.request_time, self.target_time, self.response_time] {
            match time {
                Some(time) => write!(f, "{:.3} ", time.as_secs_f64())?,
                None => f.write_str("-1 ")?,
            }
        }
        write!(f, "{} ", self.status)?;
        match self.target_status {
            Some(status) => write!(f, "{status} ")?,
            None => f.write_str("- ")?,
        }
        write!(f, "{} {} ", self.received_bytes, self.sent_bytes)?;
        write!(f, "\"{}\" \"{}\" ", Quoted(&self.request), Quoted(or_none(&self.user_agent)))?;
        write!(f, "{} {} ", or_none(&self.tls_cipher), or_none(self.tls_version))?;
        write!(f, "{} ", or_none(&self.target_group_arn))?;
        write!(
            f,
            "\"{}\" \"{}\" \"-\" ",
            Quoted(or_none(&self.trace_id)),
            Quoted(or_none(&self.server_name))
        )?;
        match self.rule_priority {
            Some(priority) => write!(f, "{priority} ")?,
            None => f.write_str("- ")?,
        }
        write!(f, "{} ", Time(self.began_unix))?;
        write!(f, "\"{}\" \"{}\" \"-\" ", or_none(self.actions), Quoted(or_none(&self.redirect)))?;
        match (self.target, self.target_status) {
            (Some(target), Some(status)) => write!(f, "\"{target}\" \"{status}\" ")?,
            (Some(target), None) => write!(f, "\"{target}\" \"-\" ")?,
            (None, _) => f.write_str("\"-\" \"-\" ")?,
        }
        match self.ambiguous {
            Some(reason) => write!(f, "\"Ambiguous\" \"{reason}\" ")?,
            None => f.write_str("\"-\" \"-\" ")?,
        }
        write!(f, "{} ", ConnectionTrace(self))?;
        let transformed = !self.transformed_host.is_empty() || !self.transformed_url.is_empty();
        write!(
            f,
            "\"{}\" \"{}\" \"{}\"",
            Quoted(or_none(&self.transformed_host)),
            Quoted(or_none(&self.transformed_url)),
            if transformed { "TransformSuccess" } else { "-" }
        )
    }
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Of the connection, for joining with connection logs.
struct ConnectionTrace<'a>(&'a Entry);

impl fmt::Display for ConnectionTrace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.client {
            Some(client) => f.write_str(&trace_of_connection(&self.0.load_balancer, client)),
            None => f.write_str("-"),
        }
    }
}

/// What ties requests to their connection: the same in access and connection logs.
pub(crate) fn trace_of_connection(load_balancer: &str, client: SocketAddr) -> String {
    format!("TID_{:016x}", routing::sticky::mark(&[load_balancer, &client.to_string()]))
}

/// `2018-07-02T22:23:00.186641Z`.
pub(crate) struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        let second = seconds % 86_400;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.0.subsec_micros()
        )
    }
}

/// Quotes, backslashes and what is not visible are written as escapes.
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\x22")?,
                '\\' => f.write_str("\\x5C")?,
                ' '..='~' => write!(f, "{character}")?,
                other => {
                    let mut bytes = [0; 4];
                    for byte in other.encode_utf8(&mut bytes).bytes() {
                        write!(f, "\\x{byte:02X}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
