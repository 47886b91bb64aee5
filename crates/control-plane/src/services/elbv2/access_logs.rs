//! Access logs of load balancers and connection logs of application ones: whether their bucket takes them, and the files that go into it.
//! Those of network load balancers are about TLS listeners alone, as on AWS.
//!
//! Source of names and permissions: the guides' pages on access logs and connection logs. The bucket's policy has to allow it to the
//! service that delivers logs, or, as in older policies, to the region's account of Elastic Load Balancing; that is tried with a
//! file when the attribute is set, as AWS does.

use std::io::Write;

use agent_protocol::LogKind;
use aws_shapes_s3 as s3;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use policy::Principal;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use vocabulary::{AccountId, Ids, Scope, Timestamp};

use super::{
    attributes,
    errors::invalid_configuration,
    records::{Attributes, LoadBalancer, LoadBalancerKind, Node},
};
use crate::{
    authorization::{self, Holder, Wish},
    gateway::ApiError,
    services::{
        Services,
        ec2::records::NetworkInterface,
        s3::{names::object_arn, write_for_the_platform},
    },
};

const DELIVERY: &str = "logdelivery.elasticloadbalancing.amazonaws.com";
/// Who delivers the logs of network load balancers.
const NETWORK_DELIVERY: &str = "delivery.logs.amazonaws.com";

/// The accounts of Elastic Load Balancing that policies written before the service's name name.
const ACCOUNTS: &[(&str, &str)] = &[
    ("us-east-1", "127311923021"),
    ("us-east-2", "033677994240"),
    ("us-west-1", "027434742980"),
    ("us-west-2", "797873946194"),
    ("af-south-1", "098369216593"),
    ("ap-east-1", "754344448648"),
    ("ap-northeast-1", "582318560864"),
    ("ap-northeast-2", "600734575887"),
    ("ap-northeast-3", "383597477331"),
    ("ap-south-1", "718504428378"),
    ("ap-southeast-1", "114774131450"),
    ("ap-southeast-2", "783225319266"),
    ("ap-southeast-3", "589379963580"),
    ("ca-central-1", "985666609251"),
    ("eu-central-1", "054676820928"),
    ("eu-north-1", "897822967062"),
    ("eu-south-1", "635631232127"),
    ("eu-west-1", "156460612806"),
    ("eu-west-2", "652711504416"),
    ("eu-west-3", "009996457667"),
    ("me-south-1", "076674570225"),
    ("sa-east-1", "507241528517"),
];

/// Where a load balancer's access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub bucket: String,
    pub prefix: String,
}

/// A load balancer as its log names it.
pub struct Subject<'a> {
    pub scope: &'a Scope,
    pub name: &'a str,
    /// In names of files.
    pub id: String,
    pub nodes: &'a [Node],
    /// `aws:SourceArn` of what is put.
    pub source: String,
    pub kind: SubjectKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    Application,
    Network,
    /// Its files are not packed.
    Classic,
}

impl<'a> Subject<'a> {
    pub fn of(scope: &'a Scope, balancer: &'a LoadBalancer) -> Subject<'a> {
        let arn = balancer.arn(scope);
        Subject {
            scope,
            name: &balancer.name,
            id: resource_id(&arn),
            nodes: &balancer.nodes,
            source: match balancer.kind {
                LoadBalancerKind::Application => arn,
                LoadBalancerKind::Network => {
                    scope.arn("logs", format_args!("{}", balancer.key())).to_string()
                }
            },
            kind: match balancer.kind {
                LoadBalancerKind::Application => SubjectKind::Application,
                LoadBalancerKind::Network => SubjectKind::Network,
            },
        }
    }
}

/// Where it goes, when it is switched on.
pub fn place(balancer: &LoadBalancer, own: &Attributes, kind: LogKind) -> Option<Place> {
    let table = attributes::of_load_balancer(balancer.kind);
    let log = match kind {
        LogKind::Access => "access_logs",
        LogKind::Connection => "connection_logs",
    };
    let text = |part: &str| attributes::get(&table, own, &format!("{log}.s3.{part}")).to_owned();
    (text("enabled") == "true").then(|| Place { bucket: text("bucket"), prefix: text("prefix") })
}

/// Whether the bucket takes the log: a file is put there to see.
///
/// # Errors
/// `InvalidConfigurationRequest`.
pub async fn check(
    services: &Services,
    subject: &Subject<'_>,
    place: &Place,
    kind: LogKind,
) -> Result<(), ApiError> {
    let (log, file) = match kind {
        LogKind::Access => ("access_logs", "ELBAccessLogTestFile"),
        LogKind::Connection => ("connection_logs", "ELBConnectionLogTestFile"),
    };
    if place.bucket.is_empty() {
        return Err(invalid_configuration(format!("The value of '{log}.s3.bucket' cannot be empty")));
    }
    if place.prefix.contains("AWSLogs") || place.prefix.starts_with('/') || place.prefix.ends_with('/') {
        return Err(invalid_configuration(match subject.kind {
            SubjectKind::Classic => format!("The S3 bucket prefix '{}' is not valid", place.prefix),
            _ => format!("The value of '{log}.s3.prefix' is not valid"),
        }));
    }
    let key = format!("{}/{file}", folder(subject.scope, place));
    let now = services.now();
    let content = format!("Enable AccessLog for ELB: {} at {}", subject.name, basic(now, MINUTE));
    let put = put(services, subject, place, &key, "text/plain", content.into(), now).await;
    put.map_err(|error| match error.status {
        500.. => error,
        _ => invalid_configuration(format!(
            "Access Denied for bucket: {}. Please check S3bucket permission",
            place.bucket
        )),
    })
}

/// Makes a file of lines and puts it into the load balancer's bucket. Lines of one that no longer has a log are passed over.
///
/// # Errors
/// Those of PutObject.
pub async fn deliver(
    services: &Services,
    scope: &Scope,
    balancer: &LoadBalancer,
    kind: LogKind,
    lines: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(place) = place(balancer, &balancer.attributes, kind) else { return Ok(()) };
    deliver_to(services, &Subject::of(scope, balancer), &place, kind, lines, now).await
}

/// The same, to a known place.
///
/// # Errors
/// Those of PutObject.
pub async fn deliver_to(
    services: &Services,
    subject: &Subject<'_>,
    place: &Place,
    kind: LogKind,
    lines: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let scope = subject.scope;
    let node = subject
        .nodes
        .first()
        .and_then(|node| services.state.read(|view| view.get::<NetworkInterface>(scope, &node.interface_id)));
    let address = node.map_or_else(|| "0.0.0.0".to_owned(), |node| node.private_address.to_string());
    let mut random = [0; 8];
    services.ids().fill(&mut random);
    let first = match kind {
        LogKind::Access => "",
        LogKind::Connection => "conn_log.",
    };
    // Names of a network load balancer's files have no address.
    let address = match subject.kind {
        SubjectKind::Application | SubjectKind::Classic => format!("{address}_"),
        SubjectKind::Network => String::new(),
    };
    let packs = subject.kind != SubjectKind::Classic;
    let key = format!(
        "{}/elasticloadbalancing/{}/{}/{first}{}_elasticloadbalancing_{}_{}_{}_{address}{}.log{}",
        folder(scope, place),
        scope.region,
        basic(now, DAY),
        scope.account,
        scope.region,
        subject.id,
        basic(now, MINUTE),
        word(&random),
        if packs { ".gz" } else { "" },
    );
    if !packs {
        return put(services, subject, place, &key, "text/plain", lines.into(), now).await;
    }
    let packed = tokio::task::spawn_blocking(move || {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(lines.as_bytes())?;
        packer.finish()
    });
    let packed = packed.await.map_err(ApiError::internal)?.map_err(ApiError::internal)?;
    put(services, subject, place, &key, "application/octet-stream", packed.into(), now).await
}

async fn put(
    services: &Services,
    subject: &Subject<'_>,
    place: &Place,
    key: &str,
    content_type: &str,
    content: Bytes,
    now: Timestamp,
) -> Result<(), ApiError> {
    let resource = object_arn(&place.bucket, key);
    let scope = subject.scope;
    let delivery = match subject.kind {
        SubjectKind::Application | SubjectKind::Classic => DELIVERY,
        SubjectKind::Network => NETWORK_DELIVERY,
    };
    let allowed = |principal: Principal, id: &str| {
        let holder = Holder::bare(principal, id);
        let mut context = holder.context(&scope.region, now);
        context.set("aws:SourceAccount", scope.account.as_str());
        context.set("aws:SourceArn", subject.source.as_str());
        context.set("s3:x-amz-acl", "bucket-owner-full-control");
        let wish = Wish::new("s3:PutObject", &resource);
        authorization::authorize_with_resource_policy(services, &holder, &context, s3::SERVICE, &wish)
    };
    let by_name = allowed(Principal::service(delivery), delivery);
    let region = scope.region.as_str();
    let account =
        ACCOUNTS.iter().find(|(name, _)| *name == region).and_then(|(_, id)| id.parse::<AccountId>().ok());
    let account = account.filter(|_| subject.kind != SubjectKind::Network);
    let by_account = account.filter(|_| by_name.is_err()).map(|account| {
        let id = account.to_string();
        allowed(Principal::root(account), &id)
    });
    by_account.unwrap_or(by_name)?;
    write_for_the_platform(services, &place.bucket, key, content_type, content, now).await.map(drop)
}

/// `[PREFIX/]AWSLogs/ACCOUNT`
fn folder(scope: &Scope, place: &Place) -> String {
    match place.prefix.as_str() {
        "" => format!("AWSLogs/{}", scope.account),
        prefix => format!("{prefix}/AWSLogs/{}", scope.account),
    }
}

/// `app.NAME.ID` of `…:loadbalancer/app/NAME/ID`.
fn resource_id(arn: &str) -> String {
    arn.split_once(":loadbalancer/").map_or(arn, |(_, id)| id).replace('/', ".")
}

const DAY: &[BorrowedFormatItem<'static>] = format_description!("[year]/[month]/[day]");
const MINUTE: &[BorrowedFormatItem<'static>] = format_description!("[year][month][day]T[hour][minute]Z");

fn basic(at: Timestamp, format: &[BorrowedFormatItem<'static>]) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000)).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}

/// Random letters and digits, so that two files of one minute do not meet.
fn word(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}
