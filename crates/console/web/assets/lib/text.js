// How values are written.

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** The APIs give seconds (with fractions), milliseconds, or text. */
export function toDate(at) {
  if (at === undefined || at === null || at === "") return null;
  const date = typeof at === "number" ? new Date(at < 1e11 ? at * 1000 : at) : new Date(at);
  return Number.isNaN(date.getTime()) ? null : date;
}

export function ago(date, now = Date.now()) {
  const seconds = (date.getTime() - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  return relative.format(Math.trunc(seconds / size), unit);
}

export function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

export function clock(date) {
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

export function bytes(size) {
  if (size === undefined || size === null || size === "") return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let rest = Number(size);
  while (rest >= 1024 && at < units.length - 1) {
    rest /= 1024;
    at += 1;
  }
  return `${at === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${units[at]}`;
}

export const count = (number, one, many = `${one}s`) => `${Number(number).toLocaleString("en")} ${number === 1 ? one : many}`;
/** What is behind the last slash of an ARN. */
export const tail = (arn) => String(arn ?? "").split("/").pop();
export const shortId = (id) => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);
export const shortDigest = (digest) => String(digest ?? "").replace(/^sha256:/, "").slice(0, 12);
/** `FAMILY:REVISION` of a task definition's ARN. */
export const familyRevision = (arn) => tail(arn);
/** `IN_PROGRESS` → `In progress`. */
export const words = (text) => {
  const plain = String(text ?? "").replaceAll("_", " ").replaceAll("-", " ").toLowerCase();
  return plain.charAt(0).toUpperCase() + plain.slice(1);
};
