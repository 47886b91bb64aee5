//! Where a task's volumes are on the machine.
//!
//! A volume's name comes from whoever registered the task definition and becomes part of a path that root writes to: a name that
//! is anything but a plain one is refused here, whatever the control plane let through.

use std::path::{Component, Path, PathBuf};

use agent_protocol::spec::{TaskSpec, Volume, VolumeSource};

/// ECS's limit on the names of volumes and containers.
const LONGEST_NAME_BYTES: usize = 255;

/// Where the directories of volumes are.
pub(crate) struct VolumeDirs {
    /// Of the task.
    pub task: PathBuf,
    /// Of the node.
    pub shared: PathBuf,
}

/// A volume's place on the machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A path of the host's own, as given.
    Host(PathBuf),
    /// A directory that the agent keeps.
    Kept(PathBuf),
}

/// Whether a name is 1–255 of `[A-Za-z0-9_-]`, ECS's rule for containers and volumes: then it is exactly one component of a path.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.len() <= LONGEST_NAME_BYTES && !name.is_empty() && name.bytes().all(plain)
}

/// Where a volume is. The error is fit for `stoppedReason`.
pub(crate) fn place(volume: &Volume, dirs: &VolumeDirs) -> Result<Place, String> {
    Ok(match &volume.source {
        VolumeSource::Host { source_path } => Place::Host(PathBuf::from(source_path)),
        VolumeSource::Task => Place::Kept(within(&dirs.task, &volume.name)?),
        VolumeSource::Shared { .. } => Place::Kept(within(&dirs.shared, &volume.name)?),
    })
}

fn within(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(name).components();
    let one = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if !one || !is_plain_name(name) {
        return Err(format!("ResourceInitializationError: invalid volume name {name:?}"));
    }
    Ok(dir.join(name))
}

/// Makes the directories of a task's volumes that are missing. Works on the disk. The error is fit for `stoppedReason`.
pub(crate) fn make_volumes(task: &TaskSpec, dirs: &VolumeDirs) -> Result<(), String> {
    // All of them before the first is made.
    let places = task.volumes.iter().map(|volume| Ok((volume, place(volume, dirs)?)));
    for (volume, place) in places.collect::<Result<Vec<_>, String>>()? {
        let make = match &volume.source {
            // Docker makes a bind mount's missing source, too.
            VolumeSource::Host { .. } | VolumeSource::Task => true,
            VolumeSource::Shared { autoprovision } => *autoprovision,
        };
        let (Place::Host(path) | Place::Kept(path)) = place;
        let cannot = |reason: String| format!("CannotCreateVolumeError: volume {}: {reason}", volume.name);
        if make && !path.exists() {
            make_world_readable(&path).map_err(|error| cannot(format!("{}: {error}", path.display())))?;
        } else if !make && !path.is_dir() {
            return Err(cannot("it does not exist and autoprovision is off".to_owned()));
        }
    }
    Ok(())
}

/// A volume is entered by whoever the container's user is, but the directory above it is root's alone.
fn make_world_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixtures::{container_spec, task_spec};

    fn with_volume(name: &str, source: VolumeSource) -> TaskSpec {
        let mut task = task_spec(vec![container_spec("app")]);
        task.volumes = vec![Volume { name: name.into(), source }];
        task
    }

    #[test]
    fn volume_directories_are_made_unless_they_have_to_exist() {
        let root = tempfile::tempdir().unwrap();
        let dirs = VolumeDirs { task: root.path().join("t"), shared: root.path().join("s") };
        make_volumes(&with_volume("data", VolumeSource::Task), &dirs).unwrap();
        assert!(root.path().join("t/data").is_dir());
        let missing = with_volume("keep", VolumeSource::Shared { autoprovision: false });
        assert!(
            make_volumes(&missing, &dirs).unwrap_err().starts_with("CannotCreateVolumeError: volume keep")
        );
        make_volumes(&with_volume("keep", VolumeSource::Shared { autoprovision: true }), &dirs).unwrap();
    }

    #[test]
    fn a_name_that_is_a_path_is_no_volume() {
        let root = tempfile::tempdir().unwrap();
        let dirs = VolumeDirs { task: root.path().join("t"), shared: root.path().join("s") };
        let outside = root.path().join("outside").to_str().unwrap().to_owned();
        let long = "v".repeat(256);
        for name in
            ["/etc", "..", "../outside", "a/b", ".", "", "a/", "./a", "a.b", "a\0b", "a b", &long, &outside]
        {
            for source in [VolumeSource::Task, VolumeSource::Shared { autoprovision: true }] {
                let task = with_volume(name, source);
                let expected = format!("ResourceInitializationError: invalid volume name {name:?}");
                assert_eq!(make_volumes(&task, &dirs).unwrap_err(), expected);
                assert_eq!(place(&task.volumes[0], &dirs).unwrap_err(), expected);
            }
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "nothing was made");
        for name in ["data", "A-1_z", &"v".repeat(255)] {
            let volume = Volume { name: name.into(), source: VolumeSource::Task };
            assert_eq!(place(&volume, &dirs), Ok(Place::Kept(dirs.task.join(name))));
        }
    }
}
