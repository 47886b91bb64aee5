//! The root key and what hangs on it: nothing secret lies on a disk as it is.
//!
//! One random key is the root. It lies outside the database: in the data directory, readable by its owner alone, or in a file
//! that the operator names. The database is sealed with a second key, made at the first start, which lies in the database wrapped by the
//! root key ([`open_store_key`]): whoever has the database alone has nothing, and a wrong root key is noticed before anything is read.
//! From the root key come, by a keyed digest of their purpose, also the keys of page tokens, registry passwords and the node's journal.
//!
//! AES-256 in Galois/counter mode with a random nonce of 96 bits and, as associated data, the place that the sealed thing belongs to:
//! it opens nowhere else. One key may seal 2^32 times (NIST SP 800-38D); at a hundred writes of secrets each second that is a year's worth of
//! uninterrupted writing.
//!
//! Not here: which records are secret (they say so themselves), and the keys that users have in KMS, whose material is such a record.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use hmac::{Hmac, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;
use state_store::{Compare, KeyRange, Op, RangeRequest, Store, StoreError, Txn};
use vocabulary::{Ids, Seal};

use crate::services::SystemIds;

/// The root key's file, where the operator names none.
const ROOT_KEY: &str = "root.key";
/// What it was called at first.
const EARLIER_ROOT_KEY: &str = "installation.key";
/// Tells servers on one store apart.
const SERVER_NAME: &str = "server.name";
/// Where the database keeps the key that it is sealed with. Records begin with a slash.
const STORE_KEY: &str = "sealing/store-key";

/// The key that other keys are derived from.
pub struct InstallationSecret([u8; 32]);

impl InstallationSecret {
    /// A secret that goes with the process.
    pub fn ephemeral() -> InstallationSecret {
        InstallationSecret(random())
    }

    /// The secret kept in `directory`, made when there is none.
    ///
    /// # Errors
    /// As [`InstallationSecret::open_file`].
    pub fn open(directory: &Path) -> io::Result<InstallationSecret> {
        let (path, earlier) = (directory.join(ROOT_KEY), directory.join(EARLIER_ROOT_KEY));
        if !path.exists() && earlier.exists() {
            fs::rename(&earlier, &path)?;
        }
        InstallationSecret::open_file(&path)
    }

    /// The secret in the file `path`: 32 bytes. Made when there is none.
    ///
    /// # Errors
    /// What the disk says; `InvalidData` when the file is not a key; `PermissionDenied` when others than its owner may read it.
    pub fn open_file(path: &Path) -> io::Result<InstallationSecret> {
        let wrong = |kind, what: &str| io::Error::new(kind, format!("{} {what}", path.display()));
        match File::open(path) {
            Ok(mut file) => {
                if file.metadata()?.mode() & 0o077 != 0 {
                    let what = "may be read by others than its owner; give it the mode 0600";
                    return Err(wrong(io::ErrorKind::PermissionDenied, what));
                }
                let mut bytes = Vec::new();
                (&mut file).take(33).read_to_end(&mut bytes)?;
                let key = <[u8; 32]>::try_from(bytes);
                key.map(InstallationSecret)
                    .map_err(|_| wrong(io::ErrorKind::InvalidData, "is not a key of 32 bytes"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = InstallationSecret::ephemeral();
                write_private(path, &secret.0)?;
                Ok(secret)
            }
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// The key for one purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Seals for one purpose.
    pub fn sealing(&self, purpose: &str) -> SealingKey {
        SealingKey::new(self.derive(purpose))
    }
}

impl std::fmt::Debug for InstallationSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstallationSecret")
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemIds.fill(&mut bytes);
    bytes
}

/// Written whole under another name first: a torn key would lock everything out.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
        .sync_all()
}

/// The name of the server whose directory this is: the same after a restart, and no other server's, also where several share a root key.
///
/// # Errors
/// What the disk says.
pub fn server_name(directory: &Path) -> io::Result<String> {
    let path = directory.join(SERVER_NAME);
    match fs::read_to_string(&path) {
        Ok(name) if !name.is_empty() => Ok(name),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let name = SystemIds.hex(32);
            write_private(&path, name.as_bytes())?;
            Ok(name)
        }
    }
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreKeyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the database was sealed under another root key; give the one that it was made with (--root-key FILE, or root.key in its data directory)"
    )]
    WrongRootKey,
    #[error("the database's key cannot be read or written")]
    Contended,
}

/// The key that the database is sealed with: unwrapped with the root key, or made and wrapped at the first start.
///
/// # Errors
/// [`StoreKeyError`].
pub async fn open_store_key(
    store: &dyn Store,
    root: &InstallationSecret,
) -> Result<SealingKey, StoreKeyError> {
    let wrapping = root.sealing("the database's key");
    let unwrap = |wrapped: &[u8]| {
        let opened = wrapping.open(STORE_KEY, wrapped).and_then(|key| <[u8; 32]>::try_from(key).ok());
        opened.map(SealingKey::new).ok_or(StoreKeyError::WrongRootKey)
    };
    // Of two servers that start at once one writes, and the other finds what was written.
    for _ in 0..2 {
        let found = store.range(RangeRequest::new(KeyRange::key(STORE_KEY))).await?;
        if let Some(kv) = found.kvs.first() {
            return unwrap(&kv.value);
        }
        let wrapped = wrapping.seal(STORE_KEY, &random());
        let made = store
            .txn(Txn {
                compares: vec![Compare::mod_revision(STORE_KEY, 0)],
                success: vec![Op::put(STORE_KEY, wrapped.clone())],
                failure: vec![],
            })
            .await?;
        if made.succeeded {
            return unwrap(&wrapped);
        }
    }
    Err(StoreKeyError::Contended)
}

/// Seals what must not lie anywhere as it is: AES-256 in Galois/counter mode under one key.
#[derive(Clone)]
pub struct SealingKey(Arc<LessSafeKey>);

impl SealingKey {
    pub fn new(key: [u8; 32]) -> SealingKey {
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the algorithm's length");
        SealingKey(Arc::new(LessSafeKey::new(key)))
    }

    /// Seals `plain` for `context`: only with the same one it is opened again. A fresh nonce stands before what is sealed.
    pub fn seal(&self, context: impl AsRef<[u8]>, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        SystemIds.fill(&mut nonce);
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_ref()),
                &mut sealed,
            )
            .expect("what is sealed here is far below the algorithm's limit of 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// What was sealed for `context`; none when it was sealed with another key or for something else, or was changed.
    pub fn open(&self, context: impl AsRef<[u8]>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(context.as_ref()), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl Seal for SealingKey {
    fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        SealingKey::seal(self, context, plain)
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        SealingKey::open(self, context, sealed)
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests;
