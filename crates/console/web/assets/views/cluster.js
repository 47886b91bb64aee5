// One cluster: its services, its tasks, its instances.

import { attempt, call } from "../lib/api.js";
import { confirm } from "../lib/dialog.js";
import { h } from "../lib/dom.js";
import { instances, publicAddresses, services, tasks } from "../lib/ecs.js";
import { badge, button, card, copyable, empty, facts, filterField, heading, linkButton, matches, notice, say, table, tabs, time } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";
import { serviceTable, taskTable } from "../lib/rows.js";
import { bytes, shortId, tail } from "../lib/text.js";

async function load({ params, signal }) {
  const { cluster: name } = params;
  const [described, ofServices, ofTasks, ofInstances] = await Promise.all([
    call("ecs", "DescribeClusters", { clusters: [name], include: ["SETTINGS", "STATISTICS", "TAGS"] }, signal),
    attempt(services(name, signal), []),
    attempt(tasks(name, signal), []),
    attempt(instances(name, signal), []),
  ]);
  const addresses = await publicAddresses(ofTasks.value.filter(({ lastStatus }) => lastStatus !== "STOPPED"), signal);
  return { cluster: described.clusters[0], services: ofServices, tasks: ofTasks, instances: ofInstances, addresses };
}

function servicesTab(context) {
  const { data, params } = context;
  if (data.services.error) return notice(data.services.error);
  const rows = data.services.value.filter((service) => matches(context, service.serviceName, service.taskDefinition));
  return serviceTable(rows, data.services.value.length > 0 ? empty("No service matches") : empty(
    "No service in this cluster",
    "A service keeps a number of tasks running, replaces those that end, and rolls new revisions out.",
    `aws ecs create-service --cluster ${params.cluster} --service-name web --task-definition web --desired-count 2 --launch-type FARGATE \\\n  --network-configuration "awsvpcConfiguration={subnets=[$(aws ec2 describe-subnets --query 'Subnets[0].SubnetId' --output text)]}"`,
    linkButton("Create a service", withQuery(path("create-service"), { cluster: params.cluster }), "primary")));
}

function tasksTab(context) {
  const { data, params } = context;
  if (data.tasks.error) return notice(data.tasks.error);
  const rows = data.tasks.value.filter((task) => matches(context, task.taskArn, task.group, task.taskDefinitionArn, task.lastStatus, task.startedBy));
  return taskTable(rows, {
    addresses: data.addresses,
    empty: data.tasks.value.length > 0 ? empty("No task matches") : empty(
      "No task here", "A task is a running copy of a task definition. Stopped ones are listed for an hour.",
      `aws ecs run-task --cluster ${params.cluster} --task-definition web --launch-type FARGATE \\\n  --network-configuration "awsvpcConfiguration={subnets=[$(aws ec2 describe-subnets --query 'Subnets[0].SubnetId' --output text)],assignPublicIp=ENABLED}"`,
      linkButton("Run a task", withQuery(path("run-task"), { cluster: params.cluster }), "primary")),
  });
}

const resource = (list, name) => {
  const found = (list ?? []).find((one) => one.name === name);
  return found?.integerValue ?? found?.longValue ?? found?.doubleValue;
};

/** Draining moves the tasks of services elsewhere and takes no new ones. */
function turnButton(context, { containerInstanceArn, status }) {
  if (!["ACTIVE", "DRAINING"].includes(status)) return null;
  const wanted = status === "ACTIVE" ? "DRAINING" : "ACTIVE";
  const turn = async () => {
    const name = shortId(tail(containerInstanceArn));
    if (wanted === "DRAINING" && !(await confirm(`Drain ${name}?`, "Nothing new is placed on it, and services replace their tasks there by tasks elsewhere. Other tasks run on.", "Drain the instance"))) return;
    const { value, error } = await attempt(call("ecs", "UpdateContainerInstancesState", { cluster: context.params.cluster, containerInstances: [containerInstanceArn], status: wanted }));
    const [failure] = value?.failures ?? [];
    context.ui.error = error ?? (failure && { code: failure.reason, message: failure.detail ?? "" });
    if (!context.ui.error) say(wanted === "DRAINING" ? `${name} is being drained` : `${name} takes tasks again`);
    await context.reload();
  };
  return button(wanted === "DRAINING" ? "Drain" : "Activate", turn, { kind: "small", "aria-label": `${wanted === "DRAINING" ? "Drain" : "Activate"} ${shortId(tail(containerInstanceArn))}` });
}

function instancesTab(context) {
  const { data, params } = context;
  if (data.instances.error) return notice(data.instances.error);
  const left = (instance, name) => `${resource(instance.remainingResources, name) ?? "—"} of ${resource(instance.registeredResources, name) ?? "—"}`;
  return table([
    { name: "Instance", cell: (one) => h("span", { class: "mono", title: one.containerInstanceArn }, shortId(tail(one.containerInstanceArn))) },
    { name: "Status", cell: (one) => badge(one.status) },
    { name: "Agent", cell: (one) => badge(one.agentConnected ? "CONNECTED" : "DISCONNECTED") },
    { name: "Machine", cell: (one) => one.ec2InstanceId ?? "—" },
    { name: "Running", number: true, cell: (one) => one.runningTasksCount },
    { name: "CPU units left", cell: (one) => left(one, "CPU") },
    { name: "Memory left", cell: (one) => [bytes((resource(one.remainingResources, "MEMORY") ?? 0) * 1024 * 1024), " of ", bytes((resource(one.registeredResources, "MEMORY") ?? 0) * 1024 * 1024)] },
    { name: "Since", cell: (one) => time(one.registeredAt) },
    { name: "Change", cell: (one) => turnButton(context, one) },
  ], data.instances.value.filter((one) => matches(context, one.containerInstanceArn, one.ec2InstanceId, one.status)), {
    key: (one) => one.containerInstanceArn, label: "Container instances",
    empty: empty("No container instance", "FARGATE tasks need none: they run on the machine of the platform. Another machine, or one with bridge and host networking, joins with:", `longshore agent --cluster ${params.cluster} --endpoint ${location.origin}`),
  });
}

async function remove(context) {
  const { clusterName } = context.data.cluster;
  if (!(await confirm(`Delete ${clusterName}?`, "The cluster must have no services, tasks or instances. Its name can be used again.", "Delete the cluster"))) return;
  context.ui.error = (await attempt(call("ecs", "DeleteCluster", { cluster: clusterName }))).error;
  if (context.ui.error) return context.update();
  say(`${clusterName} was deleted`);
  context.go(path("clusters"));
}

function render(context) {
  const { data, params, query, ui } = context;
  const { cluster } = data;
  if (!cluster) return [heading(params.cluster, { crumbs: [["Clusters", path("clusters")]] }), empty("There is no such cluster", "It may have been deleted, or be in another region or account.", `aws ecs create-cluster --cluster-name ${params.cluster}`)];
  const shown = query.get("show") ?? "services";
  const here = path("clusters", params.cluster);
  const live = data.tasks.value.filter(({ lastStatus }) => lastStatus !== "STOPPED").length;
  const tab = (name, label, count) => ({ name: label, href: name === "services" ? here : withQuery(here, { show: name }), current: shown === name, count });
  return [
    heading(cluster.clusterName, {
      crumbs: [["Clusters", path("clusters")]],
      status: badge(cluster.status),
      actions: [
        button("Delete", () => remove(context)),
        linkButton("Run a task", withQuery(path("run-task"), { cluster: params.cluster })),
        linkButton("Create a service", withQuery(path("create-service"), { cluster: params.cluster }), "primary"),
      ],
    }),
    notice(ui.error),
    card(null, { key: "facts" }, facts([
      ["Running tasks", String(cluster.runningTasksCount)],
      ["Pending tasks", String(cluster.pendingTasksCount)],
      ["Active services", String(cluster.activeServicesCount)],
      ["Instances", String(cluster.registeredContainerInstancesCount)],
      ["Capacity providers", (cluster.capacityProviders ?? []).join(", ")],
      ["Container Insights", (cluster.settings ?? []).find(({ name }) => name === "containerInsights")?.value],
      ["ARN", copyable(cluster.clusterArn)],
    ])),
    tabs("Parts of the cluster", [
      tab("services", "Services", data.services.error ? undefined : data.services.value.length),
      tab("tasks", "Tasks", live),
      tab("instances", "Instances", data.instances.value.length),
    ]),
    h("div", { class: "toolbar", key: `filter ${shown}` }, filterField(context, `Filter ${shown}`)),
    card(null, { flush: true, key: shown }, shown === "tasks" ? tasksTab(context) : shown === "instances" ? instancesTab(context) : servicesTab(context)),
  ];
}

export const cluster = { section: "Clusters", title: ({ params }) => params.cluster, watches: ["ecs/", "ec2/"], load, render };
