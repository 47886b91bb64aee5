//! One line for each connection: of a TLS listener in the format that the guide gives for access logs of network load balancers, of any
//! listener in that of classic ones.

use std::{
    io,
    net::SocketAddrV4,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use routing::config::{Listener, LoadBalancer, LoadBalancerKind};

use super::{relay::Volume, steering::Ends};
use crate::{
    AccessLog,
    application::{Times, log::Time},
    tls::ByCertificate,
};

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
    classic: bool,
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
    pub passed: Passed,
    /// What the client said in TLS's words when it broke off: the number of the alert.
    pub alert: Option<u8>,
}

/// What went through a connection.
#[derive(Default)]
pub(super) struct Passed {
    pub volume: Volume,
    /// The target, and how long it took to connect to it.
    pub reached: Option<(SocketAddrV4, Duration)>,
    /// What a target that speaks TLS agreed to.
    pub target_protocol: Option<String>,
}

impl Entry {
    /// That of a connection that begins now.
    pub(super) fn begin(ends: Ends) -> Entry {
        let began_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Entry {
            ends,
            began: Instant::now(),
            began_unix,
            greeted: None,
            passed: Passed::default(),
            alert: None,
        }
    }
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
    /// The log of a listener; none where nobody wants one, and of a network load balancer where there is no TLS.
    pub(super) fn of(
        to: Option<&Arc<dyn AccessLog>>,
        balancer: &LoadBalancer,
        listener: &Listener,
    ) -> Option<Log> {
        let classic = balancer.kind == LoadBalancerKind::Classic;
        let wanted =
            balancer.attributes.access_logs.is_some() && (classic || listener.protocol.is_encrypted());
        let resource = balancer.arn.split_once(":loadbalancer/").map(|(_, resource)| resource);
        to.filter(|_| wanted).map(|to| Log {
            to: Arc::clone(to),
            load_balancer_arn: balancer.arn.clone(),
            load_balancer: resource.unwrap_or(&balancer.name).to_owned(),
            listener: listener.arn.rsplit('/').next().unwrap_or_default().to_owned(),
            certificates: ByCertificate::new(&listener.certificates),
            classic,
        })
    }

    pub(super) fn record(&self, entry: &Entry) {
        let line = if self.classic { self.classic(entry) } else { self.line(entry) };
        self.to.record(&self.load_balancer_arn, line);
    }

    /// A line of a classic load balancer.
    fn classic(&self, entry: &Entry) -> String {
        let Passed { volume, reached, .. } = &entry.passed;
        let none = || "-".to_owned();
        let since = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
        let times = Times([
            since(Some(entry.began), volume.to_target.map(Into::into)),
            reached.map(|(_, took)| took),
            since(volume.from_target.map(Into::into), volume.to_client.map(Into::into)),
        ]);
        let greeted = entry.greeted.as_ref();
        let version = greeted.map_or("-", |greeted| match greeted.version {
            "tlsv13" => "TLSv1.3",
            _ => "TLSv1.2",
        });
        format!(
            "{} {} {} {} {times} - - {} {} \"- - - \" \"-\" {} {version}",
            Time(entry.began_unix),
            self.load_balancer,
            entry.ends.client,
            reached.map_or_else(none, |(target, _)| target.to_string()),
            volume.from_client_bytes,
            volume.from_target_bytes,
            greeted.map_or_else(none, |greeted| greeted.cipher.clone()),
        )
    }

    fn line(&self, entry: &Entry) -> String {
        let took = entry.began.elapsed();
        let none = || "-".to_owned();
        let greeted = entry.greeted.as_ref();
        let text = |part: fn(&Greeted) -> Option<String>| greeted.and_then(part).unwrap_or_else(none);
        let name = greeted.and_then(|greeted| greeted.server_name.as_deref());
        let certificate = greeted.and_then(|_| self.certificates.shown_to(name));
        format!(
            "tls 2.0 {} {} {} {} {} {} {} {} {} {} {} - {} {} {} {} {} {} - {}",
            second(entry.began_unix + took),
            self.load_balancer,
            self.listener,
            entry.ends.client,
            entry.ends.reached,
            took.as_millis(),
            text(|greeted| Some(greeted.took.as_millis().to_string())),
            entry.passed.volume.from_client_bytes,
            entry.passed.volume.from_target_bytes,
            entry.alert.map_or_else(none, |alert| alert.to_string()),
            certificate.unwrap_or("-"),
            text(|greeted| Some(greeted.cipher.clone())),
            text(|greeted| Some(greeted.version.to_owned())),
            text(|greeted| Some(greeted.group.clone())),
            name.unwrap_or("-"),
            text(|greeted| greeted.protocol.clone()),
            entry.passed.target_protocol.clone().unwrap_or_else(none),
            second(entry.began_unix),
        )
    }
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
