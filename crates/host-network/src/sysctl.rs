//! Kernel settings under `/proc/sys`. Those under `net` are the ones of the calling thread's namespace.

use std::{fs, io, path::PathBuf};

use crate::error::{NetworkError, OnFile};

pub(crate) fn write(name: &str, value: &str) -> Result<(), NetworkError> {
    let path = path(name);
    fs::write(&path, value).on_file("cannot set", path)
}

pub(crate) fn write_if_present(name: &str, value: &str) -> Result<(), NetworkError> {
    match write(name, value) {
        Err(NetworkError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(crate) fn read(name: &str) -> Result<String, NetworkError> {
    let path = path(name);
    Ok(fs::read_to_string(&path).on_file("cannot read", path)?.trim().to_owned())
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}
