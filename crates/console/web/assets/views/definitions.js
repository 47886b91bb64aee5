// Families of task definitions.

import { h } from "../lib/dom.js";
import { definitionNames } from "../lib/ecs.js";
import { card, empty, filterField, heading, linkButton, matches, table } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";

async function load({ signal }) {
  const families = new Map();
  for (const name of await definitionNames(signal)) {
    const [family, revision] = name.split(":");
    const one = families.get(family) ?? { family, newest: 0, count: 0 };
    families.set(family, { family, newest: Math.max(one.newest, Number(revision)), count: one.count + 1 });
  }
  return { families: [...families.values()].sort((a, b) => a.family.localeCompare(b.family)) };
}

const EXAMPLE = `aws ecs register-task-definition --family web --requires-compatibilities FARGATE --network-mode awsvpc \\
  --cpu 256 --memory 512 --execution-role-arn arn:aws:iam::000000000000:role/exec \\
  --container-definitions '[{"name": "web", "image": "localhost:4566/web:v1", "portMappings": [{"containerPort": 80}]}]'`;

function render(context) {
  const { families } = context.data;
  return [
    heading("Task definitions", { actions: [linkButton("Register one", path("register-definition"), "primary")] }),
    families.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter families")),
    card(null, { flush: true, key: "list" }, table([
      { name: "Family", cell: (one) => h("a", { href: path("definitions", one.family) }, one.family) },
      { name: "Newest revision", cell: (one) => h("a", { href: path("definitions", one.family, String(one.newest)) }, `${one.family}:${one.newest}`) },
      { name: "Active revisions", number: true, cell: (one) => one.count },
      { name: "Start", cell: (one) => h("a", { href: withQuery(path("run-task"), { definition: `${one.family}:${one.newest}` }), "aria-label": `Run ${one.family}` }, "Run") },
    ], families.filter(({ family }) => matches(context, family)), {
      key: (one) => one.family, label: "Task definitions",
      empty: families.length > 0 ? empty("No family matches") : empty("No task definition yet", "It says which images run together, with what size, network and logs.", EXAMPLE, linkButton("Register one", path("register-definition"), "primary")),
    })),
  ];
}

export const definitions = { section: "Task definitions", title: () => "Task definitions", watches: ["ecs/"], load, render };
