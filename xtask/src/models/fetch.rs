//! Gets the pinned botocore package: downloaded by pip into a temporary folder, or already unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::config::Config;

/// Where the package comes from.
pub enum Source {
    /// The package index, checked against the pinned digest.
    Index,
    /// A folder that holds `botocore/`, trusted as it is.
    Unpacked(PathBuf),
}

impl Source {
    pub fn from_arguments(arguments: &[&str]) -> Result<Self> {
        match arguments {
            [] => Ok(Source::Index),
            ["--from", folder] => Ok(Source::Unpacked(PathBuf::from(folder))),
            other => bail!("unexpected arguments {other:?}; only `--from DIR` is known"),
        }
    }
}

/// An unpacked package; its temporary folder goes away with it.
pub struct Package {
    data: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

/// One service as published.
pub struct Published {
    pub model: Value,
    pub paginators: Value,
}

pub fn package(source: &Source, config: &Config) -> Result<Package> {
    match source {
        Source::Unpacked(folder) => Ok(Package { data: folder.join("botocore/data"), _scratch: None }),
        Source::Index => download(config),
    }
}

fn download(config: &Config) -> Result<Package> {
    let scratch = tempfile::tempdir().context("make a temporary folder")?;
    let version = &config.source.botocore;
    // With a requirements file pip itself refuses a wheel of another digest.
    let requirements = scratch.path().join("requirements.txt");
    std::fs::write(&requirements, format!("botocore=={version} --hash=sha256:{}\n", config.source.sha256))
        .context("write the requirements file")?;
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"])
        .arg("--dest")
        .arg(scratch.path())
        .arg("--requirement")
        .arg(&requirements))?;
    let wheel = scratch.path().join(format!("botocore-{version}-py3-none-any.whl"));
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(scratch.path()))?;
    Ok(Package { data: scratch.path().join("botocore/data"), _scratch: Some(scratch) })
}

impl Package {
    /// The newest model of `service`, with its paginators.
    pub fn service(&self, service: &str) -> Result<Published> {
        let folder = self.data.join(service);
        let newest = std::fs::read_dir(&folder)
            .with_context(|| format!("the package has no service at {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .max()
            .with_context(|| format!("{} has no version", folder.display()))?;
        let model = read_json(&newest, "service-2")?
            .with_context(|| format!("{} has no service-2.json", newest.display()))?;
        let mut paginators = read_json(&newest, "paginators-1")?.unwrap_or(Value::Null)["pagination"].take();
        if let Some(extras) = read_json(&newest, "paginators-1.sdk-extras")? {
            merge(&mut paginators, &extras["merge"]["pagination"]);
        }
        Ok(Published { model, paginators })
    }
}

/// Reads `NAME.json` or `NAME.json.gz`.
fn read_json(folder: &Path, name: &str) -> Result<Option<Value>> {
    let plain = folder.join(format!("{name}.json"));
    let packed = folder.join(format!("{name}.json.gz"));
    let bytes = if plain.exists() {
        std::fs::read(&plain).with_context(|| format!("read {}", plain.display()))?
    } else if packed.exists() {
        run(Command::new("gzip").args(["--decompress", "--stdout"]).arg(&packed))?
    } else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).with_context(|| format!("parse {name} in {}", folder.display()))
}

/// The package's own way to amend a model: objects merge, anything else replaces.
fn merge(base: &mut Value, extra: &Value) {
    match (base, extra) {
        (Value::Object(base), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (base, extra) => *base = extra.clone(),
    }
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
