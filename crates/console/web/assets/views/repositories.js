// The repositories of this platform's registry.

import { all } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { card, copyable, empty, filterField, heading, linkButton, matches, table, time } from "../lib/parts.js";
import { path } from "../lib/router.js";
import { words } from "../lib/text.js";

const load = async ({ signal }) => ({ repositories: (await all("ecr", "DescribeRepositories", {}, "repositories", { signal })).sort((a, b) => a.repositoryName.localeCompare(b.repositoryName)) });

export const pushCommands = (uri, name) => [
  `aws ecr create-repository --repository-name ${name}`,
  `aws ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin ${uri.split("/")[0]}`,
  `skopeo copy --dest-tls-verify=false docker://docker.io/library/busybox docker://${uri}:v1`,
].join("\n");

function render(context) {
  const { repositories } = context.data;
  return [
    heading("Repositories", { actions: [linkButton("Create a repository", path("create-repository"), "primary")] }),
    repositories.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter repositories")),
    card(null, { flush: true, key: "list" }, table([
      { name: "Repository", cell: (one) => h("a", { href: path("repositories", one.repositoryName) }, one.repositoryName) },
      { name: "Name for clients", wide: true, cell: (one) => copyable(one.repositoryUri) },
      { name: "Tags", cell: (one) => words(one.imageTagMutability) },
      { name: "Created", cell: (one) => time(one.createdAt) },
    ], repositories.filter(({ repositoryName }) => matches(context, repositoryName)), {
      key: (one) => one.repositoryArn, label: "Repositories",
      empty: repositories.length > 0 ? empty("No repository matches") : empty("No repository yet", "Images come from any registry; this one is built in, and any OCI client can push to it:", pushCommands(`${location.host.replace("127.0.0.1", "localhost")}/web`, "web")),
    })),
  ];
}

export const repositories = { section: "Repositories", title: () => "Repositories", watches: ["ecr/", "registry/"], load, render };
