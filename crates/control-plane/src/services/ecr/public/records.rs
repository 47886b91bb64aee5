//! What ECR Public keeps beside repositories: what its gallery shows of them.

use aws_shapes_ecr_public as ecr;
use serde::{Deserialize, Serialize};
use state_store::Record;

use crate::convert::AwsJson;

/// How a repository presents itself. Id: its name, with the prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogData(pub AwsJson<ecr::RepositoryCatalogData>);

impl Record for CatalogData {
    const SERVICE: &'static str = "ecr";
    const KIND: &'static str = "public-catalog-data";
    const SCHEMA_VERSION: u32 = 1;
}

/// How an account's registry presents itself. Id: [`RegistryData::ID`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegistryData {
    pub display_name: Option<String>,
}

impl RegistryData {
    pub const ID: &'static str = "registry";
}

impl Record for RegistryData {
    const SERVICE: &'static str = "ecr";
    const KIND: &'static str = "public-registry-data";
    const SCHEMA_VERSION: u32 = 1;
}
