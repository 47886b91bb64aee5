//! Where the doors of one platform take their certificates from: all from the operator's files, or all from the platform's own authority.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    authority::Authority,
    tls::{CertificateFiles, Tls, TlsError},
};
use crate::secret::SealingKey;

/// The source of certificates.
pub struct Certificates {
    files: Option<CertificateFiles>,
    /// Where the authority is kept; none where it goes with the process.
    directory: Option<PathBuf>,
    seal: SealingKey,
    /// Made, or read, when the first door needs it.
    authority: Mutex<Option<Arc<Authority>>>,
}

impl Certificates {
    pub fn new(
        files: Option<CertificateFiles>,
        directory: Option<PathBuf>,
        seal: SealingKey,
    ) -> Certificates {
        Certificates { files, directory, seal, authority: Mutex::default() }
    }

    /// TLS for a door that is reached by `names`, which count where the authority certifies.
    ///
    /// # Errors
    /// As [`TlsError`] says.
    pub fn tls(&self, names: Vec<String>) -> Result<Tls, TlsError> {
        if let Some(files) = &self.files {
            return Tls::of_files(files.clone());
        }
        let mut authority = self.authority.lock().unwrap_or_else(PoisonError::into_inner);
        let authority = match &*authority {
            Some(known) => Arc::clone(known),
            None => {
                let opened = Arc::new(Authority::open(self.directory.as_deref(), &self.seal)?);
                Arc::clone(authority.insert(opened))
            }
        };
        Tls::of_own(authority, names)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_doors_of_a_platform_that_keeps_nothing_have_one_authority() {
        let certificates = Certificates::new(None, None, SealingKey::new([1; 32]));
        let authority = || certificates.tls(vec!["door.example".to_owned()]).unwrap().authority.unwrap();
        assert_eq!(authority(), authority());
    }
}
