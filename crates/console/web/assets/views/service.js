// One service: how its deployments go, what its tasks and targets do, and what it said about it.

import { all, attempt, call, inBatches } from "../lib/api.js";
import { chartCards, lastHour, ofService } from "../lib/charts.js";
import { confirm } from "../lib/dialog.js";
import { h } from "../lib/dom.js";
import { loadBalancerName } from "../lib/balancers.js";
import { publicAddresses, routesOf, tasks } from "../lib/ecs.js";
import { badge, button, card, copyable, empty, facts, heading, json, lines, linkButton, meter, notice, say, table, tabs, time } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";
import { eventList, rollout, targetGroupName, targetTable, taskTable } from "../lib/rows.js";
import { familyRevision, tail, words } from "../lib/text.js";
import { list } from "../lib/xml.js";

const shownOf = (query) => query.get("show") ?? "overview";

/** What is measured of the service itself, and of the target groups that it is behind. */
function measured(cluster, name, groups) {
  const requests = ({ arn, balancer }) => ({
    namespace: "AWS/ApplicationELB",
    name: "RequestCount",
    dimensions: { TargetGroup: arn.split(":").pop(), LoadBalancer: balancer.split(":loadbalancer/").pop() },
    stat: "Sum",
    label: `requests a minute to ${targetGroupName(arn)}`,
    unit: "",
  });
  return [...ofService(cluster, name), ...groups.filter(({ balancer }) => balancer).map(requests)];
}

/** The target groups with the load balancer of each. */
async function withBalancers(groups, signal) {
  return inBatches(groups, 20, async (arns) => {
    const { value } = await attempt(call("elbv2", "DescribeTargetGroups", { TargetGroupArns: arns }, signal), {});
    return list(value.TargetGroups).map((group) => ({ arn: group.TargetGroupArn, balancer: list(group.LoadBalancerArns)[0] }));
  });
}

const balancerLinks = (balanced) => {
  const names = [...new Set(balanced.map(({ balancer }) => balancer).filter(Boolean).map(loadBalancerName))];
  return names.length > 0 && names.map((name, at) => [at > 0 && ", ", h("a", { href: path("load-balancers", name), key: name }, name)]);
};

async function load({ params, query, signal }) {
  const { cluster, service: name } = params;
  const [described, ofTasks, history] = await Promise.all([
    call("ecs", "DescribeServices", { cluster, services: [name], include: ["TAGS"] }, signal),
    attempt(tasks(cluster, signal, { serviceName: name }), []),
    attempt(all("ecs", "ListServiceDeployments", { cluster, service: name }, "serviceDeployments", { signal }), []),
  ]);
  const service = described.services[0];
  const groups = [...new Set((service?.loadBalancers ?? []).map(({ targetGroupArn }) => targetGroupArn).filter(Boolean))];
  const [targets, addresses] = await Promise.all([
    inBatches(groups, 1, async ([arn]) => ({ arn, ...(await attempt(call("elbv2", "DescribeTargetHealth", { TargetGroupArn: arn }, signal), {})) })),
    publicAddresses(ofTasks.value.filter(({ lastStatus }) => lastStatus !== "STOPPED"), signal),
  ]);
  const [balanced, routes] = await Promise.all([withBalancers(groups, signal), attempt(routesOf(cluster, name, signal), [])]);
  const charts = shownOf(query) === "metrics" && (await attempt(lastHour(measured(cluster, name, balanced), signal), []));
  return { service, tasks: ofTasks, history, targets, addresses, charts, balanced, routes: routes.value };
}

async function act(context, question, operation, input, said) {
  if (!(await confirm(...question))) return false;
  const { error } = await attempt(call("ecs", operation, input));
  context.ui.error = error;
  if (!error) say(said);
  await context.reload();
  return !error;
}

function actions(context) {
  const { cluster, service } = context.params;
  const { data } = context;
  const running = data.history.value.find(({ status }) => ["IN_PROGRESS", "PENDING"].includes(status));
  return [
    button("Delete", async () => {
      const gone = await act(context, [`Delete ${service}?`, "Its tasks are stopped, also when the desired count is above zero.", "Delete the service"], "DeleteService", { cluster, service, force: true }, `${service} is being deleted`);
      if (gone) context.go(path("clusters", cluster));
    }),
    running && button("Stop the deployment", () => act(context, ["Roll back?", "The deployment in progress is stopped, and the last completed revision is deployed again.", "Roll back"], "StopServiceDeployment", { serviceDeploymentArn: running.serviceDeploymentArn, stopType: "ROLLBACK" }, "Rolling back")),
    button("Force a new deployment", () => act(context, ["Deploy again?", "All tasks are replaced by new ones of the same revision, as the deployment configuration says.", "Deploy"], "UpdateService", { cluster, service, forceNewDeployment: true }, "A new deployment has begun")),
    linkButton("Update", path("clusters", cluster, "services", service, "update"), "primary"),
  ];
}

function deployments(service) {
  return table([
    { name: "Deployment", cell: (one) => h("span", { class: "mono", title: one.id }, tail(one.id)) },
    { name: "Status", cell: (one) => badge(one.status, words(one.status), one.status === "PRIMARY" ? "good" : one.status === "ACTIVE" ? "busy" : "idle") },
    { name: "Rollout", cell: (one) => one.rolloutState && badge(one.rolloutState) },
    { name: "Definition", cell: (one) => familyRevision(one.taskDefinition) },
    { name: "Running of desired", cell: (one) => meter(one.runningCount, one.desiredCount, one.pendingCount) },
    { name: "Failed", number: true, cell: (one) => one.failedTasks ?? 0 },
    { name: "Begun", cell: (one) => time(one.createdAt) },
    { name: "What it says", wide: true, cell: (one) => one.rolloutStateReason },
  ], service.deployments ?? [], { key: (one) => one.id, label: "Deployments", empty: empty("No deployment") });
}

function past({ error, value }) {
  if (error || value.length === 0) return null;
  return card("Past deployments", { flush: true, key: "past" }, table([
    { name: "Deployment", cell: (one) => h("span", { class: "mono" }, tail(one.serviceDeploymentArn)) },
    { name: "Status", cell: (one) => badge(one.status) },
    { name: "Begun", cell: (one) => time(one.startedAt ?? one.createdAt) },
    { name: "Ended", cell: (one) => time(one.finishedAt) },
    { name: "Why", wide: true, cell: (one) => one.statusReason },
  ], value.slice(0, 10), { key: (one) => one.serviceDeploymentArn, label: "Past deployments" }));
}

function targetCards(context) {
  const { data } = context;
  return data.targets.map(({ arn, value, error }) =>
    card(h("a", { href: path("target-groups", targetGroupName(arn)) }, `Targets in ${targetGroupName(arn)}`), { flush: true, key: arn },
      error ? notice(error) : targetTable(list(value.TargetHealthDescriptions), empty("No target yet", "Tasks are registered as they become active."))));
}

const percent = (value) => (value === undefined ? undefined : `${value} %`);

function overviewTab(context) {
  const { service } = context.data;
  const configuration = service.deploymentConfiguration ?? {};
  const breaker = configuration.deploymentCircuitBreaker;
  return [
    card("Deployments", { flush: true, key: "deployments" }, deployments(service)),
    targetCards(context),
    h("div", { class: "columns", key: "both" },
      card("Events", { key: "events", actions: [h("a", { href: "?show=events" }, "All events")] },
        (service.events ?? []).length > 0 ? eventList(service.events.slice(0, 8), context.params.cluster) : empty("No event yet", "What the service does, and why, is told here.")),
      card("Configuration", { key: "configuration" }, facts([
        ["Scheduling", words(service.schedulingStrategy)],
        ["Launch type", service.launchType ?? (service.capacityProviderStrategy ?? []).map(({ capacityProvider, weight, base }) => `${capacityProvider} (base ${base ?? 0}, weight ${weight ?? 0})`).join(", ")],
        ["Deployment strategy", configuration.strategy && words(configuration.strategy)],
        ["At least healthy", percent(configuration.minimumHealthyPercent)],
        ["At most", percent(configuration.maximumPercent)],
        ["Circuit breaker", breaker && (breaker.enable ? `on${breaker.rollback ? ", rolls back" : ""}` : "off")],
        ["Health check grace", (service.loadBalancers ?? []).length > 0 && `${service.healthCheckGracePeriodSeconds ?? 0} s`],
        ["Subnets", lines(service.networkConfiguration?.awsvpcConfiguration?.subnets ?? [])],
        ["Created", time(service.createdAt)],
        ["ARN", copyable(service.serviceArn)],
      ]))),
    past(context.data.history),
  ];
}

function render(context) {
  const { data, params, query, ui } = context;
  const { service } = data;
  const crumbs = [["Clusters", path("clusters")], [params.cluster, path("clusters", params.cluster)]];
  if (!service) return [heading(params.service, { crumbs }), empty("There is no such service", "It may have been deleted.", `aws ecs list-services --cluster ${params.cluster}`)];
  const shown = shownOf(query);
  const here = path("clusters", params.cluster, "services", params.service);
  const tab = (name, label, count) => ({ name: label, href: name === "overview" ? here : withQuery(here, { show: name }), current: shown === name, count });
  return [
    heading(service.serviceName, { crumbs, status: [badge(service.status), rollout(service)], actions: service.status === "INACTIVE" ? [] : actions(context) }),
    notice(ui.error),
    card(null, { key: "facts" }, facts([
      ["Running of desired", meter(service.runningCount, service.desiredCount, service.pendingCount)],
      ["Definition", h("a", { href: path("definitions", ...familyRevision(service.taskDefinition).split(":")) }, familyRevision(service.taskDefinition))],
      ["Pending", String(service.pendingCount)],
      ["Load balancers", balancerLinks(data.balanced)],
      ["Behind them", (service.loadBalancers ?? []).map(({ containerName, containerPort }) => `${containerName}:${containerPort}`).join(", ")],
      ["Reached at", data.routes.length > 0 && data.routes.map(({ serviceUrl, status, gatewayRouteArn }) => h("div", { key: gatewayRouteArn }, h("a", { href: serviceUrl, target: "_blank", rel: "noreferrer" }, serviceUrl), " ", badge(status)))],
    ])),
    tabs("Parts of the service", [tab("overview", "Overview"), tab("tasks", "Tasks", data.tasks.value.filter(({ lastStatus }) => lastStatus !== "STOPPED").length), tab("metrics", "Metrics"), tab("events", "Events"), tab("json", "JSON")]),
    shown === "overview" && overviewTab(context),
    shown === "tasks" && card(null, { flush: true, key: "tasks" }, data.tasks.error ? notice(data.tasks.error) : taskTable(data.tasks.value, { addresses: data.addresses, empty: empty("No task", service.desiredCount === 0 ? "The desired count is zero." : "The events say what the service waits for.") })),
    shown === "metrics" && data.charts && chartCards(data.charts),
    shown === "events" && card(null, { key: "events" }, (service.events ?? []).length > 0 ? eventList(service.events, params.cluster) : empty("No event yet")),
    shown === "json" && card(null, { key: "json" }, json(service)),
  ];
}

// Target health is kept in memory: the stream of changes does not tell of it.
export const service = { section: "Clusters", title: ({ params }) => params.service, watches: ["ecs/", "elbv2/", "ec2/"], every: 2_000, load, render };
