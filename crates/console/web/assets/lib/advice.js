// What can be done about a refusal, where that is known. The API says what is wrong; this says where to go from there.

const ADVICE = [
  [/No Container Instances were found/i, (input) => `Choose FARGATE, or join a machine first: longshore agent --cluster ${input.cluster ?? "default"}`],
  [/^AGENT$/, () => "The agent of that machine does not answer. Start it again, or choose FARGATE."],
  [/^RESOURCE:(CPU|MEMORY)$/, () => "No instance has that much left. Stop something there, join another machine, choose a smaller definition, or choose FARGATE."],
  [/^RESOURCE:PORTS$/, () => "The host port is taken on every instance. Map host port 0, which takes a free one, or join another machine."],
  [/^ATTRIBUTE$/, () => "No instance can do what the definition asks for. Its network mode awsvpc, for one, is for FARGATE only."],
  [/does not have an associated load balancer/, () => "Let a listener or a rule of a load balancer forward to that target group first."],
  [/incompatible with the \S+ network mode/, () => "Tasks with an interface of their own (awsvpc) need a target group of target type ip, those on instances one of type instance."],
  [/does not support launch_type/, () => "Choose another launch type, or register a revision that names this one in requiresCompatibilities."],
  [/did not have a container port/, () => "Map the port in the definition (portMappings), or choose one that is mapped."],
  [/not idempotent|already exists/i, () => "There is one of that name. Choose another, or change the one that is there."],
  [/execution role/i, () => "Give the definition an executionRoleArn: a role that trusts ecs-tasks.amazonaws.com and has the policy AmazonECSTaskExecutionRolePolicy."],
  [/ClusterContains(Services|Tasks|ContainerInstances)/, () => "Delete its services, stop its tasks and deregister its instances first."],
  [/AccessDenied|not authorized/i, () => "The key's policies do not allow this. Ask whoever gave you the key, or use another."],
  [/Unreachable/, () => "Look whether `longshore up` still runs, and send the form again."],
];

/** A sentence, or nothing. `input` is what was sent. */
export function advice({ code = "", message = "" }, input = {}) {
  const found = ADVICE.find(([pattern]) => pattern.test(code) || pattern.test(message));
  return found?.[1](input);
}
