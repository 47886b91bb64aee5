// The log groups.

import { all } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { card, empty, filterField, heading, matches, table, time } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { bytes, count } from "../lib/text.js";

const load = async ({ signal }) => ({ groups: await all("logs", "DescribeLogGroups", {}, "logGroups", { signal }) });

function render(context) {
  const { groups } = context.data;
  return [
    heading("Logs"),
    groups.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter log groups")),
    card(null, { flush: true, key: "list" }, table([
      { name: "Log group", cell: (one) => h("a", { href: path("logs", one.logGroupName) }, one.logGroupName) },
      { name: "Kept for", cell: (one) => (one.retentionInDays ? count(one.retentionInDays, "day") : "ever") },
      { name: "Size", number: true, cell: (one) => bytes(one.storedBytes) },
      { name: "Created", cell: (one) => time(one.creationTime) },
    ], groups.filter(({ logGroupName }) => matches(context, logGroupName)), {
      key: (one) => one.arn, label: "Log groups",
      empty: groups.length > 0 ? empty("No log group matches") : empty("No log group yet", "A container with the awslogs driver writes to the group that its definition names:", "aws logs create-log-group --log-group-name /ecs/web\naws logs tail /ecs/web --follow"),
    })),
  ];
}

export const logGroups = { section: "Logs", title: () => "Logs", watches: ["logs/"], load, render };
