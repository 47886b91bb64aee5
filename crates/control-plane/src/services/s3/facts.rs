//! What authorization has to know of buckets and objects: whose they are, and what the bucket's policy says.

use state_store::View;

use super::records::{Bucket, Object, object_id};
use crate::{
    authorization::resources::{Facts, ResourcePolicy},
    services::ec2::records::global,
};

/// Of `BUCKET` or `BUCKET/KEY`; none when there is no such bucket.
pub fn facts(view: &View, resource: &str) -> Option<Facts> {
    let (name, key) = resource.split_once('/').map_or((resource, None), |(name, key)| (name, Some(key)));
    let bucket = view.get::<Bucket>(&global(), name)?;
    let object = key.and_then(|key| view.get::<Object>(&global(), &object_id(name, key)));
    let tags = object.map(|object| object.tags.clone()).unwrap_or_default();
    Some(Facts {
        owner: Some(bucket.owner.clone()),
        policy: bucket.policy.as_deref().map(|text| ResourcePolicy { document: text.into(), decides: false }),
        // Conditions know the tags of objects by a key of S3's own.
        keys: tags
            .iter()
            .map(|(key, value)| (format!("s3:ExistingObjectTag/{key}"), value.clone()))
            .collect(),
        ..Facts::default()
    })
}
