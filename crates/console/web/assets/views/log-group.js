// One log group: its events as they come, and its streams.

import { all, call } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { logView } from "../lib/log-view.js";
import { card, copyable, empty, facts, filterField, heading, matches, table, tabs, time } from "../lib/parts.js";
import { path, withQuery } from "../lib/router.js";
import { GroupTail } from "../lib/tail.js";
import { bytes, count } from "../lib/text.js";

/** Streams whose last event is newest: what somebody looks for. */
const MOST_STREAMS = 200;

async function load({ params, query, signal }) {
  const described = await all("logs", "DescribeLogGroups", { logGroupNamePrefix: params.group }, "logGroups", { signal });
  const group = described.find(({ logGroupName }) => logGroupName === params.group);
  if (!group || query.get("show") !== "streams") return { group };
  const page = { logGroupName: params.group, orderBy: "LastEventTime", descending: true, limit: 50 };
  const streams = [];
  let nextToken;
  do {
    const answer = await call("logs", "DescribeLogStreams", { ...page, nextToken }, signal);
    streams.push(...answer.logStreams);
    nextToken = answer.nextToken;
  } while (nextToken && streams.length < MOST_STREAMS);
  return { group, streams };
}

function render(context) {
  const { data, params, query, ui } = context;
  const { group, streams } = data;
  const crumbs = [["Logs", path("logs")]];
  if (!group) return [heading(params.group, { crumbs }), empty("There is no such log group", undefined, `aws logs create-log-group --log-group-name ${params.group}`)];
  const shown = query.get("show") ?? "tail";
  const here = path("logs", params.group);
  if (shown === "tail") ui.tail ??= new GroupTail(context, params.group, group.logGroupArn ?? group.arn);
  return [
    heading(params.group, { crumbs }),
    card(null, { key: "facts" }, facts([
      ["Kept for", group.retentionInDays ? count(group.retentionInDays, "day") : "ever"],
      ["Size", bytes(group.storedBytes)],
      ["Created", time(group.creationTime)],
      ["ARN", copyable(group.arn)],
    ])),
    tabs("Parts of the log group", [
      { name: "Live tail", href: here, current: shown === "tail" },
      { name: "Streams", href: withQuery(here, { show: "streams" }), current: shown === "streams" },
    ]),
    shown === "tail" && logView(context, ui.tail, { label: `Events of ${params.group}`, showStream: true, teach: `aws logs tail ${params.group} --follow` }),
    shown === "streams" && [
      h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter streams")),
      card(null, { flush: true, key: "streams" }, table([
        { name: "Stream", cell: (one) => h("a", { href: path("logs", params.group, one.logStreamName) }, one.logStreamName) },
        { name: "Last event", cell: (one) => time(one.lastEventTimestamp) },
        { name: "First event", cell: (one) => time(one.firstEventTimestamp) },
      ], (streams ?? []).filter(({ logStreamName }) => matches(context, logStreamName)), { key: (one) => one.logStreamName, label: "Log streams", empty: empty("No stream yet", "The first event of a container makes its stream.") })),
    ],
  ];
}

export const logGroup = { section: "Logs", title: ({ params }) => params.group, watches: ["logs/"], load, render };
