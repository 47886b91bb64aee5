//! What the name server answers by itself, derived from the tables: the private names of every VPC, load balancers' names, and the names
//! of services behind gateways and of express services, which lead to their load balancers.
//!
//! A load balancer's name leads to its public addresses when it faces the internet, to its private ones otherwise, wherever it is asked
//! from, as on AWS: who has no way outside does not reach the former.
//!
//! A VPC sees its own names only, as EC2 has it: what cannot be reached has no name. The machine itself sees all of them.
//! A VPC whose range another one holds at the moment is left out: nobody asks from there.

use std::{collections::HashSet, net::Ipv4Addr, sync::Arc};

use addressing::Cidr;
use name_server::{Data, Name, PrivateNames, RESOLVER_ADDRESS, Zone, ZoneTable, Zones};
use state_store::{Notice, Record, State, StateError, View};
use tokio::sync::watch;
use vocabulary::Scope;

use crate::services::{
    ec2::{
        networks::domain,
        records::{RangeHolders, Vpc},
        state::vpcs,
    },
    ecs::{
        express::{DOMAIN, Express},
        gateways::records::{Gateway, Route},
    },
    elb,
    elbv2::{configuration::names, records::LoadBalancer},
};

/// What all load balancers' names are in: `NAME-ID.REGION.elb.localhost`.
const BALANCERS: &str = "elb.localhost";
/// As AWS gives with load balancers' addresses.
const BALANCER_TTL_SECONDS: u32 = 60;

/// Kinds of records that names follow from.
const KINDS: [(&str, &str); 7] = [
    (Vpc::SERVICE, Vpc::KIND),
    (RangeHolders::SERVICE, RangeHolders::KIND),
    (LoadBalancer::SERVICE, LoadBalancer::KIND),
    (elb::records::LoadBalancer::SERVICE, elb::records::LoadBalancer::KIND),
    (Express::SERVICE, Express::KIND),
    (Gateway::SERVICE, Gateway::KIND),
    (Route::SERVICE, Route::KIND),
];

/// Publishes a table whenever a VPC changes, until nobody reads any more.
///
/// # Errors
/// When the tables stop following the store.
pub async fn follow(state: State, publish: watch::Sender<Arc<ZoneTable>>) -> Result<(), StateError> {
    let mut changes = state.changes();
    while publish.send(Arc::new(table(&state.view()))).is_ok() {
        while let Notice::Changes(touched) = changes.next().await? {
            if touched.iter().any(|one| KINDS.contains(&(one.service, one.kind))) {
                break;
            }
        }
    }
    Ok(())
}

/// The names as the tables have them now.
pub fn table(view: &View) -> ZoneTable {
    let mut all = Vec::new();
    let mut views = Vec::new();
    let zones: Zones = zones(view).into_iter().collect();
    let reached: HashSet<String> = vpcs(view).into_iter().map(|vpc| vpc.vpc_id).collect();
    for found in view.scan_all::<Vpc>().filter(|found| reached.contains(&found.id)) {
        let vpc = found.value;
        let names = private_names(&found.scope, &vpc);
        all.push(names.clone());
        views.push(name_server::View {
            sources: vec![vpc.cidr],
            dns_support: vpc.enable_dns_support,
            private_names: vec![names],
            zones: zones.clone(),
        });
    }
    views.push(name_server::View {
        // The source of what the machine sends to its own address.
        sources: vec![Cidr::host(RESOLVER_ADDRESS), Cidr::host(Ipv4Addr::LOCALHOST)],
        dns_support: true,
        private_names: all,
        zones,
    });
    ZoneTable::new(u64::try_from(view.revision()).unwrap_or(0), views)
}

/// The zones of load balancers and of services. What is in neither has no name here.
fn zones(view: &View) -> Vec<Arc<Zone>> {
    // Serials wrap (RFC 1982).
    let serial = view.revision() as u32;
    let apexes =
        [BALANCERS, DOMAIN.trim_start_matches('.')].into_iter().filter_map(|apex| Name::parse(apex).ok());
    let mut zones: Vec<Zone> = apexes.map(|apex| Zone::new(apex, serial)).collect();
    for (dns_name, interfaces) in names(view) {
        let Ok(name) = Name::parse(&dns_name) else { continue };
        let Some(zone) = zones.iter_mut().find(|zone| name.is_within(zone.apex())) else {
            tracing::warn!(dns_name, "a load balancer's name is in no zone");
            continue;
        };
        for interface in interfaces {
            let address = Data::A(interface.public_address.unwrap_or(interface.private_address));
            if let Err(error) = zone.add(name.clone(), BALANCER_TTL_SECONDS, &address) {
                tracing::warn!(%error, dns_name, "a load balancer's address has no name");
            }
        }
    }
    zones.into_iter().map(Arc::new).collect()
}

/// Names need both of a VPC's DNS attributes.
fn private_names(scope: &Scope, vpc: &Vpc) -> PrivateNames {
    let named = vpc.enable_dns_support && vpc.enable_dns_hostnames;
    PrivateNames { range: vpc.cidr, domain: Name::parse(&domain(scope)).ok().filter(|_| named) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use state_store::SqliteStore;
    use tokio::time::timeout;

    use super::*;
    use crate::services::{
        self,
        ec2::records::{RangeHolder, global},
    };

    /// A VPC that has its range, or comes too late.
    async fn put(state: &State, id: &str, range: &str, hostnames: bool, holds: bool) {
        let scope = Scope::new("000000000000".parse().unwrap(), "eu-west-1".parse().unwrap());
        let vpc = Vpc {
            id: id.to_owned(),
            cidr: range.parse().unwrap(),
            is_default: false,
            enable_dns_support: true,
            enable_dns_hostnames: hostnames,
            tags: Default::default(),
        };
        let put = state.transact(|tx| {
            if holds {
                let holder = RangeHolder { scope: scope.clone(), vpc_id: id.to_owned(), range: vpc.cidr };
                tx.put(&global(), range, RangeHolders { holders: vec![holder] });
            }
            tx.put(&scope, id, vpc.clone());
            Ok::<_, StateError>(())
        });
        put.await.unwrap();
    }

    #[tokio::test]
    async fn every_vpc_that_holds_its_range_has_a_view() {
        let state =
            State::open(Arc::new(SqliteStore::in_memory().unwrap()), services::tables()).await.unwrap();
        let (publish, mut tables) = watch::channel(Arc::new(table(&state.view())));
        let following = tokio::spawn(follow(state.clone(), publish));
        put(&state, "vpc-1", "10.1.0.0/16", true, true).await;
        put(&state, "vpc-2", "10.1.0.0/20", true, false).await;
        put(&state, "vpc-3", "10.2.0.0/16", false, true).await;
        let seen = |table: &ZoneTable, from: [u8; 4]| {
            let view = table.view_of(from.into())?;
            let names = view.private_names.iter();
            Some(names.map(|one| format!("{} {:?}", one.range, one.domain)).collect::<Vec<_>>())
        };
        let named = "10.1.0.0/16 Some(eu-west-1.compute.internal)".to_owned();
        let last = tables.wait_for(|table| table.view_of([10, 2, 0, 1].into()).is_some());
        let last = Arc::clone(&timeout(Duration::from_secs(20), last).await.expect("a table").unwrap());
        assert_eq!(seen(&last, [10, 1, 0, 5]), Some(vec![named.clone()]));
        assert_eq!(seen(&last, [10, 2, 0, 5]), Some(vec!["10.2.0.0/16 None".to_owned()]));
        assert_eq!(seen(&last, [127, 0, 0, 1]), Some(vec![named, "10.2.0.0/16 None".to_owned()]));
        assert_eq!(seen(&last, [192, 0, 2, 1]), None);
        drop(tables);
        put(&state, "vpc-4", "10.4.0.0/16", true, true).await;
        timeout(Duration::from_secs(20), following).await.expect("the end").unwrap().unwrap();
    }
}
