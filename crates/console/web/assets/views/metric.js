// One metric over the last hour, by the statistics that people look at.

import { attempt } from "../lib/api.js";
import { chart, lastHour } from "../lib/charts.js";
import { h } from "../lib/dom.js";
import { card, facts, heading, notice } from "../lib/parts.js";
import { path } from "../lib/router.js";

const STATISTICS = ["Average", "Maximum", "Sum", "SampleCount"];

async function load({ params, query, signal }) {
  const of = { namespace: params.namespace, name: params.metric, dimensions: Object.fromEntries(query), unit: "" };
  return { charts: await attempt(lastHour(STATISTICS.map((stat) => ({ ...of, stat, label: stat })), signal), []) };
}

function render({ data, params, query }) {
  return [
    heading(params.metric, { crumbs: [["Metrics", path("metrics")]] }),
    card(null, { key: "facts" }, facts([["Namespace", params.namespace], ...query])),
    notice(data.charts.error),
    h("div", { class: "columns", key: "charts" }, data.charts.value.map((one) => card(one.label, { key: one.label }, chart(one)))),
  ];
}

export const metric = { section: "Metrics", title: ({ params }) => params.metric, load, render };
