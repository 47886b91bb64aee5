// What stands around every view: skip link, navigation, whose account it is, whether the view is live.

import { h } from "../lib/dom.js";
import { dialog } from "../lib/dialog.js";
import { icon } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { forget, remember, session } from "../lib/session.js";
import { showKeys } from "./keys.js";

export const SECTIONS = [
  ["Overview", "overview", [], "o"],
  ["Clusters", "clusters", ["clusters"], "c"],
  ["Task definitions", "definitions", ["definitions"], "t"],
  ["Repositories", "repositories", ["repositories"], "r"],
  ["Load balancers", "balancers", ["load-balancers"], "b"],
  ["Logs", "logs", ["logs"], "l"],
  ["Metrics", "metrics", ["metrics"], "m"],
];

const LIVE = {
  connecting: ["busy", "Connecting", "Asking for the stream of changes"],
  live: ["good", "Live", "Changes show at once"],
  polling: ["busy", "Every 2 s", "The stream of changes is not there; asking every two seconds"],
  offline: ["bad", "No answer", "The front door does not answer; trying again"],
  paused: ["idle", "Paused", "Nobody looks at this page"],
};

let menuOpen = false;

export function frame({ page, live, content, restart }) {
  const section = page.view?.section;
  // Without a value: a handler that returns false keeps the link from being followed.
  const close = () => {
    menuOpen = false;
  };
  const toggle = (open) => () => {
    menuOpen = open;
    page.update();
  };
  return [
    h("a", { class: "skip", href: "#main", key: "skip", onclick: (event) => { event.preventDefault(); document.getElementById("main").focus(); } }, "Skip to content"),
    h("header", { class: "bar", key: "bar" },
      h("button", { type: "button", class: "ghost menu", "aria-label": "Navigation", "aria-expanded": String(menuOpen), "aria-controls": "nav", onclick: toggle(!menuOpen) }, icon(menuOpen ? "close" : "menu")),
      h("a", { class: "brand", href: path() },
        h("img", { src: "/console/assets/icon.svg", alt: "", width: "26", height: "26" }), h("span", null, "Longshore")),
      h("div", { class: "bar-end" },
        liveness(live),
        h("button", { type: "button", class: "button small scope", id: "scope", onclick: () => switchScope(restart), "aria-label": `Account ${session.account}, region ${session.region}: change` },
          h("span", { class: "mono" }, session.account || "—"), h("span", { class: "dim" }, session.region)),
        h("button", { type: "button", class: "ghost", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts (?)", onclick: showKeys }, icon("keyboard")))),
    h("nav", { class: `side ${menuOpen ? "open" : ""}`, id: "nav", key: "side", "aria-label": "Sections" },
      h("ul", null, SECTIONS.map(([name, sign, parts, key]) =>
        h("li", { key: name },
          h("a", { href: path(...parts), "aria-current": section === name ? "page" : undefined, "aria-keyshortcuts": `g ${key}`, onclick: close }, icon(sign), name)))),
      h("div", { class: "side-foot" },
        h("a", { class: "button primary", href: path("run-task"), onclick: close }, icon("play"), "Run a task"),
        h("a", { class: "button", href: path("create-service"), onclick: close }, icon("plus"), "Create a service"))),
    h("main", { id: "main", tabindex: "-1", key: "main" }, h("div", { class: "view", key: page.serial }, content)),
    h("div", { id: "said", class: "said", role: "status", "aria-live": "polite", key: "said" }),
  ];
}

function liveness(state) {
  const [kind, label, title] = LIVE[state];
  return h("span", { class: `live ${kind}`, role: "status", title }, h("span", { class: "pulse", "aria-hidden": "true" }), h("span", { class: "live-label" }, label));
}

/** Account and region; a stranger's key names an account at the open door, an issued key has its own. */
function switchScope(restart) {
  const values = { account: session.account, region: session.region };
  const field = (name, label, more) => h("div", { class: "field" },
    h("label", { for: `scope-${name}` }, label),
    h("input", { id: `scope-${name}`, value: values[name], autocomplete: "off", spellcheck: "false", oninput: (event) => (values[name] = event.target.value.trim()), ...more }));
  dialog("Account and region", (close) =>
    h("form", {
      method: "dialog",
      onsubmit: (event) => {
        event.preventDefault();
        remember(values);
        close();
        restart();
      },
    },
      session.accessKey
        ? h("p", { class: "note" }, "Signed in as ", h("code", null, session.accessKey), ", which belongs to one account.")
        : field("account", "Account", { pattern: "[0-9]{12}", required: true, inputmode: "numeric", title: "12 digits" }),
      field("region", "Region", { pattern: "[a-z][a-z0-9\\-]+", required: true, title: "as in us-east-1" }),
      h("p", { class: "note" }, "Any account of 12 digits and any region is there at first use. The choice holds for this tab."),
      h("div", { class: "actions" },
        session.accessKey
          ? h("button", { type: "button", class: "button", onclick: () => { forget(); close(); restart(); } }, "Sign out")
          : h("button", { type: "button", class: "button", onclick: () => { close(); dispatchEvent(new CustomEvent("longshore:key-needed")); } }, "Use an access key"),
        h("button", { type: "submit", class: "button primary" }, "Switch"))));
}
