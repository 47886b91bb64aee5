//! The metadata file of a container: what `ECS_CONTAINER_METADATA_FILE` names, on instances whose agent was asked to write it.
//!
//! It is there when the container starts, and says `READY` when the rest is known. It is replaced as a whole; a container sees its
//! directory, which nobody else does. Source: "Amazon ECS container metadata file" of the developer guide.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use agent_protocol::spec::{NetworkMode, TaskSpec};
use serde_json::{Map, Value, json};
use task_lifecycle::NetworkBinding;

use crate::ports::LocalImage;

const NAME: &str = "ecs-container-metadata.json";

/// Where a container finds its file.
pub(crate) fn directory(runtime_id: &str) -> PathBuf {
    Path::new("/opt/ecs/metadata").join(runtime_id)
}

/// The file itself, as the container's environment says.
pub(crate) fn path(runtime_id: &str) -> PathBuf {
    directory(runtime_id).join(NAME)
}

/// What is known of a container once it runs.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub bindings: Vec<NetworkBinding>,
    pub addresses: Vec<String>,
}

/// Writes the file into `directory` of the machine.
///
/// # Errors
/// What the disk says.
pub(crate) fn write(
    directory: &Path,
    instance_arn: &str,
    spec: &TaskSpec,
    container: usize,
    image: &LocalImage,
    known: Option<&Known>,
) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let text = serde_json::to_vec_pretty(&document(instance_arn, spec, container, image, known))?;
    let draft = directory.join("new");
    fs::write(&draft, text)?;
    fs::rename(draft, directory.join(NAME))
}

fn document(
    instance_arn: &str,
    spec: &TaskSpec,
    index: usize,
    image: &LocalImage,
    known: Option<&Known>,
) -> Value {
    let container = &spec.containers[index];
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    set("Cluster", json!(spec.cluster_name));
    set("ContainerInstanceARN", json!(instance_arn));
    set("TaskARN", json!(spec.task_arn));
    set("TaskDefinitionFamily", json!(spec.family));
    set("TaskDefinitionRevision", json!(spec.revision.to_string()));
    set("ContainerID", json!(container.runtime_id));
    set("ContainerName", json!(container.name));
    set("DockerContainerName", json!(container.name));
    set("ImageID", json!(image.config_digest));
    set("ImageName", json!(container.image));
    set("AvailabilityZone", json!(spec.availability_zone));
    if let Some(known) = known {
        let mode = match spec.network_mode {
            NetworkMode::Awsvpc => "awsvpc",
            NetworkMode::Bridge => "bridge",
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
        };
        let ports = known.bindings.iter().flat_map(|binding| {
            (0..binding.count).map(move |offset| {
                json!({
                    "ContainerPort": binding.container_port.saturating_add(offset),
                    "HostPort": binding.host_port.saturating_add(offset),
                    "BindIp": binding.bind_ip, "Protocol": binding.protocol,
                })
            })
        });
        set("PortMappings", Value::Array(ports.collect()));
        set("Networks", json!([{"NetworkMode": mode, "IPv4Addresses": known.addresses}]));
        set("MetadataFileStatus", json!("READY"));
    }
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixtures::{container_spec, local_image, task_spec};

    #[test]
    fn it_is_ready_when_the_container_runs() {
        let disk = tempfile::tempdir().unwrap();
        let spec = task_spec(vec![container_spec("app")]);
        let read =
            || -> Value { serde_json::from_slice(&fs::read(disk.path().join(NAME)).unwrap()).unwrap() };
        write(disk.path(), "arn:instance", &spec, 0, &local_image(), None).unwrap();
        let first = read();
        assert_eq!(
            (&first["TaskDefinitionFamily"], &first["ContainerName"]),
            (&json!("hello"), &json!("app"))
        );
        assert_eq!(first.get("MetadataFileStatus"), None);
        let binding = NetworkBinding {
            bind_ip: "0.0.0.0".into(),
            container_port: 80,
            host_port: 32_768,
            count: 1,
            protocol: "tcp".into(),
        };
        let known = Known { bindings: vec![binding], addresses: vec!["172.17.0.2".into()] };
        write(disk.path(), "arn:instance", &spec, 0, &local_image(), Some(&known)).unwrap();
        let ready = read();
        assert_eq!(ready["MetadataFileStatus"], "READY");
        assert_eq!(ready["PortMappings"][0]["HostPort"], 32_768);
        assert_eq!(ready["Networks"][0]["IPv4Addresses"], json!(["172.17.0.2"]));
    }
}
