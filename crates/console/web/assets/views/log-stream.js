// One log stream.

import { logView } from "../lib/log-view.js";
import { heading } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { StreamTail } from "../lib/tail.js";

function render(context) {
  const { params, ui } = context;
  ui.tail ??= new StreamTail(context, params.group, params.stream);
  return [
    heading(params.stream, { crumbs: [["Logs", path("logs")], [params.group, path("logs", params.group)]] }),
    logView(context, ui.tail, { label: `Events of ${params.stream}` }),
  ];
}

export const logStream = { section: "Logs", title: ({ params }) => params.stream, every: 3_600_000, render };
