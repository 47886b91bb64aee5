//! What an operation asks for: actions, and the resources they are on. Which of them its input names is said in [`table`].

mod table;

use aws_schema::{OperationTable, ServiceTable, Value};
use state_store::View;

use super::{
    input::{self, scalars, texts},
    keys,
};
use crate::{
    gateway::Call,
    services::{
        iam::{
            names,
            records::{Group, InstanceProfile, Role, User},
        },
        kms, s3,
    },
};
use table::{FREE, PASSED, templates};

/// An action on resources, each of which has to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `ecs:RunTask`
    pub action: String,
    /// ARNs, or `*`.
    pub resources: Vec<String>,
    /// Condition keys that hold for this action alone.
    pub keys: Vec<(String, Vec<String>)>,
}

/// Whether the table says what the operation is on.
#[cfg(test)]
pub fn mapped(service: &str, operation: &str) -> bool {
    templates(service, operation).is_some()
        || FREE.contains(&(service, operation))
        || (service == "s3" && s3::asked::knows(operation))
}

/// Everything that the operation asks for; nothing when it is free.
pub fn of(
    view: &View,
    call: &Call,
    service: &ServiceTable,
    operation: &OperationTable,
    given: &Value,
) -> Vec<Asked> {
    if FREE.contains(&(service.name, operation.name)) {
        return Vec::new();
    }
    let place = Place { view, call, prefix: prefix(service.name), table: operation, given };
    if service.name == "s3" {
        let asked = s3::asked::asked(operation, given);
        return asked
            .map(|asked| Asked {
                action: asked.action.to_owned(),
                resources: vec![asked.resource],
                keys: asked.keys,
            })
            .into_iter()
            .collect();
    }
    // Which key is meant may stand in a ciphertext, or behind an alias.
    if service.name == "kms" {
        let keys = keys::of(call.scope(), service.name, operation, given);
        let mut asked = kms::asked(view, call, operation, given, &keys);
        let tagging = asked.first().and_then(|first| place.tagging(service.name, first));
        asked.extend(tagging);
        return asked;
    }
    let resources = match templates(service.name, operation.name) {
        None => vec!["*".to_owned()],
        Some(templates) => templates.iter().flat_map(|template| place.resources(template)).collect(),
    };
    let mut asked = vec![Asked {
        action: format!("{}:{}", place.prefix, operation.name),
        resources,
        keys: keys::of(call.scope(), service.name, operation, given),
    }];
    if (service.name, operation.name) == ("ssm", "StartSession") {
        // The document, and the task that the session is in.
        let targets = scalars(operation.input, given, "Target");
        asked[0].resources.extend(targets.iter().filter_map(|target| task_of_target(call, target)));
    }
    for (_, _, members, receiver) in
        PASSED.iter().filter(|(of, name, ..)| *of == service.name && *name == operation.name)
    {
        let roles = members.iter().flat_map(|member| scalars(operation.input, given, member));
        asked.extend(roles.map(|role| Asked {
            action: "iam:PassRole".to_owned(),
            resources: vec![place.own("role", &role)],
            keys: vec![("iam:PassedToService".to_owned(), vec![(*receiver).to_owned()])],
        }));
    }
    asked.extend(place.tagging(service.name, &asked[0]));
    asked
}

/// The task of a session's target, `ecs:CLUSTER_TASK_CONTAINER`.
fn task_of_target(call: &Call, target: &str) -> Option<String> {
    let target = crate::services::ssm::sessions::Target::parse(target)?;
    let task = format_args!("task/{}/{}", target.cluster, target.task_id).to_string();
    Some(call.scope().arn("ecs", task).to_string())
}

/// What a service's actions and ARNs begin with.
fn prefix(service: &'static str) -> &'static str {
    match service {
        "elbv2" | "elb" => "elasticloadbalancing",
        other => other,
    }
}

struct Place<'a> {
    view: &'a View,
    call: &'a Call,
    prefix: &'static str,
    table: &'a OperationTable,
    given: &'a Value,
}

impl Place<'_> {
    fn resources(&self, template: &str) -> Vec<String> {
        if let Some(member) = template.strip_prefix('=') {
            let arns = scalars(self.table.input, self.given, member);
            return if arns.is_empty() { vec!["*".to_owned()] } else { arns };
        }
        if self.prefix == "iam"
            && let Some((kind, member)) = template.strip_suffix('}').and_then(|rest| rest.split_once("/{"))
        {
            let names = texts(self.table.input, self.given, member);
            return match names.first() {
                Some(name) => vec![self.own(kind, name)],
                // The caller means itself.
                None => vec![self.call.principal.arn.clone()],
            };
        }
        let (region, account) = match self.prefix {
            "ecr-public" | "iam" | "sts" => ("", self.account()),
            "s3" => ("", ""),
            _ => (self.call.scope().region.as_str(), self.account()),
        };
        let start = format!("arn:aws:{}:{region}:{account}:", self.prefix);
        let mut made = vec![start];
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, after)) = after.split_once('}') else { break };
            let (member, default) = match place.split_once('|') {
                Some((member, default)) => (member, Some(default)),
                None => (place, None),
            };
            let mut values = texts(self.table.input, self.given, member);
            if values.is_empty() {
                values.push(default.unwrap_or("*"));
            }
            let is_last = !after.contains('{');
            made = made
                .iter()
                .flat_map(|so_far| values.iter().map(move |value| filled(so_far, before, value, is_last)))
                .collect();
            rest = after;
        }
        // A whole ARN needs no ending.
        made.into_iter()
            .map(|one| if rest.is_empty() || one.ends_with('\0') { one } else { one + rest })
            .map(|one| one.trim_end_matches('\0').to_owned())
            .collect()
    }

    /// The permission to tag, which whoever makes something with tags needs as well.
    fn tagging(&self, service: &str, made: &Asked) -> Option<Asked> {
        let name = self.table.name;
        let (action, key) = match (service, name) {
            (
                "ecs",
                "CreateCluster"
                | "CreateService"
                | "CreateTaskSet"
                | "CreateCapacityProvider"
                | "CreateDaemon"
                | "CreateExpressGatewayService"
                | "CreateGateway"
                | "RegisterDaemonTaskDefinition",
            ) => ("ecs:TagResource", Some("ecs:CreateAction")),
            ("ecs", "RegisterTaskDefinition" | "RegisterContainerInstance" | "RunTask" | "StartTask") => {
                ("ecs:TagResource", Some("ecs:CreateAction"))
            }
            ("ecr", "CreateRepository") => ("ecr:TagResource", None),
            ("ecr-public", "CreateRepository") => ("ecr-public:TagResource", None),
            ("logs", "CreateLogGroup") => ("logs:TagResource", None),
            (
                "elbv2",
                "CreateLoadBalancer" | "CreateTargetGroup" | "CreateListener" | "CreateRule"
                | "CreateTrustStore",
            ) => ("elasticloadbalancing:AddTags", Some("elasticloadbalancing:CreateAction")),
            ("elb", "CreateLoadBalancer") => {
                ("elasticloadbalancing:AddTags", Some("elasticloadbalancing:CreateAction"))
            }
            ("acm", "ImportCertificate" | "RequestCertificate") => ("acm:AddTagsToCertificate", None),
            ("secretsmanager", "CreateSecret") => ("secretsmanager:TagResource", None),
            ("kms", "CreateKey") => ("kms:TagResource", None),
            ("ssm", "PutParameter") => ("ssm:AddTagsToResource", None),
            ("iam", "CreateUser") => ("iam:TagUser", None),
            ("iam", "CreateRole") => ("iam:TagRole", None),
            ("iam", "CreatePolicy") => ("iam:TagPolicy", None),
            ("iam", "CreateInstanceProfile") => ("iam:TagInstanceProfile", None),
            ("iam", "CreateOpenIDConnectProvider") => ("iam:TagOpenIDConnectProvider", None),
            ("ec2", name) if name.starts_with("Create") || name == "AllocateAddress" => {
                ("ec2:CreateTags", Some("ec2:CreateAction"))
            }
            _ => return None,
        };
        // CreateTags is there to tag and has been asked for already.
        if name == "CreateTags" || input::tags(self.table.input, self.given).is_empty() {
            return None;
        }
        // What is made by running a definition is tasks.
        let resources = match (service, name) {
            ("ecs", "RunTask" | "StartTask") => self.resources("task/{cluster|default}/*"),
            _ => made.resources.last().cloned().into_iter().collect(),
        };
        let keys = key.map(|key| (key.to_owned(), vec![name.to_owned()])).into_iter().collect();
        Some(Asked { action: action.to_owned(), resources, keys })
    }

    /// The account that the input names, as ECR's operations do, or the caller's.
    fn account(&self) -> &str {
        texts(self.table.input, self.given, "registryId")
            .first()
            .copied()
            .unwrap_or(self.call.scope().account.as_str())
    }

    /// The ARN of something of IAM, with the path that it has.
    fn own(&self, kind: &str, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        let (account, scope) = (&self.call.scope().account, names::of(self.call));
        let key = names::key(name);
        let path = match kind {
            "user" => self.view.get::<User>(&scope, &key).map(|found| found.path.clone()),
            "group" => self.view.get::<Group>(&scope, &key).map(|found| found.path.clone()),
            "role" => self.view.get::<Role>(&scope, &key).map(|found| found.path.clone()),
            "instance-profile" => {
                self.view.get::<InstanceProfile>(&scope, &key).map(|found| found.path.clone())
            }
            _ => None,
        };
        // What is not there yet will be where the input says.
        let path = path
            .or_else(|| texts(self.table.input, self.given, "Path").first().map(|path| (*path).to_owned()));
        names::arn(account, kind, path.as_deref().unwrap_or("/"), name)
    }
}

/// A template's next place filled. A whole ARN in the last place stands for everything, and is marked as ended.
fn filled(so_far: &str, before: &str, value: &str, is_last: bool) -> String {
    // Names of parameters may begin with the slash that the template has as well.
    let plain = value.strip_prefix('/').filter(|_| before.ends_with('/')).unwrap_or(value);
    match (value.starts_with("arn:"), is_last) {
        (true, true) => format!("{value}\0"),
        (true, false) => format!("{so_far}{before}{}", names::last_segment(value)),
        (false, _) => format!("{so_far}{before}{plain}"),
    }
}
