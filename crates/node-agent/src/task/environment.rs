//! A container's environment and command, merged from where they come from.
//!
//! Weakest first: the image, what the agent adds, the environment files (of which the first wins), the definition's environment, its
//! secrets. So a definition may set what the agent would (its own `AWS_ENDPOINT_URL`, say). Source for the files: "Pass environment
//! variables to an Amazon ECS container" of the developer guide, and what the published agent reads of them.

use agent_protocol::spec::{ContainerSpec, LaunchType, NetworkMode, TaskSpec};
use image_store::ImageConfig;

use super::{container::Surroundings, etc_files::hostname};
use crate::endpoint::file;

/// `NAME=VALUE`, each name once.
pub(crate) fn environment(
    task: &TaskSpec,
    container: &ContainerSpec,
    image: &ImageConfig,
    around: &Surroundings,
) -> Vec<String> {
    let mut merged = Environment::default();
    for variable in &image.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        merged.set(name, value);
    }
    for (name, value) in added_by_agent(task, container, around) {
        merged.set(name, &value);
    }
    let mut of_files = Environment::default();
    for file in &container.environment_files {
        let mut own = Environment::default();
        file.expose().lines().filter_map(file_line).for_each(|(name, value)| own.set(name, value));
        own.variables.into_iter().for_each(|(name, value)| of_files.set_if_new(name, value));
    }
    of_files.variables.iter().for_each(|(name, value)| merged.set(name, value));
    for variable in container.environment.iter().chain(&container.secrets) {
        merged.set(&variable.name, variable.value.expose());
    }
    merged.variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn added_by_agent(
    task: &TaskSpec,
    container: &ContainerSpec,
    around: &Surroundings,
) -> Vec<(&'static str, String)> {
    let metadata = |version| format!("{}/{version}/{}", around.metadata, container.runtime_id);
    let execution = match task.launch_type {
        LaunchType::Fargate => "AWS_ECS_FARGATE",
        LaunchType::Ec2 | LaunchType::External => "AWS_ECS_EC2",
    };
    let mut variables = Vec::new();
    // As Docker and containerd do.
    if let Some(hostname) = hostname(task, container) {
        variables.push(("HOSTNAME", hostname));
    }
    if container.pseudo_terminal {
        variables.push(("TERM", "xterm".to_owned()));
    }
    variables.extend([
        ("AWS_EXECUTION_ENV", execution.to_owned()),
        ("AWS_REGION", task.region.to_string()),
        ("AWS_DEFAULT_REGION", task.region.to_string()),
        ("ECS_CONTAINER_METADATA_URI", metadata("v3")),
        ("ECS_CONTAINER_METADATA_URI_V4", metadata("v4")),
        ("ECS_AGENT_URI", metadata("api")),
    ]);
    if around.metadata_dir.is_some() {
        let path = file::path(&container.runtime_id).display().to_string();
        variables.push(("ECS_CONTAINER_METADATA_FILE", path));
    }
    if let Some(role) = &task.task_role {
        let path = format!("/v2/credentials/{}", role.credentials_id);
        variables.push(("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path));
    }
    if let Some(url) = around.instance_metadata.as_ref().filter(|_| task.network_mode == NetworkMode::Host) {
        variables.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.clone()));
    }
    if let Some(url) = &around.endpoint_url {
        variables.push(("AWS_ENDPOINT_URL", url.clone()));
    }
    variables
}

/// A line of an environment file: `NAME=VALUE`, spaces and quotation marks taken literally. Lines that begin with `#`, and those
/// without a name or a value, say nothing.
fn file_line(line: &str) -> Option<(&str, &str)> {
    if line.starts_with('#') {
        return None;
    }
    line.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

#[derive(Default)]
struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    fn set_if_new(&mut self, name: String, value: String) {
        if !self.variables.iter().any(|(known, _)| *known == name) {
            self.variables.push((name, value));
        }
    }
}

/// What is executed: the definition's entry point and command over the image's. A definition's entry point also
/// drops the image's command, as Docker does. Empty when neither says anything.
pub(crate) fn command(container: &ContainerSpec, image: &ImageConfig) -> Vec<String> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let entry_point = given(&container.entry_point);
    let default_command = match entry_point {
        Some(_) => Vec::new(),
        None => image.cmd.clone(),
    };
    let mut command = entry_point.unwrap_or_else(|| image.entrypoint.clone());
    command.extend(given(&container.command).unwrap_or(default_command));
    command
}

#[cfg(test)]
mod tests {
    use agent_protocol::spec::EnvironmentVariable;

    use super::*;
    use crate::tests::fixtures::{container_spec, task_spec};

    fn variable(name: &str, value: &str) -> EnvironmentVariable {
        EnvironmentVariable { name: name.into(), value: value.into() }
    }

    fn image(env: &[&str], entrypoint: &[&str], cmd: &[&str]) -> ImageConfig {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        ImageConfig { env: owned(env), entrypoint: owned(entrypoint), cmd: owned(cmd), ..Default::default() }
    }

    #[test]
    fn later_sources_win_and_every_name_is_there_once() {
        let mut container = container_spec("app");
        container.environment_files = vec![
            "# comment\n\nA=file\nB=file=with=equals\nnonsense\nC= spaced\r\nEMPTY=\nE=once\nE=twice\n"
                .into(),
            "B=second\nD=\"quoted\"\n".into(),
        ];
        container.environment = vec![variable("A", "definition"), variable("S", "plain")];
        container.secrets = vec![variable("S", "secret")];
        let task = task_spec(vec![container]);
        let merged = environment(
            &task,
            &task.containers[0],
            &image(&["PATH=/bin", "A=image"], &[], &[]),
            &Surroundings::default(),
        );
        for expected in [
            "PATH=/bin",
            "A=definition",
            "B=file=with=equals",
            "C= spaced",
            "D=\"quoted\"",
            "E=twice",
            "S=secret",
        ] {
            assert!(merged.iter().any(|variable| variable == expected), "{expected} in {merged:?}");
        }
        let names: std::collections::BTreeSet<_> =
            merged.iter().map(|v| v.split_once('=').unwrap().0).collect();
        assert_eq!(names.len(), merged.len());
        assert!(
            !names.contains("nonsense") && !names.contains("EMPTY") && !names.contains("AWS_ENDPOINT_URL")
        );
    }

    #[test]
    fn containers_find_their_metadata_credentials_and_endpoint_unless_they_know_better() {
        let mut own = container_spec("own");
        own.environment = vec![variable("AWS_ENDPOINT_URL", "http://mine")];
        let task = task_spec(vec![container_spec("app"), own]);
        let of = |index: usize| {
            let around = Surroundings {
                endpoint_url: Some("http://172.31.0.1:4566".into()),
                instance_metadata: Some("http://169.254.171.4".into()),
                metadata: "http://169.254.170.2".into(),
                bridged: None,
                metadata_dir: Some("/m".into()),
            };
            environment(&task, &task.containers[index], &image(&[], &[], &[]), &around)
        };
        for expected in [
            "AWS_EXECUTION_ENV=AWS_ECS_FARGATE",
            "HOSTNAME=ip-172-31-0-10.us-east-1.compute.internal",
            "AWS_REGION=us-east-1",
            "AWS_DEFAULT_REGION=us-east-1",
            "ECS_CONTAINER_METADATA_URI=http://169.254.170.2/v3/id-app",
            "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/id-app",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/cred-1",
            "AWS_ENDPOINT_URL=http://172.31.0.1:4566",
            "ECS_CONTAINER_METADATA_FILE=/opt/ecs/metadata/id-app/ecs-container-metadata.json",
        ] {
            assert!(of(0).iter().any(|variable| variable == expected), "{expected} in {:?}", of(0));
        }
        assert!(of(1).contains(&"AWS_ENDPOINT_URL=http://mine".to_owned()));
    }

    #[test]
    fn the_command_is_merged_as_docker_does() {
        let image = image(&[], &["/entry"], &["default"]);
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        for (entry_point, given, expected) in [
            (None, None, vec!["/entry", "default"]),
            (None, list(&["x"]), vec!["/entry", "x"]),
            (list(&["sh", "-c"]), None, vec!["sh", "-c"]),
            (list(&["sh", "-c"]), list(&["x"]), vec!["sh", "-c", "x"]),
            (list(&[]), list(&[]), vec!["/entry", "default"]),
        ] {
            let container = ContainerSpec { entry_point, command: given, ..container_spec("app") };
            assert_eq!(command(&container, &image), expected);
        }
    }
}
