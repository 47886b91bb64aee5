// Follows logs: one stream by its forward token, a whole group by a live tail with what came before it.

import { AwsError, call, send } from "./api.js";
import { events } from "./events.js";

/** Lines that a page holds; older ones are in the log still. */
const MOST_LINES = 2_000;
const POLL = 1_000;
const RETRY = 3_000;
const LOOK_BACK = 3_600_000;
const HISTORY = 1_000;

const plain = (message) => message.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, "").replace(/\n$/, "");

/** The lines so far; `context` is told to draw when there are more, and ends the following with its signal. */
class Tail {
  constructor(context) {
    this.context = context;
    this.lines = [];
    this.serial = 0;
    this.state = "starting";
    this.error = undefined;
  }

  add(found) {
    if (found.length === 0) return;
    for (const { timestamp, message, logStreamName } of found) {
      this.lines.push({ key: (this.serial += 1), at: timestamp, text: plain(message), stream: logStreamName });
    }
    if (this.lines.length > MOST_LINES) this.lines.splice(0, this.lines.length - MOST_LINES);
  }

  turn(state, error = undefined) {
    Object.assign(this, { state, error });
    this.context.update();
  }

  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.context.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }

  /** Begins `round` again and again until the page is left. */
  async repeat(round) {
    const { signal } = this.context;
    while (!signal.aborted) {
      let wait = POLL;
      try {
        if (!document.hidden) await round(signal);
      } catch (error) {
        if (signal.aborted || error.name === "AbortError") return;
        wait = RETRY;
        const isEarly = error instanceof AwsError && error.code === "ResourceNotFoundException";
        this.turn(isEarly ? "empty" : "failed", isEarly ? undefined : error);
      }
      await this.pause(wait);
    }
  }
}

/** One stream of a group. */
export class StreamTail extends Tail {
  constructor(context, group, stream) {
    super(context);
    let nextToken;
    this.repeat(async (signal) => {
      const page = { logGroupName: group, logStreamName: stream, startFromHead: false, limit: HISTORY, nextToken };
      const answer = await call("logs", "GetLogEvents", page, signal);
      nextToken = answer.nextForwardToken;
      this.add(answer.events ?? []);
      this.turn("live");
    });
  }
}

/** All streams of a group, as their events come in. */
export class GroupTail extends Tail {
  constructor(context, group, arn) {
    super(context);
    this.group = group;
    this.repeat(async (signal) => {
      const response = await send("logs", "StartLiveTail", { logGroupIdentifiers: [arn.replace(/:\*$/, "")] }, signal);
      // What came before the session is read once it stands, so that nothing falls between; what is in both is shown once.
      let seen = new Map();
      const name = ({ timestamp, logStreamName, message }) => `${timestamp} ${logStreamName} ${message}`;
      for await (const { type, value } of events(response)) {
        if (type === "sessionStart") {
          const before = await this.history(signal);
          for (const event of before) seen.set(name(event), (seen.get(name(event)) ?? 0) + 1);
          this.add(before);
          this.turn("live");
        } else if (type === "sessionUpdate") {
          const fresh = (value.sessionResults ?? []).filter((event) => {
            const times = seen.get(name(event)) ?? 0;
            if (times > 0) seen.set(name(event), times - 1);
            return times === 0;
          });
          this.add(fresh);
          if (fresh.length > 0) this.turn("live");
        }
      }
    });
  }

  async history(signal) {
    const last = this.lines.at(-1)?.at;
    const found = [];
    let nextToken;
    do {
      const page = { logGroupName: this.group, startTime: last === undefined ? Date.now() - LOOK_BACK : last + 1, limit: HISTORY, nextToken };
      const answer = await call("logs", "FilterLogEvents", page, signal);
      found.push(...(answer.events ?? []));
      nextToken = answer.nextToken;
    } while (nextToken && found.length < MOST_LINES);
    return found;
  }
}
