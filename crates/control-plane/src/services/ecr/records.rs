//! What the API keeps beside the registry's own records: the settings of a whole registry.

use std::collections::BTreeMap;

use aws_shapes_ecr as ecr;
use serde::{Deserialize, Serialize};
use state_store::Record;

use crate::convert::AwsJson;

/// Settings of one account's registry in one region. Id: [`RegistrySettings::ID`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegistrySettings {
    pub policy: Option<String>,
    pub scanning: Option<AwsJson<ecr::RegistryScanningConfiguration>>,
    /// Account settings that were changed from their defaults.
    #[serde(default)]
    pub account: BTreeMap<String, String>,
}

impl RegistrySettings {
    pub const ID: &'static str = "settings";
}

impl Record for RegistrySettings {
    const SERVICE: &'static str = "ecr";
    const KIND: &'static str = "registry-settings";
    const SCHEMA_VERSION: u32 = 1;
}
