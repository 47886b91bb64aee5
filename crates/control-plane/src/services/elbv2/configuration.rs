//! What the node is told of all load balancers: the records, with every default filled in.

mod groups;

use std::collections::{BTreeMap, BTreeSet};

use agent_protocol::LogKind;
use routing::config::{self, Configuration};
use state_store::View;
use vocabulary::Scope;

use super::{
    access_logs,
    attributes::{self, Known, RESPONSE_HEADERS},
    mutual_tls,
    records::{
        Action, Attributes, Condition, Does, Listener, LoadBalancer, LoadBalancerKind, Node, Patterns,
        Protocol, Rule, Target, TargetGroup, Transform,
    },
};
use crate::services::{
    Services, acm,
    ec2::{records::NetworkInterface, state::OPEN_GROUP},
    ecs::ingress,
    elb,
};
use groups::{target, target_group};

/// All load balancers and target groups of all accounts, classic ones too. Its generation is the view's revision.
///
/// A certificate whose key cannot be opened is left out and logged: its listener then has nothing to show, the rest works.
pub fn configuration(services: &Services, view: &View) -> Configuration {
    let mut all =
        Configuration { generation: u64::try_from(view.revision()).unwrap_or(0), ..Configuration::default() };
    let mut in_use: BTreeMap<(Scope, String), BTreeSet<String>> = BTreeMap::new();
    for found in view.scan_all::<LoadBalancer>() {
        let zones: BTreeSet<String> = found.value.nodes.iter().map(|node| node.zone.clone()).collect();
        let listeners: Vec<_> = view
            .scan_prefix::<Listener>(&found.scope, &format!("{}/", found.id))
            .map(|(_, listener)| listener)
            .collect();
        for arn in listeners.iter().flat_map(|listener| listener.target_groups()) {
            in_use.entry((found.scope.clone(), arn)).or_default().extend(zones.clone());
        }
        let listeners = listeners.iter().map(|one| listener(services, view, &found.scope, one)).collect();
        all.load_balancers.push(load_balancer(view, &found.scope, &found.value, listeners));
    }
    let mut members: BTreeMap<(Scope, String), Vec<std::sync::Arc<Target>>> = BTreeMap::new();
    for found in view.scan_all::<Target>() {
        let group = found.id.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        members.entry((found.scope, group)).or_default().push(found.value);
    }
    for found in view.scan_all::<TargetGroup>() {
        let zones = in_use.get(&(found.scope.clone(), found.value.arn(&found.scope)));
        let own = members.remove(&(found.scope.clone(), found.id.clone())).unwrap_or_default();
        let reached =
            own.iter().filter_map(|one| target(view, &found.scope, &found.value, one, zones)).collect();
        all.target_groups.push(target_group(&found.scope, &found.value, reached));
    }
    elb::configuration::add(services, view, &mut all);
    all
}

/// The interfaces of a load balancer as the data plane has them. Those whose record is gone are left out.
pub fn interfaces<'a>(
    view: &View,
    scope: &Scope,
    nodes: impl Iterator<Item = &'a Node>,
) -> Vec<config::Interface> {
    let interface = |node: &Node| {
        let found = view.get::<NetworkInterface>(scope, &node.interface_id)?;
        let mut security_groups = found.security_groups.clone();
        if security_groups.is_empty() {
            security_groups.push(OPEN_GROUP.to_owned());
        }
        Some(config::Interface {
            id: found.id.clone(),
            subnet_id: found.subnet_id.clone(),
            vpc_id: found.vpc_id.clone(),
            zone: found.availability_zone.clone(),
            private_address: found.private_address,
            public_address: found.public.as_ref().map(|public| public.address),
            mac: found.mac_address.to_string(),
            security_groups,
        })
    };
    nodes.filter_map(interface).collect()
}

/// Names of load balancers and the addresses that they stand for, within their VPC and outside of it. For name servers.
pub fn names(view: &View) -> Vec<(String, Vec<config::Interface>)> {
    let balancers = view.scan_all::<LoadBalancer>().map(|found| {
        (found.value.dns_name.clone(), interfaces(view, &found.scope, found.value.nodes.iter()))
    });
    let of_services = ingress::endpoints(view)
        .map(|(name, scope, balancer)| (name, interfaces(view, &scope, balancer.nodes.iter())));
    balancers.chain(elb::configuration::names(view)).chain(of_services).collect()
}

fn load_balancer(
    view: &View,
    scope: &Scope,
    balancer: &LoadBalancer,
    listeners: Vec<config::Listener>,
) -> config::LoadBalancer {
    config::LoadBalancer {
        arn: balancer.arn(scope),
        name: balancer.name.clone(),
        dns_name: balancer.dns_name.clone(),
        kind: match balancer.kind {
            LoadBalancerKind::Application => config::LoadBalancerKind::Application,
            LoadBalancerKind::Network => config::LoadBalancerKind::Network,
        },
        scheme: if balancer.internal { config::Scheme::Internal } else { config::Scheme::InternetFacing },
        attributes: balancer_attributes(balancer),
        interfaces: interfaces(view, scope, balancer.nodes.iter()),
        listeners,
    }
}

/// Attributes with their defaults, read as what they are.
struct Values<'a>(Vec<Known>, &'a Attributes);

impl Values<'_> {
    fn text(&self, key: &str) -> &str {
        attributes::get(&self.0, self.1, key)
    }

    fn on(&self, key: &str) -> bool {
        self.text(key) == "true"
    }

    /// Zero for what is no number: the table lets none in.
    fn number(&self, key: &str) -> u32 {
        self.text(key).parse().unwrap_or(0)
    }
}

fn balancer_attributes(balancer: &LoadBalancer) -> config::LoadBalancerAttributes {
    let values = Values(attributes::of_load_balancer(balancer.kind), &balancer.attributes);
    let cross_zone = values.on("load_balancing.cross_zone.enabled");
    if balancer.kind == LoadBalancerKind::Network {
        let access_logs = log_place(balancer, LogKind::Access);
        return config::LoadBalancerAttributes { cross_zone, access_logs, ..Default::default() };
    }
    config::LoadBalancerAttributes {
        idle_timeout_seconds: values.number("idle_timeout.timeout_seconds"),
        client_keep_alive_seconds: values.number("client_keep_alive.seconds"),
        desync_mitigation: match values.text("routing.http.desync_mitigation_mode") {
            "monitor" => config::DesyncMitigation::Monitor,
            "strictest" => config::DesyncMitigation::Strictest,
            _ => config::DesyncMitigation::Defensive,
        },
        drop_invalid_header_fields: values.on("routing.http.drop_invalid_header_fields.enabled"),
        preserve_host_header: values.on("routing.http.preserve_host_header.enabled"),
        tls_headers: values.on("routing.http.x_amzn_tls_version_and_cipher_suite.enabled"),
        forwarded_client_port: values.on("routing.http.xff_client_port.enabled"),
        forwarded_for: match values.text("routing.http.xff_header_processing.mode") {
            "preserve" => config::ClientAddressHeader::Preserve,
            "remove" => config::ClientAddressHeader::Remove,
            _ => config::ClientAddressHeader::Append,
        },
        http2: values.on("routing.http2.enabled"),
        cross_zone,
        access_logs: log_place(balancer, LogKind::Access),
        connection_logs: log_place(balancer, LogKind::Connection),
    }
}

fn log_place(balancer: &LoadBalancer, kind: LogKind) -> Option<config::AccessLogs> {
    access_logs::place(balancer, &balancer.attributes, kind).map(|place| config::AccessLogs {
        bucket: place.bucket,
        prefix: place.prefix,
        interval_minutes: 5,
    })
}

fn listener(services: &Services, view: &View, scope: &Scope, listener: &Listener) -> config::Listener {
    let values = Values(attributes::of_listener(listener.protocol), &listener.attributes);
    let arns = listener.certificate.iter().chain(&listener.further_certificates);
    let headers = RESPONSE_HEADERS.iter().filter(|(key, _)| !values.text(key).is_empty());
    let by_default = config::ListenerAttributes::default();
    let http = listener.protocol.is_application();
    config::Listener {
        arn: listener.arn(scope),
        protocol: match listener.protocol {
            Protocol::Http => config::ListenerProtocol::Http,
            Protocol::Https => config::ListenerProtocol::Https,
            Protocol::Tcp => config::ListenerProtocol::Tcp,
            Protocol::Tls => config::ListenerProtocol::Tls,
            Protocol::Udp => config::ListenerProtocol::Udp,
            Protocol::TcpUdp => config::ListenerProtocol::TcpUdp,
        },
        port: listener.port,
        ssl_policy: listener.ssl_policy.clone(),
        alpn_policy: listener.alpn_policy.clone(),
        certificates: arns.filter_map(|arn| acm::for_listener(services, view, scope, arn)).collect(),
        client_certificates: mutual_tls::configuration(view, scope, &listener.mutual_tls),
        attributes: config::ListenerAttributes {
            server_header: if http {
                values.on("routing.http.response.server.enabled")
            } else {
                by_default.server_header
            },
            response_headers: headers
                .map(|(key, name)| config::ResponseHeader {
                    name: (*name).to_owned(),
                    value: values.text(key).to_owned(),
                })
                .collect(),
            tcp_idle_timeout_seconds: match listener.protocol {
                Protocol::Tcp => values.number("tcp.idle_timeout.seconds"),
                _ => by_default.tcp_idle_timeout_seconds,
            },
        },
        rules: listener.rules.iter().map(|(priority, one)| rule(scope, listener, *priority, one)).collect(),
        default: outcome(&listener.default_actions, &[]),
    }
}

fn rule(scope: &Scope, listener: &Listener, priority: u32, rule: &Rule) -> config::Rule {
    config::Rule {
        arn: listener.rule_arn(scope, &rule.id),
        priority,
        conditions: rule.conditions.iter().map(condition).collect(),
        outcome: outcome(&rule.actions, &rule.transforms),
    }
}

fn condition(condition: &Condition) -> config::Condition {
    let patterns = |patterns: &Patterns| match patterns {
        Patterns::Wildcard(values) => values.iter().cloned().map(config::Pattern::Wildcard).collect(),
        Patterns::Regex(values) => values.iter().cloned().map(config::Pattern::Regex).collect(),
    };
    match condition {
        Condition::Path(values) => config::Condition::Path(patterns(values)),
        Condition::Host(values) => config::Condition::Host(patterns(values)),
        Condition::Header { name, patterns: values } => {
            config::Condition::Header { name: name.clone(), values: patterns(values) }
        }
        Condition::Query(pairs) => {
            let pair = |(key, value): &(Option<String>, String)| config::QueryPattern {
                key: key.clone(),
                value: value.clone(),
            };
            config::Condition::Query(pairs.iter().map(pair).collect())
        }
        Condition::Method(values) => config::Condition::Method(values.clone()),
        // Each was parsed before it was written.
        Condition::SourceIp(values) => {
            config::Condition::Source(values.iter().filter_map(|value| value.parse().ok()).collect())
        }
    }
}

fn outcome(actions: &[Action], transforms: &[Transform]) -> config::Outcome {
    let transforms = transforms.iter().map(|transform| match transform {
        Transform::Host { regex, replace } => {
            config::Transform::Host(config::Rewrite { regex: regex.clone(), replace: replace.clone() })
        }
        Transform::Url { regex, replace } => {
            config::Transform::Url(config::Rewrite { regex: regex.clone(), replace: replace.clone() })
        }
    });
    let action = match actions.last().map(|action| &action.does) {
        Some(Does::Forward { groups, sticky_seconds }) => config::Action::Forward(config::Forward {
            target_groups: groups
                .iter()
                .map(|group| config::WeightedTargetGroup {
                    arn: group.arn.clone(),
                    weight: u32::from(group.weight.unwrap_or(1)),
                })
                .collect(),
            stickiness_seconds: *sticky_seconds,
        }),
        Some(Does::Redirect(redirect)) => config::Action::Redirect(config::Redirect {
            protocol: match redirect.protocol.as_str() {
                "HTTP" => config::RedirectProtocol::Http,
                "HTTPS" => config::RedirectProtocol::Https,
                _ => config::RedirectProtocol::AsRequested,
            },
            host: redirect.host.clone(),
            port: redirect.port.clone(),
            path: redirect.path.clone(),
            query: redirect.query.clone(),
            code: if redirect.permanent {
                config::RedirectCode::Permanent
            } else {
                config::RedirectCode::Found
            },
        }),
        Some(Does::FixedResponse { status, content_type, body }) => {
            config::Action::FixedResponse(config::FixedResponse {
                status: *status,
                content_type: content_type.clone(),
                body: body.clone().unwrap_or_default(),
            })
        }
        // An action is always there; without one, nothing can be forwarded to.
        None => {
            config::Action::Forward(config::Forward { target_groups: Vec::new(), stickiness_seconds: None })
        }
    };
    config::Outcome { transforms: transforms.collect(), action }
}
