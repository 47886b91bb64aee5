//! Which resources the input of each operation names, which roles it hands on, and what is free.
//!
//! What is not here asks for `*`, which a policy on single resources does not allow. Source: "Actions, resources, and condition keys" of
//! the service authorization reference.

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
pub const PASSED: &[(&str, &str, &[&str], &str)] = &[
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
pub const FREE: &[(&str, &str)] = &[
    ("sts", "GetCallerIdentity"),
    ("sts", "GetSessionToken"),
    ("sts", "AssumeRole"),
    ("sts", "AssumeRoleWithWebIdentity"),
];

/// What the operation is on, where the table says it.
pub fn templates(service: &str, operation: &str) -> Option<&'static [&'static str]> {
    let names = |operations: &str| operations.split_ascii_whitespace().any(|name| name == operation);
    let found = RESOURCES.iter().find(|(of, operations, _)| *of == service && names(operations));
    found.map(|(_, _, templates)| *templates)
}
