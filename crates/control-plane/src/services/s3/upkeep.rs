//! What has to be done from time to time: parts of uploads that have ended, uploads of buckets that have gone, files that no record names.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    content::FileName,
    records::{Bucket, Object, Part, Upload},
    uploads,
};
use crate::{
    gateway::ApiError,
    services::{Services, ec2::records::global},
};

/// Removes what is left behind; files only once they are older than `age`.
///
/// # Errors
/// What store and disk say.
pub async fn sweep(services: &Services, age: Duration) -> Result<(), ApiError> {
    let scope = global();
    let (lost, ended): (Vec<Arc<Upload>>, BTreeSet<String>) = services.state.read(|view| {
        let lost = view.scan::<Upload>(&scope).map(|(_, upload)| upload);
        let lost = lost.filter(|upload| view.get::<Bucket>(&scope, &upload.bucket).is_none()).collect();
        let known: BTreeSet<String> =
            view.scan::<Upload>(&scope).map(|(_, upload)| upload.id.clone()).collect();
        let parts =
            view.scan::<Part>(&scope).filter_map(|(id, _)| id.rsplit_once('/').map(|(upload, _)| upload));
        (lost, parts.filter(|upload| !known.contains(*upload)).map(str::to_owned).collect())
    });
    for upload in lost {
        match uploads::forget(services, &upload).await {
            Err(error) if error.status >= 500 => return Err(error),
            _ => {}
        }
    }
    for upload in ended {
        // The object that it became may consist of the very files.
        let kept: Vec<_> = services.state.read(|view| {
            let files: BTreeSet<FileName> = view
                .scan_prefix::<Part>(&scope, &format!("{upload}/"))
                .map(|(_, part)| part.piece.0.clone())
                .collect();
            let objects = view.scan::<Object>(&scope).flat_map(|(_, object)| object.pieces.clone());
            objects.filter(|piece| files.contains(&piece.0)).collect()
        });
        uploads::forget_parts(services, &upload, &kept).await?;
    }
    let state = services.state.clone();
    let named = move || {
        let view = state.view();
        let of_objects = view.scan::<Object>(&scope).flat_map(|(_, object)| object.pieces.clone());
        let mut names: BTreeSet<FileName> = of_objects.map(|piece| piece.0).collect();
        names.extend(view.scan::<Part>(&scope).map(|(_, part)| part.piece.0.clone()));
        names
    };
    let removed = services.objects.sweep(age, named).await.map_err(ApiError::internal)?;
    if removed > 0 {
        tracing::info!(removed, "files of objects that nothing names were removed");
    }
    Ok(())
}
