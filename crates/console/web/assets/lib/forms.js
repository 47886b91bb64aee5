// Forms: fields with labels and hints, values in one object, the same as a command beside them, and errors as the API put them.

import { h } from "./dom.js";
import { AwsError, call } from "./api.js";
import { awsCommand } from "./command.js";
import { button, card, command, notice } from "./parts.js";

/** Fields over `values`; each change draws again. */
export class Fields {
  constructor(values, context) {
    this.values = values;
    this.context = context;
  }

  set(name, value) {
    this.values[name] = value;
    this.context.update();
  }

  frame(name, label, hint, control) {
    return h("div", { class: "field", key: name },
      h("label", { for: `field-${name}` }, label),
      control,
      hint && h("p", { class: "hint", id: `hint-${name}` }, hint));
  }

  attributes(name, hint, more = {}) {
    return { id: `field-${name}`, name, "aria-describedby": hint ? `hint-${name}` : undefined, ...more };
  }

  text(name, label, { hint, ...more } = {}) {
    return this.frame(name, label, hint,
      h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...this.attributes(name, hint, more), value: this.values[name], oninput: (event) => this.set(name, event.target.value) }));
  }

  number(name, label, { hint, ...more } = {}) {
    return this.frame(name, label, hint,
      h("input", { type: "number", inputmode: "numeric", ...this.attributes(name, hint, more), value: this.values[name], oninput: (event) => this.set(name, event.target.value === "" ? "" : Number(event.target.value)) }));
  }

  area(name, label, { hint, rows = 4, ...more } = {}) {
    return this.frame(name, label, hint,
      h("textarea", { spellcheck: "false", rows, ...this.attributes(name, hint, more), value: this.values[name], oninput: (event) => this.set(name, event.target.value) }));
  }

  /** `options`: pairs of value and label. */
  select(name, label, options, { hint, ...more } = {}) {
    return this.frame(name, label, hint,
      h("select", { ...this.attributes(name, hint, more), value: this.values[name], onchange: (event) => this.set(name, event.target.value) },
        options.map(([value, text]) => h("option", { value, key: value }, text))));
  }

  check(name, label, { hint, ...more } = {}) {
    return h("div", { class: "field check", key: name },
      h("input", { type: "checkbox", ...this.attributes(name, hint, more), checked: this.values[name], onchange: (event) => this.set(name, event.target.checked) }),
      h("label", { for: `field-${name}` }, label),
      hint && h("p", { class: "hint", id: `hint-${name}` }, hint));
  }

  /** Several of a few: the value is a list. */
  choices(name, label, options, { hint } = {}) {
    const chosen = this.values[name];
    return h("fieldset", { class: "field choices", key: name, "aria-describedby": hint ? `hint-${name}` : undefined },
      h("legend", null, label),
      options.map(([value, text]) =>
        h("label", { key: value },
          h("input", {
            type: "checkbox",
            name,
            checked: chosen.includes(value),
            onchange: (event) => this.set(name, event.target.checked ? [...chosen, value] : chosen.filter((one) => one !== value)),
          }),
          h("span", null, text))),
      options.length === 0 && h("p", { class: "hint" }, "None"),
      hint && h("p", { class: "hint", id: `hint-${name}` }, hint));
  }
}

/**
 * A form that calls one operation.
 * @param input what is sent, from the values as they are; may throw an Error whose message is shown
 * @param done what to do with the answer
 */
export function operationForm(context, { service = "ecs", operation, label, input, done, back }, ...fields) {
  const { ui } = context;
  let sent;
  let problem;
  try {
    sent = input();
  } catch (error) {
    problem = error;
  }
  const submit = async (event) => {
    event.preventDefault();
    if (ui.sending || !sent) return;
    Object.assign(ui, { sending: true, error: undefined });
    context.update();
    try {
      await done(await call(service, operation, sent));
    } catch (error) {
      if (!(error instanceof AwsError) && !(error instanceof Refused)) throw error;
      ui.error = error;
    } finally {
      ui.sending = false;
      context.update();
    }
  };
  return h("form", { class: "form", onsubmit: submit },
    h("div", { class: "form-fields" }, fields,
      notice(ui.error, `${operation} was refused`, sent),
      problem && h("div", { class: "notice warn", role: "status" }, h("p", null, problem.message)),
      h("div", { class: "actions" },
        h("button", { type: "submit", class: "button primary", disabled: ui.sending || !sent, "aria-busy": ui.sending ? "true" : undefined }, ui.sending ? "Sending…" : label),
        back && button("Cancel", () => context.go(back)))),
    card("The same as a command", { class: "card aside" },
      sent ? command(awsCommand(service, operation, sent), "The same as a command") : h("p", { class: "note" }, "Appears when the form is filled in.")));
}

/** An answer with status 200 that is a refusal all the same, as RunTask's failures are. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
