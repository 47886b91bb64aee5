//! Which resources an event names, read from its parameters: what `LookupEvents` finds by type and name.

use serde_json::Value;

/// Source, member of the parameters or of the answer, type of the resource.
const NAMED: &[(&str, &str, &str)] = &[
    ("ecs", "clusterName", "AWS::ECS::Cluster"),
    ("ecs", "cluster", "AWS::ECS::Cluster"),
    ("ecs", "taskDefinition", "AWS::ECS::TaskDefinition"),
    ("ecs", "family", "AWS::ECS::TaskDefinition"),
    ("ecs", "serviceName", "AWS::ECS::Service"),
    ("ecs", "service", "AWS::ECS::Service"),
    ("ecs", "services", "AWS::ECS::Service"),
    ("ecs", "task", "AWS::ECS::Task"),
    ("ecs", "tasks", "AWS::ECS::Task"),
    ("ecr", "repositoryName", "AWS::ECR::Repository"),
    ("ecr", "repositoryNames", "AWS::ECR::Repository"),
    ("iam", "userName", "AWS::IAM::User"),
    ("iam", "roleName", "AWS::IAM::Role"),
    ("iam", "groupName", "AWS::IAM::Group"),
    ("iam", "policyName", "AWS::IAM::Policy"),
    ("iam", "policyArn", "AWS::IAM::Policy"),
    ("iam", "accessKeyId", "AWS::IAM::AccessKey"),
    ("iam", "instanceProfileName", "AWS::IAM::InstanceProfile"),
    ("sts", "roleArn", "AWS::IAM::Role"),
    ("ec2", "vpcId", "AWS::EC2::VPC"),
    ("ec2", "subnetId", "AWS::EC2::Subnet"),
    ("ec2", "groupId", "AWS::EC2::SecurityGroup"),
    ("ec2", "networkInterfaceId", "AWS::EC2::NetworkInterface"),
    ("elasticloadbalancing", "loadBalancerArn", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    ("elasticloadbalancing", "targetGroupArn", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ("elasticloadbalancing", "listenerArn", "AWS::ElasticLoadBalancingV2::Listener"),
    ("elasticloadbalancing", "loadBalancerName", "AWS::ElasticLoadBalancing::LoadBalancer"),
    ("logs", "logGroupName", "AWS::Logs::LogGroup"),
    ("acm", "certificateArn", "AWS::ACM::Certificate"),
    ("secretsmanager", "secretId", "AWS::SecretsManager::Secret"),
    ("secretsmanager", "aRN", "AWS::SecretsManager::Secret"),
    ("ssm", "name", "AWS::SSM::Parameter"),
    ("kms", "keyId", "AWS::KMS::Key"),
    ("kms", "aliasName", "AWS::KMS::Alias"),
    ("s3", "bucket", "AWS::S3::Bucket"),
];

/// Pairs of type and name, in the order of the table, each once.
pub fn of(record: &Value) -> Vec<(String, String)> {
    let source =
        record["eventSource"].as_str().and_then(|source| source.split('.').next()).unwrap_or_default();
    let mut found: Vec<(String, String)> = Vec::new();
    for (_, member, kind) in NAMED.iter().filter(|(of, ..)| *of == source) {
        for part in ["requestParameters", "responseElements"] {
            let names = match &record[part][*member] {
                Value::String(name) => vec![name.as_str()],
                Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            for name in names {
                let pair = ((*kind).to_owned(), name.to_owned());
                if !found.contains(&pair) {
                    found.push(pair);
                }
            }
        }
    }
    found
}
