//! Quotas, as DescribeAccountLimits tells them: those that are kept here.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{DescribeAccountLimitsInput, DescribeAccountLimitsOutput};

use super::{
    actions, balancers::MOST_LOAD_BALANCERS, certificates::MOST_CERTIFICATES, conditions::MOST_VALUES,
    forwarding, groups::MOST_GROUPS, listeners::MOST_LISTENERS, page, rules::MOST_RULES,
    targets::MOST_TARGETS,
};
use crate::gateway::{ApiError, Call};

pub async fn describe(
    call: Call,
    input: DescribeAccountLimitsInput,
) -> Result<DescribeAccountLimitsOutput, ApiError> {
    let limits = [
        ("application-load-balancers", MOST_LOAD_BALANCERS),
        ("certificates-per-application-load-balancer", MOST_CERTIFICATES),
        ("certificates-per-network-load-balancer", MOST_CERTIFICATES),
        ("condition-values-per-alb-rule", MOST_VALUES),
        ("condition-wildcards-per-alb-rule", super::conditions::MOST_WILDCARDS),
        ("listeners-per-application-load-balancer", MOST_LISTENERS),
        ("listeners-per-network-load-balancer", MOST_LISTENERS),
        ("network-load-balancers", MOST_LOAD_BALANCERS),
        ("rules-per-application-load-balancer", MOST_RULES),
        ("target-groups", MOST_GROUPS),
        ("target-groups-per-action-on-application-load-balancer", actions::MOST_GROUPS),
        ("target-groups-per-application-load-balancer", forwarding::MOST_GROUPS),
        ("targets-per-target-group", MOST_TARGETS),
        ("trust-stores", super::trust_stores::MOST_TRUST_STORES),
    ];
    let page = page(&call, "limits", limits, |(name, _)| (*name).to_owned(), input.marker, input.page_size)?;
    let shown = page
        .items
        .into_iter()
        .map(|(name, most)| elbv2::Limit { name: Some(name.to_owned()), max: Some(most.to_string()) });
    Ok(DescribeAccountLimitsOutput { limits: Some(shown.collect()), next_marker: page.next_token })
}
