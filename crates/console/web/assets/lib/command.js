// The `aws` command that does the same as a form, ready to paste.

const kebab = (name) => name.replace(/([a-z0-9])([A-Z])/g, "$1-$2").replace(/([A-Z])([A-Z][a-z])/g, "$1-$2").toLowerCase();

/** Quotes for a POSIX shell where that is needed. */
export const quote = (text) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function option(name, value) {
  const flag = `--${kebab(name)}`;
  if (value === true) return flag;
  if (value === false) return `--no-${kebab(name)}`;
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return `${flag} ${value.map((item) => quote(String(item))).join(" ")}`;
  if (typeof value === "object") return `${flag} ${quote(JSON.stringify(value))}`;
  return `${flag} ${quote(String(value))}`;
}

/** `aws SERVICE OPERATION` with an option for every member that is set. */
export function awsCommand(service, operation, input) {
  const options = Object.entries(input)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => option(name, value));
  return [`aws ${service} ${kebab(operation)}`, ...options].join(" \\\n  ");
}
