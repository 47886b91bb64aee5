// Shortcuts. None of them is needed: everything is reached with Tab and Enter as well.

import { h } from "../lib/dom.js";
import { dialog } from "../lib/dialog.js";

const GO = { o: [], c: ["clusters"], t: ["definitions"], r: ["repositories"], b: ["load-balancers"], l: ["logs"], m: ["metrics"] };
const NEW = { t: ["run-task"], s: ["create-service"], c: ["create-cluster"], d: ["register-definition"], r: ["create-repository"] };

const LIST = [
  [["g", "o"], "Overview"],
  [["g", "c"], "Clusters"],
  [["g", "t"], "Task definitions"],
  [["g", "r"], "Repositories"],
  [["g", "b"], "Load balancers"],
  [["g", "l"], "Logs"],
  [["g", "m"], "Metrics"],
  [["n", "t"], "Run a task"],
  [["n", "s"], "Create a service"],
  [["n", "c"], "Create a cluster"],
  [["n", "d"], "Register a task definition"],
  [["n", "r"], "Create a repository"],
  [["j"], "Next row"],
  [["k"], "Previous row"],
  [["Enter"], "Open the row"],
  [["u"], "Up: where this belongs"],
  [["/"], "Filter the list"],
  [["Esc"], "Close, or leave a field"],
  [["?"], "This list"],
];

let shown = false;

export async function showKeys() {
  if (shown) return;
  shown = true;
  await dialog("Keyboard shortcuts", (close) => [
    h("dl", { class: "keys" }, LIST.map(([keys, what]) =>
      h("div", { key: what }, h("dt", null, keys.map((key, at) => [at > 0 && " then ", h("kbd", null, key)])), h("dd", null, what)))),
    h("div", { class: "actions" }, h("button", { type: "button", class: "button primary", autofocus: true, onclick: () => close() }, "Close")),
  ]);
  shown = false;
}

function step(by) {
  const links = [...document.querySelectorAll("main tbody th a")];
  if (links.length === 0) return;
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + by))].focus();
}

export function listenToKeys({ go }) {
  let first = "";
  let forgotten;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    if (target.matches?.("input:not([type=checkbox]), textarea, select")) {
      if (key === "Escape") target.blur();
      return;
    }
    const prefix = first;
    first = "";
    clearTimeout(forgotten);
    if (prefix === "g" && GO[key]) go(...GO[key]);
    else if (prefix === "n" && NEW[key]) go(...NEW[key]);
    else if (key === "g" || key === "n") {
      first = key;
      forgotten = setTimeout(() => (first = ""), 1_500);
    } else if (key === "?") showKeys();
    else if (key === "/") document.getElementById("filter")?.focus();
    else if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "u") [...document.querySelectorAll(".crumbs a")].at(-1)?.click();
    else return;
    event.preventDefault();
  });
}
