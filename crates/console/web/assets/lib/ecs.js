// What several views read of ECS and EC2.

import { all, attempt, call, inBatches } from "./api.js";
import { tail } from "./text.js";
import { list } from "./xml.js";

export async function clusters(signal) {
  const arns = await all("ecs", "ListClusters", {}, "clusterArns", { signal });
  const found = await inBatches(arns, 100, async (clusters) => (await call("ecs", "DescribeClusters", { clusters, include: ["SETTINGS", "TAGS"] }, signal)).clusters);
  return found.filter((cluster) => cluster.status !== "INACTIVE").sort((a, b) => a.clusterName.localeCompare(b.clusterName));
}

export async function services(cluster, signal) {
  const arns = await all("ecs", "ListServices", { cluster, maxResults: 100 }, "serviceArns", { signal });
  const found = await inBatches(arns, 10, async (services) => (await call("ecs", "DescribeServices", { cluster, services }, signal)).services);
  return found.sort((a, b) => a.serviceName.localeCompare(b.serviceName));
}

/** Running and stopped tasks, those that run first and then the newest. `of` narrows them down (`serviceName`, `family`, …). */
export async function tasks(cluster, signal, of = {}) {
  const lists = ["RUNNING", "STOPPED"].map((desiredStatus) => all("ecs", "ListTasks", { cluster, desiredStatus, ...of }, "taskArns", { signal }));
  const arns = [...new Set((await Promise.all(lists)).flat())];
  const found = await inBatches(arns, 100, async (tasks) => (await call("ecs", "DescribeTasks", { cluster, tasks }, signal)).tasks);
  const isOver = ({ lastStatus }) => Number(lastStatus === "STOPPED");
  return found.sort((a, b) => isOver(a) - isOver(b) || (b.createdAt ?? 0) - (a.createdAt ?? 0));
}

export async function instances(cluster, signal) {
  const arns = await all("ecs", "ListContainerInstances", { cluster }, "containerInstanceArns", { signal });
  return inBatches(arns, 100, async (containerInstances) => (await call("ecs", "DescribeContainerInstances", { cluster, containerInstances }, signal)).containerInstances);
}

const MOST_ROUTES = 50;

/** The routes of a service, of a gateway (`{ gateway }`) or of all, with the URL of each. */
export async function routesOf(cluster, service, signal, of = { cluster, service }) {
  const listed = await all("ecs", "ListGatewayRoutes", of, "gatewayRoutes", { signal });
  return inBatches(listed.slice(0, MOST_ROUTES), 1, async ([{ gatewayRouteArn, gatewayArn }]) => {
    const { gatewayRoute } = await call("ecs", "DescribeGatewayRoute", { gatewayRouteArn }, signal);
    return { ...gatewayRoute, gatewayArn };
  });
}

/** `name → value` of an attachment's details. */
export const details = (attachment) => Object.fromEntries((attachment?.details ?? []).map(({ name, value }) => [name, value]));

export const interfaceOf = (task) => (task.attachments ?? []).find(({ type }) => type === "ElasticNetworkInterface" || type === "eni");

/** Public addresses by interface id, as far as there are some. */
export async function publicAddresses(tasks, signal) {
  const ids = tasks.map((task) => details(interfaceOf(task)).networkInterfaceId).filter(Boolean);
  if (ids.length === 0) return {};
  const found = await attempt(call("ec2", "DescribeNetworkInterfaces", { Filter: [{ Name: "network-interface-id", Value: ids.slice(0, 200) }] }, signal), {});
  return Object.fromEntries(list(found.value.networkInterfaceSet).map((one) => [one.networkInterfaceId, one.association?.publicIp]));
}

/** What a form needs to place a task in the network. */
export async function network(signal) {
  const [subnets, groups] = await Promise.all([call("ec2", "DescribeSubnets", {}, signal), call("ec2", "DescribeSecurityGroups", {}, signal)]);
  return {
    subnets: list(subnets.subnetSet).sort((a, b) => a.cidrBlock.localeCompare(b.cidrBlock, "en", { numeric: true })),
    groups: list(groups.securityGroupInfo).sort((a, b) => a.groupName.localeCompare(b.groupName)),
  };
}

/** `FAMILY:REVISION` of all active definitions, newest revision of a family first. */
export async function definitionNames(signal) {
  const arns = await all("ecs", "ListTaskDefinitions", { sort: "DESC", status: "ACTIVE" }, "taskDefinitionArns", { signal });
  return arns.map(tail);
}

export const taskId = (task) => tail(task.taskArn);
export const clusterName = (arn) => tail(arn);
