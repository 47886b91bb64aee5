// Tables that appear in several views.

import { h } from "./dom.js";
import { clusterName, details, interfaceOf, taskId } from "./ecs.js";
import { badge, meter, table, time } from "./parts.js";
import { path } from "./router.js";
import { familyRevision, shortId, tail } from "./text.js";

/** The status a person looks for: where the task is, and where it is going when that differs. */
export function taskStatus(task) {
  const isEnding = task.desiredStatus === "STOPPED" && task.lastStatus !== "STOPPED";
  const failed = task.lastStatus === "STOPPED" && (task.stopCode === "TaskFailedToStart" || (task.containers ?? []).some(({ exitCode }) => exitCode > 0));
  return [badge(task.lastStatus, task.lastStatus, failed ? "bad" : undefined), isEnding && h("span", { class: "dim" }, " → STOPPED")];
}

export function taskTable(tasks, { label = "Tasks", empty, addresses = {}, showCluster = false }) {
  const address = (task) => {
    const { networkInterfaceId, privateIPv4Address } = details(interfaceOf(task));
    return addresses[networkInterfaceId] ?? privateIPv4Address;
  };
  return table([
    { name: "Task", cell: (task) => h("a", { class: "mono", href: path("clusters", clusterName(task.clusterArn), "tasks", taskId(task)), title: taskId(task) }, shortId(taskId(task))) },
    { name: "Status", cell: taskStatus },
    { name: "Definition", cell: (task) => familyRevision(task.taskDefinitionArn) },
    showCluster && { name: "Cluster", cell: (task) => clusterName(task.clusterArn) },
    { name: "Group", cell: (task) => task.group },
    { name: "Health", cell: (task) => (task.healthStatus && task.healthStatus !== "UNKNOWN" ? badge(task.healthStatus) : h("span", { class: "dim" }, "—")) },
    { name: "Address", cell: (task) => h("span", { class: "mono" }, task.lastStatus === "STOPPED" ? "—" : (address(task) ?? "—")) },
    { name: "Since", cell: (task) => time(task.stoppedAt ?? task.startedAt ?? task.createdAt) },
    { name: "Why it stopped", wide: true, cell: (task) => linked(task.stoppedReason ?? "", clusterName(task.clusterArn)) },
  ].filter((column) => column && (column.name !== "Why it stopped" || tasks.some((task) => task.stoppedReason))), tasks, { key: (task) => task.taskArn, label, empty });
}

export function serviceTable(services, empty) {
  return table([
    { name: "Service", cell: (service) => h("a", { href: path("clusters", clusterName(service.clusterArn), "services", service.serviceName) }, service.serviceName) },
    { name: "Status", cell: (service) => badge(service.status) },
    { name: "Running of desired", cell: (service) => meter(service.runningCount, service.desiredCount, service.pendingCount) },
    { name: "Definition", cell: (service) => familyRevision(service.taskDefinition) },
    { name: "Deployment", cell: (service) => rollout(service) },
    { name: "Last event", wide: true, cell: (service) => lastEvent(service) },
  ], services, { key: (service) => service.serviceArn, label: "Services", empty });
}

export function rollout(service) {
  const primary = (service.deployments ?? []).find(({ status }) => status === "PRIMARY");
  return primary?.rolloutState ? badge(primary.rolloutState) : badge(service.schedulingStrategy ?? "ACTIVE", "—", "idle");
}

function lastEvent(service) {
  const event = service.events?.[0];
  return event && h("span", { class: "dim" }, time(event.createdAt), " ", linked(plainEvent(event), clusterName(service.clusterArn)));
}

/** Every message begins with the service's name, which stands beside it already. */
export const plainEvent = ({ message }) => message.replace(/^\(service .*?\) /, "");

/** Events with links to the tasks they name. */
export function eventList(events, cluster) {
  return h("ol", { class: "events" }, events.map((event) =>
    h("li", { key: event.id ?? `${event.createdAt}${event.message}` }, h("span", { class: "when" }, time(event.createdAt)), h("span", null, linked(event.message, cluster)))));
}

/** A message with links to the tasks and target groups that it names. */
export function linked(message, cluster) {
  return message.split(/([0-9a-f]{32}|arn:aws:elasticloadbalancing:[^\s)]*:targetgroup\/[^\s)]+)/).map((part, at) => {
    if (at % 2 === 0) return part;
    return part.startsWith("arn:")
      ? h("a", { href: path("target-groups", targetGroupName(part)), title: part, key: at }, targetGroupName(part))
      : h("a", { class: "mono", href: path("clusters", cluster, "tasks", part), title: part, key: at }, shortId(part));
  });
}

export function targetTable(targets, empty) {
  return table([
    { name: "Target", cell: ({ Target }) => h("span", { class: "mono" }, `${Target.Id}${Target.Port ? `:${Target.Port}` : ""}`) },
    { name: "Health", cell: ({ TargetHealth }) => badge(TargetHealth.State) },
    { name: "Reason", cell: ({ TargetHealth }) => TargetHealth.Reason && h("code", null, TargetHealth.Reason) },
    { name: "What was seen", wide: true, cell: ({ TargetHealth }) => TargetHealth.Description },
    targets.some(({ Target }) => Target.AvailabilityZone) && { name: "Zone", cell: ({ Target }) => Target.AvailabilityZone },
  ].filter(Boolean), targets, { key: ({ Target }) => `${Target.Id}:${Target.Port}`, label: "Targets", empty });
}

export const targetGroupName = (arn) => tail(arn.split(":targetgroup/")[1]?.split("/")[0] ?? arn);
