//! How much of the traffic each deployment gets, written into the listener rules of the service's load balancers.

use std::collections::BTreeMap;

use state_store::Tx;
use vocabulary::Scope;

use super::{
    balancers,
    records::{Service, revision_of},
};
use crate::services::{ecs::gateways, elbv2::targets};

/// Carries the weights of the service's deployments over to its rules. What could not be changed is told.
pub fn shift(tx: &mut Tx, scope: &Scope, service: &Service) -> Vec<String> {
    let Some(primary) = service.state.primary() else { return Vec::new() };
    let Some(revision) = revision_of(tx.view(), scope, service, &primary.id) else { return Vec::new() };
    let mut events = Vec::new();
    for connection in &revision.connections {
        let Some(alternate) = &connection.alternate else { continue };
        let groups = [&connection.target_group, alternate];
        let test = gateways::connect::test_rule_of(connection, |key| tx.get(scope, key));
        let rules = (Some(&connection.rule), test.as_ref());
        share(tx, scope, service, &groups, rules, &mut events);
    }
    for balancer in revision.details.0.load_balancers.iter().flatten() {
        let Some(advanced) = &balancer.advanced_configuration else { continue };
        let groups: Vec<&String> =
            balancer.target_group_arn.iter().chain(&advanced.alternate_target_group_arn).collect();
        let rules = (advanced.production_listener_rule.as_ref(), advanced.test_listener_rule.as_ref());
        share(tx, scope, service, &groups, rules, &mut events);
    }
    events
}

/// Writes what each deployment gets into the rules for production and for test traffic of one pair of target groups: the one of the two that
/// its tasks are in gets it. Revisions may have more load balancers or fewer, in another order, so that only the groups tell.
fn share(
    tx: &mut Tx,
    scope: &Scope,
    service: &Service,
    groups: &[&String],
    (production, test): (Option<&String>, Option<&String>),
    events: &mut Vec<String>,
) {
    let mut shares: BTreeMap<String, (f64, f64)> =
        groups.iter().map(|arn| ((*arn).clone(), (0.0, 0.0))).collect();
    for deployment in &service.state.deployments {
        let Some(revision) = revision_of(tx.view(), scope, service, &deployment.id) else { continue };
        let attachments = balancers::attachments(&revision);
        let mut behind = attachments.iter().filter_map(|attachment| attachment.at.target_group());
        let Some(arn) = behind.find(|arn| shares.contains_key(*arn)) else { continue };
        if let Some(share) = shares.get_mut(arn) {
            share.0 += deployment.production_weight;
            share.1 += deployment.test_weight;
        }
    }
    let production = (production, weights(shares.iter().map(|(arn, share)| (arn, share.0))));
    let test = (test, weights(shares.iter().map(|(arn, share)| (arn, share.1))));
    for (rule, weights) in [production, test] {
        let Some(rule) = rule else { continue };
        if let Err(error) = targets::set_weights(tx, scope, rule, &weights) {
            events.push(format!(
                "(service {}) failed to shift traffic at (listener-rule {rule}) with (error {}).",
                service.name, error.message
            ));
        }
    }
}

/// Percentages as weights: as they are when they are whole, else finer.
fn weights<'a>(shares: impl Iterator<Item = (&'a String, f64)>) -> Vec<(String, u16)> {
    let shares: Vec<(&String, f64)> = shares.map(|(arn, share)| (arn, share.clamp(0.0, 100.0))).collect();
    let scale = if shares.iter().all(|(_, share)| share.fract() == 0.0) { 1.0 } else { 9.99 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 999")]
    let weight = |share: f64| (share * scale).round() as u16;
    shares.into_iter().map(|(arn, share)| (arn.clone(), weight(share))).collect()
}
