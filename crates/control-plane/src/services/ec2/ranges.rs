//! Which VPC has its range on the machine.
//!
//! AWS lets the ranges of VPCs overlap: each is a world of its own. Here every task's address can be reached from the
//! host, so a range leads to one VPC at a time. Overlapping VPCs can be made and set up; the range belongs to the one that has tasks in
//! it, and where none has, to the one that had it last. A task in another one is refused and told why (docs/decisions/0002).
//!
//! VPC ranges are /16 or smaller, so whatever overlaps lies in one /16: that is the key of the record that everyone who
//! wants a range reads and writes.

use addressing::Cidr;
use state_store::{Tx, View};
use vocabulary::Scope;

use super::records::{NetworkInterface, RangeHolder, RangeHolders, Vpc, global};

fn block(range: Cidr) -> String {
    Cidr::new(range.base(), range.prefix_len().min(16)).unwrap_or(range).to_string()
}

/// Gives `vpc` its range, from whom has it without needing it.
///
/// # Errors
/// The VPC that has an overlapping range and tasks in it.
pub fn take(tx: &mut Tx, scope: &Scope, vpc: &Vpc) -> Result<(), RangeHolder> {
    let block = block(vpc.cidr);
    let record = tx.get::<RangeHolders>(&global(), &block).unwrap_or_default();
    let own = RangeHolder { scope: scope.clone(), vpc_id: vpc.id.clone(), range: vpc.cidr };
    if record.holders.contains(&own) {
        return Ok(());
    }
    let mut holders = record.holders.clone();
    let (overlapping, rest) = holders.drain(..).partition::<Vec<_>, _>(|held| held.range.overlaps(vpc.cidr));
    if let Some(holder) = overlapping.into_iter().find(|held| has_tasks(tx, &held.scope, &held.vpc_id)) {
        return Err(holder);
    }
    holders = rest;
    holders.push(own);
    tx.put(&global(), &block, RangeHolders { holders });
    Ok(())
}

/// Gives `vpc` its range if no other VPC has it.
pub fn take_if_free(tx: &mut Tx, scope: &Scope, vpc: &Vpc) {
    let record = tx.get::<RangeHolders>(&global(), &block(vpc.cidr)).unwrap_or_default();
    if !record.holders.iter().any(|held| held.range.overlaps(vpc.cidr)) {
        // Nobody is in the way.
        _ = take(tx, scope, vpc);
    }
}

/// Gives the range of `vpc` back.
pub fn release(tx: &mut Tx, scope: &Scope, vpc: &Vpc) {
    let block = block(vpc.cidr);
    let Some(record) = tx.get::<RangeHolders>(&global(), &block) else { return };
    let mut holders = record.holders.clone();
    holders.retain(|held| held.scope != *scope || held.vpc_id != vpc.id);
    if holders.is_empty() {
        tx.delete::<RangeHolders>(&global(), &block);
    } else {
        tx.put(&global(), &block, RangeHolders { holders });
    }
}

/// The VPCs that have their ranges.
pub fn holders(view: &View) -> Vec<RangeHolder> {
    view.scan_all::<RangeHolders>().flat_map(|found| found.value.holders.clone()).collect()
}

fn has_tasks(tx: &mut Tx, scope: &Scope, vpc_id: &str) -> bool {
    tx.by_index::<NetworkInterface>(scope, "vpc", vpc_id).iter().any(|(_, one)| one.attachment.is_some())
}
