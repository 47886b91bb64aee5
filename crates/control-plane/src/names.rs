//! What the name server answers by itself, derived from the tables: the private names of every VPC.
//!
//! A VPC sees its own names only, as EC2 has it: what cannot be reached has no name. The machine itself sees all of them.

use std::{collections::HashSet, net::Ipv4Addr, sync::Arc};

use addressing::Cidr;
use name_server::{Name, PrivateNames, RESOLVER_ADDRESS, ZoneTable, Zones};
use state_store::{StateError, View};
use tokio::sync::watch;
use vocabulary::Region;

use crate::services::{
    Services,
    ec2::{records::Vpc, state::vpcs},
};

/// Publishes a table whenever a VPC changes, until nobody reads any more.
///
/// # Errors
/// When the tables stop following the store.
pub(crate) async fn follow(
    services: Arc<Services>,
    publish: watch::Sender<Arc<ZoneTable>>,
) -> Result<(), StateError> {
    let mut changes = services.state.watch::<Vpc>();
    while publish.send(Arc::new(table(&services.state.view()))).is_ok() {
        changes.next().await?;
    }
    Ok(())
}

/// The names as the tables have them now.
pub(crate) fn table(view: &View) -> ZoneTable {
    let mut all = Vec::new();
    let mut views = Vec::new();
    // Only what has its range: of two with the same, one is reached at it.
    let reached: HashSet<String> = vpcs(view).into_iter().map(|vpc| vpc.vpc_id).collect();
    for found in view.scan_all::<Vpc>().filter(|found| reached.contains(&found.id)) {
        let names = private_names(&found.value, &found.scope.region);
        all.push(names.clone());
        views.push(name_server::View {
            sources: vec![found.value.cidr],
            dns_support: found.value.enable_dns_support,
            private_names: vec![names],
            zones: Zones::default(),
        });
    }
    views.push(name_server::View {
        sources: vec![Cidr::host(RESOLVER_ADDRESS), Cidr::host(Ipv4Addr::LOCALHOST)],
        dns_support: true,
        private_names: all,
        zones: Zones::default(),
    });
    ZoneTable::new(u64::try_from(view.revision()).unwrap_or(0), views)
}

/// Names need both of a VPC's DNS attributes.
fn private_names(vpc: &Vpc, region: &Region) -> PrivateNames {
    let domain = match region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    };
    let named = vpc.enable_dns_support && vpc.enable_dns_hostnames;
    PrivateNames { range: vpc.cidr, domain: Name::parse(&domain).ok().filter(|_| named) }
}
