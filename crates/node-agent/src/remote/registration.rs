//! What the machine says of itself, and the three calls about it.

use std::collections::BTreeMap;

use agent_protocol::ControlError;
use serde_json::{Value, json};

use super::api::Api;

/// The machine as it is registered.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceDescription {
    /// 1024 to a core.
    pub cpu_units: u32,
    /// What is left for tasks.
    pub memory_mib: u32,
    pub reserved: PortReservations,
    /// `ecs.capability.*`, `ecs.availability-zone` and the operator's own. Without a value: a capability.
    pub attributes: BTreeMap<String, Option<String>>,
    /// What EC2 gives an instance about itself: `instanceId`, `privateIp` and so on.
    pub identity: Value,
}

/// Ports of the machine that no task gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortReservations {
    pub tcp: Vec<u16>,
    pub udp: Vec<u16>,
}

/// Where the two connections are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub messages: String,
    pub telemetry: String,
}

/// Registers the machine, as the instance that it was before when it was one. Answers the instance's ARN.
pub(super) async fn register(
    api: &Api,
    cluster: &str,
    instance: &InstanceDescription,
    earlier: Option<&str>,
) -> Result<String, ControlError> {
    let mut input = input(cluster, instance);
    if let Some(arn) = earlier {
        input["containerInstanceArn"] = json!(arn);
    }
    let output = api.call("RegisterContainerInstance", &input).await?;
    let arn = output["containerInstance"]["containerInstanceArn"].as_str();
    arn.map(str::to_owned).ok_or_else(|| ControlError::Unavailable("the answer names no instance".to_owned()))
}

fn input(cluster: &str, instance: &InstanceDescription) -> Value {
    let number = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let ports = |name: &str, ports: &[u16]| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        json!({"name": name, "type": "STRINGSET", "stringSetValue": ports})
    };
    let attribute = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => json!({"name": name, "value": value}),
        None => json!({"name": name}),
    };
    json!({
        "cluster": cluster,
        "instanceIdentityDocument": instance.identity.to_string(),
        "totalResources": [
            number("CPU", instance.cpu_units),
            number("MEMORY", instance.memory_mib),
            ports("PORTS", &instance.reserved.tcp),
            ports("PORTS_UDP", &instance.reserved.udp),
        ],
        "versionInfo": {
            "agentVersion": env!("CARGO_PKG_VERSION"),
            "agentHash": "longshore",
        },
        "attributes": instance.attributes.iter().map(attribute).collect::<Vec<_>>(),
    })
}

pub(super) async fn discover(api: &Api, cluster: &str, arn: &str) -> Result<Endpoints, ControlError> {
    let output =
        api.call("DiscoverPollEndpoint", &json!({"cluster": cluster, "containerInstance": arn})).await?;
    let member = |name: &str| {
        let endpoint = output[name].as_str().map(|endpoint| api.as_told(endpoint));
        endpoint.ok_or_else(|| ControlError::Unavailable(format!("the answer has no {name}")))
    };
    Ok(Endpoints { messages: member("endpoint")?, telemetry: member("telemetryEndpoint")? })
}

pub(super) async fn deregister(api: &Api, cluster: &str, arn: &str, force: bool) -> Result<(), ControlError> {
    let input = json!({"cluster": cluster, "containerInstance": arn, "force": force});
    api.call("DeregisterContainerInstance", &input).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described_in_the_apis_words() {
        let instance = InstanceDescription {
            cpu_units: 2048,
            memory_mib: 4000,
            reserved: PortReservations { tcp: vec![22, 4566], udp: vec![] },
            attributes: BTreeMap::from([
                ("ecs.availability-zone".to_owned(), Some("us-east-1a".to_owned())),
                ("ecs.capability.task-iam-role".to_owned(), None),
            ]),
            identity: json!({"instanceId": "i-1"}),
        };
        let input = input("web", &instance);
        assert_eq!(input["instanceIdentityDocument"], "{\"instanceId\":\"i-1\"}");
        assert_eq!(input["totalResources"][2]["stringSetValue"], json!(["22", "4566"]));
        assert_eq!(
            input["attributes"],
            json!([{"name": "ecs.availability-zone", "value": "us-east-1a"}, {"name": "ecs.capability.task-iam-role"}])
        );
    }
}
