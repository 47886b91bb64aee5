// Load balancers and target groups.

import { all, attempt, inBatches } from "../lib/api.js";
import { KINDS, describe, loadBalancerName } from "../lib/balancers.js";
import { h } from "../lib/dom.js";
import { clusterName, routesOf } from "../lib/ecs.js";
import { badge, card, code, copyable, empty, filterField, heading, matches, notice, table, time } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { tail } from "../lib/text.js";
import { list } from "../lib/xml.js";

async function load({ signal }) {
  const [balancers, groups, gateways] = await Promise.all([
    attempt(describe("DescribeLoadBalancers", "LoadBalancers", {}, signal), []),
    attempt(describe("DescribeTargetGroups", "TargetGroups", {}, signal), []),
    attempt(all("ecs", "ListGateways", {}, "gateways", { signal }), []),
  ]);
  const routes = await inBatches(gateways.value, 1, async ([{ gatewayArn }]) => (await attempt(routesOf(undefined, undefined, signal, { gateway: gatewayArn }), [])).value);
  return { balancers, groups, gateways: gateways.value, routes };
}

const CREATE = `SUBNETS=$(aws ec2 describe-subnets --query 'Subnets[].SubnetId' --output text)
LB=$(aws elbv2 create-load-balancer --name web --subnets $SUBNETS --query 'LoadBalancers[0].LoadBalancerArn' --output text)
TG=$(aws elbv2 create-target-group --name web --protocol HTTP --port 80 --target-type ip --vpc-id $(aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text) --query 'TargetGroups[0].TargetGroupArn' --output text)
aws elbv2 create-listener --load-balancer-arn $LB --protocol HTTP --port 80 --default-actions Type=forward,TargetGroupArn=$TG`;

function gatewayCards(context) {
  const { gateways, routes } = context.data;
  return gateways.filter(({ name }) => matches(context, name)).map((gateway) =>
    card(`Gateway ${gateway.name}`, { flush: true, key: gateway.gatewayArn, actions: [badge(gateway.status)] }, table([
      { name: "Service", cell: (one) => h("a", { href: path("clusters", clusterName(one.serviceArn.replace(/\/[^/]*$/, "")), "services", tail(one.serviceArn)) }, tail(one.serviceArn)) },
      { name: "Status", cell: (one) => badge(one.status) },
      { name: "Port", cell: (one) => one.serviceContainerPortName },
      { name: "Reached at", wide: true, cell: (one) => one.serviceUrl && h("a", { href: one.serviceUrl, target: "_blank", rel: "noreferrer" }, one.serviceUrl) },
    ], routes.filter(({ gatewayArn }) => gatewayArn === gateway.gatewayArn), { key: (one) => one.gatewayRouteArn, label: `Routes of ${gateway.name}`, empty: empty("No service behind it yet", "A service joins with a connector that names one of its ports:", `aws ecs update-service --cluster … --service … --gateway-connectors portName=http`) })));
}

function render(context) {
  const { balancers, groups } = context.data;
  return [
    heading("Load balancers"),
    (balancers.value.length > 0 || groups.value.length > 0) && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter by name")),
    card(null, { flush: true, key: "list" }, balancers.error ? notice(balancers.error) : table([
      { name: "Load balancer", cell: (one) => h("a", { href: path("load-balancers", one.LoadBalancerName) }, one.LoadBalancerName) },
      { name: "State", cell: (one) => badge(one.State?.Code) },
      { name: "Kind", cell: (one) => KINDS[one.Type] ?? one.Type },
      { name: "Scheme", cell: (one) => one.Scheme },
      { name: "Name for clients", wide: true, cell: (one) => copyable(one.DNSName) },
      { name: "Created", cell: (one) => time(one.CreatedTime) },
    ], balancers.value.filter(({ LoadBalancerName }) => matches(context, LoadBalancerName)), {
      key: (one) => one.LoadBalancerArn, label: "Load balancers",
      empty: balancers.value.length > 0 ? empty("No load balancer matches") : empty("No load balancer yet", "One with a listener and a target group, ready for a service:", CREATE),
    })),
    !groups.error && groups.value.length > 0 && card("Target groups", { flush: true, key: "groups" }, table([
      { name: "Target group", cell: (one) => h("a", { href: path("target-groups", one.TargetGroupName) }, one.TargetGroupName) },
      { name: "Protocol", cell: (one) => [one.Protocol, one.Port && `:${one.Port}`] },
      { name: "Targets are", cell: (one) => one.TargetType },
      { name: "Health check", cell: (one) => [one.HealthCheckProtocol, " ", one.HealthCheckPath && code(one.HealthCheckPath)] },
      { name: "Load balancers", cell: (one) => list(one.LoadBalancerArns).map((arn) => h("a", { href: path("load-balancers", loadBalancerName(arn)), key: arn }, loadBalancerName(arn))) },
    ], groups.value.filter(({ TargetGroupName }) => matches(context, TargetGroupName)), { key: (one) => one.TargetGroupArn, label: "Target groups", empty: empty("No target group matches") })),
    gatewayCards(context),
  ];
}

export const loadBalancers = { section: "Load balancers", title: () => "Load balancers", watches: ["elbv2/", "ecs/gateway"], load, render };
