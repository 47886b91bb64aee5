//! Listeners.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    CreateLoadBalancerListenerInput, CreateLoadBalancerListenerOutput, DeleteLoadBalancerListenerInput,
    DeleteLoadBalancerListenerOutput, SetLoadBalancerListenerSSLCertificateInput,
    SetLoadBalancerListenerSSLCertificateOutput, SetLoadBalancerPoliciesOfListenerInput,
    SetLoadBalancerPoliciesOfListenerOutput, errors,
};
use std::collections::BTreeMap;

use state_store::Tx;
use vocabulary::Scope;

use super::{
    balancers::change,
    errors::{invalid_configuration, listener_not_found, policy_not_found, validation},
    policies::{APP_COOKIE, LB_COOKIE, SSL_NEGOTIATION},
    records::{Listener, LoadBalancer, Protocol},
};
use crate::{
    gateway::{ApiError, Call},
    services::acm,
};

/// Of one load balancer.
pub const MOST_LISTENERS: usize = 100;

/// The listeners of a request, by port.
///
/// # Errors
/// `ValidationError`, `UnsupportedProtocol`, `InvalidConfigurationRequest`, `CertificateNotFound`.
pub fn parse(given: Vec<elb::Listener>) -> Result<BTreeMap<u16, Listener>, ApiError> {
    let mut all = BTreeMap::new();
    for one in given {
        let port = port("LoadBalancerPort", one.load_balancer_port)?;
        let protocol = protocol(one.protocol.as_deref().unwrap_or_default())?;
        let instance_protocol = match one.instance_protocol.as_deref() {
            Some(given) => self::protocol(given)?,
            None if protocol.is_http() => Protocol::Http,
            None => Protocol::Tcp,
        };
        if protocol.is_http() != instance_protocol.is_http() {
            return Err(invalid_configuration(format!(
                "Protocol {} and instance protocol {} are not of the same layer",
                protocol.as_str(),
                instance_protocol.as_str()
            )));
        }
        let certificate = one.ssl_certificate_id.filter(|arn| !arn.is_empty());
        if protocol.is_secure() && certificate.is_none() {
            return Err(ApiError::new(
                &errors::CERTIFICATE_NOT_FOUND_EXCEPTION,
                "A certificate is needed for HTTPS and SSL listeners",
            ));
        }
        if !protocol.is_secure() && certificate.is_some() {
            return Err(invalid_configuration("Only HTTPS and SSL listeners have a certificate"));
        }
        let instance_port = self::port("InstancePort", one.instance_port)?;
        let policies = Vec::new();
        let listener = Listener { protocol, instance_protocol, instance_port, certificate, policies };
        if all.insert(port, listener).is_some() {
            return Err(duplicate("", port));
        }
    }
    Ok(all)
}

fn duplicate(name: &str, port: u16) -> ApiError {
    ApiError::new(
        &errors::DUPLICATE_LISTENER_EXCEPTION,
        format!(
            "A listener already exists for {name} with LoadBalancerPort {port}, but with a different InstancePort, Protocol, or SSLCertificateId"
        ),
    )
}

fn port(what: &str, given: Option<i32>) -> Result<u16, ApiError> {
    let port = given.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| validation(format!("{what} must be between 1 and 65535")))
}

fn protocol(text: &str) -> Result<Protocol, ApiError> {
    Protocol::parse(text).ok_or_else(|| {
        ApiError::new(
            &errors::UNSUPPORTED_PROTOCOL_EXCEPTION,
            format!("Protocol '{text}' must be one of HTTP, HTTPS, TCP, SSL"),
        )
    })
}

/// Whether all certificates are there.
///
/// # Errors
/// `CertificateNotFound`.
pub fn check_certificates(
    tx: &mut Tx,
    scope: &Scope,
    listeners: &BTreeMap<u16, Listener>,
) -> Result<(), ApiError> {
    for arn in listeners.values().filter_map(|listener| listener.certificate.as_ref()) {
        check_certificate(tx, scope, arn)?;
    }
    Ok(())
}

fn check_certificate(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<(), ApiError> {
    let found = acm::get(tx, scope, arn);
    found.map(drop).ok_or_else(|| {
        ApiError::new(
            &errors::CERTIFICATE_NOT_FOUND_EXCEPTION,
            format!("Server Certificate not found for the key: {arn}"),
        )
    })
}

pub async fn create(
    call: Call,
    input: CreateLoadBalancerListenerInput,
) -> Result<CreateLoadBalancerListenerOutput, ApiError> {
    let given = parse(input.listeners.unwrap_or_default())?;
    let name = input.load_balancer_name.unwrap_or_default();
    change(&call, &name, |tx, balancer| {
        check_certificates(tx, call.scope(), &given)?;
        for (port, listener) in &given {
            match balancer.listeners.get(port) {
                // The same again is no error.
                Some(there) if Listener { policies: Vec::new(), ..there.clone() } == *listener => {}
                Some(_) => return Err(duplicate(&name, *port)),
                None => _ = balancer.listeners.insert(*port, listener.clone()),
            }
        }
        if balancer.listeners.len() > MOST_LISTENERS {
            return Err(invalid_configuration(format!(
                "A load balancer can have {MOST_LISTENERS} listeners at most"
            )));
        }
        Ok(())
    })
    .await?;
    Ok(CreateLoadBalancerListenerOutput {})
}

pub async fn delete(
    call: Call,
    input: DeleteLoadBalancerListenerInput,
) -> Result<DeleteLoadBalancerListenerOutput, ApiError> {
    let ports = input.load_balancer_ports.unwrap_or_default();
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| {
        balancer.listeners.retain(|port, _| !ports.contains(&i32::from(*port)));
        Ok(())
    })
    .await?;
    Ok(DeleteLoadBalancerListenerOutput {})
}

/// The listener on a port of a request.
fn on(balancer: &mut LoadBalancer, port: Option<i32>) -> Result<&mut Listener, ApiError> {
    let port = port.unwrap_or_default();
    let name = balancer.name.clone();
    let found = u16::try_from(port).ok().and_then(|port| balancer.listeners.get_mut(&port));
    found.ok_or_else(|| listener_not_found(&name, port))
}

pub async fn set_certificate(
    call: Call,
    input: SetLoadBalancerListenerSSLCertificateInput,
) -> Result<SetLoadBalancerListenerSSLCertificateOutput, ApiError> {
    let arn = input.ssl_certificate_id.unwrap_or_default();
    change(&call, &input.load_balancer_name.unwrap_or_default(), |tx, balancer| {
        let listener = on(balancer, input.load_balancer_port)?;
        if !listener.protocol.is_secure() {
            return Err(invalid_configuration("Only HTTPS and SSL listeners have a certificate"));
        }
        check_certificate(tx, call.scope(), &arn)?;
        listener.certificate = Some(arn.clone());
        Ok(())
    })
    .await?;
    Ok(SetLoadBalancerListenerSSLCertificateOutput {})
}

pub async fn set_policies(
    call: Call,
    input: SetLoadBalancerPoliciesOfListenerInput,
) -> Result<SetLoadBalancerPoliciesOfListenerOutput, ApiError> {
    let names = input.policy_names.unwrap_or_default();
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| {
        let known = balancer.policies.clone();
        let listener = on(balancer, input.load_balancer_port)?;
        let mut kinds: Vec<&str> = Vec::new();
        for name in &names {
            let policy =
                known.iter().find(|policy| policy.name == *name).ok_or_else(|| policy_not_found(name))?;
            let fits = match policy.kind.as_str() {
                APP_COOKIE | LB_COOKIE => listener.protocol.is_http(),
                SSL_NEGOTIATION => listener.protocol.is_secure(),
                _ => false,
            };
            if !fits {
                return Err(invalid_configuration(format!(
                    "Policy {name} of the type {} cannot be used with a {} listener",
                    policy.kind,
                    listener.protocol.as_str()
                )));
            }
            let group = if policy.kind == SSL_NEGOTIATION { "security" } else { "stickiness" };
            if kinds.contains(&group) {
                return Err(invalid_configuration(format!(
                    "Only one {group} policy can be set for a listener"
                )));
            }
            kinds.push(group);
        }
        listener.policies.clone_from(&names);
        Ok(())
    })
    .await?;
    Ok(SetLoadBalancerPoliciesOfListenerOutput {})
}

/// As the API shows the listeners.
pub fn shapes(balancer: &LoadBalancer) -> Vec<elb::ListenerDescription> {
    let shape = |(port, listener): (&u16, &Listener)| elb::ListenerDescription {
        listener: Some(elb::Listener {
            protocol: Some(listener.protocol.as_str().to_owned()),
            load_balancer_port: Some(i32::from(*port)),
            instance_protocol: Some(listener.instance_protocol.as_str().to_owned()),
            instance_port: Some(i32::from(listener.instance_port)),
            ssl_certificate_id: listener.certificate.clone(),
        }),
        policy_names: Some(listener.policies.clone()),
    };
    balancer.listeners.iter().map(shape).collect()
}
