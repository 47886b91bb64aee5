// Which address shows which view.

import { cluster } from "./views/cluster.js";
import { clusters } from "./views/clusters.js";
import { createCluster } from "./views/create-cluster.js";
import { createRepository } from "./views/create-repository.js";
import { createService } from "./views/create-service.js";
import { definition } from "./views/definition.js";
import { definitions } from "./views/definitions.js";
import { family } from "./views/family.js";
import { loadBalancer } from "./views/load-balancer.js";
import { loadBalancers } from "./views/load-balancers.js";
import { logGroup } from "./views/log-group.js";
import { logGroups } from "./views/log-groups.js";
import { logStream } from "./views/log-stream.js";
import { metric } from "./views/metric.js";
import { metrics } from "./views/metrics.js";
import { overview } from "./views/overview.js";
import { registerDefinition } from "./views/register-definition.js";
import { repositories } from "./views/repositories.js";
import { repository } from "./views/repository.js";
import { runTask } from "./views/run-task.js";
import { service } from "./views/service.js";
import { targetGroup } from "./views/target-group.js";
import { task } from "./views/task.js";
import { updateService } from "./views/update-service.js";

export const routes = [
  [[], overview],
  [["clusters"], clusters],
  [["create-cluster"], createCluster],
  [["clusters", ":cluster"], cluster],
  [["clusters", ":cluster", "services", ":service"], service],
  [["clusters", ":cluster", "services", ":service", "update"], updateService],
  [["clusters", ":cluster", "tasks", ":task"], task],
  [["definitions"], definitions],
  [["definitions", ":family"], family],
  [["definitions", ":family", ":revision"], definition],
  [["register-definition"], registerDefinition],
  [["repositories"], repositories],
  [["repositories", ":repository"], repository],
  [["create-repository"], createRepository],
  [["load-balancers"], loadBalancers],
  [["load-balancers", ":name"], loadBalancer],
  [["target-groups", ":name"], targetGroup],
  [["logs"], logGroups],
  [["logs", ":group"], logGroup],
  [["logs", ":group", ":stream"], logStream],
  [["metrics"], metrics],
  [["metrics", ":namespace", ":metric"], metric],
  [["run-task"], runTask],
  [["create-service"], createService],
];
