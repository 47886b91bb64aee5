// One target group and the health of its targets.

import { attempt, call } from "../lib/api.js";
import { describe, loadBalancerName } from "../lib/balancers.js";
import { h } from "../lib/dom.js";
import { card, code, copyable, empty, facts, heading, notice, table } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { targetTable } from "../lib/rows.js";
import { list } from "../lib/xml.js";

async function load({ params, signal }) {
  const [group] = await describe("DescribeTargetGroups", "TargetGroups", { Names: [params.name] }, signal);
  const { TargetGroupArn } = group;
  const [health, attributes] = await Promise.all([
    attempt(call("elbv2", "DescribeTargetHealth", { TargetGroupArn }, signal), {}),
    attempt(call("elbv2", "DescribeTargetGroupAttributes", { TargetGroupArn }, signal), {}),
  ]);
  return { group, health, attributes };
}

function render({ data, params }) {
  const { group, health, attributes } = data;
  return [
    heading(params.name, { crumbs: [["Load balancers", path("load-balancers")]] }),
    card(null, { key: "facts" }, facts([
      ["Protocol", [group.Protocol, group.Port && `:${group.Port}`, group.ProtocolVersion && ` ${group.ProtocolVersion}`]],
      ["Targets are", group.TargetType],
      ["Health check", [group.HealthCheckProtocol, " ", group.HealthCheckPath && code(group.HealthCheckPath), ` every ${group.HealthCheckIntervalSeconds} s`]],
      ["Healthy after", `${group.HealthyThresholdCount} in a row`],
      ["Unhealthy after", `${group.UnhealthyThresholdCount} in a row`],
      ["Expected", group.Matcher?.HttpCode],
      ["Load balancers", list(group.LoadBalancerArns).map((arn) => h("a", { href: path("load-balancers", loadBalancerName(arn)), key: arn }, loadBalancerName(arn)))],
      ["ARN", copyable(group.TargetGroupArn)],
    ])),
    card("Targets", { flush: true, key: "targets" }, health.error ? notice(health.error) : targetTable(list(health.value.TargetHealthDescriptions), empty(
      "No target yet", "A service registers its tasks here; an address can be registered by hand:", `aws elbv2 register-targets --target-group-arn ${group.TargetGroupArn} --targets Id=172.31.0.10,Port=80`))),
    !attributes.error && card("Attributes", { flush: true, key: "attributes" }, table([
      { name: "Attribute", cell: ({ Key }) => code(Key) },
      { name: "Value", wide: true, cell: ({ Value }) => Value },
    ], list(attributes.value.Attributes), { key: ({ Key }) => Key, label: "Attributes", empty: empty("None") })),
  ];
}

// Target health is kept in memory: the stream of changes does not tell of it.
export const targetGroup = { section: "Load balancers", title: ({ params }) => params.name, watches: ["elbv2/"], every: 2_000, load, render };
