// Signature Version 4, the client's side, with the browser's own cryptography.
//
// Without a secure context (plain HTTP on an address that is not this machine) there is none. The open door does not look at the
// signature of a stranger's key, only at what it names, so an empty one will do there; with a secret there must be a real one.

const ALGORITHM = "AWS4-HMAC-SHA256";
const encoder = new TextEncoder();
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
const keys = new Map();

/** Whether this page can sign. */
export const canSign = () => globalThis.crypto?.subtle !== undefined;

async function hmac(key, text) {
  const usable = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", usable, encoder.encode(text));
}

const digest = async (text) => hex(await crypto.subtle.digest("SHA-256", encoder.encode(text)));

async function signingKey(secret, date, region, service) {
  const name = [secret, date, region, service].join("\n");
  if (!keys.has(name)) {
    // One per day, region and service: few, and gone with the page.
    if (keys.size > 200) keys.clear();
    let key = encoder.encode(`AWS4${secret}`);
    for (const part of [date, region, service, "aws4_request"]) key = await hmac(key, part);
    keys.set(name, key);
  }
  return keys.get(name);
}

/**
 * The headers that sign a request to this origin.
 * @param {{accessKey: string, secret: string, token?: string, region: string}} who
 * @param {{method: string, path: string, service: string, headers: Record<string, string>, body: string}} request
 * @param {Date} now
 */
export async function sign(who, { method, path, service, headers, body }, now = new Date()) {
  const time = `${now.toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
  const date = time.slice(0, 8);
  const scope = `${date}/${who.region}/${service}/aws4_request`;
  const extra = { "x-amz-date": time, ...(who.token ? { "x-amz-security-token": who.token } : {}) };
  const signed = { host: location.host, ...headers, ...extra };
  const names = Object.keys(signed).sort();
  let signature = "0".repeat(64);
  if (canSign()) {
    const canonical = [
      method,
      path,
      "",
      ...names.map((name) => `${name}:${signed[name].trim()}`),
      "",
      names.join(";"),
      await digest(body),
    ].join("\n");
    const toSign = [ALGORITHM, time, scope, await digest(canonical)].join("\n");
    signature = hex(await hmac(await signingKey(who.secret, date, who.region, service), toSign));
  }
  const authorization = `${ALGORITHM} Credential=${who.accessKey}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return { ...headers, ...extra, authorization };
}
