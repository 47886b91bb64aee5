//! Fills a request's line of the access log, for load balancers that have one.

use std::{sync::Arc, time::Instant};

use routing::{
    config::{Action, LoadBalancerKind},
    rules::{CompiledOutcome, Request},
};

use super::{
    classic_log::Classic,
    connection::Client,
    log::Entry,
    request::{Incoming, host_to_pass, split_port, version_name},
    snapshot::ListenerConfig,
};
use crate::http1::head::Known;

impl Client {
    /// What is known when a request was understood; `None` when nobody wants to know.
    pub(crate) fn begin_log(
        &self,
        listener: &ListenerConfig,
        incoming: &Incoming<'_>,
        outcome: &CompiledOutcome,
        trace_id: &str,
        began: Instant,
    ) -> Option<Box<Entry>> {
        self.worker.log.as_ref()?;
        listener.balancer.attributes.access_logs.as_ref()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (host, _) = split_port(incoming.authority);
        let request = format!(
            "{} {}://{}:{}{} {}",
            text(incoming.method()),
            if listener.encrypted { "https" } else { "http" },
            text(host),
            listener.address.port(),
            text(incoming.path_and_query),
            version_name(incoming.head.version)
        );
        let mut entry = self.blank(listener, began);
        entry.request = request;
        entry.received_head_bytes = incoming.head.length as u64;
        entry.user_agent = incoming.values(Known::UserAgent).next().map_or_else(String::new, text);
        trace_id.clone_into(&mut entry.trace_id);
        entry.rule_priority = Some(outcome.priority);
        entry.actions = match outcome.outcome.action {
            Action::Forward(_) => "forward",
            Action::Redirect(_) => "redirect",
            Action::FixedResponse(_) => "fixed-response",
        };
        if incoming.head.ambiguous {
            entry.ambiguous = Some("UndefinedContentLengthSemantics");
        }
        entry.transformed_host =
            outcome.rewritten_host(&text(&host_to_pass(incoming.authority, listener))).unwrap_or_default();
        entry.transformed_url = outcome.rewritten_url(&text(incoming.path_and_query)).unwrap_or_default();
        Some(Box::new(entry))
    }

    fn blank(&self, listener: &ListenerConfig, began: Instant) -> Entry {
        let tls = self.tls.as_deref();
        Entry {
            kind: if listener.encrypted { "https" } else { "http" },
            began_unix: self.worker.clock.unix(began),
            load_balancer: listener.balancer.log_name.clone(),
            client: Some(self.peer),
            tls_cipher: tls.map_or_else(String::new, |tls| tls.cipher.clone()),
            tls_version: tls.map_or("", |tls| tls.version),
            server_name: tls.and_then(|tls| tls.server_name.clone()).unwrap_or_default(),
            ..Entry::default()
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what the end of a request adds to its line")]
    pub(crate) fn end_log(
        &self,
        listener: &Arc<ListenerConfig>,
        mut entry: Box<Entry>,
        status: u16,
        target_status: Option<u16>,
        received_bytes: u64,
        sent_bytes: u64,
        ended: Option<Instant>,
    ) {
        let Some(log) = &self.worker.log else { return };
        entry.ended_unix = self.worker.clock.unix(ended.unwrap_or_else(Instant::now));
        entry.status = status;
        entry.target_status = target_status;
        entry.received_bytes = received_bytes;
        entry.sent_bytes = sent_bytes;
        let line = match listener.balancer.kind {
            LoadBalancerKind::Classic => Classic(&entry).to_string(),
            LoadBalancerKind::Application | LoadBalancerKind::Network => entry.to_string(),
        };
        log.record(&listener.balancer.arn, line);
    }

    /// A request that could not be understood.
    pub(crate) fn log_refusal(
        &self,
        listener: &Arc<ListenerConfig>,
        status: u16,
        sent: usize,
        began: Instant,
    ) {
        if self.worker.log.is_none() || listener.balancer.attributes.access_logs.is_none() {
            return;
        }
        let mut entry = self.blank(listener, began);
        entry.received_head_bytes = self.input.len() as u64;
        entry.request = "- http://-:-- -".replace("http", if listener.encrypted { "https" } else { "http" });
        self.end_log(listener, Box::new(entry), status, None, self.input.len() as u64, sent as u64, None);
    }
}
