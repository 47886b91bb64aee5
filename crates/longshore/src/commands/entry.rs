//! What a client of a strict front door needs, kept for `longshore env` while the platform runs: the endpoint, the certificate to trust, a key of
//! the account's root.
//!
//! It lies in the run directory, which a reboot empties: `door.json` for root alone, since the key opens everything, and `authority.pem` for
//! everybody. In the data directory the key lies sealed.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use control_plane::ControlPlane;
use serde::{Deserialize, Serialize};

use super::up::RUN_DIR;

const DOOR: &str = "door.json";
const AUTHORITY: &str = "authority.pem";

/// The content of `door.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Entry {
    pub endpoint: String,
    /// A file; none where the machine's own certificates do.
    pub authority: Option<String>,
    /// None where all of the root's keys are switched off.
    pub access_key: Option<String>,
    pub secret: Option<String>,
    pub region: String,
    /// The account that the key is of.
    #[serde(default)]
    pub account: String,
    /// Keys of further accounts' roots.
    #[serde(default)]
    pub others: Vec<OtherRoot>,
    #[serde(skip)]
    is_new: bool,
}

/// A key of another account's root.
#[derive(Clone, Serialize, Deserialize)]
pub struct OtherRoot {
    pub account: String,
    pub access_key: String,
    pub secret: String,
}

impl Entry {
    /// Writes it for a strict door, and removes what an earlier run left for an open one.
    pub fn write(control: &ControlPlane) -> anyhow::Result<Option<Entry>> {
        let directory = Path::new(RUN_DIR);
        let (door, authority) = (directory.join(DOOR), directory.join(AUTHORITY));
        let Some(strict) = control.strict_door() else {
            for path in [door, authority] {
                if path.exists() {
                    fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                }
            }
            return Ok(None);
        };
        let settings = &control.services().settings;
        if let Some(certificate) = &strict.authority {
            write_authority(certificate)?;
        }
        let others = strict.other_roots.iter().filter_map(|(account, key)| {
            let key = key.as_ref()?;
            let (access_key, secret) = (key.access_key.clone(), key.secret.clone());
            Some(OtherRoot { account: account.to_string(), access_key, secret })
        });
        let key = strict.root_key.as_ref();
        let entry = Entry {
            endpoint: settings.url(),
            authority: strict.authority.as_ref().map(|_| authority.display().to_string()),
            access_key: key.map(|key| key.access_key.clone()),
            secret: key.map(|key| key.secret.clone()),
            region: settings.region.to_string(),
            account: settings.account.to_string(),
            others: others.collect(),
            is_new: key.is_some_and(|key| key.is_new),
        };
        let draft = directory.join("door.json.new");
        let written = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&serde_json::to_vec(&entry)?)?;
            fs::rename(&draft, &door)
        };
        written().with_context(|| format!("writing {}", door.display()))?;
        Ok(Some(entry))
    }

    /// What the platform of this machine has written; none where its door is open, or where there is none.
    pub fn read() -> anyhow::Result<Option<Entry>> {
        let path = Path::new(RUN_DIR).join(DOOR);
        match fs::read(&path) {
            Ok(text) => Ok(Some(
                serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "{} holds a key of the account's root; ask as root: sudo longshore env",
                    path.display()
                )
            }),
        }
    }

    /// For the person at the terminal: which rule holds. The secret is told to nobody who does not ask for it.
    pub fn tell(&self) -> String {
        let key = match (&self.access_key, self.is_new) {
            (Some(key), true) => format!("the account's root got the access key {key}"),
            (Some(key), false) => format!("the account's root has the access key {key}"),
            (None, _) => "every key of the account's root is switched off".to_owned(),
        };
        let others: Vec<String> = self
            .others
            .iter()
            .map(|other| format!("{} that of {}", other.access_key, other.account))
            .collect();
        let others = if others.is_empty() { String::new() } else { format!(", {}", others.join(", ")) };
        format!("TLS, and a valid signature of an issued key for every request; {key}{others}")
    }
}

/// Writes the certificate that clients have to trust, and answers where.
pub fn write_authority(certificate: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(RUN_DIR).join(AUTHORITY);
    fs::write(&path, certificate).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
