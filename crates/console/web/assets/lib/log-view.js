// A log as it is read: newest at the bottom, staying there until somebody scrolls up.

import { h } from "./dom.js";
import { empty, notice } from "./parts.js";
import { clock, toDate } from "./text.js";

const STATES = { starting: "Reading…", live: "Following", empty: "Nothing yet", failed: "Trying again" };

/** Container and task of a stream that a task writes (`prefix/container/task`); the end of any other. */
function origin(stream) {
  const parts = stream.split("/");
  return parts.length === 3 ? `${parts[1]} ${parts[2].slice(0, 8)}` : parts.at(-1);
}

function line(one, showStream) {
  // Kept with the line: a description that stays the same costs nothing when thousands are drawn again.
  return (one.described ??= h("div", { class: "line", key: one.key },
    h("time", { datetime: toDate(one.at).toISOString(), title: toDate(one.at).toLocaleString() }, clock(toDate(one.at))),
    showStream && h("span", { class: "stream", title: one.stream }, origin(one.stream)),
    h("span", { class: "text" }, one.text)));
}

/** `tail` as it is followed. `context.ui` keeps whether the end is followed and what is searched for. */
export function logView(context, tail, { label, showStream = false, teach } = {}) {
  const { ui } = context;
  const wanted = (ui.search ?? "").toLowerCase();
  const shown = wanted ? tail.lines.filter(({ text }) => text.toLowerCase().includes(wanted)) : tail.lines;
  const stays = ui.follow ?? true;
  const toEnd = () => {
    if (ui.log && (ui.follow ?? true)) ui.log.scrollTop = ui.log.scrollHeight;
  };
  if (ui.drawn !== tail.serial || ui.searched !== wanted) {
    Object.assign(ui, { drawn: tail.serial, searched: wanted });
    requestAnimationFrame(toEnd);
  }
  return h("section", { class: "card flush log-card", "aria-label": label },
    h("div", { class: "log-bar" },
      h("input", { type: "search", id: "filter", class: "filter", placeholder: "Search these lines", "aria-label": "Search these lines", oninput: (event) => { ui.search = event.target.value; context.update(); } }),
      h("label", { class: "inline" }, h("input", { type: "checkbox", checked: stays, onchange: (event) => { ui.follow = event.target.checked; context.update(); requestAnimationFrame(toEnd); } }), "Stay at the end"),
      h("label", { class: "inline" }, h("input", { type: "checkbox", checked: ui.wrap ?? true, onchange: (event) => { ui.wrap = event.target.checked; context.update(); } }), "Wrap"),
      h("span", { class: "dim", role: "status" }, `${STATES[tail.state]} · ${shown.length}${wanted ? ` of ${tail.lines.length}` : ""} lines`)),
    tail.error && notice(tail.error, "The log cannot be read"),
    h("div", {
      class: `log ${(ui.wrap ?? true) ? "wrap" : ""}`, role: "log", tabindex: "0", "aria-label": label,
      ref: (node) => { ui.log = node; requestAnimationFrame(toEnd); },
      onscroll: ({ target }) => {
        const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 24;
        if (atEnd !== (ui.follow ?? true)) {
          ui.follow = atEnd;
          context.update();
        }
      },
    }, shown.length === 0
      ? empty(wanted ? "No line matches" : tail.state === "starting" ? "Reading the log" : "No line yet", wanted ? undefined : "Lines appear here within a second of being written.", wanted ? undefined : teach)
      : shown.map((one) => line(one, showStream))));
}
