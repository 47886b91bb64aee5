//! What an operation asks for: actions, and the resources they are on.
//!
//! The table below says for each operation which resources its input names; what is not in it asks for `*`, which a policy on
//! single resources does not allow. Source: "Actions, resources, and condition keys" of the service authorization reference.

use aws_schema::{OperationTable, ServiceTable, Value};
use state_store::View;

use super::{
    input::{self, scalars, texts},
    keys,
};
use crate::{
    gateway::Call,
    services::{
        iam::{
            names,
            records::{Group, InstanceProfile, Role, User},
        },
        kms, s3,
    },
};

/// An action on resources, each of which has to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `ecs:RunTask`
    pub action: String,
    /// ARNs, or `*`.
    pub resources: Vec<String>,
    /// Condition keys that hold for this action alone.
    pub keys: Vec<(String, Vec<String>)>,
}

/// Operations of one service (by the model's folder name) and what they are on.
///
/// A template is what follows `arn:aws:PREFIX:REGION:ACCOUNT:`. `{Member}` stands for the member's text, `{Member|default}` for a default where it is
/// not given; a member that is a list gives a resource for each of its texts. A text that is an ARN already stands for the whole
/// resource when its place is the last, and for its own last part elsewhere. `=Member` is an ARN as it is given.
const RESOURCES: &[(&str, &str, &[&str])] = &[
    ("ecs", "CreateCluster", &["cluster/{clusterName|default}"]),
    (
        "ecs",
        "DeleteCluster UpdateCluster UpdateClusterSettings PutClusterCapacityProviders RegisterContainerInstance SubmitTaskStateChange \
         SubmitContainerStateChange SubmitAttachmentStateChanges ListContainerInstances ListAttributes PutAttributes DeleteAttributes",
        &["cluster/{cluster|default}"],
    ),
    ("ecs", "DescribeClusters", &["cluster/{clusters|default}"]),
    ("ecs", "CreateService", &["service/{cluster|default}/{serviceName}"]),
    (
        "ecs",
        "UpdateService DeleteService ListServiceDeployments UpdateServicePrimaryTaskSet",
        &["service/{cluster|default}/{service}"],
    ),
    ("ecs", "DescribeServices", &["service/{cluster|default}/{services}"]),
    ("ecs", "RunTask StartTask", &["task-definition/{taskDefinition}"]),
    ("ecs", "RegisterTaskDefinition", &["task-definition/{family}:*"]),
    ("ecs", "DeleteTaskDefinitions", &["task-definition/{taskDefinitions}"]),
    ("ecs", "StopTask ExecuteCommand", &["task/{cluster|default}/{task}"]),
    ("ecs", "DescribeTasks GetTaskProtection UpdateTaskProtection", &["task/{cluster|default}/{tasks}"]),
    (
        "ecs",
        "DeregisterContainerInstance UpdateContainerAgent",
        &["container-instance/{cluster|default}/{containerInstance}"],
    ),
    (
        "ecs",
        "DescribeContainerInstances UpdateContainerInstancesState",
        &["container-instance/{cluster|default}/{containerInstances}"],
    ),
    ("ecs", "CreateTaskSet", &["task-set/{cluster|default}/{service}/*"]),
    ("ecs", "DeleteTaskSet UpdateTaskSet", &["task-set/{cluster|default}/{service}/{taskSet}"]),
    ("ecs", "DescribeTaskSets", &["task-set/{cluster|default}/{service}/{taskSets|*}"]),
    ("ecs", "DescribeServiceDeployments", &["=serviceDeploymentArns"]),
    ("ecs", "StopServiceDeployment ContinueServiceDeployment", &["=serviceDeploymentArn"]),
    ("ecs", "DescribeServiceRevisions", &["=serviceRevisionArns"]),
    ("ecs", "CreateCapacityProvider UpdateCapacityProvider", &["capacity-provider/{name}"]),
    ("ecs", "DeleteCapacityProvider", &["capacity-provider/{capacityProvider}"]),
    ("ecs", "CreateDaemon", &["daemon/{clusterArn|default}/{daemonName}"]),
    ("ecs", "UpdateDaemon DeleteDaemon DescribeDaemon ListDaemonDeployments", &["=daemonArn"]),
    ("ecs", "ListDaemons", &["cluster/{clusterArn|default}"]),
    ("ecs", "DescribeDaemonDeployments", &["=daemonDeploymentArns"]),
    ("ecs", "DescribeDaemonRevisions", &["=daemonRevisionArns"]),
    ("ecs", "RegisterDaemonTaskDefinition", &["daemon-task-definition/{family}:*"]),
    (
        "ecs",
        "DescribeDaemonTaskDefinition DeleteDaemonTaskDefinition",
        &["daemon-task-definition/{daemonTaskDefinition}"],
    ),
    ("ecs", "CreateExpressGatewayService", &["service/{cluster|default}/{serviceName|*}"]),
    (
        "ecs",
        "UpdateExpressGatewayService DeleteExpressGatewayService DescribeExpressGatewayService",
        &["=serviceArn"],
    ),
    ("ecs", "CreateGateway", &["gateway/{name}"]),
    ("ecs", "UpdateGateway DeleteGateway DescribeGateway DescribeGatewayResources", &["gateway/{gateway}"]),
    (
        "ecs",
        "AssociateGatewayWithCluster DisassociateGatewayFromCluster",
        &["gateway/{gateway}", "cluster/{cluster}"],
    ),
    ("ecs", "DescribeGatewayRoute", &["=gatewayRouteArn"]),
    ("ecs", "DescribeCapacityProviders", &["capacity-provider/{capacityProviders|*}"]),
    ("ecs", "TagResource UntagResource ListTagsForResource", &["=resourceArn"]),
    (
        "ecr",
        "BatchCheckLayerAvailability BatchDeleteImage BatchGetImage CompleteLayerUpload CreateRepository DeleteLifecyclePolicy DeleteRepository \
         DeleteRepositoryPolicy DescribeImageReplicationStatus DescribeImageScanFindings DescribeImages GetDownloadUrlForLayer GetLifecyclePolicy \
         GetLifecyclePolicyPreview GetRepositoryPolicy InitiateLayerUpload ListImages PutImage PutImageScanningConfiguration PutImageTagMutability \
         PutLifecyclePolicy SetRepositoryPolicy StartImageScan StartLifecyclePolicyPreview UploadLayerPart UpdateImageStorageClass ListImageReferrers",
        &["repository/{repositoryName}"],
    ),
    ("ecr", "DescribeRepositories", &["repository/{repositoryNames|*}"]),
    ("ecr", "BatchGetRepositoryScanningConfiguration", &["repository/{repositoryNames}"]),
    ("ecr", "TagResource UntagResource ListTagsForResource", &["=resourceArn"]),
    (
        "ecr-public",
        "BatchCheckLayerAvailability BatchDeleteImage CompleteLayerUpload CreateRepository DeleteRepository DeleteRepositoryPolicy DescribeImageTags \
         DescribeImages GetRepositoryCatalogData GetRepositoryPolicy InitiateLayerUpload PutImage PutRepositoryCatalogData SetRepositoryPolicy UploadLayerPart",
        &["repository/{repositoryName}"],
    ),
    ("ecr-public", "DescribeRepositories", &["repository/{repositoryNames|*}"]),
    ("ecr-public", "TagResource UntagResource ListTagsForResource", &["=resourceArn"]),
    (
        "logs",
        "CreateLogGroup DeleteLogGroup DescribeLogStreams PutRetentionPolicy DeleteRetentionPolicy TagLogGroup UntagLogGroup ListTagsLogGroup \
         DescribeSubscriptionFilters PutMetricFilter DeleteMetricFilter PutSubscriptionFilter DeleteSubscriptionFilter AssociateKmsKey",
        &["log-group:{logGroupName}:log-stream:"],
    ),
    ("logs", "FilterLogEvents GetLogGroupFields", &["log-group:{logGroupName|}:log-stream:"]),
    ("logs", "DescribeLogGroups DescribeMetricFilters", &["log-group:{logGroupNamePrefix|}:log-stream:"]),
    (
        "logs",
        "CreateLogStream DeleteLogStream PutLogEvents GetLogEvents",
        &["log-group:{logGroupName|}:log-stream:{logStreamName}"],
    ),
    ("logs", "StartLiveTail", &["=logGroupIdentifiers"]),
    ("logs", "TagResource UntagResource ListTagsForResource", &["=resourceArn"]),
    ("elbv2", "CreateLoadBalancer", &["loadbalancer/*/{Name}/*"]),
    ("elbv2", "CreateTargetGroup", &["targetgroup/{Name}/*"]),
    (
        "elbv2",
        "DeleteLoadBalancer ModifyLoadBalancerAttributes SetIpAddressType SetSecurityGroups SetSubnets CreateListener ModifyCapacityReservation",
        &["=LoadBalancerArn"],
    ),
    (
        "elbv2",
        "DeleteListener ModifyListener ModifyListenerAttributes CreateRule AddListenerCertificates RemoveListenerCertificates",
        &["=ListenerArn"],
    ),
    ("elbv2", "DeleteRule ModifyRule", &["=RuleArn"]),
    ("elbv2", "SetRulePriorities", &["=RulePriorities.RuleArn"]),
    (
        "elbv2",
        "DeleteTargetGroup ModifyTargetGroup ModifyTargetGroupAttributes RegisterTargets DeregisterTargets",
        &["=TargetGroupArn"],
    ),
    ("elbv2", "AddTags RemoveTags", &["=ResourceArns"]),
    ("elbv2", "CreateTrustStore", &["truststore/{Name}/*"]),
    (
        "elbv2",
        "AddTrustStoreRevocations DeleteSharedTrustStoreAssociation DeleteTrustStore GetTrustStoreCaCertificatesBundle GetTrustStoreRevocationContent \
         ModifyTrustStore RemoveTrustStoreRevocations",
        &["=TrustStoreArn"],
    ),
    ("elbv2", "GetResourcePolicy", &["=ResourceArn"]),
    ("elbv2", "ModifyIpPools", &["=LoadBalancerArn"]),
    (
        "elb",
        "ApplySecurityGroupsToLoadBalancer AttachLoadBalancerToSubnets ConfigureHealthCheck CreateAppCookieStickinessPolicy CreateLBCookieStickinessPolicy \
         CreateLoadBalancer CreateLoadBalancerListeners CreateLoadBalancerPolicy DeleteLoadBalancer DeleteLoadBalancerListeners DeleteLoadBalancerPolicy \
         DeregisterInstancesFromLoadBalancer DetachLoadBalancerFromSubnets DisableAvailabilityZonesForLoadBalancer EnableAvailabilityZonesForLoadBalancer \
         ModifyLoadBalancerAttributes RegisterInstancesWithLoadBalancer SetLoadBalancerListenerSSLCertificate SetLoadBalancerPoliciesForBackendServer \
         SetLoadBalancerPoliciesOfListener",
        &["loadbalancer/{LoadBalancerName}"],
    ),
    ("elb", "AddTags RemoveTags", &["loadbalancer/{LoadBalancerNames}"]),
    (
        "acm",
        "DescribeCertificate GetCertificate DeleteCertificate AddTagsToCertificate RemoveTagsFromCertificate ListTagsForCertificate RenewCertificate",
        &["=CertificateArn"],
    ),
    ("acm", "TagResource UntagResource ListTagsForResource", &["=ResourceArn"]),
    ("acm", "RequestCertificate", &["certificate/*"]),
    ("acm", "ImportCertificate", &["certificate/{CertificateArn|*}"]),
    (
        "cloudwatch",
        "PutMetricAlarm PutCompositeAlarm SetAlarmState DescribeAlarmHistory",
        &["alarm:{AlarmName|*}"],
    ),
    (
        "cloudwatch",
        "DescribeAlarms DeleteAlarms EnableAlarmActions DisableAlarmActions",
        &["alarm:{AlarmNames|*}"],
    ),
    ("cloudwatch", "TagResource UntagResource ListTagsForResource", &["=ResourceARN"]),
    ("secretsmanager", "CreateSecret", &["secret:{Name}"]),
    (
        "secretsmanager",
        "CancelRotateSecret DeleteResourcePolicy DeleteSecret DescribeSecret GetResourcePolicy GetSecretValue ListSecretVersionIds PutResourcePolicy \
         PutSecretValue RemoveRegionsFromReplication ReplicateSecretToRegions RestoreSecret RotateSecret StopReplicationToReplica TagResource UntagResource \
         UpdateSecret UpdateSecretVersionStage",
        &["secret:{SecretId}"],
    ),
    ("secretsmanager", "ValidateResourcePolicy", &["secret:{SecretId|*}"]),
    (
        "ssm",
        "PutParameter GetParameter GetParameterHistory DeleteParameter LabelParameterVersion UnlabelParameterVersion",
        &["parameter/{Name}"],
    ),
    ("ssm", "GetParameters DeleteParameters", &["parameter/{Names}"]),
    ("ssm", "GetParametersByPath", &["parameter/{Path}"]),
    ("ssm", "AddTagsToResource RemoveTagsFromResource ListTagsForResource", &["parameter/{ResourceId}"]),
    ("ssm", "StartSession", &["document/{DocumentName|SSM-SessionManagerRunShell}"]),
    (
        "ssm",
        "CreateDocument DescribeDocument GetDocument UpdateDocument DeleteDocument",
        &["document/{Name}"],
    ),
    ("ssm", "ResumeSession TerminateSession", &["session/{SessionId}"]),
    (
        "kms",
        "CancelKeyDeletion CreateGrant Decrypt DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation Encrypt GenerateDataKey \
         GenerateDataKeyWithoutPlaintext GenerateMac GetKeyPolicy GetKeyRotationStatus ListGrants ListKeyPolicies ListKeyRotations ListResourceTags \
         PutKeyPolicy RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion TagResource UntagResource UpdateKeyDescription VerifyMac",
        &["key/{KeyId|*}"],
    ),
    ("kms", "CreateAlias UpdateAlias", &["{AliasName}", "key/{TargetKeyId}"]),
    ("kms", "DeleteAlias", &["{AliasName}"]),
    ("iam", USER_OPERATIONS, &["user/{UserName}"]),
    (
        "iam",
        "CreateRole GetRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole TagRole UntagRole ListRoleTags AttachRolePolicy DetachRolePolicy \
         ListAttachedRolePolicies PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy PutRolePermissionsBoundary DeleteRolePermissionsBoundary \
         ListInstanceProfilesForRole DeleteServiceLinkedRole",
        &["role/{RoleName}"],
    ),
    (
        "iam",
        "CreateGroup GetGroup UpdateGroup DeleteGroup AddUserToGroup RemoveUserFromGroup AttachGroupPolicy DetachGroupPolicy ListAttachedGroupPolicies \
         PutGroupPolicy GetGroupPolicy ListGroupPolicies DeleteGroupPolicy",
        &["group/{GroupName}"],
    ),
    ("iam", "CreatePolicy", &["policy/{PolicyName}"]),
    ("iam", "CreateServiceLinkedRole", &["role/aws-service-role/{AWSServiceName}/*"]),
    (
        "iam",
        "GetPolicy DeletePolicy TagPolicy UntagPolicy ListPolicyTags ListEntitiesForPolicy CreatePolicyVersion GetPolicyVersion ListPolicyVersions \
         DeletePolicyVersion SetDefaultPolicyVersion",
        &["=PolicyArn"],
    ),
    (
        "iam",
        "CreateInstanceProfile GetInstanceProfile DeleteInstanceProfile AddRoleToInstanceProfile RemoveRoleFromInstanceProfile TagInstanceProfile \
         UntagInstanceProfile ListInstanceProfileTags",
        &["instance-profile/{InstanceProfileName}"],
    ),
    (
        "iam",
        "GetOpenIDConnectProvider DeleteOpenIDConnectProvider AddClientIDToOpenIDConnectProvider RemoveClientIDFromOpenIDConnectProvider \
         UpdateOpenIDConnectProviderThumbprint TagOpenIDConnectProvider UntagOpenIDConnectProvider ListOpenIDConnectProviderTags",
        &["=OpenIDConnectProviderArn"],
    ),
    ("iam", "SimulatePrincipalPolicy GetContextKeysForPrincipalPolicy", &["=PolicySourceArn"]),
    ("sts", "GetFederationToken", &["federated-user/{Name}"]),
    ("ec2", "CreateSecurityGroup", &["vpc/{VpcId|*}", "security-group/*"]),
    (
        "ec2",
        "DeleteSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress RevokeSecurityGroupEgress \
         ModifySecurityGroupRules UpdateSecurityGroupRuleDescriptionsIngress UpdateSecurityGroupRuleDescriptionsEgress",
        &["security-group/{GroupId|*}"],
    ),
    ("ec2", "CreateVpc", &["vpc/*"]),
    ("ec2", "DeleteVpc ModifyVpcAttribute", &["vpc/{VpcId}"]),
    ("ec2", "CreateSubnet", &["vpc/{VpcId}", "subnet/*"]),
    ("ec2", "DeleteSubnet ModifySubnetAttribute", &["subnet/{SubnetId}"]),
    ("ec2", "CreateNetworkInterface", &["subnet/{SubnetId}", "network-interface/*"]),
    (
        "ec2",
        "DeleteNetworkInterface ModifyNetworkInterfaceAttribute AttachNetworkInterface AssignPrivateIpAddresses UnassignPrivateIpAddresses \
         ResetNetworkInterfaceAttribute",
        &["network-interface/{NetworkInterfaceId}"],
    ),
    ("ec2", "AllocateAddress", &["elastic-ip/*"]),
    ("ec2", "AssociateAddress ReleaseAddress", &["elastic-ip/{AllocationId|*}"]),
    ("ec2", "CreateRouteTable", &["vpc/{VpcId}", "route-table/*"]),
    (
        "ec2",
        "DeleteRouteTable AssociateRouteTable CreateRoute ReplaceRoute DeleteRoute",
        &["route-table/{RouteTableId}"],
    ),
    ("ec2", "CreateInternetGateway", &["internet-gateway/*"]),
    ("ec2", "DeleteInternetGateway", &["internet-gateway/{InternetGatewayId}"]),
    (
        "ec2",
        "AttachInternetGateway DetachInternetGateway",
        &["internet-gateway/{InternetGatewayId}", "vpc/{VpcId}"],
    ),
    ("ec2", "CreateTags DeleteTags", &["*/{Resources}"]),
    ("ec2", "TerminateInstances StartInstances StopInstances RebootInstances", &["instance/{InstanceIds}"]),
];

/// Those that mean the caller when they name nobody.
const USER_OPERATIONS: &str = "CreateUser GetUser UpdateUser DeleteUser TagUser UntagUser ListUserTags ListGroupsForUser CreateAccessKey ListAccessKeys \
    UpdateAccessKey DeleteAccessKey ChangePassword CreateLoginProfile GetLoginProfile UpdateLoginProfile DeleteLoginProfile AttachUserPolicy DetachUserPolicy \
    ListAttachedUserPolicies PutUserPolicy GetUserPolicy ListUserPolicies DeleteUserPolicy PutUserPermissionsBoundary DeleteUserPermissionsBoundary";

/// Roles that are handed to a service with an operation, and the service that gets them.
const PASSED: &[(&str, &str, &[&str], &str)] = &[
    ("ecs", "RegisterTaskDefinition", &["taskRoleArn", "executionRoleArn"], "ecs-tasks.amazonaws.com"),
    ("ecs", "RunTask", &["overrides.taskRoleArn", "overrides.executionRoleArn"], "ecs-tasks.amazonaws.com"),
    ("ecs", "StartTask", &["overrides.taskRoleArn", "overrides.executionRoleArn"], "ecs-tasks.amazonaws.com"),
    ("ecs", "RegisterDaemonTaskDefinition", &["taskRoleArn", "executionRoleArn"], "ecs-tasks.amazonaws.com"),
    ("ecs", "CreateExpressGatewayService", &["taskRoleArn", "executionRoleArn"], "ecs-tasks.amazonaws.com"),
    ("ecs", "CreateExpressGatewayService", &["infrastructureRoleArn"], "ecs.amazonaws.com"),
    ("ecs", "UpdateExpressGatewayService", &["taskRoleArn", "executionRoleArn"], "ecs-tasks.amazonaws.com"),
    ("ecs", "CreateGateway", &["infrastructureRoleArn"], "ecs.amazonaws.com"),
    ("ecs", "UpdateGateway", &["infrastructureRoleArn"], "ecs.amazonaws.com"),
    ("ecs", "CreateService", &["role"], "ecs.amazonaws.com"),
    ("ecs", "CreateService", SERVICE_ROLES, "ecs.amazonaws.com"),
    ("ecs", "UpdateService", SERVICE_ROLES, "ecs.amazonaws.com"),
    ("iam", "AddRoleToInstanceProfile", &["RoleName"], "ec2.amazonaws.com"),
];

/// Roles in which ECS moves traffic and makes volumes.
const SERVICE_ROLES: &[&str] =
    &["loadBalancers.advancedConfiguration.roleArn", "volumeConfigurations.managedEBSVolume.roleArn"];

/// What needs no permission, or is decided by STS with the trust policy at hand.
const FREE: &[(&str, &str)] = &[
    ("sts", "GetCallerIdentity"),
    ("sts", "GetSessionToken"),
    ("sts", "AssumeRole"),
    ("sts", "AssumeRoleWithWebIdentity"),
];

/// Whether the table says what the operation is on.
#[cfg(test)]
pub fn mapped(service: &str, operation: &str) -> bool {
    templates(service, operation).is_some()
        || FREE.contains(&(service, operation))
        || (service == "s3" && s3::asked::knows(operation))
}

fn templates(service: &str, operation: &str) -> Option<&'static [&'static str]> {
    let names = |operations: &str| operations.split_ascii_whitespace().any(|name| name == operation);
    let found = RESOURCES.iter().find(|(of, operations, _)| *of == service && names(operations));
    found.map(|(_, _, templates)| *templates)
}

/// Everything that the operation asks for; nothing when it is free.
pub fn of(
    view: &View,
    call: &Call,
    service: &ServiceTable,
    operation: &OperationTable,
    given: &Value,
) -> Vec<Asked> {
    if FREE.contains(&(service.name, operation.name)) {
        return Vec::new();
    }
    let place = Place { view, call, prefix: prefix(service.name), table: operation, given };
    // Which key is meant may stand in a ciphertext, or behind an alias.
    if service.name == "s3" {
        let asked = s3::asked::asked(operation, given);
        return asked
            .map(|asked| Asked {
                action: asked.action.to_owned(),
                resources: vec![asked.resource],
                keys: asked.keys,
            })
            .into_iter()
            .collect();
    }
    if service.name == "kms" {
        let keys = keys::of(call.scope(), service.name, operation, given);
        let mut asked = kms::asked(view, call, operation, given, &keys);
        let tagging = asked.first().and_then(|first| place.tagging(service.name, first));
        asked.extend(tagging);
        return asked;
    }
    let resources = match templates(service.name, operation.name) {
        None => vec!["*".to_owned()],
        Some(templates) => templates.iter().flat_map(|template| place.resources(template)).collect(),
    };
    let mut asked = vec![Asked {
        action: format!("{}:{}", place.prefix, operation.name),
        resources,
        keys: keys::of(call.scope(), service.name, operation, given),
    }];
    if (service.name, operation.name) == ("ssm", "StartSession") {
        // The document, and the task that the session is in.
        let targets = scalars(operation.input, given, "Target");
        asked[0].resources.extend(targets.iter().filter_map(|target| task_of_target(call, target)));
    }
    for (_, _, members, receiver) in
        PASSED.iter().filter(|(of, name, ..)| *of == service.name && *name == operation.name)
    {
        let roles = members.iter().flat_map(|member| scalars(operation.input, given, member));
        asked.extend(roles.map(|role| Asked {
            action: "iam:PassRole".to_owned(),
            resources: vec![place.own("role", &role)],
            keys: vec![("iam:PassedToService".to_owned(), vec![(*receiver).to_owned()])],
        }));
    }
    asked.extend(place.tagging(service.name, &asked[0]));
    asked
}

/// The task of a session's target, `ecs:CLUSTER_TASK_CONTAINER`.
fn task_of_target(call: &Call, target: &str) -> Option<String> {
    let target = crate::services::ssm::sessions::Target::parse(target)?;
    let task = format_args!("task/{}/{}", target.cluster, target.task_id).to_string();
    Some(call.scope().arn("ecs", task).to_string())
}

/// What a service's actions and ARNs begin with.
fn prefix(service: &'static str) -> &'static str {
    match service {
        "elbv2" | "elb" => "elasticloadbalancing",
        other => other,
    }
}

struct Place<'a> {
    view: &'a View,
    call: &'a Call,
    prefix: &'static str,
    table: &'a OperationTable,
    given: &'a Value,
}

impl Place<'_> {
    fn resources(&self, template: &str) -> Vec<String> {
        if let Some(member) = template.strip_prefix('=') {
            let arns = scalars(self.table.input, self.given, member);
            return if arns.is_empty() { vec!["*".to_owned()] } else { arns };
        }
        if self.prefix == "iam"
            && let Some((kind, member)) = template.strip_suffix('}').and_then(|rest| rest.split_once("/{"))
        {
            let names = texts(self.table.input, self.given, member);
            return match names.first() {
                Some(name) => vec![self.own(kind, name)],
                // The caller means itself.
                None => vec![self.call.principal.arn.clone()],
            };
        }
        let (region, account) = match self.prefix {
            "ecr-public" | "iam" | "sts" => ("", self.account()),
            "s3" => ("", ""),
            _ => (self.call.scope().region.as_str(), self.account()),
        };
        let start = format!("arn:aws:{}:{region}:{account}:", self.prefix);
        let mut made = vec![start];
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, after)) = after.split_once('}') else { break };
            let (member, default) = match place.split_once('|') {
                Some((member, default)) => (member, Some(default)),
                None => (place, None),
            };
            let mut values = texts(self.table.input, self.given, member);
            if values.is_empty() {
                values.push(default.unwrap_or("*"));
            }
            let is_last = !after.contains('{');
            made = made
                .iter()
                .flat_map(|so_far| values.iter().map(move |value| filled(so_far, before, value, is_last)))
                .collect();
            rest = after;
        }
        // A whole ARN needs no ending.
        made.into_iter()
            .map(|one| if rest.is_empty() || one.ends_with('\0') { one } else { one + rest })
            .map(|one| one.trim_end_matches('\0').to_owned())
            .collect()
    }

    /// The permission to tag, which whoever makes something with tags needs as well.
    fn tagging(&self, service: &str, made: &Asked) -> Option<Asked> {
        let name = self.table.name;
        let (action, key) = match (service, name) {
            (
                "ecs",
                "CreateCluster"
                | "CreateService"
                | "CreateTaskSet"
                | "CreateCapacityProvider"
                | "CreateDaemon"
                | "CreateExpressGatewayService"
                | "CreateGateway"
                | "RegisterDaemonTaskDefinition",
            ) => ("ecs:TagResource", Some("ecs:CreateAction")),
            ("ecs", "RegisterTaskDefinition" | "RegisterContainerInstance" | "RunTask" | "StartTask") => {
                ("ecs:TagResource", Some("ecs:CreateAction"))
            }
            ("ecr", "CreateRepository") => ("ecr:TagResource", None),
            ("ecr-public", "CreateRepository") => ("ecr-public:TagResource", None),
            ("logs", "CreateLogGroup") => ("logs:TagResource", None),
            (
                "elbv2",
                "CreateLoadBalancer" | "CreateTargetGroup" | "CreateListener" | "CreateRule"
                | "CreateTrustStore",
            ) => ("elasticloadbalancing:AddTags", Some("elasticloadbalancing:CreateAction")),
            ("elb", "CreateLoadBalancer") => {
                ("elasticloadbalancing:AddTags", Some("elasticloadbalancing:CreateAction"))
            }
            ("acm", "ImportCertificate" | "RequestCertificate") => ("acm:AddTagsToCertificate", None),
            ("secretsmanager", "CreateSecret") => ("secretsmanager:TagResource", None),
            ("kms", "CreateKey") => ("kms:TagResource", None),
            ("ssm", "PutParameter") => ("ssm:AddTagsToResource", None),
            ("iam", "CreateUser") => ("iam:TagUser", None),
            ("iam", "CreateRole") => ("iam:TagRole", None),
            ("iam", "CreatePolicy") => ("iam:TagPolicy", None),
            ("iam", "CreateInstanceProfile") => ("iam:TagInstanceProfile", None),
            ("iam", "CreateOpenIDConnectProvider") => ("iam:TagOpenIDConnectProvider", None),
            ("ec2", name) if name.starts_with("Create") || name == "AllocateAddress" => {
                ("ec2:CreateTags", Some("ec2:CreateAction"))
            }
            _ => return None,
        };
        // CreateTags is there to tag and has been asked for already.
        if name == "CreateTags" || input::tags(self.table.input, self.given).is_empty() {
            return None;
        }
        // What is made by running a definition is tasks.
        let resources = match (service, name) {
            ("ecs", "RunTask" | "StartTask") => self.resources("task/{cluster|default}/*"),
            _ => made.resources.last().cloned().into_iter().collect(),
        };
        let keys = key.map(|key| (key.to_owned(), vec![name.to_owned()])).into_iter().collect();
        Some(Asked { action: action.to_owned(), resources, keys })
    }

    /// The account that the input names, as ECR's operations do, or the caller's.
    fn account(&self) -> &str {
        texts(self.table.input, self.given, "registryId")
            .first()
            .copied()
            .unwrap_or(self.call.scope().account.as_str())
    }

    /// The ARN of something of IAM, with the path that it has.
    fn own(&self, kind: &str, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        let (account, scope) = (&self.call.scope().account, names::of(self.call));
        let key = names::key(name);
        let path = match kind {
            "user" => self.view.get::<User>(&scope, &key).map(|found| found.path.clone()),
            "group" => self.view.get::<Group>(&scope, &key).map(|found| found.path.clone()),
            "role" => self.view.get::<Role>(&scope, &key).map(|found| found.path.clone()),
            "instance-profile" => {
                self.view.get::<InstanceProfile>(&scope, &key).map(|found| found.path.clone())
            }
            _ => None,
        };
        // What is not there yet will be where the input says.
        let path = path
            .or_else(|| texts(self.table.input, self.given, "Path").first().map(|path| (*path).to_owned()));
        names::arn(account, kind, path.as_deref().unwrap_or("/"), name)
    }
}

/// A template's next place filled. A whole ARN in the last place stands for everything, and is marked as ended.
fn filled(so_far: &str, before: &str, value: &str, is_last: bool) -> String {
    // Names of parameters may begin with the slash that the template has as well.
    let plain = value.strip_prefix('/').filter(|_| before.ends_with('/')).unwrap_or(value);
    match (value.starts_with("arn:"), is_last) {
        (true, true) => format!("{value}\0"),
        (true, false) => format!("{so_far}{before}{}", names::last_segment(value)),
        (false, _) => format!("{so_far}{before}{plain}"),
    }
}
