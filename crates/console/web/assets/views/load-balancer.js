// One load balancer: what it listens on, where requests go, and how the targets are.

import { attempt, call, inBatches } from "../lib/api.js";
import { KINDS, action, condition, describe } from "../lib/balancers.js";
import { h } from "../lib/dom.js";
import { badge, card, code, copyable, empty, facts, heading, lines, notice, table, time } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { targetGroupName, targetTable } from "../lib/rows.js";
import { list } from "../lib/xml.js";

async function load({ params, signal }) {
  const [balancer] = await describe("DescribeLoadBalancers", "LoadBalancers", { Names: [params.name] }, signal);
  const LoadBalancerArn = balancer.LoadBalancerArn;
  const [listeners, groups] = await Promise.all([
    describe("DescribeListeners", "Listeners", { LoadBalancerArn }, signal),
    describe("DescribeTargetGroups", "TargetGroups", { LoadBalancerArn }, signal),
  ]);
  const [rules, health] = await Promise.all([
    inBatches(listeners, 1, async ([{ ListenerArn }]) => ({ ListenerArn, ...(await attempt(describe("DescribeRules", "Rules", { ListenerArn }, signal), [])) })),
    inBatches(groups, 1, async ([{ TargetGroupArn }]) => ({ TargetGroupArn, ...(await attempt(call("elbv2", "DescribeTargetHealth", { TargetGroupArn }, signal), {})) })),
  ]);
  return { balancer, listeners: listeners.sort((a, b) => a.Port - b.Port), groups, rules, health };
}

function listenerCard(listener, rules) {
  return card(`${listener.Protocol} on port ${listener.Port}`, { flush: true, key: listener.ListenerArn },
    rules.error ? notice(rules.error) : table([
      { name: "Priority", cell: (rule) => (rule.IsDefault === "true" ? "default" : rule.Priority) },
      { name: "When", wide: true, cell: (rule) => (list(rule.Conditions).length > 0 ? list(rule.Conditions).map(condition).join(" and ") : h("span", { class: "dim" }, "nothing else fits")) },
      { name: "Then", wide: true, cell: (rule) => list(rule.Actions).map((one, at) => [at > 0 && ", then ", action(one)]) },
    ], rules.value, { key: (rule) => rule.RuleArn, label: `Rules on port ${listener.Port}`, empty: table([
      { name: "Default action", cell: () => list(listener.DefaultActions).map(action) },
    ], [listener], { key: () => "default", label: "Default action" }) }));
}

function render({ data, params }) {
  const { balancer, listeners, groups, rules, health } = data;
  const plain = listeners.find(({ Protocol }) => Protocol === "HTTP");
  const own = `http://${balancer.DNSName}:${location.port || 80}/`;
  return [
    heading(params.name, { crumbs: [["Load balancers", path("load-balancers")]], status: badge(balancer.State?.Code) }),
    balancer.State?.Reason && h("div", { class: "notice warn", key: "why" }, h("p", null, balancer.State.Reason)),
    card(null, { key: "facts" }, facts([
      ["Kind", KINDS[balancer.Type] ?? balancer.Type],
      ["Scheme", balancer.Scheme],
      ["Name for clients", copyable(balancer.DNSName)],
      ["From this machine", plain && h("a", { href: own, target: "_blank", rel: "noreferrer" }, own)],
      ["Subnets", lines(list(balancer.AvailabilityZones).map(({ SubnetId, ZoneName }) => `${SubnetId} (${ZoneName})`))],
      ["Security groups", lines(list(balancer.SecurityGroups))],
      ["VPC", balancer.VpcId && code(balancer.VpcId)],
      ["Created", time(balancer.CreatedTime)],
      ["ARN", copyable(balancer.LoadBalancerArn)],
    ])),
    listeners.length === 0
      ? card("Listeners", { key: "none" }, empty("No listener yet", "Without one, nothing is answered:", `aws elbv2 create-listener --load-balancer-arn ${balancer.LoadBalancerArn} --protocol HTTP --port 80 \\\n  --default-actions Type=fixed-response,FixedResponseConfig='{StatusCode=200,ContentType=text/plain,MessageBody=hello}'`))
      : listeners.map((one) => listenerCard(one, rules.find(({ ListenerArn }) => ListenerArn === one.ListenerArn))),
    groups.map((group) => {
      const found = health.find(({ TargetGroupArn }) => TargetGroupArn === group.TargetGroupArn);
      return card(h("a", { href: path("target-groups", group.TargetGroupName) }, `Targets in ${targetGroupName(group.TargetGroupArn)}`), { flush: true, key: group.TargetGroupArn },
        found.error ? notice(found.error) : targetTable(list(found.value.TargetHealthDescriptions), empty("No target yet", "A service registers its tasks when the target group stands in its load balancers.")));
    }),
  ];
}

// Target health is kept in memory: the stream of changes does not tell of it.
export const loadBalancer = { section: "Load balancers", title: ({ params }) => params.name, watches: ["elbv2/"], every: 2_000, load, render };
