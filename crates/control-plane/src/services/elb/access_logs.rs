//! Access logs: what of them is particular to classic load balancers. Files have the names and, unpacked, the form that the guide gives;
//! whether the bucket takes them is decided as for the other kinds, by a file that is put there when the log is switched on.

use agent_protocol::LogKind;
use aws_shapes_elb as elb;
use vocabulary::{Scope, Timestamp};

use super::{
    errors::{classic, invalid_configuration},
    records::{AccessLog, LoadBalancer},
};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        elbv2::access_logs::{self, Place, Subject, SubjectKind},
    },
};

/// Of a request that switches the log on and does not say how often.
const INTERVAL_MINUTES: i32 = 60;

/// The log that a request wants; none: it is switched off.
///
/// # Errors
/// `InvalidConfigurationRequest`.
pub fn wanted(given: &elb::AccessLog) -> Result<Option<AccessLog>, ApiError> {
    if given.enabled != Some(true) {
        return Ok(None);
    }
    let interval_minutes = given.emit_interval.unwrap_or(INTERVAL_MINUTES);
    if ![5, 60].contains(&interval_minutes) {
        return Err(invalid_configuration("Access log emit interval must be either 5 or 60 minutes"));
    }
    let bucket = given.s3_bucket_name.clone().unwrap_or_default();
    if bucket.is_empty() {
        return Err(invalid_configuration("An S3 bucket name is required to enable access logs"));
    }
    let prefix = given.s3_bucket_prefix.clone().unwrap_or_default();
    Ok(Some(AccessLog { bucket, prefix, interval_minutes: interval_minutes.unsigned_abs() }))
}

/// As the API shows it.
pub fn shape(own: Option<&AccessLog>) -> elb::AccessLog {
    let Some(own) = own else {
        return elb::AccessLog { enabled: Some(false), ..elb::AccessLog::default() };
    };
    elb::AccessLog {
        enabled: Some(true),
        emit_interval: i32::try_from(own.interval_minutes).ok(),
        s3_bucket_name: Some(own.bucket.clone()),
        s3_bucket_prefix: Some(own.prefix.clone()),
    }
}

/// Whether the bucket takes the log.
///
/// # Errors
/// `InvalidConfigurationRequest`.
pub async fn check(
    services: &Services,
    scope: &Scope,
    balancer: &LoadBalancer,
    log: &AccessLog,
) -> Result<(), ApiError> {
    let (subject, place) = (subject(scope, balancer), place(log));
    access_logs::check(services, &subject, &place, LogKind::Access).await.map_err(classic)
}

/// The name of the classic load balancer that has this ARN; none of another kind's.
pub fn name_of(arn: &str) -> Option<&str> {
    arn.split_once(":loadbalancer/").map(|(_, name)| name).filter(|name| !name.contains('/'))
}

/// Makes a file of lines and puts it into the bucket that the load balancer has now, also when they are of before that. Lines of one that is
/// gone or has no log any more are passed over.
///
/// # Errors
/// Those of PutObject.
pub async fn deliver(
    services: &Services,
    scope: &Scope,
    name: &str,
    lines: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let found = services.state.read(|view| view.get::<LoadBalancer>(scope, name));
    let Some(balancer) = found else { return Ok(()) };
    let Some(log) = &balancer.attributes.access_log else { return Ok(()) };
    let subject = subject(scope, &balancer);
    access_logs::deliver_to(services, &subject, &place(log), LogKind::Access, lines, now).await
}

fn subject<'a>(scope: &'a Scope, balancer: &'a LoadBalancer) -> Subject<'a> {
    Subject {
        scope,
        name: &balancer.name,
        id: balancer.name.clone(),
        nodes: &balancer.nodes,
        source: balancer.arn(scope),
        kind: SubjectKind::Classic,
    }
}

fn place(log: &AccessLog) -> Place {
    Place { bucket: log.bucket.clone(), prefix: log.prefix.clone() }
}
