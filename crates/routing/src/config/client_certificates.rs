//! What a listener makes of the certificates that clients show: mutual TLS. Source of the modes: `MutualAuthenticationAttributes` of the
//! ELBv2 model.

use serde::{Deserialize, Serialize};

/// Of HTTPS listeners; everywhere else none are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// Clients are not asked for one.
    #[default]
    Off,
    /// Clients are asked for one, and what they show is passed on to the target, whoever signed it. Without one they are let in too.
    PassThrough,
    /// Nobody is let in without one that the trust store vouches for.
    Verify(TrustStore),
}

/// Who may vouch for clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStore {
    pub arn: String,
    /// Certificates of authorities, in PEM: roots, and those between them and the clients.
    pub authorities_pem: String,
    /// Revocation lists, each in PEM.
    pub revocations_pem: Vec<String>,
    /// Whether a client's own certificate may have expired.
    pub ignore_expiry: bool,
    /// Whether clients are told the names of the authorities.
    pub advertise: bool,
}
