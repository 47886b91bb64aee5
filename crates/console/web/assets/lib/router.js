// From an address below /console/ to a view, and back.

const ROOT = "/console";

/** `path("clusters", "a b")` → `/console/clusters/a%20b`. */
export const path = (...parts) => `${ROOT}/${parts.filter((part) => part !== "").map(encodeURIComponent).join("/")}`;

export function withQuery(href, query) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return search ? `${href}?${search}` : href;
}

/** Routes are tried in order: `[["clusters", ":cluster"], view]`. */
export class Router {
  constructor(routes, changed) {
    this.routes = routes;
    this.changed = changed;
    addEventListener("popstate", () => this.arrive(false));
    document.addEventListener("click", (event) => this.clicked(event));
  }

  clicked(event) {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (!link || link.target || link.origin !== location.origin || !link.pathname.startsWith(`${ROOT}/`)) return;
    event.preventDefault();
    this.go(link.href);
  }

  go(href, { replace = false } = {}) {
    history[replace ? "replaceState" : "pushState"](null, "", href);
    this.arrive(!replace);
  }

  arrive(forward) {
    this.changed(this.match(location.pathname, new URLSearchParams(location.search)), forward);
  }

  match(pathname, query) {
    let parts;
    try {
      parts = pathname.replace(/^\/console\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
    } catch {
      parts = ["?"];
    }
    for (const [pattern, view] of this.routes) {
      if (pattern.length !== parts.length) continue;
      const params = {};
      const fits = pattern.every((part, at) => {
        if (part.startsWith(":")) params[part.slice(1)] = parts[at];
        return part.startsWith(":") || part === parts[at];
      });
      if (fits) return { view, params, query };
    }
    return { view: null, params: {}, query };
  }
}
