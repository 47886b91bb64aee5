// Dialogs: the platform's own element, which keeps focus and answers Escape.

import { h, render } from "./dom.js";

/** Shows `content(close)` and resolves when it is closed. */
export function dialog(title, content) {
  const node = document.createElement("dialog");
  node.setAttribute("aria-labelledby", "dialog-title");
  const before = document.activeElement;
  document.body.append(node);
  return new Promise((resolve) => {
    const close = (value) => {
      node.returnValue = "";
      node.result = value;
      node.close();
    };
    const draw = () => render(node, [h("h2", { id: "dialog-title", key: "title" }, title), content(close, draw)]);
    draw();
    node.onclose = () => {
      node.remove();
      before?.focus?.();
      resolve(node.result);
    };
    node.onclick = (event) => {
      if (event.target === node) close();
    };
    node.showModal();
  });
}

/** Asks before something that cannot be undone. Resolves to true when it was confirmed. */
export function confirm(title, text, verb) {
  return dialog(title, (close) =>
    h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); close(true); } },
      h("p", null, text),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "button", onclick: () => close(false) }, "Cancel"),
        h("button", { type: "submit", class: "button danger", autofocus: true }, verb))));
}
