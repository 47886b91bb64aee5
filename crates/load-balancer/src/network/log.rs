//! One line for each connection of a TLS listener, in the format that the guide gives for access logs of network load balancers.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use routing::config::{Listener, LoadBalancer, LoadBalancerKind};

use super::{relay::Volume, steering::Ends};
use crate::{AccessLog, application::log::Time, tls::ByCertificate};

/// What the lines of a listener have in common.
pub(super) struct Log {
    to: Arc<dyn AccessLog>,
    load_balancer_arn: String,
    /// `net/NAME/ID`
    load_balancer: String,
    /// The last part of its ARN.
    listener: String,
    /// For saying which one a client was shown.
    certificates: ByCertificate,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log of {}", self.load_balancer)
    }
}

/// What is known of a connection at its end.
pub(super) struct Entry {
    pub ends: Ends,
    pub began: Instant,
    pub began_unix: Duration,
    /// Unset when there was no TLS with the client.
    pub greeted: Option<Greeted>,
    pub volume: Volume,
    /// What the client said in TLS's words when it broke off: the number of the alert.
    pub alert: Option<u8>,
    /// What the target agreed to speak.
    pub target_protocol: Option<String>,
}

/// What was agreed with the client.
pub(super) struct Greeted {
    pub took: Duration,
    pub cipher: String,
    pub version: &'static str,
    pub group: String,
    pub server_name: Option<String>,
    pub protocol: Option<String>,
}

impl Log {
    /// The log of a listener; none where nobody wants one, and where there is no TLS.
    pub(super) fn of(
        to: Option<&Arc<dyn AccessLog>>,
        balancer: &LoadBalancer,
        listener: &Listener,
    ) -> Option<Log> {
        let wanted = balancer.kind == LoadBalancerKind::Network
            && balancer.attributes.access_logs.is_some()
            && listener.protocol.is_encrypted();
        let resource = balancer.arn.split_once(":loadbalancer/").map(|(_, resource)| resource);
        to.filter(|_| wanted).map(|to| Log {
            to: Arc::clone(to),
            load_balancer_arn: balancer.arn.clone(),
            load_balancer: resource.unwrap_or(&balancer.name).to_owned(),
            listener: listener.arn.rsplit('/').next().unwrap_or_default().to_owned(),
            certificates: ByCertificate::new(&listener.certificates),
        })
    }

    pub(super) fn record(&self, entry: &Entry) {
        let took = entry.began.elapsed();
        let none = || "-".to_owned();
        let greeted = entry.greeted.as_ref();
        let text = |part: fn(&Greeted) -> Option<String>| greeted.and_then(part).unwrap_or_else(none);
        let name = greeted.and_then(|greeted| greeted.server_name.as_deref());
        let certificate = greeted.and_then(|_| self.certificates.shown_to(name));
        let line = format!(
            "tls 2.0 {} {} {} {} {} {} {} {} {} {} {} - {} {} {} {} {} {} - {}",
            second(entry.began_unix + took),
            self.load_balancer,
            self.listener,
            entry.ends.client,
            entry.ends.reached,
            took.as_millis(),
            text(|greeted| Some(greeted.took.as_millis().to_string())),
            entry.volume.from_client_bytes,
            entry.volume.from_target_bytes,
            entry.alert.map_or_else(none, |alert| alert.to_string()),
            certificate.unwrap_or("-"),
            text(|greeted| Some(greeted.cipher.clone())),
            text(|greeted| Some(greeted.version.to_owned())),
            text(|greeted| Some(greeted.group.clone())),
            name.unwrap_or("-"),
            text(|greeted| greeted.protocol.clone()),
            entry.target_protocol.clone().unwrap_or_else(none),
            second(entry.began_unix),
        );
        self.to.record(&self.load_balancer_arn, line);
    }
}

/// Since 1970.
pub(super) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `2018-12-20T02:59:40`
fn second(unix: Duration) -> String {
    let whole = Time(unix).to_string();
    whole.split_once('.').map_or(whole.clone(), |(second, _)| second.to_owned())
}

/// The alert that a client ended its handshake with.
pub(super) fn alert(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(u8::from(*alert)),
        _ => None,
    }
}
