// What runs, where, and what happened last.

import { all, attempt, call } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { clusterName, clusters, services, taskId, tasks } from "../lib/ecs.js";
import { badge, card, command, empty, heading, linkButton, meter, notice, table, time } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { linked, plainEvent, rollout } from "../lib/rows.js";
import { count, familyRevision, shortId } from "../lib/text.js";
import { list } from "../lib/xml.js";

/** Clusters whose tasks and events are read: beyond these an overview is none. */
const MOST_CLUSTERS = 12;
const MOST_EVENTS = 14;
const MOST_SERVICES = 8;

async function load({ signal }) {
  const [found, repositories, balancers] = await Promise.all([
    clusters(signal),
    attempt(all("ecr", "DescribeRepositories", {}, "repositories", { signal }), []),
    attempt(call("elbv2", "DescribeLoadBalancers", {}, signal), {}),
  ]);
  const looked = found.slice(0, MOST_CLUSTERS);
  const [ofTasks, ofServices] = await Promise.all([
    Promise.all(looked.map((cluster) => tasks(cluster.clusterName, signal))),
    Promise.all(looked.map((cluster) => attempt(services(cluster.clusterName, signal), []))),
  ]);
  return { clusters: found, repositories, balancers, tasks: ofTasks.flat(), services: ofServices.flatMap(({ value }) => value) };
}

const sum = (rows, field) => rows.reduce((total, row) => total + (row[field] ?? 0), 0);

function happened({ tasks, services }) {
  const task = (one, at, what, tone, more) => ({
    key: `${one.taskArn} ${what}`, at, tone, what,
    text: [h("a", { class: "mono", href: path("clusters", clusterName(one.clusterArn), "tasks", taskId(one)) }, shortId(taskId(one))), ` ${familyRevision(one.taskDefinitionArn)}`, more && [" · ", linked(more, clusterName(one.clusterArn))]],
  });
  const ofTasks = tasks.flatMap((one) => [
    one.startedAt && task(one, one.startedAt, "RUNNING", "good"),
    one.stoppedAt && task(one, one.stoppedAt, "STOPPED", (one.containers ?? []).some(({ exitCode }) => exitCode > 0) || one.stopCode === "TaskFailedToStart" ? "bad" : "idle", one.stoppedReason),
    !one.startedAt && !one.stoppedAt && task(one, one.createdAt, one.lastStatus, "busy"),
  ]);
  const ofServices = services.flatMap((service) => (service.events ?? []).slice(0, MOST_EVENTS).map((event) => ({
    key: event.id, at: event.createdAt, tone: "idle", what: "SERVICE",
    text: [h("a", { href: path("clusters", clusterName(service.clusterArn), "services", service.serviceName) }, service.serviceName), " ", linked(plainEvent(event), clusterName(service.clusterArn))],
  })));
  return [...ofTasks, ...ofServices].filter(Boolean).sort((a, b) => b.at - a.at).slice(0, MOST_EVENTS);
}

/** Those that are on the way somewhere come first. */
function servicesTable(services) {
  const moving = (service) => service.runningCount !== service.desiredCount || (service.deployments ?? []).length > 1;
  const rows = [...services].sort((a, b) => Number(moving(b)) - Number(moving(a))).slice(0, MOST_SERVICES);
  return table([
    { name: "Service", cell: (one) => h("a", { href: path("clusters", clusterName(one.clusterArn), "services", one.serviceName) }, one.serviceName) },
    { name: "Running of desired", cell: (one) => meter(one.runningCount, one.desiredCount, one.pendingCount) },
    { name: "Deployment", cell: (one) => rollout(one) },
  ], rows, { key: (one) => one.serviceArn, label: "Services" });
}

const tile = (name, value, href, more) => h("a", { class: "tile", href, key: name }, h("span", { class: "tile-name" }, name), h("span", { class: "tile-value" }, value), h("span", { class: "tile-more" }, more));

function render({ data }) {
  const pending = sum(data.clusters, "pendingTasksCount");
  const failing = data.services.filter((service) => service.runningCount < service.desiredCount).length;
  const balancers = list(data.balancers.value.LoadBalancers);
  const events = happened(data);
  return [
    heading("Overview", { actions: [linkButton("Run a task", path("run-task"), "primary")] }),
    h("div", { class: "tiles", key: "tiles" },
      tile("Running tasks", sum(data.clusters, "runningTasksCount"), path("clusters"), pending > 0 ? `${pending} on their way` : "none on its way"),
      tile("Services", sum(data.clusters, "activeServicesCount"), path("clusters"), failing > 0 ? `${failing} below their count` : "all at their count"),
      tile("Clusters", data.clusters.length, path("clusters"), count(sum(data.clusters, "registeredContainerInstancesCount"), "instance")),
      tile("Repositories", data.repositories.value.length, path("repositories"), "in the registry here"),
      tile("Load balancers", data.balancers.error ? "—" : balancers.length, path("load-balancers"), data.balancers.error?.isMissing ? "not there yet" : `${balancers.filter(({ State }) => State?.Code === "active").length} active`)),
    h("div", { class: "columns", key: "columns" },
      h("div", { class: "stack", key: "left" }, card("Clusters", { flush: true, key: "clusters" },
        table([
          { name: "Cluster", cell: (cluster) => h("a", { href: path("clusters", cluster.clusterName) }, cluster.clusterName) },
          { name: "Tasks", cell: (cluster) => meter(cluster.runningTasksCount, cluster.runningTasksCount + cluster.pendingTasksCount, cluster.pendingTasksCount) },
          { name: "Services", number: true, cell: (cluster) => cluster.activeServicesCount },
          { name: "Instances", number: true, cell: (cluster) => cluster.registeredContainerInstancesCount },
        ], data.clusters, {
          key: (cluster) => cluster.clusterArn, label: "Clusters",
          empty: empty("No cluster yet", "A cluster is where tasks run. On this machine it needs nothing but a name:", "aws ecs create-cluster --cluster-name lab", linkButton("Create a cluster", path("create-cluster"), "primary")),
        })),
        data.services.length > 0 && card("Services", { flush: true, key: "services" }, servicesTable(data.services))),
      card("What happened", { key: "events" },
        events.length === 0
          ? empty("Nothing has happened yet", "Tasks and services that start, stop or fail are listed here as they do.")
          : h("ol", { class: "events" }, events.map((event) =>
              h("li", { key: event.key }, h("span", { class: "when" }, time(event.at)), badge(event.what, event.what, event.tone), h("span", null, event.text)))))),
    data.repositories.error && notice(data.repositories.error),
    data.clusters.length === 0 && card("Point a client here", { key: "clients" },
      h("p", null, "Everything in this console is also there for the AWS CLI, the SDKs and what is built on them:"),
      command(`export AWS_ENDPOINT_URL=${location.origin}\neval "$(longshore env)"\naws sts get-caller-identity`)),
  ];
}

export const overview = { section: "Overview", title: () => "Overview", watches: ["ecs/", "ecr/", "elbv2/", "registry/"], load, render };
