//! Resources of EC2, Elastic Load Balancing and Certificate Manager.

use state_store::{Record, View};
use vocabulary::Scope;

use super::{Facts, tagged};
use crate::services::{
    acm::records::Certificate,
    ec2::records::{
        ElasticAddress, InternetGateway, NetworkInterface, RouteTable, SecurityGroup, Subnet, Vpc,
    },
    elb::records::LoadBalancer as Classic,
    elbv2::{
        arns,
        records::{Listener, LoadBalancer, TargetGroup},
        trust_stores::records::TrustStore,
    },
    tagging::Tags,
};

pub fn of_ec2(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    // What kind it is stands in the id as well; CreateTags names ids alone.
    let (_, id) = resource.split_once('/')?;
    let kind = id.rsplit_once('-').map_or(id, |(kind, _)| kind);
    fn of<R: Record>(view: &View, scope: &Scope, id: &str, tags: fn(&R) -> &Tags) -> Option<Facts> {
        view.get::<R>(scope, id).map(|found| tagged(tags(&found)))
    }
    match kind {
        "vpc" => of::<Vpc>(view, scope, id, |found| &found.tags),
        "subnet" => of::<Subnet>(view, scope, id, |found| &found.tags),
        "sg" => of::<SecurityGroup>(view, scope, id, |found| &found.tags),
        "eni" => of::<NetworkInterface>(view, scope, id, |found| &found.tags),
        "igw" => of::<InternetGateway>(view, scope, id, |found| &found.tags),
        "rtb" => of::<RouteTable>(view, scope, id, |found| &found.tags),
        "eipalloc" => of::<ElasticAddress>(view, scope, id, |found| &found.tags),
        _ => None,
    }
}

pub fn balancing(view: &View, scope: &Scope, arn: &str, resource: &str) -> Option<Facts> {
    let (kind, rest) = resource.split_once('/')?;
    match kind {
        "loadbalancer" => match view.get::<LoadBalancer>(scope, rest) {
            Some(found) => Some(tagged(&found.tags)),
            None => view.get::<Classic>(scope, rest).map(|found| tagged(&found.tags)),
        },
        "truststore" => view.get::<TrustStore>(scope, rest).map(|found| tagged(&found.tags)),
        "targetgroup" => view.get::<TargetGroup>(scope, rest).map(|found| tagged(&found.tags)),
        "listener" => view.get::<Listener>(scope, rest).map(|found| tagged(&found.tags)),
        "listener-rule" => {
            let (listener, id) = arns::rule_key(scope, arn)?;
            let listener = view.get::<Listener>(scope, listener)?;
            listener.rules.values().find(|rule| rule.id == id).map(|rule| tagged(&rule.tags))
        }
        _ => None,
    }
}

pub fn certificate(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    let found = view.get::<Certificate>(scope, resource.strip_prefix("certificate/")?)?;
    Some(tagged(&found.tags))
}
