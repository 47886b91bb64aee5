//! Mutual TLS of HTTPS listeners: what can be asked for, and how it is shown.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::errors;
use routing::config;
use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    errors::{invalid_configuration, validation},
    records::{Listener, MutualTls, Protocol},
    trust_stores,
};
use crate::gateway::ApiError;

/// Listeners of a load balancer that verify.
const MOST_VERIFYING: usize = 2;

/// The listener with the mutual TLS that a request wants; without a wish what it had, if its protocol still has one.
///
/// # Errors
/// `ValidationError`, `InvalidConfigurationRequest`, `TrustStoreNotFound`.
pub fn set(
    tx: &mut Tx,
    scope: &Scope,
    listener: &mut Listener,
    wanted: Option<elbv2::MutualAuthenticationAttributes>,
) -> Result<(), ApiError> {
    if let Some(wanted) = wanted {
        listener.mutual_tls = parse(wanted)?;
    } else if listener.protocol != Protocol::Https {
        listener.mutual_tls = MutualTls::Off;
    }
    if listener.mutual_tls == MutualTls::Off {
        return Ok(());
    }
    if listener.protocol != Protocol::Https {
        return Err(validation(format!(
            "Mutual authentication cannot be specified for {} listeners",
            listener.protocol.as_str()
        )));
    }
    if let MutualTls::Verify { trust_store, .. } = &listener.mutual_tls {
        trust_stores::get(tx, scope, trust_store)?;
        let others = tx.scan_prefix::<Listener>(scope, &format!("{}/", listener.load_balancer));
        let verifying = others.iter().filter(|(_, other)| {
            other.id != listener.id && matches!(other.mutual_tls, MutualTls::Verify { .. })
        });
        if verifying.count() >= MOST_VERIFYING {
            return Err(ApiError::new(
                &errors::TOO_MANY_LISTENERS_EXCEPTION,
                format!(
                    "The maximum number of listeners '{MOST_VERIFYING}' with mutual authentication in verify mode has been reached"
                ),
            ));
        }
    }
    Ok(())
}

fn parse(wanted: elbv2::MutualAuthenticationAttributes) -> Result<MutualTls, ApiError> {
    let mode = wanted.mode.as_deref().unwrap_or("off");
    if mode != "verify" {
        let for_verify = [
            ("A trust store ARN", wanted.trust_store_arn.is_some()),
            ("Ignoring client certificate expiry", wanted.ignore_client_certificate_expiry == Some(true)),
            (
                "Advertising trust store CA names",
                wanted.advertise_trust_store_ca_names == Some(elbv2::AdvertiseTrustStoreCaNamesEnum::On),
            ),
        ];
        if let Some((what, _)) = for_verify.iter().find(|(_, given)| *given) {
            return Err(validation(format!(
                "{what} can only be specified in mutual authentication mode 'verify'"
            )));
        }
    }
    match mode {
        "off" => Ok(MutualTls::Off),
        "passthrough" => Ok(MutualTls::PassThrough),
        "verify" => Ok(MutualTls::Verify {
            trust_store: wanted.trust_store_arn.ok_or_else(|| {
                invalid_configuration(
                    "A trust store ARN must be specified in mutual authentication mode 'verify'",
                )
            })?,
            ignore_expiry: wanted.ignore_client_certificate_expiry.unwrap_or(false),
            advertise: wanted.advertise_trust_store_ca_names
                == Some(elbv2::AdvertiseTrustStoreCaNamesEnum::On),
        }),
        other => Err(validation(format!(
            "Mutual authentication mode '{other}' must be one of 'off, passthrough, verify'"
        ))),
    }
}

/// As the API shows it, of an HTTPS listener.
pub fn shape(mutual_tls: &MutualTls) -> elbv2::MutualAuthenticationAttributes {
    let blank = elbv2::MutualAuthenticationAttributes::default();
    match mutual_tls {
        MutualTls::Off => elbv2::MutualAuthenticationAttributes { mode: Some("off".to_owned()), ..blank },
        MutualTls::PassThrough => {
            elbv2::MutualAuthenticationAttributes { mode: Some("passthrough".to_owned()), ..blank }
        }
        MutualTls::Verify { trust_store, ignore_expiry, advertise } => {
            elbv2::MutualAuthenticationAttributes {
                mode: Some("verify".to_owned()),
                trust_store_arn: Some(trust_store.clone()),
                ignore_client_certificate_expiry: Some(*ignore_expiry),
                trust_store_association_status: Some(elbv2::TrustStoreAssociationStatusEnum::Active),
                advertise_trust_store_ca_names: Some(if *advertise {
                    elbv2::AdvertiseTrustStoreCaNamesEnum::On
                } else {
                    elbv2::AdvertiseTrustStoreCaNamesEnum::Off
                }),
            }
        }
    }
}

/// As the data plane has it. A trust store that is gone vouches for nobody: its listener stays closed.
pub fn configuration(view: &View, scope: &Scope, mutual_tls: &MutualTls) -> config::ClientCertificates {
    match mutual_tls {
        MutualTls::Off => config::ClientCertificates::Off,
        MutualTls::PassThrough => config::ClientCertificates::PassThrough,
        MutualTls::Verify { trust_store, ignore_expiry, advertise } => {
            let store = trust_stores::for_listener(view, scope, trust_store);
            let store = store.unwrap_or_else(|| config::TrustStore {
                arn: trust_store.clone(),
                ..config::TrustStore::default()
            });
            config::ClientCertificates::Verify(config::TrustStore {
                ignore_expiry: *ignore_expiry,
                advertise: *advertise,
                ..store
            })
        }
    }
}
