// The clusters of the account and region.

import { h } from "../lib/dom.js";
import { clusters as read } from "../lib/ecs.js";
import { badge, card, empty, filterField, heading, linkButton, matches, meter, table } from "../lib/parts.js";
import { path } from "../lib/router.js";

function render(context) {
  const rows = context.data.clusters.filter(({ clusterName }) => matches(context, clusterName));
  return [
    heading("Clusters", { actions: [linkButton("Create a cluster", path("create-cluster"), "primary")] }),
    context.data.clusters.length > 0 && h("div", { class: "toolbar", key: "toolbar" }, filterField(context, "Filter clusters")),
    card(null, { flush: true, key: "list" },
      table([
        { name: "Cluster", cell: (cluster) => h("a", { href: path("clusters", cluster.clusterName) }, cluster.clusterName) },
        { name: "Status", cell: (cluster) => badge(cluster.status) },
        { name: "Running tasks", cell: (cluster) => meter(cluster.runningTasksCount, cluster.runningTasksCount + cluster.pendingTasksCount, cluster.pendingTasksCount) },
        { name: "Services", number: true, cell: (cluster) => cluster.activeServicesCount },
        { name: "Instances", number: true, cell: (cluster) => cluster.registeredContainerInstancesCount },
        { name: "Capacity providers", cell: (cluster) => (cluster.capacityProviders ?? []).join(", ") || "—" },
      ], rows, {
        key: (cluster) => cluster.clusterArn, label: "Clusters",
        empty: context.data.clusters.length > 0
          ? empty("No cluster matches")
          : empty("No cluster yet", "A cluster groups services and tasks. FARGATE tasks run on this machine, so a name is all it takes:", "aws ecs create-cluster --cluster-name lab", linkButton("Create a cluster", path("create-cluster"), "primary")),
      })),
  ];
}

export const clusters = { section: "Clusters", title: () => "Clusters", watches: ["ecs/"], load: async ({ signal }) => ({ clusters: await read(signal) }), render };
