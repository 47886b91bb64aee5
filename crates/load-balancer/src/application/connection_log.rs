//! One line for each connection, in the format that the guide gives for connection logs of application load balancers.

use std::{fmt::Write, io, net::SocketAddr, time::Instant};

use rustls::{CertificateError, Error, pki_types::CertificateDer};

use super::{
    log::{Time, trace_of_connection},
    request::TlsFacts,
    snapshot::ListenerConfig,
    worker::Worker,
};
use crate::tls::certificate;

/// How a connection began.
pub(super) enum Greeting<'a> {
    Plain,
    Encrypted(&'a TlsFacts, Option<&'a [CertificateDer<'static>]>),
    /// Without an error it took too long.
    Failed(Option<io::Error>),
}

/// Says so, where somebody wants to know.
pub(super) fn record(
    worker: &Worker,
    listener: &ListenerConfig,
    peer: SocketAddr,
    began: Instant,
    greeting: &Greeting<'_>,
) {
    let Some(log) = &worker.log else { return };
    if listener.balancer.attributes.connection_logs.is_none() {
        return;
    }
    let now = Instant::now();
    let mut line = format!(
        "{} {} {} {} ",
        Time(worker.clock.unix(now)),
        peer.ip(),
        peer.port(),
        listener.address.port()
    );
    let took = now.duration_since(began).as_secs_f64();
    // Writing to a string does not fail.
    let _ = match greeting {
        Greeting::Plain => line.write_str("- - - \"-\" - - Success"),
        Greeting::Encrypted(tls, shown) => {
            let own = shown.and_then(|shown| shown.first()).and_then(|own| certificate::read(own));
            let (subject, validity, serial) = match own {
                Some(own) => (own.subject(), own.validity(), own.serial),
                None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
            };
            // A name has no quotes in it that are not escaped already.
            let subject = subject.replace("\\\"", "\\x22");
            write!(line, "{} {} {took:.3} \"{subject}\" {validity} {serial} Success", tls.version, tls.cipher)
        }
        Greeting::Failed(error) => {
            write!(line, "- - - \"-\" - - Failed:{}", reason(error.as_ref()))
        }
    };
    let _ = write!(line, " {}", trace_of_connection(&listener.balancer.log_name, peer));
    log.record_connection(&listener.balancer.arn, line);
}

/// The guide's names of what can be wrong.
fn reason(error: Option<&io::Error>) -> &'static str {
    let error = error.and_then(|error| error.get_ref()).and_then(|error| error.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(why)) = error else { return "UnmappedConnectionError" };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "ClientCertExpired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "ClientCertNotYetValid"
        }
        CertificateError::Revoked => "ClientCertCrlHit",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "ClientCertPurposeInvalid"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "ClientCertUntrusted",
        CertificateError::BadEncoding => "ClientCertInvalid",
        _ => "ClientCertRejected",
    }
}
