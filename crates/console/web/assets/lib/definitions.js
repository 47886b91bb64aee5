// What of a task definition a person wrote, in one order, so that two can be compared and one made from another.

/** Members that registering adds. */
const ADDED = ["taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt"];

const isEmpty = (value) => Array.isArray(value) && value.length === 0;

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().filter((name) => !isEmpty(value[name])).map((name) => [name, sorted(value[name])]));
}

/** The input that registers the same definition again. */
export function asInput(definition) {
  return sorted(Object.fromEntries(Object.entries(definition).filter(([name]) => !ADDED.includes(name))));
}

export const written = (definition) => JSON.stringify(asInput(definition), null, 2);
