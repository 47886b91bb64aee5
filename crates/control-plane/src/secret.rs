//! The installation's own secret: one random key, from which the keys for page tokens and registry passwords are derived.
//!
//! It lies in the data directory, readable by the owner alone, and is made at the first start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use vocabulary::Ids;

use crate::services::SystemIds;

/// The key that other keys are derived from.
pub struct InstallationSecret([u8; 32]);

impl InstallationSecret {
    /// A secret that goes with the process.
    pub fn ephemeral() -> InstallationSecret {
        let mut bytes = [0; 32];
        SystemIds.fill(&mut bytes);
        InstallationSecret(bytes)
    }

    /// The secret kept in `directory`, made when there is none.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` when the file is not one of ours.
    pub fn open(directory: &Path) -> io::Result<InstallationSecret> {
        let path = directory.join("installation.key");
        match File::open(&path) {
            Ok(mut file) => {
                let mut bytes = [0; 32];
                file.read_exact(&mut bytes).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("{} is not a key", path.display()))
                })?;
                Ok(InstallationSecret(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = InstallationSecret::ephemeral();
                // Written whole under another name first: a torn key would lock everything out.
                let draft = directory.join("installation.key.new");
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
                file.write_all(&secret.0)?;
                file.sync_all()?;
                fs::rename(&draft, &path)?;
                File::open(directory)?.sync_all()?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }

    /// The key for one purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}
