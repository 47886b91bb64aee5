// Another count, another revision, or the same again.

import { call } from "../lib/api.js";
import { definitionNames } from "../lib/ecs.js";
import { Fields, operationForm } from "../lib/forms.js";
import { empty, heading, say } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { familyRevision } from "../lib/text.js";

async function load({ params, signal }) {
  const [described, names] = await Promise.all([
    call("ecs", "DescribeServices", { cluster: params.cluster, services: [params.service] }, signal),
    definitionNames(signal),
  ]);
  return { service: described.services[0], names };
}

function render(context) {
  const { data, params, ui } = context;
  const { service, names } = data;
  const back = path("clusters", params.cluster, "services", params.service);
  const crumbs = [["Clusters", path("clusters")], [params.cluster, path("clusters", params.cluster)], [params.service, back]];
  if (!service) return [heading("Update", { crumbs }), empty("There is no such service")];
  const configuration = service.deploymentConfiguration ?? {};
  // As it was when the form was opened: what changes meanwhile shall not change what is typed.
  ui.before ??= {
    count: service.desiredCount,
    definition: familyRevision(service.taskDefinition),
    minimum: configuration.minimumHealthyPercent ?? 100,
    maximum: configuration.maximumPercent ?? 200,
    breaker: configuration.deploymentCircuitBreaker?.enable ?? false,
    rollback: configuration.deploymentCircuitBreaker?.rollback ?? false,
    force: false,
  };
  const values = (ui.values ??= { ...ui.before });
  const fields = new Fields(values, context);
  const changed = (name) => values[name] !== ui.before[name];
  const input = () => ({
    cluster: params.cluster,
    service: params.service,
    desiredCount: changed("count") ? values.count : undefined,
    taskDefinition: changed("definition") ? values.definition : undefined,
    deploymentConfiguration: ["minimum", "maximum", "breaker", "rollback"].some(changed)
      ? { minimumHealthyPercent: values.minimum, maximumPercent: values.maximum, deploymentCircuitBreaker: { enable: values.breaker, rollback: values.rollback } }
      : undefined,
    forceNewDeployment: values.force || undefined,
  });
  const isDaemon = service.schedulingStrategy === "DAEMON";
  const options = [...new Set([ui.before.definition, ...names])].map((name) => [name, name]);
  return [
    heading(`Update ${params.service}`, { crumbs }),
    operationForm(context, { operation: "UpdateService", label: "Update the service", back, input, done: () => { say("The service is being updated"); context.go(back); } },
      !isDaemon && fields.number("count", "Desired count", { min: "0", max: "5000", required: true, autofocus: true }),
      fields.select("definition", "Task definition", options, { hint: "Another revision begins a deployment." }),
      fields.number("minimum", "At least healthy, percent of the desired count", { min: "0", max: "100", required: true }),
      fields.number("maximum", "At most, percent of the desired count", { min: "100", max: "200", required: true }),
      fields.check("breaker", "Circuit breaker", { hint: "A deployment whose tasks keep failing is given up." }),
      values.breaker && fields.check("rollback", "Roll back when it trips"),
      fields.check("force", "Force a new deployment", { hint: "Replaces all tasks even when nothing else changes." })),
  ];
}

export const updateService = { section: "Clusters", title: ({ params }) => `Update ${params.service}`, every: 60_000, load, render };
