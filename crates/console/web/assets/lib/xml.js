// What the query protocols carry: inputs as flat parameters, answers as XML.

/** Flattens an input. EC2 numbers the elements of a list directly, the others below `member`. */
export function flatten(input, between = ".member") {
  const pairs = [];
  const walk = (name, value) => {
    if (value === undefined || value === null) return;
    if (Array.isArray(value)) value.forEach((item, at) => walk(`${name}${between}.${at + 1}`, item));
    else if (typeof value === "object") {
      for (const [key, inner] of Object.entries(value)) walk(name ? `${name}.${key}` : key, inner);
    } else pairs.push([name, String(value)]);
  };
  walk("", input);
  return pairs;
}

/** An element as an object; elements of a list (`member`, `item`) as an array; an empty element as an empty string. */
function value(element) {
  const children = [...element.children];
  if (children.length === 0) return element.textContent;
  if (children.every((child) => child.localName === "member" || child.localName === "item")) return children.map(value);
  return Object.fromEntries(children.map((child) => [child.localName, value(child)]));
}

export function parse(text) {
  const root = new DOMParser().parseFromString(text, "text/xml").documentElement;
  return value(root);
}

/** A list of an answer: one without elements reads as an empty string. */
export const list = (found) => (Array.isArray(found) ? found : []);
