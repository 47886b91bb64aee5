//! Which operation of which service a request means, and in which protocol it speaks.
//!
//! In this order, the most explicit first: rpcV2Cbor's header and path; `X-Amz-Target`; a form with `Action`;
//! the REST patterns. The credential scope narrows the services where the request itself does not name one;
//! it is not verified here. Services that share a scope (the two generations of load balancers) differ in
//! `Version`; unsigned requests (AssumeRoleWithWebIdentity) are told by `Version` and `Action` alone.

use aws_schema::{Location, OperationTable, Protocol, ServiceTable};

use crate::error::ErrorBody;
use crate::{RequestHead, form, uri};

/// A request whose operation is known.
#[derive(Debug, Clone)]
pub struct Routed {
    /// Its service.
    pub service: &'static ServiceTable,
    /// Its operation.
    pub operation: &'static OperationTable,
    /// Its protocol, in which the answer must be.
    pub protocol: Protocol,
    /// Labels of the REST pattern, decoded.
    pub labels: Vec<(&'static str, String)>,
}

/// Why no operation was found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RouteError {
    /// The request names a service that is not in the list, or none at all.
    #[error("The service {} is not known", name.as_deref().unwrap_or("of this request"))]
    UnknownService {
        /// Best guess at what the client understands.
        protocol: Protocol,
        /// Target prefix, signing name or path part, as far as the request has one.
        name: Option<String>,
    },
    /// The service has no such operation, as far as its published model goes.
    #[error("The action {} is not valid for this web service", name.as_deref().unwrap_or("(none)"))]
    UnknownOperation {
        /// Protocol of the request.
        protocol: Protocol,
        /// Its service.
        service: &'static ServiceTable,
        /// What the request asked for; absent in REST and where `Action` is missing.
        name: Option<String>,
    },
    /// The published model has the operation, but its shapes are not imported.
    #[error("Longshore does not implement {name} of {} yet", service.service_id)]
    NotImported {
        /// Protocol of the request.
        protocol: Protocol,
        /// Its service.
        service: &'static ServiceTable,
        /// Its operation.
        name: String,
    },
    /// The head or the form cannot be read.
    #[error("{message}")]
    Malformed {
        /// Best guess at what the client understands.
        protocol: Protocol,
        /// What is wrong.
        message: String,
    },
}

impl RouteError {
    /// Protocol in which to answer.
    pub fn protocol(&self) -> Protocol {
        match self {
            RouteError::UnknownService { protocol, .. }
            | RouteError::UnknownOperation { protocol, .. }
            | RouteError::NotImported { protocol, .. }
            | RouteError::Malformed { protocol, .. } => *protocol,
        }
    }

    /// The service, where it is known.
    pub fn service(&self) -> Option<&'static ServiceTable> {
        match self {
            RouteError::UnknownOperation { service, .. } | RouteError::NotImported { service, .. } => {
                Some(service)
            }
            RouteError::UnknownService { .. } | RouteError::Malformed { .. } => None,
        }
    }

    /// The error as the client gets it: 501 for an operation that is not imported, else AWS's code.
    pub fn body(&self) -> ErrorBody {
        let message = self.to_string();
        match (self, self.protocol()) {
            (RouteError::NotImported { .. }, _) => ErrorBody::new("NotImplemented", 501, message),
            (RouteError::Malformed { .. }, Protocol::Query | Protocol::Ec2Query) => {
                ErrorBody::new("MalformedQueryString", 404, message)
            }
            (RouteError::Malformed { .. }, _) => ErrorBody::new("SerializationException", 400, message),
            (RouteError::UnknownOperation { name: None, .. }, Protocol::Query | Protocol::Ec2Query) => {
                ErrorBody::new("MissingAction", 400, message)
            }
            (_, Protocol::Query | Protocol::Ec2Query) => ErrorBody::new("InvalidAction", 400, message),
            (_, Protocol::AwsJson10 | Protocol::AwsJson11) => {
                ErrorBody::new("UnknownOperationException", 400, message)
            }
            (_, Protocol::RestJson | Protocol::RestXml | Protocol::RpcV2Cbor) => {
                ErrorBody::new("UnknownOperationException", 404, message)
            }
        }
    }
}

/// Finds the operation that a request means among `services`.
///
/// `body` is looked at for forms alone: it may be empty for other requests.
///
/// # Errors
/// See [`RouteError`].
pub fn route(
    services: &[&'static ServiceTable],
    head: &RequestHead<'_>,
    body: &[u8],
) -> Result<Routed, RouteError> {
    if head.header("smithy-protocol") == Some("rpc-v2-cbor") {
        return route_cbor(services, head);
    }
    if let Some(target) = head.header("x-amz-target") {
        return route_target(services, head, target);
    }
    if is_form(head) || query_action(head) {
        return route_form(services, head, body);
    }
    route_rest(services, head)
}

fn route_cbor(services: &[&'static ServiceTable], head: &RequestHead<'_>) -> Result<Routed, RouteError> {
    let protocol = Protocol::RpcV2Cbor;
    let mut parts = head.path.rsplit('/');
    let named = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(operation), Some("operation"), Some(service), Some("service")) => Some((service, operation)),
        _ => None,
    };
    let (service, operation) = named.ok_or(RouteError::UnknownService { protocol, name: None })?;
    let service = by_target(services, service)
        .filter(|service| service.protocols.contains(&protocol))
        .ok_or_else(|| RouteError::UnknownService { protocol, name: Some(service.to_owned()) })?;
    named_operation(service, operation, protocol)
}

fn route_target(
    services: &[&'static ServiceTable],
    head: &RequestHead<'_>,
    target: &str,
) -> Result<Routed, RouteError> {
    let by_content = match head.header("content-type") {
        Some(content) if content.contains("json-1.0") => Protocol::AwsJson10,
        _ => Protocol::AwsJson11,
    };
    let (prefix, operation) = target.rsplit_once('.').unwrap_or((target, ""));
    let service = by_target(services, prefix)
        .ok_or_else(|| RouteError::UnknownService { protocol: by_content, name: Some(prefix.to_owned()) })?;
    let protocol = match head.header("content-type") {
        Some(content) if content.contains("x-amz-json-1.") => by_content,
        // Without the content type, the version that the service prefers.
        _ => {
            let spoken = service.protocols.iter().copied();
            let mut json =
                spoken.filter(|protocol| matches!(protocol, Protocol::AwsJson10 | Protocol::AwsJson11));
            json.next().unwrap_or(by_content)
        }
    };
    named_operation(service, operation, protocol)
}

fn by_target(services: &[&'static ServiceTable], prefix: &str) -> Option<&'static ServiceTable> {
    services.iter().copied().find(|service| service.target_prefix == Some(prefix))
}

fn named_operation(
    service: &'static ServiceTable,
    name: &str,
    protocol: Protocol,
) -> Result<Routed, RouteError> {
    if let Some(operation) = service.operation(name) {
        return Ok(Routed { service, operation, protocol, labels: Vec::new() });
    }
    if service.knows_operation(name) {
        return Err(RouteError::NotImported { protocol, service, name: name.to_owned() });
    }
    let name = (!name.is_empty()).then(|| name.to_owned());
    Err(RouteError::UnknownOperation { protocol, service, name })
}

fn is_form(head: &RequestHead<'_>) -> bool {
    let content = head.header("content-type").unwrap_or("");
    content.get(..33).is_some_and(|start| start.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn query_action(head: &RequestHead<'_>) -> bool {
    form::pairs(head.query).any(|(name, _)| name == "Action")
}

fn query_protocol(service: &ServiceTable) -> Option<Protocol> {
    service
        .protocols
        .iter()
        .copied()
        .find(|protocol| matches!(protocol, Protocol::Query | Protocol::Ec2Query))
}

fn route_form(
    services: &[&'static ServiceTable],
    head: &RequestHead<'_>,
    body: &[u8],
) -> Result<Routed, RouteError> {
    let parameters = form::parameters(head, body)
        .map_err(|error| RouteError::Malformed { protocol: Protocol::Query, message: error.0 })?;
    let find =
        |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let (action, version) = (find("Action"), find("Version"));

    let scope = head.signing_name();
    let in_scope =
        |service: &&&ServiceTable| scope.as_deref().is_none_or(|scope| scope == service.signing_name);
    let spoken: Vec<&'static ServiceTable> = services
        .iter()
        .filter(|service| query_protocol(service).is_some())
        .filter(in_scope)
        .copied()
        .collect();
    // EC2 still takes the versions of the last decade, so a version only decides between several.
    let versioned: Vec<_> =
        spoken.iter().copied().filter(|service| Some(service.api_version) == version).collect();
    let candidates =
        if versioned.is_empty() && (scope.is_some() || version.is_none()) { spoken } else { versioned };

    let name = action.unwrap_or("");
    let service = candidates
        .iter()
        .find(|service| service.operation(name).is_some())
        .or_else(|| candidates.iter().find(|service| service.knows_operation(name)))
        .or(candidates.first())
        .copied()
        .ok_or(RouteError::UnknownService { protocol: Protocol::Query, name: scope })?;
    named_operation(service, name, query_protocol(service).unwrap_or(Protocol::Query))
}

fn rest_protocol(service: &ServiceTable) -> Option<Protocol> {
    service
        .protocols
        .iter()
        .copied()
        .find(|protocol| matches!(protocol, Protocol::RestJson | Protocol::RestXml))
}

fn route_rest(services: &[&'static ServiceTable], head: &RequestHead<'_>) -> Result<Routed, RouteError> {
    let scope = head.signing_name();
    let spoken = services.iter().copied().filter(|service| rest_protocol(service).is_some());
    let candidates: Vec<&'static ServiceTable> = match &scope {
        Some(scope) => spoken.filter(|service| service.signing_name == scope).collect(),
        None => {
            // Unsigned: the host's name may say the service; if it does not, the patterns have to.
            let host = head.host();
            let all: Vec<_> = spoken.collect();
            let named: Vec<_> = all.iter().copied().filter(|service| host_names(&host, service)).collect();
            if named.is_empty() { all } else { named }
        }
    };
    match (best_rest(&candidates, head), candidates.first()) {
        (Some(found), _) => found,
        (None, Some(service)) if scope.is_some() => {
            let protocol = rest_protocol(service).unwrap_or(Protocol::RestJson);
            Err(RouteError::UnknownOperation { protocol, service, name: None })
        }
        (None, _) => Err(RouteError::UnknownService { protocol: guess(head), name: scope }),
    }
}

/// Finds the operation of a REST service that is known already, by method, path, query and headers alone. `head.path` may differ from
/// the path as received, where a part of it stood in the host's name.
///
/// # Errors
/// [`RouteError::UnknownOperation`] and [`RouteError::NotImported`].
pub fn route_within(service: &'static ServiceTable, head: &RequestHead<'_>) -> Result<Routed, RouteError> {
    best_rest(&[service], head).unwrap_or_else(|| {
        let protocol = rest_protocol(service).unwrap_or(Protocol::RestJson);
        Err(RouteError::UnknownOperation { protocol, service, name: None })
    })
}

/// The operation whose binding fits best, imported or not.
fn best_rest(
    candidates: &[&'static ServiceTable],
    head: &RequestHead<'_>,
) -> Option<Result<Routed, RouteError>> {
    let query: Vec<_> = form::pairs(head.query).take(crate::limits::MAX_FORM_PARAMETERS).collect();
    let fits = candidates
        .iter()
        .flat_map(|service| service.operations.iter().map(move |operation| (*service, *operation)));
    let best = fits
        .filter(|(_, operation)| operation.http.method == head.method.as_str())
        .filter_map(|(service, operation)| {
            let (fit, labels) = uri::fit(operation.http.uri, head.path, &query)?;
            Some(((fit, fit_required(operation, head, &query)), service, operation, labels))
        })
        // Ties go to the first in the list, then by name: keep the earlier one.
        .reduce(|best, other| if other.0 > best.0 { other } else { best });
    let elsewhere = candidates
        .iter()
        .flat_map(|service| service.routes.iter().map(move |binding| (*service, binding)))
        .filter(|(_, binding)| binding.http.method == head.method.as_str())
        .filter_map(|(service, binding)| {
            Some((uri::fit(binding.http.uri, head.path, &query)?.0, service, binding))
        })
        .reduce(|best, other| if other.0 > best.0 { other } else { best });
    if let Some((fit, service, binding)) = elsewhere
        && best.as_ref().is_none_or(|((best, _), ..)| fit > *best)
    {
        let protocol = rest_protocol(service).unwrap_or(Protocol::RestJson);
        return Some(Err(RouteError::NotImported { protocol, service, name: binding.name.to_owned() }));
    }
    best.map(|(_, service, operation, labels)| {
        let protocol = rest_protocol(service).unwrap_or(Protocol::RestJson);
        Ok(Routed { service, operation, protocol, labels })
    })
}

/// Breaks ties: an operation whose required headers and parameters are all there (`x-amz-copy-source`: CopyObject; `uploadId`:
/// ListParts) before one that requires fewer (PutObject, GetObject), and that before one which misses some.
fn fit_required(
    operation: &OperationTable,
    head: &RequestHead<'_>,
    query: &[(String, String)],
) -> (bool, usize) {
    let given = |member: &&aws_schema::MemberTable| match member.location {
        Location::Header => head.headers.contains_key(member.wire),
        _ => query.iter().any(|(name, _)| name == member.wire),
    };
    let bound = |member: &&aws_schema::MemberTable| {
        member.required && matches!(member.location, Location::Header | Location::Query)
    };
    let required = operation.input.members.iter().filter(bound);
    let found = required.clone().filter(given).count();
    (found == required.count(), found)
}

fn host_names(host: &str, service: &ServiceTable) -> bool {
    host.strip_prefix(service.endpoint_prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// A protocol that a client which names no service may understand.
fn guess(head: &RequestHead<'_>) -> Protocol {
    match head.header("content-type") {
        Some(content) if content.contains("x-amz-json-1.0") => Protocol::AwsJson10,
        Some(content) if content.contains("x-amz-json") => Protocol::AwsJson11,
        Some(content) if content.contains("xml") => Protocol::RestXml,
        _ => Protocol::RestJson,
    }
}
