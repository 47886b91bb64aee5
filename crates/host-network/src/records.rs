//! What a later process needs to adopt the network: VPCs, groups and one record per interface, as JSON files in the
//! run directory, each replaced by rename. They describe kernel objects that end with the machine, so they
//! need not outlive it either: nothing is synced to disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{NetworkError, OnFile},
    spec::{GroupId, InterfaceSpec, SecurityGroupSpec, VpcSpec},
};

#[derive(Debug)]
pub(crate) struct Records {
    directory: PathBuf,
}

/// Everything but the interfaces.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub vpcs: Vec<VpcSpec>,
    pub groups: Vec<SecurityGroupSpec>,
    pub remote_members: BTreeMap<GroupId, BTreeSet<Ipv4Addr>>,
    /// Links that forward only because we made them.
    pub gated: BTreeSet<String>,
}

impl Records {
    /// Makes the directories below `run_dir`.
    pub(crate) fn open(run_dir: &Path) -> Result<Records, NetworkError> {
        let records = Records { directory: run_dir.to_owned() };
        for directory in [records.namespaces(), records.interfaces()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.on_file("cannot create", directory)?;
        }
        Ok(records)
    }

    pub(crate) fn namespaces(&self) -> PathBuf {
        self.directory.join("netns")
    }

    fn interfaces(&self) -> PathBuf {
        self.directory.join("interfaces")
    }

    pub(crate) fn load_frame(&self) -> Result<Frame, NetworkError> {
        Ok(load(&self.directory.join("network.json"))?.unwrap_or_default())
    }

    pub(crate) fn save_frame(&self, frame: &Frame) -> Result<(), NetworkError> {
        save(&self.directory.join("network.json"), frame)
    }

    /// Interfaces by the name of their slot.
    pub(crate) fn load_interfaces(&self) -> Result<BTreeMap<String, InterfaceSpec>, NetworkError> {
        let mut found = BTreeMap::new();
        for slot in names_in(&self.interfaces())? {
            let Some(slot) = slot.strip_suffix(".json") else { continue };
            if let Some(spec) = load(&self.interface(slot))? {
                found.insert(slot.to_owned(), spec);
            }
        }
        Ok(found)
    }

    pub(crate) fn save_interface(&self, slot: &str, spec: &InterfaceSpec) -> Result<(), NetworkError> {
        save(&self.interface(slot), spec)
    }

    pub(crate) fn remove_interface(&self, slot: &str) -> Result<(), NetworkError> {
        let path = self.interface(slot);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).on_file("cannot remove", path)
            }
            _ => Ok(()),
        }
    }

    /// Removes everything that [`Records::open`] and the others made. The run directory itself stays when something
    /// else is in it.
    pub(crate) fn remove_all(&self) -> Result<(), NetworkError> {
        for directory in [self.namespaces(), self.interfaces()] {
            for name in names_in(&directory)? {
                let path = directory.join(name);
                fs::remove_file(&path).on_file("cannot remove", path)?;
            }
            fs::remove_dir(&directory).on_file("cannot remove", directory)?;
        }
        let frame = self.directory.join("network.json");
        match fs::remove_file(&frame) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).on_file("cannot remove", frame);
            }
            _ => {}
        }
        match fs::remove_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(error).on_file("cannot remove", &self.directory)
            }
            _ => Ok(()),
        }
    }

    fn interface(&self, slot: &str) -> PathBuf {
        self.interfaces().join(format!("{slot}.json"))
    }
}

pub(crate) fn names_in(directory: &Path) -> Result<Vec<String>, NetworkError> {
    let mut names = vec![];
    for entry in fs::read_dir(directory).on_file("cannot list", directory)? {
        let entry = entry.on_file("cannot list", directory)?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// `None` when there is no such file or it does not say what it should: it is treated as not there, with a warning,
/// because whoever composes the network knows what shall exist and will say so again.
fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, NetworkError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.on_file("cannot read", path)?,
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "ignoring a record that cannot be read");
            Ok(None)
        }
    }
}

fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), NetworkError> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other).on_file("cannot encode", path)?;
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes).on_file("cannot write", &temporary)?;
    fs::rename(&temporary, path).on_file("cannot replace", path)
}
