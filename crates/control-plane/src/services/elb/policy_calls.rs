//! The API of policies.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    CreateAppCookieStickinessPolicyInput, CreateAppCookieStickinessPolicyOutput,
    CreateLBCookieStickinessPolicyInput, CreateLBCookieStickinessPolicyOutput, CreateLoadBalancerPolicyInput,
    CreateLoadBalancerPolicyOutput, DeleteLoadBalancerPolicyInput, DeleteLoadBalancerPolicyOutput,
    DescribeLoadBalancerPoliciesInput, DescribeLoadBalancerPoliciesOutput,
    DescribeLoadBalancerPolicyTypesInput, DescribeLoadBalancerPolicyTypesOutput,
    SetLoadBalancerPoliciesForBackendServerInput, SetLoadBalancerPoliciesForBackendServerOutput, errors,
};

use super::{
    balancers::{change, see},
    errors::{invalid_configuration, policy_not_found},
    policies::{APP_COOKIE, LB_COOKIE, PROXY_PROTOCOL, SSL_NEGOTIATION},
    records::{LoadBalancer, Policy},
};
use crate::{
    gateway::{ApiError, Call},
    services::elbv2::policies as ssl,
};

/// Of one load balancer.
const MOST_POLICIES: usize = 100;
const REFERENCE: &str = "Reference-Security-Policy";

/// The kinds of policies: name, what it is for, its attribute, and that one's type and cardinality.
const KINDS: [(&str, &str, &str, &str, &str); 4] = [
    (APP_COOKIE, "Stickiness that follows a cookie of the application", "CookieName", "String", "ONE"),
    (
        LB_COOKIE,
        "Stickiness by a cookie of the load balancer",
        "CookieExpirationPeriod",
        "Long",
        "ZERO_OR_ONE",
    ),
    (SSL_NEGOTIATION, "Versions and ciphers of HTTPS and SSL listeners", REFERENCE, "String", "ONE"),
    (
        PROXY_PROTOCOL,
        "Tells instances the client's address by the proxy protocol",
        "ProxyProtocol",
        "Boolean",
        "ONE",
    ),
];

fn add(balancer: &mut LoadBalancer, policy: Policy) -> Result<(), ApiError> {
    if balancer.policies.iter().any(|there| there.name == policy.name) {
        return Err(ApiError::new(
            &errors::DUPLICATE_POLICY_NAME_EXCEPTION,
            format!("Policy name '{}' already exists", policy.name),
        ));
    }
    if balancer.policies.len() >= MOST_POLICIES {
        return Err(ApiError::new(
            &errors::TOO_MANY_POLICIES_EXCEPTION,
            format!("A load balancer can have {MOST_POLICIES} policies at most"),
        ));
    }
    balancer.policies.push(policy);
    Ok(())
}

pub async fn create_app_cookie(
    call: Call,
    input: CreateAppCookieStickinessPolicyInput,
) -> Result<CreateAppCookieStickinessPolicyOutput, ApiError> {
    let attributes = vec![("CookieName".to_owned(), input.cookie_name.unwrap_or_default())];
    let name = input.policy_name.unwrap_or_default();
    let policy = checked(name, APP_COOKIE.to_owned(), attributes)?;
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| add(balancer, policy.clone()))
        .await?;
    Ok(CreateAppCookieStickinessPolicyOutput {})
}

pub async fn create_lb_cookie(
    call: Call,
    input: CreateLBCookieStickinessPolicyInput,
) -> Result<CreateLBCookieStickinessPolicyOutput, ApiError> {
    let period = input.cookie_expiration_period;
    let attributes = period.map(|period| ("CookieExpirationPeriod".to_owned(), period.to_string()));
    let name = input.policy_name.unwrap_or_default();
    let policy = checked(name, LB_COOKIE.to_owned(), attributes.into_iter().collect())?;
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| add(balancer, policy.clone()))
        .await?;
    Ok(CreateLBCookieStickinessPolicyOutput {})
}

pub async fn create(
    call: Call,
    input: CreateLoadBalancerPolicyInput,
) -> Result<CreateLoadBalancerPolicyOutput, ApiError> {
    let given = input.policy_attributes.unwrap_or_default().into_iter();
    let attributes =
        given.map(|one| (one.attribute_name.unwrap_or_default(), one.attribute_value.unwrap_or_default()));
    let (name, kind) = (input.policy_name.unwrap_or_default(), input.policy_type_name.unwrap_or_default());
    let policy = checked(name, kind, attributes.collect())?;
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| add(balancer, policy.clone()))
        .await?;
    Ok(CreateLoadBalancerPolicyOutput {})
}

/// A policy of a kind that there is, with attributes that something acts on.
fn checked(name: String, kind: String, attributes: Vec<(String, String)>) -> Result<Policy, ApiError> {
    let Some((_, _, attribute, _, cardinality)) = KINDS.iter().find(|(known, ..)| *known == kind) else {
        return Err(ApiError::new(
            &errors::POLICY_TYPE_NOT_FOUND_EXCEPTION,
            format!("Policy type {kind} does not exist"),
        ));
    };
    if let Some((other, _)) = attributes.iter().find(|(given, _)| given != attribute) {
        return Err(invalid_configuration(format!(
            "Longshore does not support the attribute {other} of policies of the type {kind}"
        )));
    }
    let policy = Policy { name, kind, attributes };
    let value = policy.attribute(attribute);
    if policy.attributes.len() > 1 || (value.is_none() && *cardinality == "ONE") {
        return Err(invalid_configuration(format!(
            "A policy of the type {} has one {attribute}",
            policy.kind
        )));
    }
    let valid = match (policy.kind.as_str(), value) {
        (_, None) => true,
        (APP_COOKIE, Some(cookie)) => !cookie.is_empty() && !cookie.starts_with("AWSELB"),
        (LB_COOKIE, Some(period)) => period.parse::<u32>().is_ok_and(|period| period > 0),
        (SSL_NEGOTIATION, Some(reference)) => ssl::check(reference).is_ok(),
        (_, Some(value)) => matches!(value, "true" | "false"),
    };
    if !valid {
        return Err(invalid_configuration(format!(
            "{attribute} {} is not valid for a policy of the type {}",
            value.unwrap_or_default(),
            policy.kind
        )));
    }
    Ok(policy)
}

pub async fn delete(
    call: Call,
    input: DeleteLoadBalancerPolicyInput,
) -> Result<DeleteLoadBalancerPolicyOutput, ApiError> {
    let name = input.policy_name.unwrap_or_default();
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| {
        let by_listener = balancer.listeners.values().any(|listener| listener.policies.contains(&name));
        let by_backend = balancer.backend_policies.values().any(|names| names.contains(&name));
        if by_listener || by_backend {
            return Err(invalid_configuration(format!("Policy {name} is in use")));
        }
        balancer.policies.retain(|policy| policy.name != name);
        Ok(())
    })
    .await?;
    Ok(DeleteLoadBalancerPolicyOutput {})
}

pub async fn set_for_backend(
    call: Call,
    input: SetLoadBalancerPoliciesForBackendServerInput,
) -> Result<SetLoadBalancerPoliciesForBackendServerOutput, ApiError> {
    let names = input.policy_names.unwrap_or_default();
    let port = u16::try_from(input.instance_port.unwrap_or_default()).unwrap_or(0);
    change(&call, &input.load_balancer_name.unwrap_or_default(), |_, balancer| {
        if !balancer.listeners.values().any(|listener| listener.instance_port == port) {
            return Err(invalid_configuration(format!("No listener has the instance port {port}")));
        }
        for name in &names {
            let policy = balancer.policies.iter().find(|policy| policy.name == *name);
            let policy = policy.ok_or_else(|| policy_not_found(name))?;
            if policy.kind != PROXY_PROTOCOL {
                return Err(invalid_configuration(format!(
                    "Policy {name} of the type {} cannot be used with instances",
                    policy.kind
                )));
            }
        }
        balancer.backend_policies.insert(port, names.clone());
        Ok(())
    })
    .await?;
    Ok(SetLoadBalancerPoliciesForBackendServerOutput {})
}

fn shape(policy: &Policy) -> elb::PolicyDescription {
    let attributes = policy.attributes.iter().map(|(name, value)| elb::PolicyAttributeDescription {
        attribute_name: Some(name.clone()),
        attribute_value: Some(value.clone()),
    });
    elb::PolicyDescription {
        policy_name: Some(policy.name.clone()),
        policy_type_name: Some(policy.kind.clone()),
        policy_attribute_descriptions: Some(attributes.collect()),
    }
}

pub async fn describe(
    call: Call,
    input: DescribeLoadBalancerPoliciesInput,
) -> Result<DescribeLoadBalancerPoliciesOutput, ApiError> {
    let names = input.policy_names.unwrap_or_default();
    let all: Vec<Policy> = match &input.load_balancer_name {
        Some(name) => call.services.state.read(|view| see(view, call.scope(), name))?.policies.clone(),
        // Those that every load balancer can refer to.
        None => {
            let predefined = ssl::names().map(|name| Policy {
                name: name.to_owned(),
                kind: SSL_NEGOTIATION.to_owned(),
                attributes: vec![(REFERENCE.to_owned(), name.to_owned())],
            });
            predefined.collect()
        }
    };
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|policy| policy.name == **name)) {
        return Err(policy_not_found(unknown));
    }
    let chosen = all.iter().filter(|policy| names.is_empty() || names.contains(&policy.name));
    Ok(DescribeLoadBalancerPoliciesOutput { policy_descriptions: Some(chosen.map(shape).collect()) })
}

pub async fn describe_types(
    _: Call,
    input: DescribeLoadBalancerPolicyTypesInput,
) -> Result<DescribeLoadBalancerPolicyTypesOutput, ApiError> {
    let names = input.policy_type_names.unwrap_or_default();
    if let Some(unknown) = names.iter().find(|name| !KINDS.iter().any(|(known, ..)| *known == name.as_str()))
    {
        return Err(ApiError::new(
            &errors::POLICY_TYPE_NOT_FOUND_EXCEPTION,
            format!("Policy type {unknown} does not exist"),
        ));
    }
    let chosen = KINDS.iter().filter(|(kind, ..)| names.is_empty() || names.iter().any(|name| name == kind));
    let shown =
        chosen.map(|(kind, description, attribute, of_type, cardinality)| elb::PolicyTypeDescription {
            policy_type_name: Some((*kind).to_owned()),
            description: Some((*description).to_owned()),
            policy_attribute_type_descriptions: Some(vec![elb::PolicyAttributeTypeDescription {
                attribute_name: Some((*attribute).to_owned()),
                attribute_type: Some((*of_type).to_owned()),
                cardinality: Some((*cardinality).to_owned()),
                ..elb::PolicyAttributeTypeDescription::default()
            }]),
        });
    Ok(DescribeLoadBalancerPolicyTypesOutput { policy_type_descriptions: Some(shown.collect()) })
}
