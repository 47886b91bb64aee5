//! Rules of groups: what is refused and how, and their descriptions.

use aws_shapes_ec2 as api;

use super::{Fixture, refused, refused_as, text};

fn permission(port: i32, cidrs: &[(&str, Option<&str>)]) -> Option<Vec<api::IpPermission>> {
    let ranges = cidrs.iter().map(|(cidr, description)| api::IpRange {
        cidr_ip: text(cidr),
        description: description.map(str::to_owned),
    });
    Some(vec![api::IpPermission {
        ip_protocol: text("tcp"),
        from_port: Some(port),
        to_port: Some(port),
        ip_ranges: Some(ranges.collect()),
        ..Default::default()
    }])
}

async fn group(fixture: &Fixture) -> String {
    let input = api::CreateSecurityGroupRequest {
        group_name: text("web"),
        description: text("web"),
        ..Default::default()
    };
    fixture.call::<api::CreateSecurityGroup>(input).await.unwrap().group_id.unwrap()
}

async fn rules(fixture: &Fixture, group: &str) -> Vec<api::SecurityGroupRule> {
    let input = api::DescribeSecurityGroupRulesRequest {
        filters: super::filter("group-id", group),
        ..Default::default()
    };
    fixture.call::<api::DescribeSecurityGroupRules>(input).await.unwrap().security_group_rules.unwrap()
}

#[tokio::test]
async fn rules_are_refused_as_documented() {
    let fixture = Fixture::new().await;
    let group = group(&fixture).await;
    let authorize = |id: &str, permissions| {
        fixture.call::<api::AuthorizeSecurityGroupIngress>(api::AuthorizeSecurityGroupIngressRequest {
            group_id: text(id),
            ip_permissions: permissions,
            ..Default::default()
        })
    };
    refused(
        authorize("sg-123abc", None).await,
        "InvalidGroup.NotFound",
        "The security group 'sg-123abc' does not exist",
    );
    let twice = permission(80, &[("10.0.0.0/8", None), ("10.1.0.0/8", None)]);
    refused(
        authorize(&group, twice).await,
        "InvalidParameterValue",
        "The same permission must not appear multiple times",
    );
    authorize(&group, permission(80, &[("10.0.0.0/8", None)])).await.unwrap();
    refused(
        authorize(&group, permission(80, &[("10.0.0.0/8", None)])).await,
        "InvalidPermission.Duplicate",
        "the specified rule \"peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW\" already exists",
    );
    let many: Vec<String> = (0..60).map(|index| format!("10.0.{index}.0/24")).collect();
    let many: Vec<(&str, Option<&str>)> = many.iter().map(|cidr| (cidr.as_str(), None)).collect();
    refused_as(authorize(&group, permission(81, &many)).await, "RulesPerSecurityGroupLimitExceeded");
    authorize(&group, permission(81, &many[..59])).await.unwrap();
    refused_as(authorize(&group, permission(82, &many[..1])).await, "RulesPerSecurityGroupLimitExceeded");
    let open = permission(81, &[]).map(|mut permissions| {
        permissions[0].to_port = None;
        permissions
    });
    refused(
        authorize(&group, open).await,
        "InvalidParameterValue",
        "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
    );
    assert_eq!(rules(&fixture, &group).await.len(), 61, "and the one outward");
    let input = api::DescribeSecurityGroupRulesRequest {
        filters: super::filter("group-id", "foobar"),
        ..Default::default()
    };
    refused(
        fixture.call::<api::DescribeSecurityGroupRules>(input).await,
        "InvalidGroupId.Malformed",
        "The security group ID 'foobar' is malformed",
    );
}

#[tokio::test]
async fn descriptions_change_by_rule_and_by_id() {
    let fixture = Fixture::new().await;
    let group = group(&fixture).await;
    let input = api::AuthorizeSecurityGroupIngressRequest {
        group_id: text(&group),
        ip_permissions: permission(80, &[("10.0.0.0/8", Some("one")), ("11.0.0.0/8", Some("two"))]),
        ..Default::default()
    };
    fixture.call::<api::AuthorizeSecurityGroupIngress>(input).await.unwrap();
    let descriptions = async || {
        let all = rules(&fixture, &group).await;
        let ingress = all.into_iter().filter(|rule| rule.is_egress == Some(false));
        ingress.map(|rule| rule.description.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(descriptions().await, ["one", "two"], "in the order in which they were made");
    let update = |permissions, descriptions| {
        fixture.call::<api::UpdateSecurityGroupRuleDescriptionsIngress>(
            api::UpdateSecurityGroupRuleDescriptionsIngressRequest {
                group_id: text(&group),
                ip_permissions: permissions,
                security_group_rule_descriptions: descriptions,
                ..Default::default()
            },
        )
    };
    update(permission(80, &[("11.0.0.0/8", Some("three"))]), None).await.unwrap();
    assert_eq!(descriptions().await, ["one", "three"]);
    let all = rules(&fixture, &group).await;
    let one = all.iter().find(|rule| rule.description.as_deref() == Some("one")).unwrap();
    let by_id = api::SecurityGroupRuleDescription {
        security_group_rule_id: one.security_group_rule_id.clone(),
        description: None,
    };
    update(None, Some(vec![by_id])).await.unwrap();
    assert_eq!(descriptions().await, ["", "three"]);
    refused_as(update(permission(443, &[("11.0.0.0/8", None)]), None).await, "InvalidPermission.NotFound");
    refused_as(update(None, None).await, "MissingParameter");
    refused_as(update(permission(80, &[("11.0.0.0/8", Some("tab\t"))]), None).await, "InvalidParameterValue");
}

#[tokio::test]
async fn a_rule_is_modified_to_exactly_one_peer() {
    let fixture = Fixture::new().await;
    let group = group(&fixture).await;
    let all = rules(&fixture, &group).await;
    let id = all[0].security_group_rule_id.clone();
    let modify = |rule: api::SecurityGroupRuleRequest| {
        fixture.call::<api::ModifySecurityGroupRules>(api::ModifySecurityGroupRulesRequest {
            group_id: text(&group),
            security_group_rules: Some(vec![api::SecurityGroupRuleUpdate {
                security_group_rule_id: id.clone(),
                security_group_rule: Some(rule),
            }]),
            ..Default::default()
        })
    };
    let all_of =
        |protocol: Option<&str>, cidrs: (Option<&str>, Option<&str>)| api::SecurityGroupRuleRequest {
            ip_protocol: protocol.map(str::to_owned),
            cidr_ipv4: cidrs.0.map(str::to_owned),
            cidr_ipv6: cidrs.1.map(str::to_owned),
            ..Default::default()
        };
    refused(
        modify(all_of(None, (Some("10.0.0.0/8"), None))).await,
        "InvalidParameterValue",
        "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
    );
    refused_as(modify(all_of(Some("-1"), (None, None))).await, "MissingParameter");
    let both = all_of(Some("-1"), (Some("10.0.0.0/8"), Some("2001:db8::/32")));
    refused_as(modify(both).await, "InvalidParameterCombination");
    modify(all_of(Some("-1"), (Some("10.0.0.0/8"), None))).await.unwrap();
    let all = rules(&fixture, &group).await;
    assert_eq!(all[0].cidr_ipv4.as_deref(), Some("10.0.0.0/8"));
}
