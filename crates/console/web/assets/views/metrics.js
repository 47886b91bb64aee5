// Which metrics there are, and the alarms on them.

import { attempt, call } from "../lib/api.js";
import { metricPath } from "../lib/charts.js";
import { h } from "../lib/dom.js";
import { badge, card, code, empty, filterField, heading, matches, notice, table, time } from "../lib/parts.js";

const MOST_PAGES = 4;

async function read(operation, field, signal) {
  const found = [];
  let NextToken;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call("cloudwatch", operation, { NextToken }, signal);
    found.push(...[field].flat().flatMap((name) => answer[name] ?? []));
    NextToken = answer.NextToken;
    if (!NextToken) break;
  }
  return found;
}

async function load({ signal }) {
  const [metrics, alarms] = await Promise.all([
    attempt(read("ListMetrics", "Metrics", signal), []),
    attempt(read("DescribeAlarms", ["MetricAlarms", "CompositeAlarms"], signal), []),
  ]);
  return { metrics, alarms };
}

const name = (one) => `${one.Namespace} ${one.MetricName} ${(one.Dimensions ?? []).map(({ Name, Value }) => `${Name}=${Value}`).join(" ")}`;
const TONES = { OK: "good", ALARM: "bad", INSUFFICIENT_DATA: "idle" };

function alarmsCard(context) {
  const { value, error } = context.data.alarms;
  if (error) return card("Alarms", { key: "alarms" }, notice(error));
  if (value.length === 0) return null;
  return card("Alarms", { flush: true, key: "alarms" }, table([
    { name: "Alarm", cell: (one) => one.AlarmName },
    { name: "State", cell: (one) => badge(one.StateValue, undefined, TONES[one.StateValue]) },
    { name: "On", cell: (one) => one.MetricName ?? (one.AlarmRule ? "other alarms" : "an expression") },
    { name: "Since", cell: (one) => time(one.StateTransitionedTimestamp ?? one.StateUpdatedTimestamp) },
    { name: "Why", wide: true, cell: (one) => one.StateReason },
  ], value.filter((one) => matches(context, one.AlarmName, one.MetricName, one.StateValue)), { key: (one) => one.AlarmArn, label: "Alarms", empty: empty("No alarm matches") }));
}

function render(context) {
  const { value, error } = context.data.metrics;
  return [
    heading("Metrics"),
    value.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter metrics")),
    alarmsCard(context),
    error ? notice(error) : card(null, { flush: true, key: "list" }, table([
      { name: "Metric", cell: (one) => h("a", { href: metricPath(one) }, one.MetricName) },
      { name: "Namespace", cell: (one) => code(one.Namespace) },
      { name: "Dimensions", wide: true, cell: (one) => (one.Dimensions ?? []).map(({ Name, Value }) => h("span", { class: "tag", key: Name }, `${Name}=${Value}`)) },
    ], value.filter((one) => matches(context, name(one))), { key: name, label: "Metrics", empty: empty(value.length > 0 ? "No metric matches" : "No metric yet", value.length > 0 ? undefined : "Metrics appear with their first point.") })),
  ];
}

export const metrics = { section: "Metrics", title: () => "Metrics", watches: ["cloudwatch/"], load, render };
