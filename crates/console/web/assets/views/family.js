// The revisions of a family, and what differs between two of them.

import { all, call } from "../lib/api.js";
import { diff } from "../lib/diff.js";
import { h } from "../lib/dom.js";
import { badge, card, empty, heading, linkButton, table } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";
import { tail } from "../lib/text.js";
import { written } from "../lib/definitions.js";

const MOST = 100;

async function load({ params, query, signal, data }) {
  const lists = await Promise.all(["ACTIVE", "INACTIVE"].map((status) =>
    all("ecs", "ListTaskDefinitions", { familyPrefix: params.family, status, sort: "DESC" }, "taskDefinitionArns", { signal }).then((arns) => arns.map((arn) => ({ name: tail(arn), status })))));
  const revisions = lists.flat().filter(({ name }) => name.startsWith(`${params.family}:`)).sort((a, b) => number(b) - number(a));
  const [from, to] = [query.get("from"), query.get("to")];
  const read = async (revision) => (await call("ecs", "DescribeTaskDefinition", { taskDefinition: `${params.family}:${revision}` }, signal)).taskDefinition;
  const compared = from && to ? (data?.compared ?? await Promise.all([read(from), read(to)])) : undefined;
  return { revisions, compared };
}

const number = ({ name }) => Number(name.split(":")[1]);

function comparison({ params, query, data }) {
  const [from, to] = [query.get("from"), query.get("to")];
  const lines = diff(...data.compared.map(written));
  const marks = { same: " ", gone: "−", new: "+" };
  const said = { same: "", gone: "removed: ", new: "added: " };
  return card(`From ${params.family}:${from} to ${params.family}:${to}`, { key: "diff", actions: [h("a", { href: path("definitions", params.family) }, "Close")] },
    lines.every(({ kind }) => kind === "same")
      ? empty("They are the same")
      : h("pre", { class: "diff", tabindex: "0", "aria-label": "Differences" }, lines.map(({ kind, text }, at) =>
          h("span", { class: kind, key: at }, h("span", { class: "visually-hidden" }, said[kind]), `${marks[kind]} ${text}\n`))));
}

function render({ data, params, ...context }) {
  const { revisions } = data;
  const here = path("definitions", params.family);
  return [
    heading(params.family, { crumbs: [["Task definitions", path("definitions")]], actions: [linkButton("New revision", withQuery(path("register-definition"), { from: revisions[0]?.name }), "primary")] }),
    data.compared && comparison({ data, params, query: context.query }),
    card("Revisions", { flush: true, key: "list" }, table([
      { name: "Revision", cell: (one) => h("a", { href: path("definitions", params.family, String(number(one))) }, one.name) },
      { name: "Status", cell: (one) => badge(one.status) },
      { name: "Compare", cell: (one) => {
        const before = revisions.find((other) => number(other) < number(one));
        return before ? h("a", { href: withQuery(here, { from: String(number(before)), to: String(number(one)) }) }, `with :${number(before)}`) : h("span", { class: "dim" }, "the first");
      } },
      { name: "Start", cell: (one) => one.status === "ACTIVE" && h("a", { href: withQuery(path("run-task"), { definition: one.name }), "aria-label": `Run ${one.name}` }, "Run") },
    ], revisions, { key: (one) => one.name, label: "Revisions", limit: MOST, empty: empty("There is no such family", "All its revisions may have been deleted.") })),
  ];
}

export const family = { section: "Task definitions", title: ({ params }) => params.family, watches: ["ecs/"], load, render };
