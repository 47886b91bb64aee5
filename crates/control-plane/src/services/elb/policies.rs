//! Policies of classic load balancers: what they mean.

use routing::config::Stickiness;

use super::records::{Listener, LoadBalancer, Policy};

pub const APP_COOKIE: &str = "AppCookieStickinessPolicyType";
pub const LB_COOKIE: &str = "LBCookieStickinessPolicyType";
pub const SSL_NEGOTIATION: &str = "SSLNegotiationPolicyType";
pub const PROXY_PROTOCOL: &str = "ProxyProtocolPolicyType";
/// The policy of listeners that have none.
pub const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";
/// The data plane wants a duration beside an application's cookie: as long as the browser keeps that one, a week at most.
const APP_COOKIE_SECONDS: u32 = 604_800;

fn of_listener<'a>(balancer: &'a LoadBalancer, listener: &'a Listener) -> impl Iterator<Item = &'a Policy> {
    balancer.policies.iter().filter(|policy| listener.policies.contains(&policy.name))
}

/// How clients stay with an instance.
pub fn stickiness(balancer: &LoadBalancer, listener: &Listener) -> Stickiness {
    let policy = of_listener(balancer, listener)
        .find(|policy| [APP_COOKIE, LB_COOKIE].contains(&policy.kind.as_str()));
    match policy {
        Some(policy) if policy.kind == APP_COOKIE => Stickiness::ApplicationCookie {
            name: policy.attribute("CookieName").unwrap_or_default().to_owned(),
            seconds: APP_COOKIE_SECONDS,
        },
        Some(policy) => Stickiness::LoadBalancerCookie {
            seconds: policy
                .attribute("CookieExpirationPeriod")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
        },
        None => Stickiness::Off,
    }
}

/// Which versions and ciphers a listener speaks.
pub fn ssl_policy(balancer: &LoadBalancer, listener: &Listener) -> String {
    let policy = of_listener(balancer, listener).find(|policy| policy.kind == SSL_NEGOTIATION);
    let named = policy.and_then(|policy| policy.attribute("Reference-Security-Policy"));
    named.unwrap_or(DEFAULT_SSL_POLICY).to_owned()
}

/// Whether instances are told on this port whom they serve.
pub fn proxy_protocol(balancer: &LoadBalancer, instance_port: u16) -> bool {
    let names = balancer.backend_policies.get(&instance_port);
    balancer.policies.iter().any(|policy| {
        policy.kind == PROXY_PROTOCOL
            && policy.attribute("ProxyProtocol") == Some("true")
            && names.is_some_and(|names| names.contains(&policy.name))
    })
}
