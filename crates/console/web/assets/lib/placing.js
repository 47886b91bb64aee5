// What the forms for tasks and services have in common: where it runs, and with which network.

import { call } from "./api.js";
import { clusters, definitionNames, network } from "./ecs.js";

/** Read once when the form opens; what is typed shall not move under the fingers. */
export async function load({ data, signal, query }) {
  if (data) return data;
  const [found, names, net] = await Promise.all([clusters(signal), definitionNames(signal), network(signal)]);
  const wanted = query.get("definition");
  const definitions = wanted && !names.includes(wanted) ? [wanted, ...names] : names;
  return { clusters: found.map(({ clusterName }) => clusterName), definitions, definitionByName: {}, ...net };
}

/** The values that a form begins with. */
export function initial({ data, query }) {
  const defaults = data.subnets.filter(({ defaultForAz }) => defaultForAz === "true");
  const subnets = defaults.length > 0 ? defaults : data.subnets;
  const vpc = subnets[0]?.vpcId;
  const group = data.groups.find(({ groupName, vpcId }) => groupName === "default" && vpcId === vpc);
  const wanted = query.get("cluster");
  return {
    cluster: data.clusters.includes(wanted) ? wanted : (data.clusters[0] ?? ""),
    definition: query.get("definition") ?? data.definitions[0] ?? "",
    launch: "FARGATE",
    subnets: subnets.filter(({ vpcId }) => vpcId === vpc).map(({ subnetId }) => subnetId),
    groups: group ? [group.groupId] : [],
    isPublic: true,
  };
}

/** The definition that is chosen, once it has been read: its network mode decides about the fields. */
export function chosenDefinition(context) {
  const { values, read = {} } = context.ui;
  context.ui.read = read;
  const name = values.definition;
  if (!name) return undefined;
  if (!(name in read)) {
    read[name] = undefined;
    call("ecs", "DescribeTaskDefinition", { taskDefinition: name }, context.signal).then(
      ({ taskDefinition }) => {
        read[name] = taskDefinition;
        context.update();
      },
      () => undefined,
    );
  }
  return read[name];
}

export const usesInterface = (definition) => (definition?.networkMode ?? "awsvpc") === "awsvpc";

export function networkConfiguration(values, definition) {
  if (!usesInterface(definition)) return undefined;
  if (values.subnets.length === 0) throw new Error("Choose at least one subnet.");
  return {
    awsvpcConfiguration: {
      subnets: values.subnets,
      securityGroups: values.groups.length > 0 ? values.groups : undefined,
      assignPublicIp: values.launch === "FARGATE" || values.isPublic ? (values.isPublic ? "ENABLED" : "DISABLED") : undefined,
    },
  };
}

export const launchOptions = [
  ["FARGATE", "FARGATE: this platform's own machine"],
  ["EC2", "EC2: container instances"],
  ["EXTERNAL", "EXTERNAL: machines of one's own"],
];

export function networkFields(fields, data, definition) {
  if (!usesInterface(definition)) return null;
  return [
    fields.choices("subnets", "Subnets", data.subnets.map((one) => [one.subnetId, `${one.subnetId} · ${one.cidrBlock} · ${one.availabilityZone}`])),
    fields.choices("groups", "Security groups", data.groups.map((one) => [one.groupId, `${one.groupName} · ${one.groupId}`]), { hint: "What is let in is decided by the groups. The default one lets its own members in." }),
    fields.check("isPublic", "Public address", { hint: "An address of the public pool, reachable from this machine." }),
  ];
}
