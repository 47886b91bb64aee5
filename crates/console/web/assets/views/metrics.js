// Which metrics there are.

import { attempt, call } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { card, code, empty, filterField, heading, matches, notice, table } from "../lib/parts.js";

const MOST_PAGES = 4;

async function read(signal) {
  const found = [];
  let NextToken;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call("cloudwatch", "ListMetrics", { NextToken }, signal);
    found.push(...(answer.Metrics ?? []));
    NextToken = answer.NextToken;
    if (!NextToken) break;
  }
  return found;
}

const name = (one) => `${one.Namespace} ${one.MetricName} ${(one.Dimensions ?? []).map(({ Name, Value }) => `${Name}=${Value}`).join(" ")}`;

function render(context) {
  const { value, error } = context.data.metrics;
  return [
    heading("Metrics"),
    value.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter metrics")),
    error ? notice(error) : card(null, { flush: true, key: "list" }, table([
      { name: "Metric", cell: (one) => one.MetricName },
      { name: "Namespace", cell: (one) => code(one.Namespace) },
      { name: "Dimensions", wide: true, cell: (one) => (one.Dimensions ?? []).map(({ Name, Value }) => h("span", { class: "tag", key: Name }, `${Name}=${Value}`)) },
    ], value.filter((one) => matches(context, name(one))), { key: name, label: "Metrics", empty: empty(value.length > 0 ? "No metric matches" : "No metric yet", value.length > 0 ? undefined : "Metrics appear with their first point.") })),
  ];
}

export const metrics = { section: "Metrics", title: () => "Metrics", watches: ["cloudwatch/"], load: async ({ signal }) => ({ metrics: await attempt(read(signal), []) }), render };
