//! Listeners.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    CreateListenerInput, CreateListenerOutput, DeleteListenerInput, DeleteListenerOutput,
    DescribeListenersInput, DescribeListenersOutput, ModifyListenerInput, ModifyListenerOutput, errors,
};
use std::{collections::BTreeMap, sync::Arc};

use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    actions, arns, balancers, certificates,
    errors::{invalid_configuration, listener_not_found, validation},
    forwarding, mutual_tls, names, page, policies,
    records::{
        Action, Attributes, Listener, LoadBalancer, LoadBalancerKind, MutualTls, Protocol, load_balancer_arn,
    },
    tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// Listeners of a load balancer.
pub const MOST_LISTENERS: usize = 50;
const ALPN_POLICIES: [&str; 5] = ["HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"];

/// The listener with this ARN, in a transaction.
///
/// # Errors
/// `ListenerNotFound`.
pub fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<Arc<Listener>, ApiError> {
    let found = arns::key(scope, arn, "listener").and_then(|key| tx.get::<Listener>(scope, key));
    found.ok_or_else(|| listener_not_found(arn))
}

/// As [`get`], to look at.
///
/// # Errors
/// `ListenerNotFound`; `ValidationError` for what is no ARN of a listener.
pub fn see(view: &View, scope: &Scope, arn: &str) -> Result<Arc<Listener>, ApiError> {
    names::check_arn(arn, "listener")?;
    let found = arns::key(scope, arn, "listener").and_then(|key| view.get::<Listener>(scope, key));
    found.ok_or_else(|| listener_not_found(arn))
}

/// What a request says about a listener, apart from where it is.
#[derive(Debug, Clone, Default)]
struct Wanted {
    protocol: Option<elbv2::ProtocolEnum>,
    port: Option<i32>,
    ssl_policy: Option<String>,
    alpn_policy: Option<Vec<String>>,
    certificates: Option<Vec<elbv2::Certificate>>,
    mutual_tls: Option<elbv2::MutualAuthenticationAttributes>,
    actions: Option<Vec<Action>>,
}

pub async fn create(call: Call, input: CreateListenerInput) -> Result<CreateListenerOutput, ApiError> {
    let scope = call.scope();
    let arn = input.load_balancer_arn.unwrap_or_default();
    names::check_arn(&arn, "loadbalancer")?;
    let tags = tags::given(input.tags)?;
    let wanted = Wanted {
        protocol: input.protocol,
        port: input.port,
        ssl_policy: input.ssl_policy,
        alpn_policy: input.alpn_policy,
        certificates: input.certificates,
        mutual_tls: input.mutual_authentication,
        actions: Some(actions::parse(input.default_actions.unwrap_or_default())?),
    };
    if wanted.protocol.is_none() {
        return Err(validation("A listener protocol must be specified"));
    }
    if wanted.port.is_none() {
        return Err(validation("A listener port must be specified"));
    }
    let made = call
        .services
        .state
        .transact(|tx| {
            let balancer = balancers::get(tx, scope, &arn)?;
            let mut ids = call.services.ids();
            let blank = Listener {
                load_balancer: balancer.key(),
                id: ids.hex(16),
                protocol: Protocol::Http,
                port: 0,
                ssl_policy: None,
                alpn_policy: None,
                certificate: None,
                further_certificates: Vec::new(),
                mutual_tls: MutualTls::Off,
                default_rule_id: ids.hex(16),
                default_rule_tags: Tags::new(),
                default_actions: Vec::new(),
                rules: BTreeMap::new(),
                attributes: Attributes::new(),
                tags: tags.clone(),
            };
            let others = tx.scan_prefix::<Listener>(scope, &format!("{}/", balancer.key()));
            if others.len() >= MOST_LISTENERS {
                return Err(ApiError::new(
                    &errors::TOO_MANY_LISTENERS_EXCEPTION,
                    format!("The maximum number of listeners '{MOST_LISTENERS}' on load balancer '{arn}' has been reached"),
                ));
            }
            let made = with(tx, scope, &balancer, blank, wanted.clone())?;
            tx.put(scope, &made.key(), made.clone());
            Ok(made)
        })
        .await?;
    Ok(CreateListenerOutput { listeners: Some(vec![shape(scope, &made)]) })
}

pub async fn modify(call: Call, input: ModifyListenerInput) -> Result<ModifyListenerOutput, ApiError> {
    let scope = call.scope();
    let arn = input.listener_arn.unwrap_or_default();
    names::check_arn(&arn, "listener")?;
    let wanted = Wanted {
        protocol: input.protocol,
        port: input.port,
        ssl_policy: input.ssl_policy,
        alpn_policy: input.alpn_policy,
        certificates: input.certificates,
        mutual_tls: input.mutual_authentication,
        actions: input.default_actions.map(actions::parse).transpose()?,
    };
    let changed = call
        .services
        .state
        .transact(|tx| {
            let before = get(tx, scope, &arn)?;
            let balancer = tx
                .get::<LoadBalancer>(scope, &before.load_balancer)
                .ok_or_else(|| listener_not_found(&arn))?;
            let changed = with(tx, scope, &balancer, (*before).clone(), wanted.clone())?;
            tx.put(scope, &changed.key(), changed.clone());
            Ok::<_, ApiError>(changed)
        })
        .await?;
    Ok(ModifyListenerOutput { listeners: Some(vec![shape(scope, &changed)]) })
}

/// The listener with what is wanted of it, checked as a whole.
fn with(
    tx: &mut Tx,
    scope: &Scope,
    balancer: &LoadBalancer,
    mut listener: Listener,
    wanted: Wanted,
) -> Result<Listener, ApiError> {
    if let Some(protocol) = wanted.protocol {
        listener.protocol = protocol_of(balancer.kind, protocol)?;
    }
    if let Some(port) = wanted.port {
        listener.port =
            u16::try_from(port).map_err(|_| validation("The port must be between 1 and 65535"))?;
    }
    let others = tx.scan_prefix::<Listener>(scope, &format!("{}/", balancer.key()));
    if others.iter().any(|(_, other)| other.port == listener.port && other.id != listener.id) {
        return Err(ApiError::new(
            &errors::DUPLICATE_LISTENER_EXCEPTION,
            format!(
                "A listener already exists on this port for this load balancer '{}'",
                balancer.arn(scope)
            ),
        ));
    }
    secure(tx, scope, &mut listener, wanted.ssl_policy, wanted.certificates)?;
    mutual_tls::set(tx, scope, &mut listener, wanted.mutual_tls)?;
    alpn(&mut listener, wanted.alpn_policy)?;
    if let Some(actions) = wanted.actions {
        listener.default_actions = actions;
    }
    forwarding::check(tx, scope, balancer, &listener)?;
    Ok(listener)
}

fn protocol_of(kind: LoadBalancerKind, given: elbv2::ProtocolEnum) -> Result<Protocol, ApiError> {
    let fits = Protocol::parse(given.as_str()).filter(|protocol| protocol.kind() == kind);
    fits.ok_or_else(|| {
        let possible = match kind {
            LoadBalancerKind::Application => "HTTP, HTTPS",
            LoadBalancerKind::Network => "UDP, TCP, TLS, TCP_UDP",
        };
        validation(format!("Listener protocol '{given}' must be one of '{possible}'"))
    })
}

/// Certificates and policy: of listeners that end TLS, and only of those.
fn secure(
    tx: &mut Tx,
    scope: &Scope,
    listener: &mut Listener,
    policy: Option<String>,
    certificates: Option<Vec<elbv2::Certificate>>,
) -> Result<(), ApiError> {
    let protocol = listener.protocol.as_str();
    let there = !listener.default_actions.is_empty();
    let given = certificates.unwrap_or_default();
    if !listener.protocol.is_secure() {
        if !given.is_empty() {
            return Err(validation(format!("A certificate cannot be specified for {protocol} listeners")));
        }
        if policy.is_some() {
            return Err(validation(format!("An SSL policy cannot be specified for {protocol} listeners")));
        }
        listener.ssl_policy = None;
        listener.certificate = None;
        listener.further_certificates = Vec::new();
        return Ok(());
    }
    if given.len() > 1 {
        return Err(ApiError::new(
            &errors::TOO_MANY_CERTIFICATES_EXCEPTION,
            "Only one certificate can be specified; further ones are added with AddListenerCertificates",
        ));
    }
    if let Some(certificate) = given.into_iter().next() {
        let arn = certificate.certificate_arn.unwrap_or_default();
        certificates::check(tx, scope, &arn)?;
        listener.further_certificates.retain(|other| *other != arn);
        listener.certificate = Some(arn);
    }
    if listener.certificate.is_none() {
        return Err(if there {
            invalid_configuration(format!(
                "You must provide a list containing exactly one certificate if the listener protocol is {protocol}."
            ))
        } else {
            validation(format!("A certificate must be specified for {protocol} listeners"))
        });
    }
    if let Some(policy) = policy {
        policies::check(&policy)?;
        listener.ssl_policy = Some(policy);
    } else if listener.ssl_policy.is_none() {
        listener.ssl_policy = Some(policies::DEFAULT.to_owned());
    }
    Ok(())
}

fn alpn(listener: &mut Listener, given: Option<Vec<String>>) -> Result<(), ApiError> {
    if listener.protocol != Protocol::Tls {
        if given.is_some_and(|given| !given.is_empty()) {
            return Err(validation(format!(
                "An ALPN policy cannot be specified for {} listeners",
                listener.protocol.as_str()
            )));
        }
        listener.alpn_policy = None;
        return Ok(());
    }
    match given.as_deref() {
        None => Ok(()),
        Some([policy]) if ALPN_POLICIES.contains(&policy.as_str()) => {
            listener.alpn_policy = Some(policy.clone()).filter(|policy| policy != "None");
            Ok(())
        }
        Some(_) => Err(ApiError::new(
            &errors::ALPN_POLICY_NOT_SUPPORTED_EXCEPTION,
            format!("The ALPN policy must be one of '{}'", ALPN_POLICIES.join("', '")),
        )),
    }
}

pub async fn describe(
    call: Call,
    input: DescribeListenersInput,
) -> Result<DescribeListenersOutput, ApiError> {
    let scope = call.scope();
    let arns = input.listener_arns.unwrap_or_default();
    let view = call.services.state.view();
    let all: Vec<Arc<Listener>> = match &input.load_balancer_arn {
        Some(_) if !arns.is_empty() => {
            return Err(validation(
                "Listener ARNs and a load balancer ARN cannot be specified at the same time",
            ));
        }
        None if arns.is_empty() => {
            return Err(validation("You must specify either listener ARNs or a load balancer ARN"));
        }
        Some(arn) => {
            let balancer = balancers::see(&view, scope, arn)?;
            view.scan_prefix::<Listener>(scope, &format!("{}/", balancer.key())).map(|(_, one)| one).collect()
        }
        None => {
            let mut found = arns.iter().map(|arn| see(&view, scope, arn)).collect::<Result<Vec<_>, _>>()?;
            found.sort_by_key(|one| one.key());
            found.dedup_by_key(|one| one.key());
            found
        }
    };
    let page = page(&call, "listeners", all, |one| one.key(), input.marker, input.page_size)?;
    Ok(DescribeListenersOutput {
        listeners: Some(page.items.iter().map(|one| shape(scope, one)).collect()),
        next_marker: page.next_token,
    })
}

pub async fn delete(call: Call, input: DeleteListenerInput) -> Result<DeleteListenerOutput, ApiError> {
    let scope = call.scope();
    let arn = input.listener_arn.unwrap_or_default();
    names::check_arn(&arn, "listener")?;
    call.services
        .state
        .transact(|tx| {
            let listener = get(tx, scope, &arn)?;
            tx.delete::<Listener>(scope, &listener.key());
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(DeleteListenerOutput {})
}

/// As the API shows a listener.
pub fn shape(scope: &Scope, listener: &Listener) -> elbv2::Listener {
    let certificate = listener
        .certificate
        .as_ref()
        .map(|arn| elbv2::Certificate { certificate_arn: Some(arn.clone()), is_default: None });
    let https = listener.protocol == Protocol::Https;
    elbv2::Listener {
        listener_arn: Some(listener.arn(scope)),
        load_balancer_arn: Some(load_balancer_arn(scope, &listener.load_balancer)),
        port: Some(i32::from(listener.port)),
        protocol: elbv2::ProtocolEnum::parse(listener.protocol.as_str()),
        certificates: certificate.map(|certificate| vec![certificate]),
        ssl_policy: listener.ssl_policy.clone(),
        default_actions: Some(actions::shapes(&listener.default_actions)),
        alpn_policy: (listener.protocol == Protocol::Tls)
            .then(|| vec![listener.alpn_policy.clone().unwrap_or_else(|| "None".to_owned())]),
        mutual_authentication: https.then(|| mutual_tls::shape(&listener.mutual_tls)),
    }
}
