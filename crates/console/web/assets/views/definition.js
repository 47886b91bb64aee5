// One revision of a task definition.

import { attempt, call } from "../lib/api.js";
import { confirm } from "../lib/dialog.js";
import { asInput } from "../lib/definitions.js";
import { h } from "../lib/dom.js";
import { badge, button, card, code, copyable, empty, facts, heading, json, linkButton, notice, say, table, time } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";
import { bytes, tail } from "../lib/text.js";

async function load({ params, signal }) {
  return { definition: (await call("ecs", "DescribeTaskDefinition", { taskDefinition: `${params.family}:${params.revision}` }, signal)).taskDefinition };
}

const memory = (mebibytes) => mebibytes && bytes(Number(mebibytes) * 1024 * 1024);

function containers(definition) {
  return table([
    { name: "Container", cell: (one) => h("strong", null, one.name) },
    { name: "Image", wide: true, cell: (one) => code(one.image) },
    { name: "Ports", cell: (one) => (one.portMappings ?? []).map(({ containerPort, protocol }) => `${containerPort}/${protocol ?? "tcp"}`).join(", ") || "—" },
    { name: "Essential", cell: (one) => (one.essential === false ? "no" : "yes") },
    { name: "Limits", cell: (one) => [one.cpu && `${one.cpu} CPU units`, memory(one.memory)].filter(Boolean).join(", ") || "—" },
    { name: "Logs", cell: (one) => {
      const group = one.logConfiguration?.options?.["awslogs-group"];
      return group ? h("a", { href: path("logs", group) }, group) : (one.logConfiguration?.logDriver ?? "—");
    } },
    { name: "Depends on", cell: (one) => (one.dependsOn ?? []).map(({ containerName, condition }) => `${containerName} ${condition}`).join(", ") || "—" },
  ], definition.containerDefinitions ?? [], { key: (one) => one.name, label: "Containers", empty: empty("No container") });
}

async function deregister(context) {
  const { family, revision } = context.params;
  if (!(await confirm(`Deregister ${family}:${revision}?`, "No task or service can be started with it any more. Those that run go on.", "Deregister"))) return;
  const { error } = await attempt(call("ecs", "DeregisterTaskDefinition", { taskDefinition: `${family}:${revision}` }));
  context.ui.error = error;
  if (!error) say("Deregistered");
  await context.reload();
}

function render(context) {
  const { definition } = context.data;
  const { family, revision } = context.params;
  const name = `${family}:${revision}`;
  const isActive = definition.status === "ACTIVE";
  return [
    heading(name, {
      crumbs: [["Task definitions", path("definitions")], [family, path("definitions", family)]],
      status: badge(definition.status),
      actions: [
        isActive && button("Deregister", () => deregister(context)),
        linkButton("New revision", withQuery(path("register-definition"), { from: name })),
        isActive && linkButton("Create a service", withQuery(path("create-service"), { definition: name })),
        isActive && linkButton("Run", withQuery(path("run-task"), { definition: name }), "primary"),
      ],
    }),
    notice(context.ui.error),
    card(null, { key: "facts" }, facts([
      ["Size", definition.cpu && `${definition.cpu} CPU units, ${memory(definition.memory)}`],
      ["Network mode", definition.networkMode],
      ["Made for", (definition.requiresCompatibilities ?? definition.compatibilities ?? []).join(", ")],
      ["Task role", definition.taskRoleArn && tail(definition.taskRoleArn)],
      ["Execution role", definition.executionRoleArn && tail(definition.executionRoleArn)],
      ["Volumes", (definition.volumes ?? []).map(({ name: volume }) => volume).join(", ")],
      ["Registered", time(definition.registeredAt)],
      ["ARN", copyable(definition.taskDefinitionArn)],
    ])),
    card("Containers", { flush: true, key: "containers" }, containers(definition)),
    card("JSON", { key: "json" }, json(asInput(definition))),
  ];
}

export const definition = { section: "Task definitions", title: ({ params }) => `${params.family}:${params.revision}`, watches: ["ecs/task-definition", "ecs/family"], load, render };
