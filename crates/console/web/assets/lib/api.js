// Calls the AWS APIs at this origin, in the protocols that clients speak.

import { session, signer } from "./session.js";
import { sign } from "./sign.js";
import { flatten, parse } from "./xml.js";

const json = (version, prefix, signing) => ({ version, prefix, signing });
const query = (version, signing, between) => ({ query: version, signing, between });

const SERVICES = {
  ecs: json("1.1", "AmazonEC2ContainerServiceV20141113", "ecs"),
  ecr: json("1.1", "AmazonEC2ContainerRegistry_V20150921", "ecr"),
  logs: json("1.1", "Logs_20140328", "logs"),
  cloudwatch: json("1.0", "GraniteServiceVersion20100801", "monitoring"),
  ec2: query("2016-11-15", "ec2", ""),
  elbv2: query("2015-12-01", "elasticloadbalancing"),
  iam: query("2010-05-08", "iam"),
  sts: query("2011-06-15", "sts"),
};

/** Pages that one question may take: what a screen can show is far less. */
const MOST_PAGES = 50;

/** What the API said instead of an answer, in its own words. */
export class AwsError extends Error {
  constructor(operation, code, message, status) {
    super(message || "No message came with this error.");
    this.operation = operation;
    this.code = code;
    this.status = status;
  }

  /** The platform does not have this operation yet. */
  get isMissing() {
    return this.status === 501;
  }

  get needsKey() {
    return (
      (this.status === 403 || this.status === 401) &&
      /AuthFailure|MissingAuthentication|UnrecognizedClient|InvalidClientToken|ExpiredToken|SignatureDoesNotMatch|InvalidSignature/.test(this.code)
    );
  }
}

function compose(service, operation, input) {
  const known = SERVICES[service];
  if (known.query) {
    const pairs = [["Action", operation], ["Version", known.query], ...flatten(input, known.between)];
    return {
      headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
      body: new URLSearchParams(pairs).toString(),
    };
  }
  const headers = { "content-type": `application/x-amz-json-${known.version}`, "x-amz-target": `${known.prefix}.${operation}` };
  return { headers, body: JSON.stringify(input) };
}

/** Sends a call and gives the response as it comes; an error is thrown as the API put it. */
export async function send(service, operation, input = {}, signal = undefined) {
  const { headers, body } = compose(service, operation, input);
  const request = { method: "POST", path: "/", service: SERVICES[service].signing, headers, body };
  let response;
  try {
    response = await fetch("/", { method: "POST", headers: await sign(signer(), request), body, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new AwsError(operation, "Unreachable", "The front door does not answer. Is the platform running?", 0);
  }
  if (!response.ok) throw await refusal(operation, response);
  return response;
}

async function refusal(operation, response) {
  const text = await response.text();
  let code = response.headers.get("x-amzn-errortype") ?? "";
  let message = "";
  try {
    if (text.trimStart().startsWith("<")) {
      const answer = parse(text);
      const error = answer.Error ?? answer.Errors?.Error ?? {};
      ({ Code: code, Message: message } = error);
    } else {
      const answer = JSON.parse(text);
      code = answer.__type ?? code;
      message = answer.message ?? answer.Message;
    }
  } catch {
    message = text.slice(0, 500);
  }
  const error = new AwsError(operation, (code || `HTTP ${response.status}`).split("#").pop().split(":")[0], message, response.status);
  if (error.needsKey) dispatchEvent(new CustomEvent("longshore:key-needed", { detail: error }));
  return error;
}

/** Calls an operation and reads its answer. */
export async function call(service, operation, input = {}, signal = undefined) {
  const response = await send(service, operation, input, signal);
  const text = await response.text();
  if (!SERVICES[service].query) return text ? JSON.parse(text) : {};
  const answer = parse(text);
  return (answer && answer[`${operation}Result`]) ?? answer;
}

/** Collects a list over all its pages. `token` is what the answers call the next page, `ask` what the input does. */
export async function all(service, operation, input, field, { token = "nextToken", ask = token, signal } = {}) {
  const found = [];
  let next;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call(service, operation, next ? { ...input, [ask]: next } : input, signal);
    if (Array.isArray(answer[field])) found.push(...answer[field]);
    next = answer[token];
    if (!next) break;
  }
  return found;
}

/** An answer that a view can do without: its value, or the error to show in its place. */
export async function attempt(promise, otherwise = undefined) {
  try {
    return { value: await promise };
  } catch (error) {
    if (!(error instanceof AwsError) || error.needsKey) throw error;
    return { value: otherwise, error };
  }
}

/** Describes things by name in the batches that an operation takes. */
export async function inBatches(names, size, describe) {
  const batches = [];
  for (let at = 0; at < names.length; at += size) batches.push(describe(names.slice(at, at + size)));
  return (await Promise.all(batches)).flat();
}

/** A signed GET below the console: the stream of changes. */
export async function open(path, signal, signed = true) {
  const request = { method: "GET", path, service: "ecs", headers: {}, body: "" };
  const headers = signed ? await sign(signer(), request) : {};
  const response = await fetch(path, { headers, signal, cache: "no-store" });
  if (!response.ok) throw await refusal("the stream of changes", response);
  return response;
}

/** Asks the door who a caller without a key is: the account and region it answers for, or null where it wants a key. */
export async function greet() {
  const stop = new AbortController();
  try {
    const response = await fetch("/console/changes", { signal: stop.signal, cache: "no-store" });
    if (response.status === 403) return null;
    if (!response.ok) return { account: session.account || "000000000000", region: session.region || "us-east-1" };
    const reader = response.body.getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) break;
      text += new TextDecoder().decode(value);
    }
    return JSON.parse(text.split("\n")[0]);
  } finally {
    stop.abort();
  }
}
