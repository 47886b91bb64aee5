// Metrics over time: what CloudWatch has of them in the last hour, drawn as lines.

import { call } from "./api.js";
import { h } from "./dom.js";
import { card, empty, notice } from "./parts.js";
import { path, withQuery } from "./router.js";

const MINUTES = 60;
const [WIDTH, HEIGHT] = [600, 120];

/** The points of metrics by the minute. Each is `{ namespace, name, dimensions, stat, label }`. */
export async function lastHour(metrics, signal) {
  const end = Math.floor(Date.now() / 60_000) * 60;
  const start = end - MINUTES * 60;
  const MetricDataQueries = metrics.map(({ namespace, name, dimensions, stat }, index) => ({
    Id: `m${index}`,
    MetricStat: {
      Metric: { Namespace: namespace, MetricName: name, Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })) },
      Period: 60,
      Stat: stat,
    },
  }));
  const answer = await call("cloudwatch", "GetMetricData", { MetricDataQueries, StartTime: start, EndTime: end + 60, ScanBy: "TimestampAscending" }, signal);
  return metrics.map((metric, index) => {
    const found = answer.MetricDataResults.find(({ Id }) => Id === `m${index}`);
    const points = (found?.Timestamps ?? []).map((at, place) => [typeof at === "number" ? at : Date.parse(at) / 1000, found.Values[place]]);
    return { ...metric, start, end, points };
  });
}

/** Where one metric of those that are listed is looked at. */
export const metricPath = ({ Namespace, MetricName, Dimensions }) =>
  withQuery(path("metrics", Namespace, MetricName), Object.fromEntries((Dimensions ?? []).map(({ Name, Value }) => [Name, Value])));

/** What is measured of a service itself. */
export function ofService(cluster, service) {
  const own = (metric, label) => ({ namespace: "AWS/ECS", name: metric, dimensions: { ClusterName: cluster, ServiceName: service }, stat: "Average", label, unit: " %", least: 10 });
  return [own("CPUUtilization", "CPU"), own("MemoryUtilization", "memory")];
}

/** Charts side by side, each in a card. */
export function chartCards({ value, error }) {
  if (error) return notice(error);
  return h("div", { class: "columns", key: "metrics" }, value.map((one) => card(one.label[0].toUpperCase() + one.label.slice(1), { key: one.label }, chart(one))));
}

const short = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString());

/** One metric as a line, with its last and its greatest value in words. Minutes without data are gaps. */
export function chart({ label, unit, points, start, end, least = 1 }) {
  if (points.length === 0) return empty(`No ${label} in the last hour`);
  const greatest = Math.max(least, ...points.map(([, value]) => value));
  const x = (at) => ((at - start) / (end - start)) * WIDTH;
  const y = (value) => HEIGHT - 4 - (value / greatest) * (HEIGHT - 8);
  const lines = [];
  points.forEach(([at, value], index) => {
    const begins = index === 0 || at - points[index - 1][0] > 60;
    if (begins) lines.push([]);
    lines.at(-1).push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  });
  const said = `${label}: ${short(points.at(-1)[1])}${unit} now, ${short(Math.max(...points.map(([, value]) => value)))}${unit} at most in the last hour`;
  return h("figure", { class: "chart" },
    h("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said },
      h("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 4, y2: HEIGHT - 4 }),
      // A single minute is a dash: a line of one point is not drawn.
      lines.map((line, key) => h("polyline", { key, class: "series", points: line.length > 1 ? line.join(" ") : `${line[0]} ${(Number(line[0].split(",")[0]) + 4).toFixed(1)},${line[0].split(",")[1]}` }))),
    h("figcaption", null, said));
}
