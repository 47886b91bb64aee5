//! What nodes report of targets: health goes into memory, drained targets go out of the tables.

use std::collections::{BTreeMap, HashSet};

use routing::report::TargetReport;
use vocabulary::Scope;

use super::{
    health::{Health, Place},
    records::{Target, target_key},
    targets::BATCH,
};
use crate::{
    gateway::ApiError,
    services::{Services, elb},
};

/// What a node's data plane says, all of it each time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the configuration that was acted on.
    pub generation: u64,
    pub targets: Vec<TargetReport>,
    /// ARNs of the load balancers that take connections.
    pub listening: HashSet<String>,
}

/// Takes a report in: health into memory, drained targets out of the tables.
///
/// A target that was changed after the configuration that the report speaks of stays: the report is about an earlier registration.
///
/// # Errors
/// When the state cannot be changed; the next report says the same again.
pub async fn apply_report(services: &Services, report: Report) -> Result<(), ApiError> {
    let place = |target: &TargetReport| Place {
        target_group_arn: target.target_group_arn.clone(),
        id: target.target_id.clone(),
        port: target.port,
        registration: target.registration,
    };
    let drained: Vec<Place> = report.targets.iter().filter(|target| target.drained).map(place).collect();
    let classic = report.targets.iter().filter_map(of_classic).collect();
    let generation = report.generation;
    let measured: BTreeMap<Place, Health> =
        report.targets.into_iter().map(|target| (place(&target), Health::from(target.health))).collect();
    services.target_health.replace(measured, report.listening);
    for batch in drained.chunks(BATCH) {
        let keys: Vec<(Scope, String)> = batch.iter().filter_map(scope_and_key).collect();
        services
            .state
            .transact(|tx| {
                for (scope, key) in &keys {
                    let changed = tx.view().revisions::<Target>(scope, key).map(|(_, changed)| changed);
                    let known = changed.is_some_and(|changed| {
                        u64::try_from(changed).is_ok_and(|changed| changed <= report.generation)
                    });
                    let draining = tx.get::<Target>(scope, key).is_some_and(|there| there.draining.is_some());
                    if known && draining {
                        tx.delete::<Target>(scope, key);
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    elb::instances::end_drained(services, generation, classic).await
}

/// Of a target group that was made up for a classic load balancer: its scope and name, the instance, and whether that is drained.
fn of_classic(target: &TargetReport) -> Option<(Scope, String, String, bool)> {
    let arn: vocabulary::Arn = target.target_group_arn.parse().ok()?;
    let scope = Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?);
    let (name, _) = arn.resource_of_kind("loadbalancer")?.split_once("/listener/")?;
    Some((scope, name.to_owned(), target.target_id.clone(), target.drained))
}

fn scope_and_key(place: &Place) -> Option<(Scope, String)> {
    let arn: vocabulary::Arn = place.target_group_arn.parse().ok()?;
    let scope = Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?);
    let group = arn.resource_of_kind("targetgroup")?;
    Some((scope, target_key(group, &place.id, place.port)))
}
