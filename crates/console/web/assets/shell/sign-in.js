// The door wants a key, or somebody wants to use one: it signs the requests of this tab and is forgotten with it.

import { AwsError, call } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { code, heading, notice } from "../lib/parts.js";
import { forget, remember, session } from "../lib/session.js";
import { canSign } from "../lib/sign.js";

const values = { accessKey: "", secret: "", token: "" };
let error;
let busy = false;

/** Why a key is asked for, when one was refused. */
export function because(refused) {
  error = refused ?? undefined;
}

export function signIn(start) {
  const submit = async (event) => {
    event.preventDefault();
    busy = true;
    remember({ ...values, region: session.region || "us-east-1" });
    try {
      const who = await call("sts", "GetCallerIdentity");
      values.secret = "";
      values.token = "";
      error = undefined;
      remember({ account: who.Account, strict: false });
    } catch (refused) {
      if (!(refused instanceof AwsError)) throw refused;
      error = refused;
      forget();
      remember({ strict: true });
    } finally {
      busy = false;
    }
    start();
  };
  const field = (name, label, more) => h("div", { class: "field" },
    h("label", { for: `key-${name}` }, label),
    h("input", { id: `key-${name}`, value: values[name], autocomplete: "off", spellcheck: "false", oninput: (event) => (values[name] = event.target.value.trim()), ...more }));
  return h("div", { class: "sign-in" },
    heading("Sign in", { note: ["With an access key that this Longshore issued, as ", code("aws iam create-access-key"), " does. It signs this tab's requests, never leaves the browser otherwise, and is forgotten with the tab."] }),
    !canSign() && h("div", { class: "notice warn", role: "alert" }, h("p", null, "This browser signs only on pages from this machine or over HTTPS. Open the console by ", code("https://"), " or by ", code("localhost"), ".")),
    h("form", { class: "card", onsubmit: submit },
      field("accessKey", "Access key id", { required: true, autocapitalize: "characters" }),
      field("secret", "Secret access key", { required: true, type: "password" }),
      field("token", "Session token (of a role's session only)", {}),
      notice(error, "The key was not accepted"),
      h("div", { class: "actions" },
        h("button", { type: "submit", class: "button primary", disabled: busy || !canSign() }, "Sign in"),
        h("button", { type: "button", class: "button", onclick: () => { error = undefined; forget(); remember({ strict: false }); start(); } }, "Without a key"))));
}
