// The console: which view is open, when it looks again, and what stands around it.

import { AwsError, greet } from "./lib/api.js";
import { render } from "./lib/dom.js";
import { Live } from "./lib/live.js";
import { Router, path } from "./lib/router.js";
import { remember, session } from "./lib/session.js";
import { listenToKeys } from "./shell/keys.js";
import { frame } from "./shell/frame.js";
import { because, signIn } from "./shell/sign-in.js";
import { loading, notice } from "./lib/parts.js";
import { routes } from "./routes.js";

/** A view that is looked at is read again after this long, whatever the stream says: not everything is in the state store. */
const USUALLY_EVERY = 15_000;
/** Between two readings: a little, and the more the longer they take, so that a page never keeps the platform busy. */
const LEAST_GAP = 250;
const GAP_FACTOR = 4;

const host = document.getElementById("app");
let page = null;
let serial = 0;
let openAt = 0;

const live = new Live((kinds) => changed(kinds), () => draw());
const router = new Router(routes, (matched, forward) => show(matched, forward));

/** What a view is given. */
class Context {
  constructor({ view, params, query }) {
    Object.assign(this, { view, params, query, data: undefined, error: undefined, ui: {}, serial: (serial += 1) });
    this.stop = new AbortController();
    this.signal = this.stop.signal;
  }

  update() {
    if (page === this) draw();
  }

  go(href, options) {
    router.go(href, options);
  }

  reload() {
    return refresh(this);
  }
}

function show(matched, forward) {
  const before = page;
  before?.stop.abort();
  clearTimeout(before?.timer);
  page = new Context(matched);
  // Another part of the same thing: what is known of it is shown until it is read again.
  if (before && matched.view && before.view === matched.view && JSON.stringify(before.params) === JSON.stringify(matched.params)) {
    page.data = before.data;
    page.ui = matched.view.keeps ? before.ui : {};
  }
  openAt = Date.now();
  matched.view?.enter?.(page);
  draw();
  if (forward) {
    scrollTo(0, 0);
    document.getElementById("title")?.focus({ preventScroll: true });
  }
  refresh(page);
}

/** Reads what the view shows. False when the front door did not answer. */
async function refresh(context) {
  if (context !== page || !context.view || session.strict) return true;
  if (context.reading) {
    context.again = true;
    return true;
  }
  clearTimeout(context.timer);
  const began = performance.now();
  context.reading = true;
  let reachable = true;
  try {
    const data = await (context.view.load?.(context) ?? {});
    if (context !== page) return true;
    Object.assign(context, { data, error: undefined });
  } catch (error) {
    if (error.name === "AbortError") return true;
    if (!(error instanceof AwsError)) throw error;
    if (error.status === 0) reachable = false;
    if (!(error.status === 0 && context.data)) context.error = error;
  } finally {
    context.reading = false;
  }
  if (context !== page) return reachable;
  const hadFocus = document.activeElement?.id === "title";
  draw();
  if (hadFocus) document.getElementById("title")?.focus({ preventScroll: true });
  const gap = Math.max(LEAST_GAP, GAP_FACTOR * (performance.now() - began));
  const wait = context.again ? gap : Math.max(gap, context.view.every ?? USUALLY_EVERY);
  context.again = false;
  context.timer = setTimeout(() => !document.hidden && refresh(context), wait);
  context.readAt = Date.now();
  context.gap = gap;
  return reachable;
}

function changed(kinds) {
  const context = page;
  if (!context?.view) return true;
  const watches = context.view.watches ?? [];
  if (!kinds.some((kind) => kind === "*" || watches.some((start) => kind.startsWith(start)))) return true;
  const since = Date.now() - (context.readAt ?? 0);
  if (context.reading || since >= (context.gap ?? 0)) return refresh(context);
  clearTimeout(context.timer);
  context.timer = setTimeout(() => refresh(context), context.gap - since);
  return true;
}

function content() {
  if (session.strict) return signIn(start);
  const { view, data, error } = page;
  if (!view) return notice(new AwsError("", "NotFound", "There is no such page.", 404), "Nothing here");
  if (data === undefined) return error ? notice(error) : Date.now() - openAt > 80 && loading();
  return [error && notice(error, "This is what was last read; reading it again failed"), view.render(page)];
}

function draw() {
  if (!page) return;
  const title = session.strict ? "Sign in" : (page.view?.title?.(page) ?? "Not found");
  document.title = `${title} · Longshore`;
  render(host, frame({ page, live: live.state, content: content(), restart: start }));
}

async function start() {
  try {
    const door = session.accessKey ? {} : await greet();
    const strict = door === null;
    remember(strict ? { strict } : { strict, account: session.account || door.account || "", region: session.region || door.region || "us-east-1" });
  } catch {
    // Nobody answers yet; the views say so, and go on asking.
    remember({ region: session.region || "us-east-1" });
  }
  router.arrive(false);
  live.restart();
}

addEventListener("longshore:key-needed", ({ detail }) => {
  if (session.accessKey || !detail) because(detail);
  remember({ strict: true });
  draw();
});
listenToKeys({ go: (...parts) => router.go(path(...parts)) });
setInterval(() => !document.hidden && draw(), 1_000);
start();
