// Runs a task.

import { Fields, Refused, operationForm } from "../lib/forms.js";
import { empty, heading, linkButton, say } from "../lib/parts.js";
import { chosenDefinition, initial, launchOptions, load, networkConfiguration, networkFields } from "../lib/placing.js";
import { path, withQuery } from "../lib/router.js";
import { count, tail } from "../lib/text.js";

/** The words of a command as a shell would see them: quotes group, and nothing is expanded. */
function split(text) {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare);
}

function input(values, definition) {
  if (!values.cluster) throw new Error("Choose a cluster.");
  if (!values.definition) throw new Error("Choose a task definition.");
  const words = split(values.command);
  return {
    cluster: values.cluster,
    taskDefinition: values.definition,
    launchType: values.launch,
    count: values.count,
    networkConfiguration: networkConfiguration(values, definition),
    overrides: words.length > 0 && values.container ? { containerOverrides: [{ name: values.container, command: words }] } : undefined,
    startedBy: values.startedBy.trim() || undefined,
  };
}

function done(context, { tasks, failures }) {
  const { cluster } = context.ui.values;
  if (tasks.length === 0) throw new Refused(failures[0]?.reason ?? "NoTask", failures.map(({ arn, detail }) => [arn, detail].filter(Boolean).join(": ")).join("; "));
  say(`${count(tasks.length, "task")} on the way`);
  context.go(tasks.length === 1 ? path("clusters", cluster, "tasks", tail(tasks[0].taskArn)) : withQuery(path("clusters", cluster), { show: "tasks" }));
}

function render(context) {
  const { data, ui } = context;
  const crumbs = [["Clusters", path("clusters")]];
  if (data.clusters.length === 0) return [heading("Run a task", { crumbs }), empty("There is no cluster to run it in", undefined, "aws ecs create-cluster --cluster-name lab", linkButton("Create a cluster", path("create-cluster"), "primary"))];
  if (data.definitions.length === 0) return [heading("Run a task", { crumbs }), empty("There is no task definition to run", "Register one first.", undefined, linkButton("Register one", path("register-definition"), "primary"))];
  const values = (ui.values ??= { ...initial(context), count: 1, container: "", command: "", startedBy: "" });
  const fields = new Fields(values, context);
  const definition = chosenDefinition(context);
  const containers = (definition?.containerDefinitions ?? []).map(({ name }) => [name, name]);
  if (!containers.some(([name]) => name === values.container)) values.container = containers[0]?.[0] ?? "";
  return [
    heading("Run a task", { crumbs }),
    operationForm(context, { operation: "RunTask", label: values.count === 1 ? "Run the task" : `Run ${values.count} tasks`, back: path("clusters", values.cluster), input: () => input(values, definition), done: (answer) => done(context, answer) },
      fields.select("cluster", "Cluster", data.clusters.map((name) => [name, name]), { autofocus: true }),
      fields.select("definition", "Task definition", data.definitions.map((name) => [name, name])),
      fields.number("count", "How many", { min: "1", max: "10", required: true }),
      fields.select("launch", "Launch type", launchOptions),
      networkFields(fields, data, definition),
      containers.length > 1 && fields.select("container", "Container whose command is replaced", containers),
      fields.text("command", "Command instead of the definition's", { hint: "Words as in a shell, quotes group them. Left empty, the definition's command runs." }),
      fields.text("startedBy", "Started by", { hint: "Any text of up to 128 characters, to find the task by.", maxlength: "128" })),
  ];
}

export const runTask = { section: "Clusters", title: () => "Run a task", every: 3_600_000, load, render };
