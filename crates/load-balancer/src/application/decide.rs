//! What is to be done with a request of HTTP/1.1: decided in one go, without waiting for anything.

use std::{sync::Arc, time::Instant};

use routing::{
    config::{Action, ProtocolVersion},
    redirect::{Requested, location},
    rules::Request,
    sticky,
};

use super::{
    answer::Answer,
    buffer::take_line,
    connection::Client,
    exchange::{Decided, Facts, Job},
    metrics::Counter,
    pick::{self, Picked},
    request::{Forwarding, Incoming, Mitigation, is_idempotent, mitigation, trace_id, write_head},
    snapshot::{Group, ListenerConfig},
};
use crate::http1::head::{Known, RequestHead};

impl Client {
    /// Everything that is decided about a request; nothing waits here.
    pub(super) fn decide(
        &self,
        listener: &Arc<ListenerConfig>,
        head: &RequestHead,
        began: Instant,
    ) -> Decided {
        let worker = &self.worker;
        let metrics = &listener.balancer.metrics;
        let attributes = &listener.balancer.attributes;
        let buffer = self.input.filled();
        let method = head.method.of(buffer);
        let mitigation = mitigation(head, attributes.desync_mitigation);
        let age_ms = worker.clock.now_ms() - self.opened_ms;
        let mut facts = Facts {
            to_head: method == b"HEAD",
            idempotent: is_idempotent(method),
            upgrade: head.upgrade,
            version: head.version,
            keep_alive: head.keep_alive && age_ms < u64::from(attributes.client_keep_alive_seconds) * 1000,
            isolate: mitigation == Mitigation::Isolate,
            cookies: Vec::new(),
            began,
            received_bytes: head.length as u64,
            log: None,
        };
        if mitigation != Mitigation::Pass {
            metrics.one(worker.index, Counter::NonCompliant);
        }
        let Some(incoming) = Incoming::new(buffer, head, self.reader.fields(), self.peer) else {
            return Decided::Answer(Answer::error(400), facts);
        };
        if mitigation == Mitigation::Refuse {
            return Decided::Answer(Answer::error(400), facts);
        }
        if incoming.is_forwarded_too_often() {
            return Decided::Answer(Answer::error(463), facts);
        }
        let trace_id = trace_id(incoming.values(Known::TraceId).next(), &worker.clock);
        let rule = listener.rules.decide_index(&incoming);
        let outcome = listener.rules.outcome(rule);
        facts.log = self.begin_log(listener, &incoming, outcome, &trace_id, began);
        let forward = match &outcome.outcome.action {
            Action::FixedResponse(fixed) => {
                metrics.one(worker.index, Counter::FixedResponses);
                return Decided::Answer(Answer::fixed(fixed), facts);
            }
            Action::Redirect(redirect) => {
                metrics.one(worker.index, Counter::Redirects);
                let text = |bytes| String::from_utf8_lossy(bytes);
                let (host, path, query) =
                    (text(incoming.host()), text(incoming.path()), text(incoming.query()));
                let to = location(
                    redirect,
                    &Requested {
                        encrypted: listener.encrypted,
                        host: &host,
                        port: listener.address.port(),
                        path: &path,
                        query: &query,
                    },
                );
                if let Some(log) = &mut facts.log {
                    log.redirect.clone_from(&to);
                }
                return Decided::Answer(Answer::redirect(redirect.code.status(), to), facts);
            }
            Action::Forward(forward) => forward,
        };
        let cookie: Vec<u8> = incoming.values(Known::Cookie).collect::<Vec<_>>().join(&b"; "[..]);
        let chosen = pick::group(
            listener,
            listener.shares(rule),
            forward,
            &|name, wanted| _ = sticky::cookies(&cookie, name).any(wanted),
            &worker.clock,
        );
        let Some((group, group_cookies)) = chosen else {
            return Decided::Answer(Answer::error(503), facts);
        };
        if let Some(log) = &mut facts.log {
            log.target_group_arn.clone_from(&group.arn);
        }
        if group.version == ProtocolVersion::Grpc {
            return Decided::Answer(Answer::error(464), facts);
        }
        group.metrics.one(worker.index, Counter::Requests);
        let Some(picked) = self.pick(listener, &group, &cookie, &[]) else {
            return Decided::Answer(Answer::error(503), facts);
        };
        if picked.unbound {
            metrics.one(worker.index, Counter::NonSticky);
        }
        let forwarding =
            Forwarding { listener, peer: self.peer, tls: self.tls.as_deref(), trace_id: &trace_id };
        let mut request = take_line();
        let dropped = write_head(&mut request, &incoming, outcome, &forwarding);
        if dropped > 0 {
            metrics.one(worker.index, Counter::DroppedHeaders);
        }
        facts.cookies = group_cookies;
        Decided::Forward(Box::new(Job { group, picked, request, rest: head.body.clone(), facts, cookie }))
    }

    pub(super) fn pick(
        &self,
        listener: &ListenerConfig,
        group: &Arc<Group>,
        cookie: &[u8],
        tried: &[u64],
    ) -> Option<Picked> {
        let cookies = |name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool| {
            _ = sticky::cookies(cookie, name).any(wanted);
        };
        pick::target(listener, group, &cookies, &self.worker.clock, tried)
    }

    /// What is there of the body goes with the head.
    pub(super) fn take_body(&mut self, job: &mut Job, head: &RequestHead) -> Result<(), ()> {
        self.input.consume(head.length);
        let used = job.rest.advance(self.input.filled()).map_err(|_| ())?;
        job.request.extend_from_slice(&self.input.filled()[..used]);
        job.facts.received_bytes += used as u64;
        self.input.consume(used);
        Ok(())
    }

    /// Whether all of the body was there, so that the next request can be read.
    pub(super) fn skip_body(&mut self, head: &RequestHead) -> bool {
        self.input.consume(head.length);
        let mut body = head.body.clone();
        match body.advance(self.input.filled()) {
            Ok(used) => {
                self.input.consume(used);
                body.is_over()
            }
            Err(_) => false,
        }
    }
}
