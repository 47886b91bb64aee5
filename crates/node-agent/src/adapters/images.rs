//! Images by `image-store`.
//!
//! As on ECS, a tag is looked up in its registry for every task, so that a tag that was moved is noticed; an image that is
//! present serves when the registry cannot be reached, and without asking when it is named by its digest.

use std::{collections::BTreeSet, sync::Arc};

use agent_protocol::RegistryLogin;
use image_store::{
    Credentials, Endpoint, GcPolicy, Image, ImageStore, Progress, ProgressFn, PullOptions, PullPolicy,
    Reference,
};
use vocabulary::{Direction, Transfer, Transfers};

use crate::ports::{BoxFuture, ImageRequest, Images, LocalImage};

pub(super) struct RealImages {
    pub(super) store: ImageStore,
    pub(super) transfers: Transfers,
}

impl Images for RealImages {
    fn ensure(&self, request: ImageRequest) -> BoxFuture<'_, Result<LocalImage, String>> {
        Box::pin(async move {
            let mut reference = Reference::parse(&request.image).map_err(|error| error.to_string())?;
            if let Some(repository) = request.login.as_ref().and_then(|login| login.repository.as_ref()) {
                reference = in_repository(&reference, repository)?;
            }
            let policy = match reference.digest() {
                Some(_) => PullPolicy::IfNotPresent,
                None => PullPolicy::AlwaysOrPresent,
            };
            let transfer = self.transfers.begin(Direction::Pull, &request.image, None);
            let mut options = PullOptions {
                policy,
                pin_for: Some(request.holder),
                progress: Some(follow(transfer)),
                ..PullOptions::default()
            };
            if let Some(login) = request.login {
                log_in(&mut options, &reference, login)?;
            }
            let image = self.store.pull(&reference, options).await.map_err(|error| error.to_string())?;
            Ok(local(image))
        })
    }

    fn release<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.store.unpin(holder).await {
                tracing::warn!(holder, %error, "images of a stopped task could not be let go");
            }
        })
    }

    fn retain<'a>(&'a self, holders: &'a BTreeSet<String>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for (holder, _) in self.store.pins() {
                if !holders.contains(&holder) {
                    self.release(&holder).await;
                }
            }
        })
    }

    fn collect_garbage(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.store.collect_garbage(&GcPolicy::default()).await {
                Ok(report) if report.removed_images.is_empty() && report.removed_layers == 0 => {}
                Ok(report) => tracing::info!(?report, "images that nobody used were removed"),
                Err(error) => tracing::warn!(%error, "unused images could not be removed"),
            }
        })
    }
}

/// The same tag or digest in another repository of the registry.
fn in_repository(reference: &Reference, repository: &str) -> Result<Reference, String> {
    let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = reference.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
    let text = format!("{}/{repository}{tag}{digest}", reference.registry());
    Reference::parse(&text).map_err(|error| error.to_string())
}

fn log_in(options: &mut PullOptions, reference: &Reference, login: RegistryLogin) -> Result<(), String> {
    let password = login.password.expose().to_owned();
    options.credentials = Credentials::Basic { username: login.username, password };
    if let Some(address) = login.endpoint {
        let endpoint = Endpoint::parse(&address).map_err(|error| error.to_string())?;
        let host = reference.registry().to_owned();
        options.rewrite = Some(Arc::new(move |asked| (asked == host).then(|| endpoint.clone())));
    }
    Ok(())
}

/// Over when the pull lets go of it.
fn follow(transfer: Transfer) -> ProgressFn {
    Arc::new(move |progress| match progress {
        Progress::Resolved { download_bytes, .. } => transfer.set_total(download_bytes),
        Progress::Downloaded { bytes } => transfer.set(bytes),
        Progress::LayerReady { .. } => {}
    })
}

fn local(image: Image) -> LocalImage {
    LocalImage {
        manifest_digest: image.manifest_digest.to_string(),
        config_digest: image.config_digest.to_string(),
        lower_dirs: image.overlay_lowers().absolute(),
        config: image.config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_may_name_another_repository() {
        let reference = Reference::parse("localhost:4566/web/app:v1").unwrap();
        let other = in_repository(&reference, "team/app").unwrap();
        assert_eq!(other.to_string(), "localhost:4566/team/app:v1");
        assert!(in_repository(&reference, "../up").is_err());
    }
}
