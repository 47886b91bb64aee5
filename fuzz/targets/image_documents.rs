//! Manifests, indexes and configurations of images: taken or refused, and from an index one of its own is chosen.
#![no_main]

use image_store::{Platform, fuzzing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for platform in ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"] {
        let platform: Platform = platform.parse().expect("a platform");
        fuzzing::document(data, None, &platform);
        fuzzing::document(data, Some("application/vnd.oci.image.index.v1+json"), &platform);
    }
});
