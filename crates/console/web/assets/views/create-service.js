// Creates a service.

import { attempt } from "../lib/api.js";
import { describe } from "../lib/balancers.js";
import { Fields, operationForm } from "../lib/forms.js";
import { empty, heading, linkButton, say } from "../lib/parts.js";
import { chosenDefinition, initial, launchOptions, load as loadPlaces, networkConfiguration, networkFields } from "../lib/placing.js";
import { path } from "../lib/router.js";

async function load(context) {
  if (context.data) return context.data;
  const [places, groups] = await Promise.all([
    loadPlaces(context),
    attempt(describe("DescribeTargetGroups", "TargetGroups", {}, context.signal), []),
  ]);
  return { ...places, targetGroups: groups.value };
}

function input(values, definition) {
  if (!values.cluster) throw new Error("Choose a cluster.");
  if (!values.definition) throw new Error("Choose a task definition.");
  if (!values.name.trim()) throw new Error("Give the service a name.");
  const isDaemon = values.scheduling === "DAEMON";
  const balanced = values.targetGroup && values.port;
  return {
    cluster: values.cluster,
    serviceName: values.name.trim(),
    taskDefinition: values.definition,
    desiredCount: isDaemon ? undefined : values.count,
    launchType: values.launch,
    schedulingStrategy: isDaemon ? "DAEMON" : undefined,
    deploymentConfiguration: {
      minimumHealthyPercent: values.minimum,
      maximumPercent: values.maximum,
      deploymentCircuitBreaker: { enable: values.breaker, rollback: values.breaker && values.rollback },
    },
    networkConfiguration: networkConfiguration(values, definition),
    loadBalancers: balanced ? [{ targetGroupArn: values.targetGroup, containerName: values.port.split(":")[0], containerPort: Number(values.port.split(":")[1]) }] : undefined,
    healthCheckGracePeriodSeconds: balanced ? values.grace : undefined,
  };
}

/** Ports that a load balancer can send to. */
const portsOf = (definition) => (definition?.containerDefinitions ?? []).flatMap(({ name, portMappings }) => (portMappings ?? []).map(({ containerPort }) => `${name}:${containerPort}`));

function render(context) {
  const { data, ui } = context;
  const crumbs = [["Clusters", path("clusters")]];
  if (data.clusters.length === 0) return [heading("Create a service", { crumbs }), empty("There is no cluster to run it in", undefined, "aws ecs create-cluster --cluster-name lab", linkButton("Create a cluster", path("create-cluster"), "primary"))];
  if (data.definitions.length === 0) return [heading("Create a service", { crumbs }), empty("There is no task definition to run", "Register one first.", undefined, linkButton("Register one", path("register-definition"), "primary"))];
  const values = (ui.values ??= { ...initial(context), name: "", count: 2, scheduling: "REPLICA", minimum: 100, maximum: 200, breaker: true, rollback: true, targetGroup: "", port: "", grace: 30 });
  const fields = new Fields(values, context);
  const definition = chosenDefinition(context);
  const ports = portsOf(definition);
  if (values.targetGroup && !ports.includes(values.port)) values.port = ports[0] ?? "";
  return [
    heading("Create a service", { crumbs }),
    operationForm(context, {
      operation: "CreateService",
      label: "Create the service",
      back: path("clusters", values.cluster),
      input: () => input(values, definition),
      done: ({ service }) => {
        say(`${service.serviceName} was created`);
        context.go(path("clusters", values.cluster, "services", service.serviceName));
      },
    },
      fields.text("name", "Name", { required: true, maxlength: "255", pattern: "[A-Za-z0-9_\\-]+", title: "letters, digits, hyphens and underscores", autofocus: true }),
      fields.select("cluster", "Cluster", data.clusters.map((name) => [name, name])),
      fields.select("definition", "Task definition", data.definitions.map((name) => [name, name])),
      fields.select("launch", "Launch type", launchOptions),
      values.launch !== "FARGATE" && fields.select("scheduling", "Scheduling", [["REPLICA", "Replica: a number of tasks"], ["DAEMON", "Daemon: one on each instance"]]),
      values.scheduling !== "DAEMON" && fields.number("count", "Desired count", { min: "0", max: "5000", required: true }),
      networkFields(fields, data, definition),
      data.targetGroups.length > 0 && fields.select("targetGroup", "Load balancer's target group", [["", "none"], ...data.targetGroups.map((one) => [one.TargetGroupArn, `${one.TargetGroupName} · ${one.Protocol}:${one.Port}`])]),
      values.targetGroup && fields.select("port", "Container and port behind it", ports.map((port) => [port, port]), { hint: ports.length === 0 ? "The definition maps no port." : undefined }),
      values.targetGroup && fields.number("grace", "Seconds before failing health checks count", { min: "0", required: true }),
      fields.number("minimum", "At least healthy during a deployment, percent", { min: "0", max: "100", required: true }),
      fields.number("maximum", "At most during a deployment, percent", { min: "100", max: "200", required: true }),
      fields.check("breaker", "Circuit breaker", { hint: "A deployment whose tasks keep failing is given up." }),
      values.breaker && fields.check("rollback", "Roll back when it trips")),
  ];
}

export const createService = { section: "Clusters", title: () => "Create a service", every: 3_600_000, load, render };
