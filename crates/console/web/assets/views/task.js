// One task: where it is in its life, its containers, its address, its output.

import { attempt, call } from "../lib/api.js";
import { chartCards, lastHour, ofService } from "../lib/charts.js";
import { confirm } from "../lib/dialog.js";
import { h } from "../lib/dom.js";
import { details, interfaceOf, publicAddresses } from "../lib/ecs.js";
import { logView } from "../lib/log-view.js";
import { badge, button, card, code, copyable, empty, facts, heading, json, lasted, notice, say, table, tabs, time } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";
import { linked, taskStatus } from "../lib/rows.js";
import { StreamTail } from "../lib/tail.js";
import { bytes, familyRevision, shortDigest, shortId, toDate } from "../lib/text.js";

async function load(context) {
  const { params, query, signal } = context;
  const described = await call("ecs", "DescribeTasks", { cluster: params.cluster, tasks: [params.task], include: ["TAGS"] }, signal);
  const task = described.tasks[0];
  if (!task) return { task };
  const { data } = context;
  const [definition, addresses] = await Promise.all([
    // A revision never changes.
    data?.definition ?? attempt(call("ecs", "DescribeTaskDefinition", { taskDefinition: task.taskDefinitionArn }, signal), {}),
    task.lastStatus === "STOPPED" ? (data?.addresses ?? {}) : publicAddresses([task], signal),
  ]);
  const service = serviceOf(task);
  const charts = query.get("show") === "metrics" && service && (await attempt(lastHour(ofService(params.cluster, service), signal), []));
  return { task, definition, addresses, charts };
}

const serviceOf = ({ group }) => (group?.startsWith("service:") ? group.slice(8) : undefined);

const STEPS = [
  ["Created", "createdAt"], ["Pull began", "pullStartedAt"], ["Pull ended", "pullStoppedAt"], ["Running", "startedAt"],
  ["Stopping", "stoppingAt"], ["Containers ended", "executionStoppedAt"], ["Stopped", "stoppedAt"],
];

/** The moments of a task's life in their order, and how long after the one before. */
function timeline(task) {
  const reached = STEPS.map(([name, field]) => [name, toDate(task[field])]).filter(([, at]) => at).sort((a, b) => a[1] - b[1]);
  return h("ol", { class: "timeline" }, reached.map(([name, at], index) =>
    h("li", { key: name },
      h("span", { class: "step" }, name),
      h("span", { class: "dim" }, at.toLocaleTimeString(), index > 0 && ` · +${lasted(reached[index - 1][1], at)}`))));
}

function containers(task, definition) {
  const ofName = (name) => (definition.containerDefinitions ?? []).find((one) => one.name === name) ?? {};
  return table([
    { name: "Container", cell: (one) => [h("strong", null, one.name), ofName(one.name).essential === false && h("span", { class: "dim" }, " not essential")] },
    { name: "Status", cell: (one) => badge(one.lastStatus, one.lastStatus, one.exitCode > 0 ? "bad" : undefined) },
    { name: "Exit code", number: true, cell: (one) => one.exitCode ?? "—" },
    { name: "Health", cell: (one) => (one.healthStatus && one.healthStatus !== "UNKNOWN" ? badge(one.healthStatus) : "—") },
    { name: "Image", wide: true, cell: (one) => [code(one.image), one.imageDigest && h("span", { class: "dim mono", title: one.imageDigest }, ` ${shortDigest(one.imageDigest)}`)] },
    { name: "Ports", cell: (one) => ports(task, one, ofName(one.name)) },
    { name: "Reason", wide: true, cell: (one) => one.reason },
  ].filter(({ name }) => name !== "Reason" || task.containers.some(({ reason }) => reason)), task.containers ?? [], { key: (one) => one.name, label: "Containers", empty: empty("No container yet") });
}

function ports(task, container, defined) {
  const bound = (container.networkBindings ?? []).map(({ hostPort, containerPort, protocol }) => `${hostPort} → ${containerPort}/${protocol}`);
  const declared = (defined.portMappings ?? []).map(({ containerPort, protocol }) => `${containerPort}/${protocol ?? "tcp"}`);
  return (bound.length > 0 ? bound : declared).join(", ") || "—";
}

/** Stream and group of each container that writes to the log store. */
function logged(task, definition) {
  return (definition.containerDefinitions ?? []).flatMap(({ name, logConfiguration }) => {
    const options = logConfiguration?.options ?? {};
    const prefix = options["awslogs-stream-prefix"];
    return logConfiguration?.logDriver === "awslogs" && prefix
      ? [{ name, group: options["awslogs-group"], stream: `${prefix}/${name}/${task.taskArn.split("/").pop()}` }]
      : [];
  });
}

function logsTab(context) {
  const { data, query, ui, params } = context;
  const streams = logged(data.task, data.definition.value.taskDefinition ?? {});
  if (streams.length === 0) {
    return empty("This task's output is not kept", "None of its containers writes to the log store. In the task definition:",
      '"logConfiguration": {"logDriver": "awslogs", "options": {\n  "awslogs-group": "/ecs/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}}');
  }
  const chosen = streams.find(({ name }) => name === query.get("container")) ?? streams[0];
  ui.tail ??= new StreamTail(context, chosen.group, chosen.stream);
  const here = path("clusters", params.cluster, "tasks", params.task);
  return [
    streams.length > 1 && tabs("Containers", streams.map(({ name }) => ({ name, href: withQuery(here, { show: "logs", container: name }), current: name === chosen.name }))),
    h("p", { class: "note" }, h("a", { href: path("logs", chosen.group) }, chosen.group), " / ", h("a", { href: path("logs", chosen.group, chosen.stream) }, chosen.stream)),
    logView(context, ui.tail, { label: `Log of ${chosen.name}`, teach: `aws logs tail ${chosen.group} --follow` }),
  ];
}

function networkCard(task, addresses, definition) {
  const { networkInterfaceId, subnetId, privateIPv4Address, macAddress, privateDnsName } = details(interfaceOf(task));
  if (!networkInterfaceId) return null;
  const reachable = addresses[networkInterfaceId] ?? privateIPv4Address;
  const port = (definition.containerDefinitions ?? []).flatMap(({ portMappings }) => portMappings ?? []).find(({ protocol }) => (protocol ?? "tcp") === "tcp")?.containerPort;
  return card("Network", { key: "network" },
    facts([
      ["Public address", copyable(addresses[networkInterfaceId])],
      ["Private address", copyable(privateIPv4Address)],
      ["Interface", code(networkInterfaceId)],
      ["Subnet", subnetId && code(subnetId)],
      ["MAC address", macAddress && code(macAddress)],
      ["Private name", privateDnsName && code(privateDnsName)],
    ]),
    task.lastStatus === "RUNNING" && port && h("p", { class: "note" }, "From this machine: ", h("a", { href: `http://${reachable}:${port}/`, target: "_blank", rel: "noreferrer" }, `http://${reachable}:${port}/`)));
}

function overviewTab({ data }) {
  const { task, addresses } = data;
  const definition = data.definition.value.taskDefinition ?? {};
  return [
    card("Containers", { flush: true, key: "containers" }, containers(task, definition)),
    h("div", { class: "columns", key: "both" },
      card("Life", { key: "life" }, timeline(task)),
      networkCard(task, addresses, definition) || card("Network", { key: "network" }, empty("No interface of its own", "The task shares the network of its host, or has let go of its interface."))),
    card("More", { key: "more" }, facts([
      ["Launch type", task.launchType ?? task.capacityProviderName],
      ["Size", task.cpu && `${task.cpu} CPU units, ${bytes(Number(task.memory) * 1024 * 1024)}`],
      ["Group", task.group],
      ["Started by", task.startedBy],
      ["Zone", task.availabilityZone],
      ["Connectivity", task.connectivity],
      ["Stop code", task.stopCode],
      ["ARN", copyable(task.taskArn)],
      ["Tags", (task.tags ?? []).map(({ key, value }) => `${key}=${value}`).join(", ")],
    ])),
  ];
}

/** CloudWatch has what the tasks of a service use together, and nothing by task. */
function metricsTab({ data, params }) {
  const service = serviceOf(data.task);
  if (!service) return empty("Not measured by itself", "What tasks use is measured by service, and this one belongs to none.");
  return [
    h("p", { class: "note" }, "Of all tasks of ", h("a", { href: withQuery(path("clusters", params.cluster, "services", service), { show: "metrics" }) }, service), ", of what they have reserved."),
    data.charts && chartCards(data.charts),
  ];
}

async function stop(context) {
  const { cluster, task } = context.params;
  if (!(await confirm("Stop this task?", "Its containers get SIGTERM, and SIGKILL when they have not ended in time. A service starts another one in its place.", "Stop the task"))) return;
  const { error } = await attempt(call("ecs", "StopTask", { cluster, task, reason: "Stopped in the console" }));
  context.ui.error = error;
  if (!error) say("The task is being stopped");
  await context.reload();
}

function render(context) {
  const { data, params, query, ui } = context;
  const { task } = data;
  const crumbs = [["Clusters", path("clusters")], [params.cluster, path("clusters", params.cluster)], ["Tasks", withQuery(path("clusters", params.cluster), { show: "tasks" })]];
  if (!task) return [heading(shortId(params.task), { crumbs }), empty("There is no such task", "Stopped tasks are kept for an hour.", `aws ecs list-tasks --cluster ${params.cluster}`)];
  const shown = query.get("show") ?? "overview";
  const here = path("clusters", params.cluster, "tasks", params.task);
  const tab = (name, label) => ({ name: label, href: name === "overview" ? here : withQuery(here, { show: name }), current: shown === name });
  const family = familyRevision(task.taskDefinitionArn);
  return [
    heading(h("span", { class: "mono", title: params.task }, shortId(params.task)), {
      crumbs,
      status: h("span", { id: "task-status" }, taskStatus(task)),
      actions: [task.desiredStatus !== "STOPPED" && button("Stop", () => stop(context), { kind: "danger" })],
    }),
    notice(ui.error, "The task was not stopped"),
    task.stoppedReason && h("div", { class: "notice warn", key: "why" }, h("p", null, h("strong", null, task.lastStatus === "STOPPED" ? "Stopped: " : "Stopping: "), linked(task.stoppedReason, params.cluster))),
    card(null, { key: "facts" }, facts([
      ["Definition", h("a", { href: path("definitions", ...family.split(":")) }, family)],
      ["Desired", task.desiredStatus],
      ["Health", task.healthStatus && task.healthStatus !== "UNKNOWN" && badge(task.healthStatus)],
      [task.stoppedAt ? "Ran for" : "Running for", task.startedAt && lasted(task.startedAt, task.stoppedAt)],
      ["Service", serviceOf(task) && h("a", { href: path("clusters", params.cluster, "services", serviceOf(task)) }, serviceOf(task))],
    ])),
    tabs("Parts of the task", [tab("overview", "Overview"), tab("logs", "Logs"), tab("metrics", "Metrics"), tab("json", "JSON")]),
    shown === "overview" && overviewTab(context),
    shown === "logs" && logsTab(context),
    shown === "metrics" && metricsTab(context),
    shown === "json" && card(null, { key: "json" }, json(task)),
  ];
}

export const task = { section: "Clusters", title: ({ params }) => `Task ${shortId(params.task)}`, watches: ["ecs/", "ec2/"], load, render };
