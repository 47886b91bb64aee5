// What several views read of load balancers, and how rules are put in words.

import { call } from "./api.js";
import { h } from "./dom.js";
import { path } from "./router.js";
import { targetGroupName } from "./rows.js";
import { list } from "./xml.js";

const MOST_PAGES = 20;

/** All of what a Describe operation lists. */
export async function describe(operation, field, input, signal) {
  const found = [];
  let Marker;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call("elbv2", operation, { ...input, Marker }, signal);
    found.push(...list(answer[field]));
    Marker = answer.NextMarker || undefined;
    if (!Marker) break;
  }
  return found;
}

const values = (config) => list(config?.Values).join(", ");

/** A condition in words. */
export function condition(one) {
  switch (one.Field) {
    case "path-pattern": return `path is ${values(one.PathPatternConfig) || list(one.Values).join(", ")}`;
    case "host-header": return `host is ${values(one.HostHeaderConfig) || list(one.Values).join(", ")}`;
    case "http-header": return `${one.HttpHeaderConfig?.HttpHeaderName} is ${values(one.HttpHeaderConfig)}`;
    case "http-request-method": return `method is ${values(one.HttpRequestMethodConfig)}`;
    case "query-string": return `query has ${list(one.QueryStringConfig?.Values).map(({ Key, Value }) => (Key ? `${Key}=${Value}` : Value)).join(", ")}`;
    case "source-ip": return `from ${values(one.SourceIpConfig)}`;
    default: return one.Field;
  }
}

const groupLink = (arn) => h("a", { href: path("target-groups", targetGroupName(arn)), key: arn }, targetGroupName(arn));

/** An action in words, with links to where it leads. */
export function action(one) {
  switch (one.Type) {
    case "forward": {
      const groups = list(one.ForwardConfig?.TargetGroups);
      if (groups.length < 2) return ["forward to ", groupLink(one.TargetGroupArn ?? groups[0]?.TargetGroupArn ?? "")];
      return ["forward to ", groups.map(({ TargetGroupArn, Weight }, at) => [at > 0 && ", ", groupLink(TargetGroupArn), ` (${Weight})`])];
    }
    case "redirect": {
      const { Protocol, Host, Port, Path, Query, StatusCode } = one.RedirectConfig ?? {};
      // What stays as it was is not told.
      const changed = [["protocol", Protocol], ["host", Host], ["port", Port], ["path", Path], ["query", Query]]
        .filter(([name, value]) => value && value !== `#{${name}}` && value !== `/#{${name}}`)
        .map(([name, value]) => `${name} ${value}`);
      return `redirect to ${changed.join(", ")} (${String(StatusCode).replace("HTTP_", "")})`;
    }
    case "fixed-response": return `answer ${one.FixedResponseConfig?.StatusCode}`;
    default: return one.Type;
  }
}

export const KINDS = { application: "Application", network: "Network", gateway: "Gateway" };
export const loadBalancerName = (arn) => arn.split(":loadbalancer/")[1]?.split("/")[1] ?? arn;
