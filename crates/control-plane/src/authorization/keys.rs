//! The condition keys that services have for their own operations, from the operation's input. Source: "Condition keys" of each service
//! in the service authorization reference.

use aws_schema::{Kind, OperationTable, Value};
use vocabulary::Scope;

use super::input::{member, scalars};

/// How a key's value is made of what the input says.
#[derive(Clone, Copy)]
enum As {
    /// As it is given.
    Given,
    /// The ARN of a resource of ECS of this kind; a name is completed.
    Arn(&'static str),
}

/// Key, the member that it comes from (`a.b` reaches into structures, and into each of a list of them), and how. A key of one service is
/// set for every operation that has the member.
const KEYS: &[(&str, &str, &str, As)] = &[
    ("ecs", "ecs:cluster", "cluster", As::Arn("cluster")),
    ("ecs", "ecs:cluster", "service.cluster", As::Arn("cluster")),
    ("ecs", "ecs:task-definition", "taskDefinition", As::Arn("task-definition")),
    ("ecs", "ecs:service", "service", As::Arn("service/{cluster}")),
    ("ecs", "ecs:container-instances", "containerInstances", As::Arn("container-instance/{cluster}")),
    ("ecs", "ecs:container-instances", "containerInstance", As::Arn("container-instance/{cluster}")),
    ("ecs", "ecs:container-name", "container", As::Given),
    ("ecs", "ecs:enable-execute-command", "enableExecuteCommand", As::Given),
    ("ecs", "ecs:enable-service-connect", "serviceConnectConfiguration.enabled", As::Given),
    ("ecs", "ecs:namespace", "serviceConnectConfiguration.namespace", As::Given),
    ("ecs", "ecs:namespace", "serviceConnectDefaults.namespace", As::Given),
    ("ecs", "ecs:capacity-provider", "capacityProvider", As::Arn("capacity-provider")),
    (
        "ecs",
        "ecs:capacity-provider",
        "capacityProviderStrategy.capacityProvider",
        As::Arn("capacity-provider"),
    ),
    ("ecs", "ecs:propagate-tags", "propagateTags", As::Given),
    (
        "ecs",
        "ecs:auto-assign-public-ip",
        "networkConfiguration.awsvpcConfiguration.assignPublicIp",
        As::Given,
    ),
    ("ecs", "ecs:subnet", "networkConfiguration.awsvpcConfiguration.subnets", As::Given),
    ("ecs", "ecs:compute-compatibility", "requiresCompatibilities", As::Given),
    ("ecs", "ecs:privileged", "containerDefinitions.privileged", As::Given),
    ("ecs", "ecs:task-cpu", "cpu", As::Given),
    ("ecs", "ecs:task-memory", "memory", As::Given),
    (
        "ecs",
        "ecs:fargate-ephemeral-storage-kms-key",
        "configuration.managedStorageConfiguration.fargateEphemeralStorageKmsKeyId",
        As::Given,
    ),
    ("iam", "iam:PolicyARN", "PolicyArn", As::Given),
    ("iam", "iam:PermissionsBoundary", "PermissionsBoundary", As::Given),
    ("iam", "iam:AWSServiceName", "AWSServiceName", As::Given),
    ("cloudwatch", "cloudwatch:namespace", "Namespace", As::Given),
    ("secretsmanager", "secretsmanager:VersionId", "VersionId", As::Given),
    ("secretsmanager", "secretsmanager:VersionStage", "VersionStage", As::Given),
    ("secretsmanager", "secretsmanager:Name", "Name", As::Given),
    ("secretsmanager", "secretsmanager:Description", "Description", As::Given),
    ("secretsmanager", "secretsmanager:KmsKeyId", "KmsKeyId", As::Given),
    ("secretsmanager", "secretsmanager:ForceDeleteWithoutRecovery", "ForceDeleteWithoutRecovery", As::Given),
    ("secretsmanager", "secretsmanager:RecoveryWindowInDays", "RecoveryWindowInDays", As::Given),
    ("secretsmanager", "secretsmanager:BlockPublicPolicy", "BlockPublicPolicy", As::Given),
    ("secretsmanager", "secretsmanager:RotationLambdaARN", "RotationLambdaARN", As::Given),
    ("kms", "kms:EncryptionAlgorithm", "EncryptionAlgorithm", As::Given),
    ("kms", "kms:GranteePrincipal", "GranteePrincipal", As::Given),
    ("kms", "kms:RetiringPrincipal", "RetiringPrincipal", As::Given),
    ("kms", "kms:GrantOperations", "Operations", As::Given),
    ("kms", "kms:BypassPolicyLockoutSafetyCheck", "BypassPolicyLockoutSafetyCheck", As::Given),
    ("kms", "kms:ScheduleKeyDeletionPendingWindowInDays", "PendingWindowInDays", As::Given),
    ("kms", "kms:DataKeyPairSpec", "KeyPairSpec", As::Given),
    ("ssm", "ssm:Overwrite", "Overwrite", As::Given),
    ("ssm", "ssm:Recursive", "Recursive", As::Given),
    ("ssm", "ssm:Policies", "Policies", As::Given),
    ("s3", "s3:prefix", "Prefix", As::Given),
    ("s3", "s3:delimiter", "Delimiter", As::Given),
    ("s3", "s3:max-keys", "MaxKeys", As::Given),
    ("s3", "s3:VersionId", "VersionId", As::Given),
    ("s3", "s3:x-amz-acl", "ACL", As::Given),
    ("s3", "s3:x-amz-server-side-encryption", "ServerSideEncryption", As::Given),
    ("s3", "s3:x-amz-server-side-encryption-aws-kms-key-id", "SSEKMSKeyId", As::Given),
    ("s3", "s3:x-amz-storage-class", "StorageClass", As::Given),
    ("s3", "s3:x-amz-copy-source", "CopySource", As::Given),
    ("elbv2", "elasticloadbalancing:Scheme", "Scheme", As::Given),
    ("elbv2", "elasticloadbalancing:ListenerProtocol", "Protocol", As::Given),
    ("elbv2", "elasticloadbalancing:Subnet", "Subnets", As::Given),
    ("elbv2", "elasticloadbalancing:SecurityGroup", "SecurityGroups", As::Given),
    ("ec2", "ec2:Vpc", "VpcId", As::Given),
    ("ec2", "ec2:Subnet", "SubnetId", As::Given),
];

/// Every key that the input sets, with its values.
pub fn of(
    scope: &Scope,
    service: &str,
    operation: &OperationTable,
    given: &Value,
) -> Vec<(String, Vec<String>)> {
    let table = operation.input;
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    for (_, key, path, how) in KEYS.iter().filter(|(of, ..)| *of == service) {
        let mut values = scalars(table, given, path);
        if values.is_empty() || keys.iter().any(|(known, _)| known == key) {
            continue;
        }
        if let As::Arn(kind) = how {
            let cluster = scalars(table, given, "cluster");
            let cluster = cluster.first().map_or("default", |name| name.rsplit('/').next().unwrap_or(name));
            let kind = kind.replace("{cluster}", cluster);
            for value in &mut values {
                if !value.starts_with("arn:") {
                    *value = scope.arn("ecs", format_args!("{kind}/{value}")).to_string();
                }
            }
        }
        keys.push(((*key).to_owned(), values));
    }
    if service == "ecs" && operation.name.ends_with("AccountSetting") {
        keys.push(("ecs:account-setting".to_owned(), scalars(table, given, "name")));
    }
    if service == "kms" {
        encryption_context(table, given, &mut keys);
    }
    keys
}

/// `kms:EncryptionContext:NAME`, and all their names.
fn encryption_context(
    table: &aws_schema::StructureTable,
    given: &Value,
    keys: &mut Vec<(String, Vec<String>)>,
) {
    let Some((Kind::Map(_), Value::Map(pairs))) = member(table, given, "EncryptionContext") else { return };
    for (name, value) in pairs {
        if let Value::String(text) = value {
            keys.push((format!("kms:EncryptionContext:{name}"), vec![text.clone()]));
        }
    }
    let names = pairs.iter().map(|(name, _)| name.clone()).collect();
    keys.push(("kms:EncryptionContextKeys".to_owned(), names));
}
