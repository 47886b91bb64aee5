//! Generates a service's Rust shapes and static tables from `models/SERVICE.json`.
//!
//! A service crate's `build.rs` calls [`build`] and its `lib.rs` includes the result; nothing generated is checked
//! in. The output is plain: structs with optional members, enums of wire strings, one `static` table per
//! structure, list, map and constrained scalar, and a marker type per operation. There is no code per protocol.
//!
//! Names stay those of the model (`RunTaskRequest`, `launchType` as `launch_type`). A name that Rust or the
//! prelude already takes gets a suffix, see [`names`].

mod emit;
mod model;
mod names;
mod tables;

use std::path::PathBuf;

/// Reads `models/SERVICE.json` and writes `$OUT_DIR/shapes.rs`. For build scripts.
///
/// # Panics
/// When the model is missing or is not what `cargo xtask models import` writes: a build cannot go on without it.
pub fn build(service: &str) {
    build_from(&format!("../../../models/{service}.json"), "shapes.rs");
}

/// [`build`] for a model at any path, relative to the crate, and any file name.
///
/// # Panics
/// As [`build`].
pub fn build_from(model: &str, file: &str) {
    let directory =
        |name: &str| PathBuf::from(std::env::var_os(name).expect("cargo sets it for build scripts"));
    let path = directory("CARGO_MANIFEST_DIR").join(model);
    println!("cargo:rerun-if-changed={}", path.display());
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    let code = generate(&text).unwrap_or_else(|error| panic!("generate from {}: {error}", path.display()));
    std::fs::write(directory("OUT_DIR").join(file), code).expect("write generated code");
}

/// The Rust source for one model.
///
/// # Errors
/// What is wrong with the model.
pub fn generate(text: &str) -> Result<String, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let model = model::Model::parse(&json)?;
    emit::emit(&model)
}

#[cfg(test)]
mod tests;
