// A new cluster: a name.

import { Fields, operationForm } from "../lib/forms.js";
import { heading } from "../lib/parts.js";
import { path } from "../lib/router.js";

function render(context) {
  const fields = new Fields((context.ui.values ??= { name: "" }), context);
  return [
    heading("Create a cluster", { crumbs: [["Clusters", path("clusters")]] }),
    operationForm(context, {
      operation: "CreateCluster",
      label: "Create the cluster",
      back: path("clusters"),
      input: () => ({ clusterName: context.ui.values.name.trim() || undefined }),
      done: ({ cluster }) => context.go(path("clusters", cluster.clusterName)),
    }, fields.text("name", "Name", { hint: "Letters, digits, hyphens and underscores. Without a name it is called default.", maxlength: "255", autofocus: true })),
  ];
}

export const createCluster = { section: "Clusters", title: () => "Create a cluster", every: 3_600_000, render };
