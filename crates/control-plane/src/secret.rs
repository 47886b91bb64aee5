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
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
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

/// Seals what must not lie in the store as it is: AES-256 in Galois/counter mode under one key of the installation.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    pub fn new(key: [u8; 32]) -> SealingKey {
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the algorithm's length");
        SealingKey(LessSafeKey::new(key))
    }

    /// Seals `plain` for `context`: only with the same one it is opened again. A fresh nonce stands before what is sealed.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        SystemIds.fill(&mut nonce);
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut sealed,
            )
            .expect("what is sealed here is far below the algorithm's limit of 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// What was sealed for `context`; none when it was sealed with another key or for something else, or was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(context.as_bytes()), &mut opened).ok()?;
        Some(plain.to_vec())
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests {
    use super::SealingKey;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_alone() {
        let key = SealingKey::new([1; 32]);
        let sealed = key.seal("here", b"plain");
        assert_eq!(key.open("here", &sealed).as_deref(), Some(b"plain".as_slice()));
        assert_ne!(key.seal("here", b"plain"), sealed);
        assert_eq!(key.open("there", &sealed), None);
        assert_eq!(SealingKey::new([2; 32]).open("here", &sealed), None);
        let mut changed = sealed;
        changed[15] ^= 1;
        assert_eq!(key.open("here", &changed), None);
        assert_eq!(key.open("here", b"short"), None);
    }
}
