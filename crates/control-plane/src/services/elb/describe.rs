//! Load balancers as the API shows them.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    DescribeAccessPointsInput, DescribeAccessPointsOutput, DescribeAccountLimitsInput,
    DescribeAccountLimitsOutput,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    balancers::{self, MOST_LOAD_BALANCERS, source_group},
    checks, instances,
    listeners::{self, MOST_LISTENERS},
    page,
    policies::{APP_COOKIE, LB_COOKIE},
    records::LoadBalancer,
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
};

/// Of AWS's classic load balancers in us-east-1.
const ZONE_ID: &str = "Z35SXDOTRQ7X7K";

pub async fn load_balancers(
    call: Call,
    input: DescribeAccessPointsInput,
) -> Result<DescribeAccessPointsOutput, ApiError> {
    let scope = call.scope();
    let names = input.load_balancer_names.unwrap_or_default();
    let view = call.services.state.view();
    for name in &names {
        balancers::see(&view, scope, name)?;
    }
    let all = view
        .scan::<LoadBalancer>(scope)
        .filter(|(name, _)| names.is_empty() || names.iter().any(|one| one == name));
    let page =
        page(&call, "load balancers", all, |(name, _)| (*name).to_owned(), input.marker, input.page_size)?;
    let shown = page.items.iter().map(|(_, balancer)| shape(&view, scope, balancer));
    Ok(DescribeAccessPointsOutput {
        load_balancer_descriptions: Some(shown.collect()),
        next_marker: page.next_token,
    })
}

pub async fn limits(
    call: Call,
    input: DescribeAccountLimitsInput,
) -> Result<DescribeAccountLimitsOutput, ApiError> {
    let limits = [
        ("classic-listeners", MOST_LISTENERS),
        ("classic-load-balancers", MOST_LOAD_BALANCERS),
        ("classic-registered-instances", instances::MOST_INSTANCES),
    ];
    let page = page(&call, "limits", limits, |(name, _)| (*name).to_owned(), input.marker, input.page_size)?;
    let shown = page
        .items
        .into_iter()
        .map(|(name, most)| elb::Limit { name: Some(name.to_owned()), max: Some(most.to_string()) });
    Ok(DescribeAccountLimitsOutput { limits: Some(shown.collect()), next_marker: page.next_token })
}

fn shape(view: &View, scope: &Scope, balancer: &LoadBalancer) -> elb::LoadBalancerDescription {
    let of_kind = |kind: &'static str| balancer.policies.iter().filter(move |policy| policy.kind == kind);
    let app = of_kind(APP_COOKIE).map(|policy| elb::AppCookieStickinessPolicy {
        policy_name: Some(policy.name.clone()),
        cookie_name: policy.attribute("CookieName").map(str::to_owned),
    });
    let lb = of_kind(LB_COOKIE).map(|policy| elb::LBCookieStickinessPolicy {
        policy_name: Some(policy.name.clone()),
        cookie_expiration_period: policy
            .attribute("CookieExpirationPeriod")
            .and_then(|text| text.parse().ok()),
    });
    let other =
        balancer.policies.iter().filter(|policy| ![APP_COOKIE, LB_COOKIE].contains(&policy.kind.as_str()));
    let backends = balancer.backend_policies.iter().filter(|(_, names)| !names.is_empty());
    elb::LoadBalancerDescription {
        load_balancer_name: Some(balancer.name.clone()),
        dns_name: Some(balancer.dns_name.clone()),
        canonical_hosted_zone_name: (!balancer.internal).then(|| balancer.dns_name.clone()),
        canonical_hosted_zone_name_id: Some(ZONE_ID.to_owned()),
        listener_descriptions: Some(listeners::shapes(balancer)),
        policies: Some(elb::Policies {
            app_cookie_stickiness_policies: Some(app.collect()),
            lb_cookie_stickiness_policies: Some(lb.collect()),
            other_policies: Some(other.map(|policy| policy.name.clone()).collect()),
        }),
        backend_server_descriptions: Some(
            backends
                .map(|(port, names)| elb::BackendServerDescription {
                    instance_port: Some(i32::from(*port)),
                    policy_names: Some(names.clone()),
                })
                .collect(),
        ),
        availability_zones: Some(balancer.nodes.iter().map(|node| node.zone.clone()).collect()),
        subnets: Some(balancer.nodes.iter().map(|node| node.subnet_id.clone()).collect()),
        vpc_id: Some(balancer.vpc_id.clone()),
        instances: Some(instances::shapes(balancer.instances.keys())),
        health_check: Some(checks::shape(&balancer.health_check)),
        source_security_group: source_group(view, scope, balancer),
        security_groups: Some(balancer.security_groups.clone()),
        created_time: Some(time(balancer.created_at)),
        scheme: Some(if balancer.internal { "internal" } else { "internet-facing" }.to_owned()),
    }
}
