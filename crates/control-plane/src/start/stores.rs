//! Everything that is kept, opened: the root key, the state, blobs, objects, logs, metrics, the audit trail.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use blob_store::{BlobStore, FileBlobStore, Limits};
use state_store::{SqliteOptions, SqliteStore, State, Store, StoreError};
use telemetry_store::{MetricStore, Options, TelemetryStore};

use super::{Config, StartError, StoreChoice};
use crate::{
    secret::{self, InstallationSecret},
    services::{
        self,
        cloudtrail::{Trail, chain},
        s3::content::ContentStore,
    },
};

/// The stores of a control plane; of an ephemeral one all but blobs and objects are in memory.
pub(super) struct Stores {
    pub secret: InstallationSecret,
    /// This server's name: the same after a restart, and no other server's.
    pub server: String,
    pub state: State,
    pub telemetry: TelemetryStore,
    pub metrics: MetricStore,
    pub blobs: Arc<dyn BlobStore>,
    pub objects: ContentStore,
    pub trail: Trail,
}

impl Stores {
    pub(super) async fn open(config: &Config) -> Result<Stores, StartError> {
        let (data_dir, ephemeral) = (&config.data_dir, config.ephemeral);
        let unusable = |source| StartError::DataDir { path: data_dir.clone(), source };
        make_private(data_dir).map_err(unusable)?;
        let secret = match &config.root_key {
            _ if ephemeral => InstallationSecret::ephemeral(),
            Some(path) => InstallationSecret::open_file(path).map_err(StartError::RootKey)?,
            None => InstallationSecret::open(data_dir).map_err(StartError::RootKey)?,
        };
        let server = secret::server_name(data_dir).map_err(unusable)?;
        let store: Arc<dyn Store> = match &config.store {
            StoreChoice::Sqlite if ephemeral => Arc::new(SqliteStore::in_memory()?),
            StoreChoice::Sqlite => {
                Arc::new(SqliteStore::open(&data_dir.join("state"), &SqliteOptions::default())?)
            }
            StoreChoice::Etcd(endpoints) => open_etcd(endpoints).await?,
        };
        let seal = secret::open_store_key(&*store, &secret).await?;
        let state = State::open(store, services::tables().sealed_with(Arc::new(seal))).await?;
        let events = |name: &str| match ephemeral {
            true => TelemetryStore::ephemeral(Options::default()),
            false => TelemetryStore::open(&data_dir.join(name), Options::default()),
        };
        let (telemetry, audit) = (events("logs")?, events("audit")?);
        let metrics = match ephemeral {
            true => MetricStore::ephemeral()?,
            false => MetricStore::open(&data_dir.join("metrics"))?,
        };
        let blobs = Arc::new(FileBlobStore::open(data_dir.join("blobs"), Limits::default())?);
        let objects = ContentStore::open(&data_dir.join("objects"), secret.derive("objects"), !ephemeral)
            .map_err(unusable)?;
        let chain = match ephemeral {
            true => None,
            false => {
                let key = chain::Key::new(secret.derive(chain::KEY_PURPOSE));
                let directory = data_dir.join("audit").join(chain::DIRECTORY);
                Some(chain::Writer::open(&directory, key).map_err(unusable)?)
            }
        };
        let trail = Trail::start(audit, state.clone(), chain);
        Ok(Stores { secret, server, state, telemetry, metrics, blobs, objects, trail })
    }
}

/// Makes a directory that its owner alone can look into: keys, environments and output lie there.
fn make_private(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

async fn open_etcd(endpoints: &[String]) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(state_store::EtcdStore::connect(state_store::EtcdOptions::new(endpoints.to_vec())).await?))
}
