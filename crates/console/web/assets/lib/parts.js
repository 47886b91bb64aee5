// The parts that views are made of.

import { advice } from "./advice.js";
import { h } from "./dom.js";
import { ago, duration, toDate, words } from "./text.js";

/** An icon of the set below, hidden from screen readers: the words beside it say the same. */
const ICONS = {
  overview: "M3 3h6v8H3zM11 3h6v5h-6zM11 10h6v7h-6zM3 13h6v4H3z",
  clusters: "M10 2l7 4v8l-7 4-7-4V6zM3 6l7 4 7-4M10 10v8",
  definitions: "M5 2h7l4 4v12H5zM12 2v4h4M8 10h5M8 13h5",
  repositories: "M3 6l7-4 7 4-7 4zM3 10l7 4 7-4M3 14l7 4 7-4",
  balancers: "M10 3v5M10 8L4 13M10 8l6 5M10 8v5M8 2h4v3H8zM2 13h4v4H2zM8 13h4v4H8zM14 13h4v4h-4z",
  logs: "M3 4h14M3 8h10M3 12h14M3 16h7",
  metrics: "M3 17V3M3 17h14M6 13l3-4 3 2 4-6",
  menu: "M3 5h14M3 10h14M3 15h14",
  close: "M5 5l10 10M15 5L5 15",
  copy: "M7 7h9v10H7zM4 13V3h9",
  play: "M6 4l9 6-9 6z",
  plus: "M10 4v12M4 10h12",
  keyboard: "M2 5h16v10H2zM5 8h1M9 8h1M13 8h1M5 12h10",
};

export const icon = (name) =>
  h("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" }, h("path", { d: ICONS[name] }));

/** What a status means for the eye; the word itself is always written. */
const TONES = {
  good: ["RUNNING", "ACTIVE", "COMPLETED", "HEALTHY", "healthy", "active", "SUCCESSFUL", "ENABLED", "CONNECTED", "ATTACHED", "PRIMARY"],
  busy: [
    "PROVISIONING", "PENDING", "ACTIVATING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "IN_PROGRESS", "provisioning", "initial",
    "REGISTERING", "PRECREATED", "ATTACHING", "CREATED", "REQUESTED", "ROLLBACK_IN_PROGRESS", "STOP_REQUESTED", "IN_PROGRESS",
  ],
  warn: ["DRAINING", "draining", "UNKNOWN", "unavailable", "active_impaired", "ROLLBACK_REQUESTED", "ROLLBACK_SUCCESSFUL"],
  bad: ["FAILED", "UNHEALTHY", "unhealthy", "failed", "ROLLBACK_FAILED", "DISCONNECTED", "DELETE_FAILED"],
};
const MARKS = { good: "●", busy: "◐", warn: "▲", bad: "✕", idle: "○" };

export function tone(status) {
  return Object.keys(TONES).find((name) => TONES[name].includes(status)) ?? "idle";
}

export function badge(status, label = words(status), force = undefined) {
  const kind = force ?? tone(status);
  return h("span", { class: `badge ${kind}` }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[kind]), label);
}

/** A moment as the time since, exact on hover. */
export function time(at) {
  const date = toDate(at);
  if (!date) return null;
  return h("time", { datetime: date.toISOString(), title: date.toLocaleString() }, ago(date));
}

/** How long something took or has taken. */
export function lasted(from, to) {
  const [start, end] = [toDate(from), toDate(to) ?? new Date()];
  return start ? duration((end - start) / 1000) : "";
}

/** The head of a page: where one is, its title, what can be done. */
export function heading(title, { crumbs = [], note, actions = [], status } = {}) {
  return h("header", { class: "heading" },
    crumbs.length > 0 &&
      h("nav", { class: "crumbs", "aria-label": "Breadcrumb" },
        h("ol", null, crumbs.map(([name, href]) => h("li", null, h("a", { href }, name))))),
    h("div", { class: "heading-row" },
      h("h1", { tabindex: "-1", id: "title" }, title),
      status,
      h("div", { class: "actions" }, actions)),
    note && h("p", { class: "note" }, note));
}

export const linkButton = (label, href, kind = "") => h("a", { class: `button ${kind}`, href }, label);
export const button = (label, onclick, { kind = "", ...more } = {}) => h("button", { type: "button", class: `button ${kind}`, onclick, ...more }, label);

export function card(title, props, ...children) {
  const { actions, key, flush, ...rest } = props ?? {};
  return h("section", { class: `card ${flush ? "flush" : ""}`, key, ...rest },
    title && h("div", { class: "card-head" }, h("h2", null, title), actions && h("div", { class: "actions" }, actions)),
    children);
}

/**
 * A table whose rows become blocks on a narrow screen. Roles are written out, since blocks would lose them.
 * @param columns `{name, cell: row => description, number?, wide?}`; the first one's cell is the row's own name
 * @param options `key(row)`, `label`, `empty` (a description), `limit`
 */
export function table(columns, rows, { key, label, empty, limit = 500 }) {
  if (rows.length === 0) return empty;
  const kind = (column) => [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || undefined;
  return h("div", { class: "table-frame" },
    h("table", { role: "table", "aria-label": label },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) => h("th", { role: "columnheader", scope: "col", class: kind(column) }, column.name)))),
      h("tbody", { role: "rowgroup" }, rows.slice(0, limit).map((row) =>
        h("tr", { role: "row", key: key(row) }, columns.map((column, at) => {
          const props = { class: kind(column), "data-label": column.name };
          return at === 0 ? h("th", { role: "rowheader", scope: "row", ...props }, column.cell(row)) : h("td", { role: "cell", ...props }, column.cell(row));
        }))))),
    rows.length > limit && h("p", { class: "note" }, `The first ${limit} of ${rows.length} are shown; filter to see others.`));
}

/** Names and values; those without a value are left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" },
    pairs
      .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
      .map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))));
}

/** Several values of one name, each on a line of its own. */
export const lines = (values) => values.length > 0 && values.map((value) => h("div", { key: value }, value));

export const code = (text) => h("code", null, text);

/** Text that is read out and shown after a copy. */
export function say(message) {
  const host = document.getElementById("said");
  host.textContent = message;
  host.classList.add("shown");
  clearTimeout(host.timer);
  host.timer = setTimeout(() => host.classList.remove("shown"), 2_500);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("The browser does not let this page copy; select the text instead.");
  }
}

/** Something to paste into a shell. */
export function command(text, label = "Command") {
  return h("div", { class: "command" },
    h("pre", { tabindex: "0", "aria-label": label }, text),
    h("button", { type: "button", class: "button small", onclick: () => copy(text), "aria-label": `Copy: ${label}` }, icon("copy"), "Copy"));
}

export function copyable(text) {
  return text && h("span", { class: "copyable" }, code(text),
    h("button", { type: "button", class: "ghost", title: "Copy", "aria-label": `Copy ${text}`, onclick: () => copy(text) }, icon("copy")));
}

/** Nothing is here, and how to change that. */
export function empty(title, text, shell, action) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", null, text), shell && command(shell), action);
}

/** An error as the API put it, and what to do about it; what is not there yet is no alarm. `input` is what was sent. */
export function notice(error, what, input) {
  if (!error) return null;
  const isMissing = error.isMissing;
  const todo = !isMissing && advice(error, input);
  return h("div", { class: `notice ${isMissing ? "idle" : "bad"}`, role: isMissing ? "status" : "alert" },
    h("p", null, h("strong", null, isMissing ? "Not there yet" : (what ?? "That did not work"))),
    h("p", null, code(error.code ?? error.name), " ", error.message),
    todo && h("p", { class: "advice" }, todo),
    isMissing && h("p", { class: "note" }, `This version of Longshore does not answer ${error.operation}. What it answers is listed in docs/coverage.md.`));
}

/** Links to the parts of one thing. */
export function tabs(label, items) {
  return h("nav", { class: "tabs", "aria-label": label },
    h("ul", null, items.map(({ name, href, current, count }) =>
      h("li", { key: name }, h("a", { href, "aria-current": current ? "page" : undefined }, name, count !== undefined && h("span", { class: "count" }, count))))));
}

/** Running of desired, with what is on its way. */
export function meter(running, desired, pending = 0) {
  const of = Math.max(desired, running + pending, 1);
  const width = (number) => `${(100 * number) / of}`;
  return h("span", { class: "meter" },
    h("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      h("rect", { class: "track", width: "100", height: "6" }),
      h("rect", { class: "pending", width: width(running + pending), height: "6" }),
      h("rect", { class: "running", width: width(running), height: "6" })),
    h("span", null, `${running}/${desired}`, pending > 0 && ` +${pending}`));
}

export const loading = () => h("div", { class: "loading", role: "status" }, h("span", { class: "visually-hidden" }, "Loading"), [1, 2, 3].map((key) => h("div", { class: "shimmer", key })));
export const json = (value) => h("pre", { class: "json", tabindex: "0", "aria-label": "JSON" }, JSON.stringify(value, null, 2));

/** A field that narrows a list down. `/` focuses it. */
export function filterField(context, placeholder) {
  return h("input", {
    type: "search",
    class: "filter",
    id: "filter",
    placeholder,
    "aria-label": placeholder,
    "aria-keyshortcuts": "/",
    oninput: (event) => {
      context.ui.filter = event.target.value;
      context.update();
    },
  });
}

export function matches(context, ...texts) {
  const wanted = (context.ui.filter ?? "").trim().toLowerCase();
  return wanted === "" || texts.some((text) => String(text ?? "").toLowerCase().includes(wanted));
}
