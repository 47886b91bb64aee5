// A tiny renderer. `h` describes an element, `render` makes the document match the description and touches only what differs, so
// that focus, selection and scroll positions live through updates.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "rect", "circle", "line", "polyline", "g"]);
/** Kept as properties: what a person typed is not undone unless the description itself changes. */
const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "open", "indeterminate"]);

/** Describes an element. Children that are null, false or undefined are left out; arrays are flattened. */
export function h(tag, props, ...children) {
  const { key, ...rest } = props ?? {};
  return { tag, key, props: rest, children: describe(children) };
}

function describe(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== true)
    .map((child) => (typeof child === "object" ? child : { text: String(child) }));
}

/** Makes the content of `host` what `description` (one or many) says. */
export function render(host, description) {
  const after = describe([description]);
  patchChildren(host, host.described ?? [], after);
  host.described = after;
}

function create(described) {
  if (described.text !== undefined) {
    described.node = document.createTextNode(described.text);
    return described.node;
  }
  const { tag } = described;
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  described.node = node;
  patchChildren(node, [], described.children);
  // After the children: a list's value names one of them.
  for (const [name, value] of Object.entries(described.props)) set(node, name, undefined, value);
  described.props.ref?.(node);
  return node;
}

function set(node, name, before, after) {
  if (before === after || name === "ref") return;
  if (name.startsWith("on")) {
    node[name] = after ?? null;
  } else if (PROPERTIES.has(name)) {
    node[name] = after ?? (name === "value" ? "" : false);
  } else if (after === null || after === undefined || after === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, after === true ? "" : after);
  }
}

const isSame = (before, after) => before.tag === after.tag && before.key === after.key;

function patch(before, after) {
  // The very same description: whoever kept it says that nothing changed below.
  if (before === after) return;
  const { node } = before;
  after.node = node;
  if (after.text !== undefined) {
    if (before.text !== after.text) node.data = after.text;
    return;
  }
  patchChildren(node, before.children, after.children);
  for (const name of Object.keys(before.props)) {
    if (!(name in after.props)) set(node, name, before.props[name], undefined);
  }
  for (const [name, value] of Object.entries(after.props)) set(node, name, before.props[name], value);
}

function patchChildren(parent, before, after) {
  const keyed = new Map();
  const plain = [];
  for (const child of before) {
    if (child.key === undefined) plain.push(child);
    else keyed.set(child.key, child);
  }
  const kept = new Set();
  let next = 0;
  for (const child of after) {
    const old = child.key === undefined ? plain[next++] : keyed.get(child.key);
    if (old && !kept.has(old) && isSame(old, child)) {
      kept.add(old);
      patch(old, child);
    } else {
      create(child);
    }
  }
  // Leavers go first, so that those who stay need not be moved.
  for (const child of before) if (!kept.has(child)) child.node.remove();
  let place = parent.firstChild;
  for (const child of after) {
    if (child.node === place) place = place.nextSibling;
    else parent.insertBefore(child.node, place);
  }
}
