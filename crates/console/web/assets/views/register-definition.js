// A new task definition, as JSON: it has too many members for fields, and JSON is what people keep in their repositories.

import { call } from "../lib/api.js";
import { asInput } from "../lib/definitions.js";
import { Fields, operationForm } from "../lib/forms.js";
import { heading, say } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { session } from "../lib/session.js";

async function load({ query, signal, data }) {
  const from = query.get("from");
  if (data || !from) return data ?? {};
  return { from: (await call("ecs", "DescribeTaskDefinition", { taskDefinition: from }, signal)).taskDefinition };
}

const example = () => ({
  family: "web",
  requiresCompatibilities: ["FARGATE"],
  networkMode: "awsvpc",
  cpu: "256",
  memory: "512",
  executionRoleArn: `arn:aws:iam::${session.account}:role/ecsTaskExecutionRole`,
  containerDefinitions: [{
    name: "web",
    image: `${location.host.replace("127.0.0.1", "localhost")}/web:v1`,
    essential: true,
    portMappings: [{ containerPort: 80, protocol: "tcp" }],
    logConfiguration: {
      logDriver: "awslogs",
      options: { "awslogs-group": "/ecs/web", "awslogs-region": session.region, "awslogs-stream-prefix": "web", "awslogs-create-group": "true" },
    },
  }],
});

function parse(text) {
  const problem = (message) => new Error(`This is not a task definition yet: ${message}`);
  let input;
  try {
    input = JSON.parse(text);
  } catch (error) {
    throw problem(error.message);
  }
  if (input === null || typeof input !== "object" || Array.isArray(input)) throw problem("it has to be an object");
  return input;
}

function render(context) {
  const { ui, data, query } = context;
  const from = query.get("from");
  const values = (ui.values ??= { text: JSON.stringify(data.from ? asInput(data.from) : example(), null, 2) });
  const fields = new Fields(values, context);
  return [
    heading(from ? `New revision of ${from.split(":")[0]}` : "Register a task definition", { crumbs: [["Task definitions", path("definitions")]] }),
    operationForm(context, {
      operation: "RegisterTaskDefinition",
      label: "Register",
      back: path("definitions"),
      input: () => parse(values.text),
      done: ({ taskDefinition }) => {
        say(`Registered ${taskDefinition.family}:${taskDefinition.revision}`);
        context.go(path("definitions", taskDefinition.family, String(taskDefinition.revision)));
      },
    }, fields.area("text", "Definition", { rows: 28, class: "mono", hint: "The input of RegisterTaskDefinition. The execution role pulls images and writes logs: it has to be there and may do no more than its policies say." })),
  ];
}

export const registerDefinition = { section: "Task definitions", title: () => "Register a task definition", every: 3_600_000, load, render };
