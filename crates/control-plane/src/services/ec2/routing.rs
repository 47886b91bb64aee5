//! The way outside of a VPC's subnets, as its route tables and its gateway say: a pure look at them.
//!
//! A subnet has a way outside when its table (its own, or else the VPC's main one) sends 0.0.0.0/0 to an internet gateway that is
//! attached to the VPC. A task in a subnet without one has its public address in name only: nodes are not told of it, so
//! nothing is translated to or from it, and without one a task reaches nothing outside. Nodes learn that when a task starts,
//! so whatever would change it under running tasks is refused.

use std::sync::Arc;

use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    errors::dependency,
    records::{InternetGateway, NetworkInterface, RouteTable, Subnet},
};
use crate::gateway::ApiError;

/// The route tables of a VPC and the gateway attached to it.
#[derive(Debug, Clone)]
pub struct Routing {
    pub tables: Vec<Arc<RouteTable>>,
    pub gateway: Option<String>,
}

impl Routing {
    pub fn of(view: &View, scope: &Scope, vpc_id: &str) -> Routing {
        Routing {
            tables: view.by_index::<RouteTable>(scope, "vpc", vpc_id).map(|(_, table)| table).collect(),
            gateway: view
                .by_index::<InternetGateway>(scope, "vpc", vpc_id)
                .next()
                .map(|(id, _)| id.to_owned()),
        }
    }

    /// As [`Routing::of`], with the transaction's own writes; its commit depends on what is read.
    pub fn in_transaction(tx: &mut Tx, scope: &Scope, vpc_id: &str) -> Routing {
        let tables = tx.scan::<RouteTable>(scope).into_iter().map(|(_, table)| table);
        let tables = tables.filter(|table| table.vpc_id == vpc_id).collect();
        let mut gateways = tx.scan::<InternetGateway>(scope).into_iter();
        let gateway =
            gateways.find(|(_, gateway)| gateway.vpc_id.as_deref() == Some(vpc_id)).map(|(id, _)| id);
        Routing { tables, gateway }
    }

    /// The table that decides for a subnet.
    pub fn table_of(&self, subnet_id: &str) -> Option<&RouteTable> {
        let names = |table: &RouteTable| table.associations.iter().any(|one| one.subnet_id == subnet_id);
        let own = self.tables.iter().find(|table| names(table));
        own.or_else(|| self.tables.iter().find(|table| table.main_association.is_some()))
            .map(|table| &**table)
    }

    pub fn leads_outside(&self, subnet_id: &str) -> bool {
        let route = self.table_of(subnet_id).and_then(|table| table.outside.as_ref());
        route.is_some() && route == self.gateway.as_ref()
    }
}

/// Makes a change to the tables or gateways of a VPC, unless it would open or close the way outside under tasks that run
/// with public addresses.
///
/// # Errors
/// Those of `change`, and `DependencyViolation`.
pub fn changing<T>(
    tx: &mut Tx,
    scope: &Scope,
    vpc_id: &str,
    change: impl FnOnce(&mut Tx) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let before = Routing::in_transaction(tx, scope, vpc_id);
    let changed = change(tx)?;
    let after = Routing::in_transaction(tx, scope, vpc_id);
    for (subnet_id, _) in tx.scan::<Subnet>(scope) {
        if before.leads_outside(&subnet_id) != after.leads_outside(&subnet_id)
            && has_public_tasks(tx, scope, |interface| interface.subnet_id == subnet_id)
        {
            return Err(dependency(format!(
                "Tasks with public addresses run in {subnet_id}. Longshore changes the way outside of a subnet only while there are none; stop them first."
            )));
        }
    }
    Ok(changed)
}

/// Whether tasks run on interfaces with public addresses among those chosen.
pub fn has_public_tasks(tx: &mut Tx, scope: &Scope, chosen: impl Fn(&NetworkInterface) -> bool) -> bool {
    let all = tx.scan::<NetworkInterface>(scope);
    all.iter().any(|(_, one)| chosen(one) && one.attachment.is_some() && one.public.is_some())
}
