//! An object that the platform writes as it comes, and that is there when it is whole.
//!
//! Everything that was given is on its way to the disk when [`Draft::write`] returns: a draft that lasts for hours holds none of the memory
//! that all uploads share. One that is dropped leaves nothing.

use bytes::Bytes;
use vocabulary::Timestamp;

use super::put::{NewObject, commit, pieces_of};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        s3::{
            checks::Unless,
            content::{ContentError, Writer},
            digests::{Algorithm, Checksum, Extent, Wanted},
            names::check_key,
            records::{Description, Object},
        },
        tagging::Tags,
    },
};

pub struct Draft(Writer);

impl Draft {
    /// # Errors
    /// What the disk says.
    pub async fn begin(services: &Services) -> Result<Draft, ContentError> {
        let wanted = Wanted { sha256: false, checksum: Algorithm::Crc64Nvme, second: None };
        Ok(Draft(services.objects.begin(wanted).await?))
    }

    /// Bytes given so far.
    pub fn length(&self) -> u64 {
        self.0.length()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// What the disk says; the draft is of no use then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ContentError> {
        self.0.write(bytes).await?;
        self.0.flush().await
    }

    /// Makes it the object under `key`. Whoever calls this has seen to it that it may.
    ///
    /// # Errors
    /// Those of PutObject.
    pub async fn commit(
        self,
        services: &Services,
        bucket: &str,
        key: &str,
        content_type: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        check_key(key)?;
        let written = self.0.finish().await?;
        let object = Object {
            length: written.length(),
            pieces: pieces_of(&written),
            in_parts: false,
            etag: written.outcome.etag(),
            checksum: Checksum {
                algorithm: written.outcome.algorithm,
                extent: Extent::Full,
                value: written.outcome.checksum.clone(),
            },
            modified_at: now,
            description: Description {
                content_type: Some(content_type.to_owned()),
                ..Description::default()
            },
            tags: Tags::new(),
        };
        commit(services, bucket, key, NewObject { object, unless: Unless::default() }, Some(written)).await
    }
}
