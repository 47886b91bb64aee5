//! What is told under which path. Source: "Instance metadata categories" and "Instance identity documents" of the EC2 user guide.

use agent_protocol::InstanceRole;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::Timestamp;

use super::InstanceIdentity;

/// The document at a path below `/latest/`; none where there is none. A directory lists what is in it, directories with a slash.
pub(super) fn at(path: &str, identity: &InstanceIdentity, role: Option<&InstanceRole>) -> Option<String> {
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let address = identity.private_address.map(|address| address.to_string());
    let name = address
        .as_ref()
        .map(|address| format!("ip-{}.{}.compute.internal", address.replace('.', "-"), identity.region));
    let zone = &identity.availability_zone;
    let listing = |entries: &[&str]| Some(entries.join("\n"));
    match words.as_slice() {
        [] => listing(&["dynamic", "meta-data"]),
        ["dynamic"] => listing(&["instance-identity/"]),
        ["dynamic", "instance-identity"] => listing(&["document"]),
        ["dynamic", "instance-identity", "document"] => Some(document(identity)),
        ["meta-data"] => {
            let mut entries = Vec::new();
            if name.is_some() {
                entries.push("hostname");
            }
            if role.is_some() {
                entries.push("iam/");
            }
            entries.extend(["instance-id", "instance-life-cycle"]);
            if address.is_some() {
                entries.extend(["local-hostname", "local-ipv4"]);
            }
            entries.extend(["placement/", "services/"]);
            listing(&entries)
        }
        ["meta-data", "instance-id"] => Some(identity.instance_id.clone()),
        ["meta-data", "instance-life-cycle"] => Some("on-demand".to_owned()),
        ["meta-data", "hostname" | "local-hostname"] => name,
        ["meta-data", "local-ipv4"] => address,
        ["meta-data", "placement"] => listing(&["availability-zone", "region"]),
        ["meta-data", "placement", "availability-zone"] => Some(zone.clone()),
        ["meta-data", "placement", "region"] => Some(identity.region.clone()),
        ["meta-data", "services"] => listing(&["domain", "partition"]),
        ["meta-data", "services", "domain"] => Some("amazonaws.com".to_owned()),
        ["meta-data", "services", "partition"] => Some("aws".to_owned()),
        ["meta-data", "iam"] => role.and_then(|_| listing(&["info", "security-credentials/"])),
        ["meta-data", "iam", "info"] => role.map(info),
        ["meta-data", "iam", "security-credentials"] => role.map(|role| role.role_name.clone()),
        ["meta-data", "iam", "security-credentials", name] => {
            role.filter(|role| role.role_name == *name).map(credentials)
        }
        _ => None,
    }
}

fn document(identity: &InstanceIdentity) -> String {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let document = json!({
        "accountId": identity.account,
        "architecture": architecture,
        "availabilityZone": identity.availability_zone,
        "instanceId": identity.instance_id,
        "privateIp": identity.private_address.map(|address| address.to_string()),
        "region": identity.region,
        "version": "2017-09-30",
    });
    format!("{document:#}")
}

fn info(role: &InstanceRole) -> String {
    let info = json!({
        "Code": "Success",
        "LastUpdated": time(role.issued_at),
        "InstanceProfileArn": role.profile_arn,
        "InstanceProfileId": role.profile_id,
    });
    format!("{info:#}")
}

fn credentials(role: &InstanceRole) -> String {
    let credentials = json!({
        "Code": "Success",
        "LastUpdated": time(role.issued_at),
        "Type": "AWS-HMAC",
        "AccessKeyId": role.access_key_id,
        "SecretAccessKey": role.secret_access_key.expose(),
        "Token": role.session_token.expose(),
        "Expiration": time(role.expires_at),
    });
    format!("{credentials:#}")
}

/// Whole seconds, as SDKs read them.
fn time(time: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp(time.as_millis().div_euclid(1000));
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}
