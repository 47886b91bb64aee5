// When to look again. One stream from the front door says which kinds of records changed; while there is none (too many pages, a proxy in
// between, a restart) the page asks by itself, less often the longer it fails. A page that nobody looks at asks nothing.

import { AwsError, open } from "./api.js";

const POLL = 2_000;
const LONGEST_WAIT = 30_000;
/** The door says something every 15 s. */
const SILENCE = 40_000;

export class Live {
  /** @param changed called with the kinds that changed ("*": anything) @param turned called with "connecting", "live", "polling", "offline" or "paused" */
  constructor(changed, turned) {
    this.changed = changed;
    this.turned = turned;
    this.state = "paused";
    this.failures = 0;
    document.addEventListener("visibilitychange", () => this.restart());
    addEventListener("online", () => this.restart());
  }

  /** Begins, or begins again for another account or region. */
  restart() {
    this.stop?.abort();
    clearTimeout(this.timer);
    clearTimeout(this.poll);
    if (document.hidden) {
      this.turn("paused");
      return;
    }
    this.failures = 0;
    this.turn("connecting");
    this.changed(["*"]);
    this.listen();
  }

  turn(state) {
    if (this.state !== state) {
      this.state = state;
      this.turned(state);
    }
  }

  async listen() {
    const stop = new AbortController();
    this.stop = stop;
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENCE);
    };
    try {
      const response = await open("/console/changes", stop.signal);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      clearTimeout(this.poll);
      this.turn("live");
      this.failures = 0;
      let rest = "";
      for (heard(); ; heard()) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        const kinds = lines.flatMap((line) => JSON.parse(line).changed ?? []);
        if (kinds.length > 0) this.changed(kinds);
      }
    } catch (error) {
      if (error instanceof AwsError && error.needsKey) return;
    } finally {
      clearTimeout(silence);
    }
    if (this.stop !== stop || document.hidden) return;
    this.failures += 1;
    if (this.failures > 1) this.fallBack();
    const wait = Math.min(LONGEST_WAIT, 500 * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => {
      if (this.failures === 1) this.changed(["*"]);
      this.listen();
    }, wait);
  }

  fallBack() {
    clearTimeout(this.poll);
    this.turn("polling");
    const ask = async () => {
      const fine = await this.changed(["*"]);
      this.turn(fine === false ? "offline" : "polling");
      const wait = fine === false ? Math.min(LONGEST_WAIT, POLL * 2 ** Math.min(this.failures, 4)) : POLL;
      if (this.state !== "live") this.poll = setTimeout(ask, wait);
    };
    this.poll = setTimeout(ask, POLL);
  }
}
