//! Imports the published service models into `models/`.
//!
//! The models come from the botocore package, at the version and digest that `models/import.toml` pins.
//! Only what shapes, constraints, wire names, errors and paging need is kept: documentation is never written
//! to the repository, and shapes that no chosen operation reaches are left out.
//!
//! It does not generate Rust: that is `aws-shapes-codegen`, at build time.

mod config;
mod fetch;
mod trim;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use config::Config;
pub use fetch::Source;

/// Folder of the shipped models, and of those that only tests use.
const MODELS: &str = "models";
const TEST_MODELS: &str = "crates/aws-wire/tests/models";

/// Writes every model, and removes those that the configuration no longer names.
pub fn import(source: &Source) -> Result<()> {
    let root = repository_root()?;
    let wanted = trimmed_models(&root, source)?;
    for path in models_on_disk(&root)? {
        if !wanted.contains_key(&path) {
            std::fs::remove_file(root.join(&path)).with_context(|| format!("remove {}", path.display()))?;
            println!("removed {}", path.display());
        }
    }
    for (path, text) in &wanted {
        let full = root.join(path);
        let parent = full.parent().context("a model has a folder")?;
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        std::fs::write(&full, text).with_context(|| format!("write {}", full.display()))?;
        println!("wrote {} ({} KiB)", path.display(), text.len() / 1024);
    }
    Ok(())
}

/// Fails when [`import`] would change anything.
pub fn check(source: &Source) -> Result<()> {
    let root = repository_root()?;
    let wanted = trimmed_models(&root, source)?;
    let mut differences: Vec<String> = models_on_disk(&root)?
        .into_iter()
        .filter(|path| !wanted.contains_key(path))
        .map(|path| format!("{} is not in models/import.toml", path.display()))
        .collect();
    for (path, text) in &wanted {
        match std::fs::read_to_string(root.join(path)) {
            Ok(found) if found == *text => {}
            Ok(_) => differences.push(format!("{} differs", path.display())),
            Err(error) => differences.push(format!("{}: {error}", path.display())),
        }
    }
    if differences.is_empty() {
        println!("{} models are as published", wanted.len());
        return Ok(());
    }
    bail!("models are stale, run `cargo xtask models import`:\n  {}", differences.join("\n  "));
}

/// Path in the repository → text, for every model of the configuration.
fn trimmed_models(root: &Path, source: &Source) -> Result<BTreeMap<PathBuf, String>> {
    let config = Config::read(&root.join(MODELS).join("import.toml"))?;
    let package = fetch::package(source, &config)?;
    let mut texts = BTreeMap::new();
    for (folder, services) in [(MODELS, &config.services), (TEST_MODELS, &config.tests)] {
        for (service, selection) in services {
            let published = package.service(service)?;
            let text = trim::trim(service, &published, selection)
                .with_context(|| format!("import the model of {service}"))?;
            texts.insert(PathBuf::from(folder).join(format!("{service}.json")), text);
        }
    }
    Ok(texts)
}

fn models_on_disk(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [MODELS, TEST_MODELS] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|extension| extension == "json") {
                found.push(Path::new(folder).join(name));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn repository_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("xtask lies in the repository's root")
}
