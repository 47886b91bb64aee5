//! Gateways: what is asked of them, the routes that services get, traffic that goes over, and everything that goes again.

mod changed;

use aws_schema::Operation;
use aws_shapes_elbv2 as elbv2;

use super::{
    scheduling::is_stable,
    service::{service, updated},
    *,
};
use crate::{
    gateway::Answer,
    services::{
        acm::records::Certificate,
        ec2::records::SecurityGroup,
        ecs::gateways::{self, records::Route},
        elbv2::records::{Listener, LoadBalancer, TargetGroup},
        iam::testing::service_role,
    },
};

const POLICY: &str = "AmazonECSInfrastructureRoleForGatewayHostSharedALB";
const NOT_FOUND: &str = "GatewayNotFoundException";

impl Fixture {
    async fn on_gateways<O: Operation>(&self, input: O::Input) -> Result<O::Output, ApiError> {
        use aws_schema::Shape;
        let operations = crate::services::operations();
        match operations.answer(ecs::SERVICE, O::TABLE, self.call(), input.into_value()).await? {
            Answer::Value(value) => Ok(O::Output::from_value(value).unwrap()),
            Answer::Events(_) | Answer::Content { .. } => panic!("a value was expected"),
        }
    }

    async fn gateway(&self, input: ecs::CreateGatewayRequest) -> Result<String, ApiError> {
        Ok(self.on_gateways::<ecs::CreateGateway>(input).await?.gateway_arn.unwrap())
    }

    async fn gateway_named(&self, name: &str) -> ecs::Gateway {
        let input = ecs::DescribeGatewayRequest { gateway: text(name) };
        self.on_gateways::<ecs::DescribeGateway>(input).await.unwrap().gateway.unwrap()
    }

    async fn joined(&self, gateway: &str) {
        let input =
            ecs::AssociateGatewayWithClusterRequest { gateway: text(gateway), cluster: text("default") };
        let made = self.on_gateways::<ecs::AssociateGatewayWithCluster>(input).await.unwrap();
        assert_eq!(made.status, Some(ecs::GatewayClusterAssociationStatus::Active));
    }

    async fn parted(&self, gateway: &str) -> Result<(), ApiError> {
        let input =
            ecs::DisassociateGatewayFromClusterRequest { gateway: text(gateway), cluster: text("default") };
        let left = self.on_gateways::<ecs::DisassociateGatewayFromCluster>(input).await?;
        assert_eq!(left.status, Some(ecs::GatewayClusterAssociationStatus::Disassociating));
        Ok(())
    }

    async fn routes(&self) -> Vec<ecs::GatewayRouteSummary> {
        let input = ecs::ListGatewayRoutesRequest::default();
        self.on_gateways::<ecs::ListGatewayRoutes>(input).await.unwrap().gateway_routes.unwrap()
    }

    async fn associations(&self) -> Vec<ecs::GatewayClusterAssociationStatus> {
        let input = ecs::ListGatewayClusterAssociationsRequest::default();
        let listed = self.on_gateways::<ecs::ListGatewayClusterAssociations>(input).await.unwrap();
        listed.gateway_cluster_associations.unwrap().into_iter().filter_map(|one| one.status).collect()
    }

    async fn swept(&self) {
        gateways::sweep(&self.services, self.now()).await.unwrap();
    }

    /// Load balancers, listeners, target groups, certificates, security groups that were made.
    fn stands(&self) -> (usize, usize, usize, usize, usize) {
        self.services.state.read(|view| {
            let groups = view.scan::<SecurityGroup>(&scope());
            (
                view.count_all::<LoadBalancer>(),
                view.count_all::<Listener>(),
                view.count_all::<TargetGroup>(),
                view.count_all::<Certificate>(),
                groups.filter(|(_, group)| group.name.starts_with("ecs-gateway")).count(),
            )
        })
    }
}

fn wanted(fixture: &Fixture, name: &str) -> ecs::CreateGatewayRequest {
    let account = fixture.call().scope().account.clone();
    ecs::CreateGatewayRequest {
        name: text(name),
        infrastructure_role_arn: Some(format!("arn:aws:iam::{account}:role/infrastructure")),
        configuration: Some(ecs::GatewayConfiguration {
            host_shared_alb: Some(ecs::HostSharedAlbConfiguration::default()),
        }),
        ..Default::default()
    }
}

fn alb(input: &mut ecs::CreateGatewayRequest) -> &mut ecs::HostSharedAlbConfiguration {
    input.configuration.as_mut().unwrap().host_shared_alb.as_mut().unwrap()
}

fn connector() -> Vec<ecs::GatewayConnector> {
    vec![ecs::GatewayConnector { port_name: text("http"), ..Default::default() }]
}

fn connected(fixture: &Fixture, name: &str, count: i32) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest { gateway_connectors: Some(connector()), ..service(fixture, name, count) }
}

fn named_port(family: &str) -> ecs::RegisterTaskDefinitionRequest {
    let mut definition = balanced::with_port(family);
    let container = &mut definition.container_definitions.as_mut().unwrap()[0];
    container.port_mappings.as_mut().unwrap()[0].name = text("http");
    definition
}

/// A platform with the infrastructure role, a definition with a named port, and a gateway of the default cluster.
async fn edge(change: impl FnOnce(&mut ecs::CreateGatewayRequest)) -> Fixture {
    let fixture = fixture().await;
    service_role(&fixture, "infrastructure", "ecs.amazonaws.com", &[POLICY]).await;
    fixture.register(named_port("app")).await.unwrap();
    let mut input = wanted(&fixture, "edge");
    change(&mut input);
    fixture.gateway(input).await.unwrap();
    fixture.joined("edge").await;
    fixture
}

#[tokio::test]
async fn a_gateway_is_made_without_anything_behind_it() {
    let fixture = fixture().await;
    let tags = Some(vec![tag("team", "edge")]);
    let make = |change: &dyn Fn(&mut ecs::CreateGatewayRequest)| {
        let mut input = ecs::CreateGatewayRequest { tags: tags.clone(), ..wanted(&fixture, "edge") };
        change(&mut input);
        fixture.gateway(input)
    };
    refused(make(&|input| alb(input).port = Some(80)).await, INVALID, "port 443");
    refused(make(&|input| alb(input).protocol = Some(ecs::GatewayAlbProtocol::Http)).await, INVALID, "HTTPS");
    let acl = |input: &mut ecs::CreateGatewayRequest| alb(input).web_acl_arn = text("arn:aws:wafv2:x");
    refused(make(&acl).await, "UnsupportedFeatureException", "webACLArn");
    let both = |input: &mut ecs::CreateGatewayRequest| {
        alb(input).network_configuration.get_or_insert_default().ip_address_type =
            Some(ecs::GatewayElbIpAddressType::Dualstack);
    };
    refused(make(&both).await, "UnsupportedFeatureException", "ipAddressType");
    refused(make(&|input| alb(input).max_alb_count = Some(0)).await, INVALID, "maxAlbCount");
    refused(make(&|input| input.name = text("no/name")).await, INVALID, "gateway name");
    refused(make(&|input| input.configuration = Some(Default::default())).await, INVALID, "variant");
    let arn = make(&|input| input.client_token = text("once")).await.unwrap();
    assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:gateway/edge");
    assert_eq!(make(&|input| input.client_token = text("once")).await.unwrap(), arn);
    refused(make(&|_| {}).await, INVALID, "already exists");

    let made = fixture.gateway_named(&arn).await;
    assert_eq!(
        (made.status, made.access_type),
        (Some(ecs::GatewayStatus::Active), Some(ecs::AccessType::Public))
    );
    assert_eq!(made.deletion_protection, Some(true));
    assert_eq!(made.propagate_tags, Some(ecs::PropagateGatewayTags::Gateway));
    assert_eq!(made.tags, tags);
    let configuration = made.configuration.unwrap().host_shared_alb.unwrap();
    assert_eq!(
        (configuration.port, configuration.max_alb_count, configuration.current_alb_count),
        (Some(443), Some(10), Some(0))
    );
    assert_eq!(fixture.stands(), (0, 0, 0, 0, 0));

    let delete = || ecs::DeleteGatewayRequest { gateway: text("edge") };
    refused(fixture.on_gateways::<ecs::DeleteGateway>(delete()).await, INVALID, "deletion protection");
    let open = ecs::UpdateGatewayRequest {
        gateway: text("edge"),
        deletion_protection: Some(false),
        ..Default::default()
    };
    let updated = fixture.on_gateways::<ecs::UpdateGateway>(open).await.unwrap();
    assert_eq!(updated.status, Some(ecs::GatewayStatus::UpdateInProgress));
    fixture.joined("edge").await;
    refused(fixture.on_gateways::<ecs::DeleteGateway>(delete()).await, INVALID, "associated with clusters");
    fixture.parted("edge").await.unwrap();
    refused(fixture.parted("edge").await, "ResourceNotFoundException", "not associated");
    let deleted = fixture.on_gateways::<ecs::DeleteGateway>(delete()).await.unwrap();
    assert_eq!(deleted.status, Some(ecs::GatewayStatus::Deleted));
    refused(fixture.on_gateways::<ecs::DeleteGateway>(delete()).await, NOT_FOUND, "not found");
}

#[tokio::test]
async fn a_service_with_a_connector_is_reached_by_its_name() {
    let fixture = edge(|input| input.tags = Some(vec![tag("team", "edge")])).await;
    let health = ecs::GatewayConnectorHealthCheck { health_check_path: text("/up"), ..Default::default() };
    let mut input = connected(&fixture, "web", 2);
    input.gateway_connectors.as_mut().unwrap()[0].health_check = Some(health);
    fixture.create_service(input).await.unwrap();
    let settled = fixture.served(is_stable).await;
    assert_eq!((settled.running_count, fixture.registered()), (Some(2), 2));
    assert_eq!(fixture.stands(), (1, 1, 1, 1, 2));

    let summary = fixture.routes().await.remove(0);
    assert_eq!(summary.status, Some(ecs::GatewayRouteStatus::Active));
    let input = ecs::DescribeGatewayRouteRequest { gateway_route_arn: summary.gateway_route_arn.clone() };
    let route = fixture.on_gateways::<ecs::DescribeGatewayRoute>(input).await.unwrap().gateway_route.unwrap();
    let url = route.service_url.unwrap();
    let host = url.strip_prefix("https://").unwrap().strip_suffix(":4566").unwrap().to_owned();
    assert!(host.starts_with("web-") && host.ends_with(".us-east-1.ecs.localhost"), "{host}");
    let parts = route.resources.unwrap().host_shared_alb.unwrap().remove(0);
    // The listener has a certificate for the name, and a rule for it that leads to the target group.
    let (listener, group) = fixture.services.state.read(|view| {
        let listener = view.scan::<Listener>(&scope()).next().unwrap().1;
        (listener, view.scan::<TargetGroup>(&scope()).next().unwrap().1)
    });
    assert_eq!((listener.port, &listener.certificate), (443, &parts.acm_certificate_arn));
    let rule = listener.rules.values().next().unwrap();
    assert_eq!(parts.listener_rule_arn, Some(listener.rule_arn(&scope(), &rule.id)));
    assert_eq!(listener.target_groups(), [group.arn(&scope())]);
    assert_eq!(group.health_check.path.as_deref(), Some("/up"));
    // The tasks let the load balancer in, and nobody else on its account.
    let task = fixture.tasks_of("web").remove(0);
    let interface = task.interface.as_ref().unwrap().interface_id.clone();
    let groups = fixture.services.state.read(|view| {
        view.get::<ec2::records::NetworkInterface>(&scope(), &interface).unwrap().security_groups.clone()
    });
    assert_eq!(groups.len(), 2, "the default group and the gateway's");
    // What was made has the gateway's tags.
    let balancer = fixture.services.state.read(|view| view.scan::<LoadBalancer>(&scope()).next().unwrap().1);
    assert_eq!(balancer.tags.get("team").map(String::as_str), Some("edge"));
    assert_eq!(balancer.tags.get("AmazonECSManaged").map(String::as_str), Some("true"));
    assert_eq!(balancer.attributes.get("deletion_protection.enabled").map(String::as_str), Some("true"));
    // Names lead to the load balancer.
    let names = fixture.services.state.read(crate::services::elbv2::configuration::names);
    assert!(names.iter().any(|(name, interfaces)| *name == host && !interfaces.is_empty()));
    let table = format!("{:?}", fixture.services.state.read(crate::names::table));
    assert!(table.contains(&host), "the name server knows {host}");
    // The revision shows its connection.
    let revision = settled.current_service_revisions.unwrap()[0].arn.clone().unwrap();
    let input = ecs::DescribeServiceRevisionsRequest { service_revision_arns: Some(vec![revision]) };
    let shown = fixture.on_gateways::<ecs::DescribeServiceRevisions>(input).await.unwrap();
    let shown = shown.service_revisions.unwrap().remove(0);
    let connection = shown.ecs_managed_resources.unwrap().gateway_connections.unwrap().remove(0);
    assert_eq!(
        (connection.service_url, connection.gateway_route_arn),
        (Some(url), summary.gateway_route_arn)
    );
    assert_eq!(shown.gateway_connectors.unwrap()[0].port_name.as_deref(), Some("http"));
    let input = ecs::DescribeGatewayResourcesRequest { gateway: text("edge"), ..Default::default() };
    let listed = fixture.on_gateways::<ecs::DescribeGatewayResources>(input).await.unwrap();
    let listed = listed.gateway_resources.unwrap().resources.unwrap().host_shared_alb.unwrap();
    assert_eq!((listed.len(), listed[0].gateway_route_arns.as_ref().unwrap().len()), (1, 1));

    // A second service shares the load balancer; deleting it leaves the first's.
    fixture.create_service(connected(&fixture, "other", 0)).await.unwrap();
    assert_eq!(fixture.stands(), (1, 1, 2, 1, 3));
    fixture.delete_service("other", true).await.unwrap();
    fixture.look("other").await;
    fixture.swept().await;
    assert_eq!((fixture.stands(), fixture.routes().await.len()), ((1, 1, 1, 1, 2), 1));
}

#[tokio::test]
async fn a_connector_that_is_taken_away_takes_the_route_along() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 1)).await.unwrap();
    fixture.served(is_stable).await;
    fixture.parted("edge").await.unwrap();
    fixture.swept().await;
    assert_eq!(fixture.associations().await, [ecs::GatewayClusterAssociationStatus::Disassociating]);
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    refused(fixture.update_service(again).await, INVALID, "no gateways are associated with cluster default");
    let without = ecs::UpdateServiceRequest { gateway_connectors: Some(vec![]), ..updated("web") };
    fixture.update_service(without).await.unwrap();
    fixture.swept().await;
    assert_eq!(fixture.routes().await.len(), 1, "tasks are behind it still");
    fixture.served(is_stable).await;
    fixture.swept().await;
    assert_eq!((fixture.routes().await.len(), fixture.stands()), (0, (0, 0, 0, 0, 0)));
    assert_eq!(fixture.associations().await, []);
    let service = fixture.service("web").await;
    assert_eq!(service.running_count, Some(1));
}

#[tokio::test]
async fn services_are_refused_where_no_gateway_fits() {
    let fixture = edge(|_| {}).await;
    let create = |change: &dyn Fn(&mut ecs::GatewayConnector)| {
        let mut input = connected(&fixture, "web", 1);
        change(&mut input.gateway_connectors.as_mut().unwrap()[0]);
        fixture.create_service(input)
    };
    refused(create(&|connector| connector.port_name = text("grpc")).await, INVALID, "the name grpc");
    let private = |connector: &mut ecs::GatewayConnector| {
        connector.filters =
            Some(ecs::GatewayConnectorFilters { access_types: Some(vec![ecs::AccessType::Private]) });
    };
    refused(create(&private).await, INVALID, "match the access types");
    // The service is refused when its route is there already: it goes again.
    let mut input = connected(&fixture, "web", 1);
    let network = input.network_configuration.as_mut().unwrap().awsvpc_configuration.as_mut().unwrap();
    network.security_groups = Some(vec!["sg-gone".to_owned()]);
    refused(fixture.create_service(input).await, INVALID, "sg-gone");
    assert_eq!((fixture.routes().await.len(), fixture.stands()), (0, (0, 0, 0, 0, 0)));
    fixture.parted("edge").await.unwrap();
    refused(create(&|_| {}).await, INVALID, "no gateways are associated with cluster default");
}

#[tokio::test]
async fn the_role_has_to_be_there_and_to_allow_each_step() {
    let fixture = fixture().await;
    fixture.register(named_port("app")).await.unwrap();
    fixture.gateway(wanted(&fixture, "edge")).await.unwrap();
    fixture.joined("edge").await;
    let create = || fixture.create_service(connected(&fixture, "web", 1));
    refused(create().await, CLIENT, "unable to assume the infrastructure role");
    service_role(&fixture, "infrastructure", "ecs.amazonaws.com", &[]).await;
    refused(
        create().await,
        "AccessDeniedException",
        "assumed-role/infrastructure/edge is not authorized to perform: ec2:CreateSecurityGroup",
    );
    assert_eq!(fixture.stands(), (0, 0, 0, 0, 0));
    service_role(&fixture, "other", "ecs.amazonaws.com", &[POLICY]).await;
    let account = fixture.call().scope().account.clone();
    let input = ecs::UpdateGatewayRequest {
        gateway: text("edge"),
        infrastructure_role_arn: Some(format!("arn:aws:iam::{account}:role/other")),
        ..Default::default()
    };
    fixture.on_gateways::<ecs::UpdateGateway>(input).await.unwrap();
    create().await.unwrap();
    assert_eq!(fixture.routes().await[0].status, Some(ecs::GatewayRouteStatus::Active));
}

#[tokio::test]
async fn an_update_reaches_the_load_balancers_and_says_what_it_could_not_do() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    let update = |change: &dyn Fn(&mut ecs::UpdateGatewayAlbConfiguration)| {
        let mut alb = ecs::UpdateGatewayAlbConfiguration::default();
        change(&mut alb);
        let input = ecs::UpdateGatewayRequest {
            gateway: text("edge"),
            deletion_protection: Some(false),
            configuration: Some(ecs::UpdateGatewayConfiguration { host_shared_alb: Some(alb) }),
            ..Default::default()
        };
        fixture.on_gateways::<ecs::UpdateGateway>(input)
    };
    update(&|alb| alb.http_desync = Some(ecs::GatewayAlbDesyncMitigationMode::Strictest)).await.unwrap();
    fixture.swept().await;
    let balancer = fixture.services.state.read(|view| view.scan::<LoadBalancer>(&scope()).next().unwrap().1);
    let mode = balancer.attributes.get("routing.http.desync_mitigation_mode").map(String::as_str);
    let protected = balancer.attributes.get("deletion_protection.enabled").map(String::as_str);
    assert_eq!((mode, protected), (Some("strictest"), None), "the second is the default");
    assert_eq!(fixture.gateway_named("edge").await.status, Some(ecs::GatewayStatus::UpdateComplete));
    let logs = ecs::GatewayElbAccessLogConfiguration {
        destination: Some(ecs::GatewayElbAccessLogDestination {
            s3: Some(ecs::GatewayElbAccessLogS3Destination { bucket: text("nowhere"), prefix: None }),
        }),
    };
    update(&|alb| alb.access_logs = Some(logs.clone())).await.unwrap();
    fixture.swept().await;
    let failed = fixture.gateway_named("edge").await;
    assert_eq!(failed.status, Some(ecs::GatewayStatus::UpdateFailed));
    let failure = failed.failures.unwrap().remove(0);
    assert_eq!(failure.arn, Some(balancer.arn(&scope())));
    let error = &failure.errors.unwrap()[0];
    assert_eq!(error.operation.as_deref(), Some("elasticloadbalancing:ModifyLoadBalancerAttributes"));
}

#[tokio::test]
async fn traffic_is_shifted_between_the_target_groups_and_tests_go_by_their_header() {
    let header = ecs::GatewayTestTrafficHeader { name: text("x-test"), values: Some(vec!["yes".to_owned()]) };
    let rules = ecs::GatewayAlbTestTrafficRules { header: Some(header) };
    let fixture = edge(|input| alb(input).test_traffic_rules = Some(rules)).await;
    let mut input = connected(&fixture, "web", 1);
    input.deployment_configuration = Some(ecs::DeploymentConfiguration {
        strategy: Some(ecs::DeploymentStrategy::BlueGreen),
        bake_time_in_minutes: Some(10),
        ..Default::default()
    });
    fixture.create_service(input).await.unwrap();
    fixture.served(is_stable).await;
    assert_eq!(fixture.stands().2, 2, "two target groups");
    let route = fixture.services.state.read(|view| view.scan::<Route>(&scope()).next().unwrap().1);
    let parts = route.parts.clone();
    let weights = |rule: &Option<String>| {
        let rule = rule.clone().unwrap();
        let view = fixture.services.state.view();
        let all = crate::services::elbv2::targets::weights(&view, &scope(), &rule).unwrap();
        let of = |group: &Option<String>| {
            all.iter().find(|(arn, _)| Some(arn) == group.as_ref()).map(|(_, weight)| *weight)
        };
        (of(&parts.target_group), of(&parts.alternate))
    };
    assert_eq!(weights(&parts.rule), (Some(100), Some(0)));
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.update_service(again).await.unwrap();
    let shifted = |_: &ecs::Service| weights(&parts.rule) == (Some(0), Some(100));
    fixture.served(shifted).await;
    assert_eq!(weights(&parts.test_rule), (Some(0), Some(100)));
    fixture.served(is_stable).await;
    let service = fixture.service("web").await;
    assert_eq!((service.running_count, service.deployments.unwrap().len()), (Some(1), 1));
    // The test rule is before the one for everybody, and asks for the header as well as the name.
    let input = elbv2::DescribeRulesInput {
        rule_arns: parts.test_rule.clone().map(|arn| vec![arn]),
        ..Default::default()
    };
    let shown = fixture.ask::<elbv2::DescribeRules>(elbv2::SERVICE, input).await.rules.unwrap().remove(0);
    let fields: Vec<_> = shown.conditions.unwrap().into_iter().filter_map(|one| one.field).collect();
    assert_eq!(fields, ["host-header", "http-header"]);
}

#[tokio::test]
async fn a_full_load_balancer_is_followed_by_another_as_far_as_the_gateway_goes() {
    let fixture = edge(|input| alb(input).max_alb_count = Some(2)).await;
    for number in 0..26 {
        fixture.create_service(connected(&fixture, &format!("web-{number}"), 0)).await.unwrap();
    }
    assert_eq!(fixture.stands().0, 2);
    let configuration = fixture.gateway_named("edge").await.configuration.unwrap().host_shared_alb.unwrap();
    assert_eq!(configuration.current_alb_count, Some(2));
    for number in 26..50 {
        fixture.create_service(connected(&fixture, &format!("web-{number}"), 0)).await.unwrap();
    }
    let one_more = fixture.create_service(connected(&fixture, "one-more", 0)).await;
    refused(one_more, INVALID, "has no room for another service");
}

/// A service whose deployments shift traffic.
fn shifting(fixture: &Fixture) -> ecs::CreateServiceRequest {
    let mut input = connected(fixture, "web", 1);
    input.deployment_configuration = Some(ecs::DeploymentConfiguration {
        strategy: Some(ecs::DeploymentStrategy::BlueGreen),
        bake_time_in_minutes: Some(10),
        ..Default::default()
    });
    input
}

#[tokio::test]
async fn a_gateway_that_joins_takes_no_traffic_from_the_others() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(shifting(&fixture)).await.unwrap();
    fixture.served(is_stable).await;
    let route = fixture.services.state.read(|view| view.scan::<Route>(&scope()).next().unwrap().1);
    let weights = || {
        let view = fixture.services.state.view();
        let rule = route.parts.rule.as_deref().unwrap();
        let mut all = crate::services::elbv2::targets::weights(&view, &scope(), rule).unwrap();
        all.sort_by_key(|(_, weight)| *weight);
        all.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>()
    };
    assert_eq!(weights(), [0, 100]);
    // By its name it comes before the other.
    fixture.gateway(wanted(&fixture, "before")).await.unwrap();
    fixture.joined("before").await;
    // More tasks are not a reason to be behind it.
    fixture
        .update_service(ecs::UpdateServiceRequest { desired_count: Some(2), ..updated("web") })
        .await
        .unwrap();
    assert_eq!(fixture.routes().await.len(), 1);
    assert_eq!(fixture.service("web").await.deployments.unwrap().len(), 1);
    fixture.served(is_stable).await;
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.update_service(again).await.unwrap();
    assert_eq!(fixture.routes().await.len(), 2);
    let settled = fixture.served(|service| {
        assert_eq!(weights(), [0, 100], "all of it goes somewhere");
        is_stable(service)
    });
    settled.await;
}

#[tokio::test]
async fn an_update_that_is_refused_changes_nothing_that_is_live() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 1)).await.unwrap();
    fixture.served(is_stable).await;
    let path = || {
        let group = fixture.services.state.read(|view| view.scan::<TargetGroup>(&scope()).next().unwrap().1);
        group.health_check.path.clone()
    };
    let before = path();
    let mut connectors = connector();
    connectors[0].health_check =
        Some(ecs::GatewayConnectorHealthCheck { health_check_path: text("/new"), ..Default::default() });
    let update = |groups: &[&str]| {
        let mut network = service(&fixture, "web", 1).network_configuration;
        let inner = network.as_mut().unwrap().awsvpc_configuration.as_mut().unwrap();
        inner.security_groups = Some(groups.iter().map(|id| (*id).to_owned()).collect());
        ecs::UpdateServiceRequest {
            gateway_connectors: Some(connectors.clone()),
            network_configuration: network,
            ..updated("web")
        }
    };
    refused(fixture.update_service(update(&["sg-gone"])).await, INVALID, "sg-gone");
    assert_eq!(path(), before);
    fixture.update_service(update(&[])).await.unwrap();
    assert_eq!(path().as_deref(), Some("/new"));
    // A service can be scaled when its gateway takes no others any more.
    fixture.served(is_stable).await;
    fixture.parted("edge").await.unwrap();
    fixture
        .update_service(ecs::UpdateServiceRequest { desired_count: Some(2), ..updated("web") })
        .await
        .unwrap();
    assert_eq!(fixture.served(is_stable).await.running_count, Some(2));
}

#[tokio::test]
async fn what_was_cut_off_is_made_good_by_whoever_comes_next() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    // The group was made, and then it could not be opened; the rule was made, and then nobody wrote it down.
    let (mut route, mut group) = fixture.services.state.read(|view| {
        let mut groups = view.scan::<SecurityGroup>(&scope()).map(|(_, group)| group);
        let opened = groups.find(|group| group.description.contains("load balancers of Amazon ECS gateways"));
        ((*view.scan::<Route>(&scope()).next().unwrap().1).clone(), (*opened.unwrap()).clone())
    });
    let (rule, rules) = (route.parts.rule.take(), group.rules.clone());
    group.rules.retain(|rule| rule.egress);
    fixture
        .services
        .state
        .transact(|tx| {
            tx.put(&scope(), &route.key(), route.clone());
            tx.put(&scope(), &group.id, group.clone());
            Ok::<_, ApiError>(())
        })
        .await
        .unwrap();
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.update_service(again).await.unwrap();
    let (route, opened, listener) = fixture.services.state.read(|view| {
        let listener = view.scan::<Listener>(&scope()).next().unwrap().1;
        let group = view.get::<SecurityGroup>(&scope(), &group.id).unwrap();
        (view.scan::<Route>(&scope()).next().unwrap().1, group, listener)
    });
    assert_eq!((&route.parts.rule, listener.rules.len()), (&rule, 1));
    assert_eq!(opened.rules.len(), rules.len());
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_left_alone_and_nothing_is_written_for_nothing() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    // A certificate that ECS did not request: it has no tag of ECS's.
    fixture
        .services
        .state
        .transact(|tx| {
            let found = tx.view().scan::<Certificate>(&scope()).next().map(|(_, one)| one).unwrap();
            tx.put(&scope(), &found.id, Certificate { tags: Default::default(), ..(*found).clone() });
            Ok::<_, ApiError>(())
        })
        .await
        .unwrap();
    let without = ecs::UpdateServiceRequest { gateway_connectors: Some(vec![]), ..updated("web") };
    fixture.update_service(without).await.unwrap();
    fixture.served(is_stable).await;
    fixture.swept().await;
    assert_eq!(fixture.stands(), (0, 0, 0, 1, 0));
    // The sweep writes nothing when nothing changes.
    let revision = || fixture.services.state.read(|view| view.revision());
    let before = revision();
    fixture.swept().await;
    assert_eq!(revision(), before);
}

#[tokio::test]
async fn a_group_of_somebody_else_lets_nobody_in() {
    let fixture = edge(|_| {}).await;
    fixture.create_service(connected(&fixture, "web", 0)).await.unwrap();
    // A group of the name that ECS would give, without its tag: nobody knows of ECS's.
    let (mut route, mut group) = fixture.services.state.read(|view| {
        let route = view.scan::<Route>(&scope()).next().unwrap().1;
        let group = view.get::<SecurityGroup>(&scope(), route.parts.service_group.as_ref().unwrap()).unwrap();
        ((*route).clone(), (*group).clone())
    });
    route.parts.service_group = None;
    route.parts.ports = Vec::new();
    group.tags.remove("AmazonECSManaged");
    group.rules.retain(|rule| rule.egress);
    let put = fixture.services.state.transact(|tx| {
        tx.put(&scope(), &route.key(), route.clone());
        tx.put(&scope(), &group.id, group.clone());
        Ok::<_, ApiError>(())
    });
    put.await.unwrap();
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    refused(fixture.update_service(again).await, "InvalidGroup.Duplicate", "already exists");
    let after = fixture.services.state.read(|view| view.get::<SecurityGroup>(&scope(), &group.id).unwrap());
    assert_eq!(after.rules, group.rules);
}
