//! Who uses a certificate: listeners of load balancers.

use std::collections::BTreeSet;

use state_store::{Tx, View};
use vocabulary::Scope;

use crate::services::{
    elb::records::LoadBalancer as Classic,
    elbv2::records::{Listener, load_balancer_arn},
};

/// ARNs of the load balancers that show the certificate.
pub fn of(view: &View, scope: &Scope, arn: &str) -> Vec<String> {
    let listeners = view.by_index::<Listener>(scope, "certificate", arn);
    let balancers = listeners.map(|(_, listener)| load_balancer_arn(scope, &listener.load_balancer));
    let classic = view.by_index::<Classic>(scope, "certificate", arn).map(|(_, one)| one.arn(scope));
    balancers.chain(classic).collect::<BTreeSet<_>>().into_iter().collect()
}

/// As [`of`], so that the transaction fails when a user comes meanwhile.
pub fn guarded(tx: &mut Tx, scope: &Scope, arn: &str) -> Vec<String> {
    let listeners = tx.by_index::<Listener>(scope, "certificate", arn);
    let balancers = listeners.iter().map(|(_, listener)| load_balancer_arn(scope, &listener.load_balancer));
    let mut all: Vec<String> = balancers.collect();
    all.extend(tx.by_index::<Classic>(scope, "certificate", arn).iter().map(|(_, one)| one.arn(scope)));
    all
}
