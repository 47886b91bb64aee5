//! Namespaces with nothing but `lo`, for the network mode `none`.

use std::{collections::BTreeSet, path::PathBuf};

use crate::{adopt::ISOLATED, engine::Engine, error::NetworkError, namespace, records::names_in};

impl Engine {
    /// The namespace of this name, made when it is not there.
    pub(crate) fn isolated(&mut self, name: &str) -> Result<PathBuf, NetworkError> {
        let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(safe) {
            let name: String = name.chars().take(80).collect();
            return Err(NetworkError::Config(format!(
                "'{name}' cannot name a namespace: 1–64 of a-z, 0-9 and hyphen"
            )));
        }
        let path = self.slots.names().netns(&format!("{ISOLATED}{name}"));
        if !namespace::is_kept(&path) {
            namespace::create(&path, || namespace::prepare_inside().map(drop))?;
        }
        Ok(path)
    }

    pub(crate) fn release_isolated(&mut self, name: &str) -> Result<(), NetworkError> {
        match self.list_isolated()?.contains(name) {
            true => namespace::drop_kept(&self.slots.names().netns(&format!("{ISOLATED}{name}"))),
            false => Ok(()),
        }
    }

    pub(crate) fn list_isolated(&self) -> Result<BTreeSet<String>, NetworkError> {
        let names = names_in(self.slots.names().directory())?;
        Ok(names.iter().filter_map(|name| name.strip_prefix(ISOLATED)).map(str::to_owned).collect())
    }

    pub(super) fn reconcile_isolated(&mut self, desired: &BTreeSet<String>) -> Result<(), NetworkError> {
        for name in self.list_isolated()?.difference(desired) {
            self.release_isolated(name)?;
        }
        desired.iter().try_for_each(|name| self.isolated(name).map(drop))
    }
}
