//! What a client of HTTP/2 asks, and what is decided about it: in one go, without waiting for anything.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use routing::{
    config::{Action, ProtocolVersion},
    redirect::{Requested, location},
    rules::{self, CompiledOutcome},
    sticky,
};

use super::front::Front;
use crate::application::{
    answer::Answer,
    log::Entry,
    metrics::Counter,
    pick::{self, Picked},
    request::{Forwarding, split_port},
    snapshot::{Group, ListenerConfig},
};

/// A request of HTTP/2, as rules see it.
struct View<'a> {
    parts: &'a Parts,
    authority: &'a str,
    peer: IpAddr,
}

impl rules::Request for View<'_> {
    fn method(&self) -> &[u8] {
        self.parts.method.as_str().as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.parts.uri.path().as_bytes()
    }

    fn query(&self) -> &[u8] {
        self.parts.uri.query().unwrap_or_default().as_bytes()
    }

    fn host(&self) -> &[u8] {
        split_port(self.authority.as_bytes()).0
    }

    fn any_header(&self, name: &str, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        if name == "host" {
            return holds(self.authority.as_bytes());
        }
        self.parts.headers.get_all(name).iter().any(|value| holds(value.as_bytes()))
    }

    fn source(&self) -> IpAddr {
        self.peer
    }
}

pub(super) struct Routed<'a> {
    pub group: Arc<Group>,
    pub picked: Picked,
    pub cookies: Vec<String>,
    pub cookie: Vec<u8>,
    pub outcome: &'a CompiledOutcome,
}

impl Front {
    pub(super) fn route<'a>(
        &self,
        listener: &'a Arc<ListenerConfig>,
        parts: &Parts,
        authority: &str,
        trace_id: &str,
        began: Instant,
        log: &mut Option<Box<Entry>>,
    ) -> Result<Routed<'a>, Answer> {
        let metrics = &listener.balancer.metrics;
        if parts.method == Method::TRACE || parts.method == Method::CONNECT {
            return Err(Answer::error(405));
        }
        let forwarded = parts.headers.get_all("x-forwarded-for");
        if forwarded.iter().map(|value| value.as_bytes().split(|b| *b == b',').count()).sum::<usize>() > 30 {
            return Err(Answer::error(463));
        }
        let view = View { parts, authority, peer: self.peer.ip() };
        let rule = listener.rules.decide_index(&view);
        let outcome = listener.rules.outcome(rule);
        *log = self.begin_log(listener, parts, authority, outcome, trace_id, began);
        let forward = match &outcome.outcome.action {
            Action::FixedResponse(fixed) => {
                metrics.one(self.worker.index, Counter::FixedResponses);
                return Err(Answer::fixed(fixed));
            }
            Action::Redirect(redirect) => {
                metrics.one(self.worker.index, Counter::Redirects);
                let host = String::from_utf8_lossy(split_port(authority.as_bytes()).0);
                let to = location(
                    redirect,
                    &Requested {
                        encrypted: listener.encrypted,
                        host: &host,
                        port: listener.address.port(),
                        path: parts.uri.path(),
                        query: parts.uri.query().unwrap_or_default(),
                    },
                );
                if let Some(log) = log {
                    log.redirect.clone_from(&to);
                }
                return Err(Answer::redirect(redirect.code.status(), to));
            }
            Action::Forward(forward) => forward,
        };
        let cookie = cookie(&parts.headers);
        let cookies = |name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool| {
            _ = sticky::cookies(&cookie, name).any(wanted);
        };
        let (group, group_cookies) =
            pick::group(listener, listener.shares(rule), forward, &cookies, &self.worker.clock)
                .ok_or_else(|| Answer::error(503))?;
        if let Some(log) = log {
            log.target_group_arn.clone_from(&group.arn);
        }
        group.metrics.one(self.worker.index, Counter::Requests);
        if group.version == ProtocolVersion::Grpc {
            metrics.one(self.worker.index, Counter::GrpcRequests);
            if parts.method != Method::POST {
                return Err(Answer::error(464));
            }
        }
        let picked = pick::target(listener, &group, &cookies, &self.worker.clock, &[])
            .ok_or_else(|| Answer::error(503))?;
        if picked.unbound {
            metrics.one(self.worker.index, Counter::NonSticky);
        }
        Ok(Routed { group, picked, cookies: group_cookies, cookie, outcome })
    }

    /// The client's headers with ours, without those that belong to its connection.
    pub(super) fn headers_to_pass(
        &self,
        listener: &ListenerConfig,
        parts: &Parts,
        trace_id: &str,
    ) -> HeaderMap {
        let attributes = &listener.balancer.attributes;
        let mut headers = parts.headers.clone();
        let trailers = headers.get(header::TE).is_some_and(|te| te.as_bytes() == b"trailers");
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
            "te",
            "host",
            "expect",
        ] {
            headers.remove(name);
        }
        let claimed = headers.keys().filter(|name| listener.clients.is_own(name.as_str().as_bytes()));
        for name in claimed.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if attributes.drop_invalid_header_fields {
            let plain = |name: &str| crate::http1::syntax::is_plain_name(name.as_bytes());
            let invalid: Vec<_> = headers.keys().filter(|name| !plain(name.as_str())).cloned().collect();
            for name in &invalid {
                headers.remove(name);
            }
            if !invalid.is_empty() {
                listener.balancer.metrics.one(self.worker.index, Counter::DroppedHeaders);
            }
        }
        // Clients of HTTP/2 may split it.
        let cookie = cookie(&parts.headers);
        if let (false, Ok(value)) = (cookie.is_empty(), HeaderValue::from_bytes(&cookie)) {
            headers.insert(header::COOKIE, value);
        }
        let forwarding = Forwarding { listener, peer: self.peer, tls: self.tls.as_ref(), trace_id };
        let received = parts.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        let addresses = forwarding.forwarded_for(received);
        headers.remove("x-forwarded-for");
        if let Some(Ok(value)) = addresses.map(|value| HeaderValue::from_bytes(&value)) {
            headers.insert("x-forwarded-for", value);
        }
        for (name, value) in crate::application::request::forwarded(&forwarding) {
            let name = http::HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        headers
    }
}

pub(super) fn authority(parts: &Parts) -> String {
    match parts.uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => {
            let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
            host.unwrap_or_default().to_owned()
        }
    }
}

pub(super) fn cookie(headers: &HeaderMap) -> Vec<u8> {
    let values: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    values.join(&b"; "[..])
}
