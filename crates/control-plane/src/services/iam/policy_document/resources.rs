//! The form of `Resource` and `NotResource`: `*`, or an ARN that may have wildcards.

use super::{Malformed, Raw, failed_legacy, malformed};

const PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov"];

const IAM_KINDS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

pub(super) fn check(statements: &[Raw]) -> Result<(), Malformed> {
    statements.iter().filter_map(|statement| statement.resources.as_ref()).try_for_each(|clause| {
        clause
            .members
            .iter()
            .filter(|resource| *resource != "*")
            .try_for_each(|resource| resource_form(resource))
    })
}

fn resource_form(resource: &str) -> Result<(), Malformed> {
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let [prefix, partition, rest @ ..] = parts.as_slice() else {
        return Err(malformed(format!("Resource {resource} must be in ARN format or \"*\".")));
    };
    if *partition != "*" && !PARTITIONS.contains(partition) {
        let part =
            |index: usize| rest.get(index).filter(|part| index > 0 || !part.is_empty() || rest.len() > 1);
        let [service, region, account, name] = [0, 1, 2, 3].map(|index| part(index).copied().unwrap_or("*"));
        return Err(malformed(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{partition}:{service}:{region}:{account}:{name}\"."
        )));
    }
    let (Some(service), region, name) = (rest.first(), rest.get(1).copied(), rest.get(3).copied()) else {
        return Err(malformed("Resource vendor must be fully qualified and cannot contain regexes."));
    };
    if *prefix != "arn" && *prefix != "*" {
        return Err(malformed(format!("Resource {resource} must be in ARN format or \"*\".")));
    }
    if service.is_empty() || (rest.len() < 4 && resource.contains("::")) {
        return Err(failed_legacy());
    }
    match (*service, region, name.unwrap_or_default()) {
        ("iam", Some(region), _) if !region.is_empty() => {
            Err(malformed(format!("IAM resource {resource} cannot contain region information.")))
        }
        ("s3", Some(region), name) if !region.is_empty() && !name.starts_with("accesspoint/") => {
            Err(malformed(format!("Resource {resource} can not contain region information.")))
        }
        ("iam", _, name) if name != "*" && !IAM_KINDS.iter().any(|kind| name.starts_with(kind)) => {
            Err(malformed(format!(
                "IAM resource path must either be \"*\" or start with {}.",
                IAM_KINDS.join(", ")
            )))
        }
        _ => Ok(()),
    }
}
