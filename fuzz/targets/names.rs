//! Names that are read back as they are written: ARNs, accounts, regions, image references, digests, platforms, ids of events, domain
//! names of registries.
#![no_main]

use image_store::{Digest, Endpoint, Platform, Reference};
use libfuzzer_sys::fuzz_target;
use telemetry_store::EventId;
use vocabulary::{AccountId, Arn, Region};

fn there_and_back<T>(text: &str, is_exact: bool)
where
    T: std::str::FromStr + std::fmt::Display + PartialEq + std::fmt::Debug,
{
    let Ok(read) = text.parse::<T>() else { return };
    let written = read.to_string();
    assert_eq!(written.parse::<T>().ok().as_ref(), Some(&read), "{text:?} became {written:?}");
    assert!(!is_exact || written == text, "{text:?} became {written:?}");
}

fuzz_target!(|text: &str| {
    there_and_back::<Arn>(text, true);
    there_and_back::<AccountId>(text, true);
    there_and_back::<Region>(text, true);
    there_and_back::<Digest>(text, true);
    there_and_back::<Platform>(text, false);
    there_and_back::<EventId>(text, true);
    there_and_back::<Reference>(text, false);
    there_and_back::<blob_store::Digest>(text, true);
    assert_eq!(
        text.parse::<Digest>().is_ok(),
        text.parse::<blob_store::Digest>().is_ok(),
        "the registry and the node agree on what a digest is"
    );
    if let Ok(reference) = text.parse::<Reference>() {
        // Both become part of an address that is asked for.
        assert!(Endpoint::of_registry(reference.registry()).is_ok(), "{}", reference.registry());
        let path = format!("/v2/{}/manifests/{}", reference.repository(), reference.manifest_key());
        let uri: http::Uri = path.parse().expect("a path");
        assert_eq!((uri.path(), uri.query()), (path.as_str(), None));
        assert!(!path.split('/').any(|part| part == ".." || part == "."));
    }
    if let Ok(arn) = text.parse::<Arn>()
        && let Some(name) = arn.resource_of_kind("cluster")
    {
        assert!(!name.is_empty());
    }
    _ = Endpoint::parse(text);
});
