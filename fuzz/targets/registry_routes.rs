//! The registry's door: a path is one of the protocol's requests or none, its names are well-formed; a manifest is taken or refused.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/control-plane/src/registry/manifest.rs"]
mod manifest;
#[path = "../../crates/control-plane/src/registry/route.rs"]
mod route;

use http::Method;
use libfuzzer_sys::fuzz_target;
use longshore_fuzz::two;
use manifest::Manifest;
use route::{RepositoryName, Route, decode, encode, parameter};

fuzz_target!(|text: &str| {
    let (path, document) = two(text);
    for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let Ok(route) = Route::parse(&method, path) else { continue };
        assert_eq!(
            Route::parse(&method, &encode(&decode(path).expect("it was decoded"))).as_ref(),
            Ok(&route)
        );
        if let Some(name) = route.name() {
            assert_eq!(name.as_str().parse::<RepositoryName>().as_ref(), Ok(name));
            assert!(!name.as_str().split('/').any(|part| part.is_empty() || part.starts_with('.')));
        }
        assert!(!(method == Method::DELETE && route.reads()));
    }
    assert_eq!(decode(&encode(text)).as_deref(), Some(text));
    _ = parameter(Some(path), "digest");
    for declared in [None, Some(manifest::OCI_MANIFEST), Some(manifest::OCI_INDEX), Some(path)] {
        if let Ok(manifest) = Manifest::parse(document.as_bytes(), declared) {
            assert!(!manifest.media_type.is_empty());
        }
    }
});
