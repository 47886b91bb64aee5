//! Who may know whom: the layers of the workspace, held against what cargo says.
//!
//! Pure cores depend on the vocabulary and a few crates without I/O, and not on each other unless named here. I/O crates depend on
//! contracts and pure cores, not on each other. Only three crates compose. Development dependencies are free.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::metadata::{Metadata, Package};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Decisions: no clock, no file, no network, no randomness.
    Pure,
    /// Shapes, messages, codecs: what two sides agree on.
    Contract,
    /// One dangerous or slow thing each.
    Io,
    /// Puts the others together.
    Composer,
    /// Outside the product.
    Tool,
}

const LAYERS: &[(&str, Layer)] = &[
    ("vocabulary", Layer::Pure),
    ("addressing", Layer::Pure),
    ("task-lifecycle", Layer::Pure),
    ("deployment", Layer::Pure),
    ("metrics", Layer::Pure),
    ("placement", Layer::Pure),
    ("policy", Layer::Pure),
    ("routing", Layer::Pure),
    ("aws-schema", Layer::Contract),
    ("aws-wire", Layer::Contract),
    ("agent-protocol", Layer::Contract),
    ("request-auth", Layer::Contract),
    ("state-store", Layer::Io),
    ("telemetry-store", Layer::Io),
    ("blob-store", Layer::Io),
    ("image-store", Layer::Io),
    ("container-runtime", Layer::Io),
    ("host-network", Layer::Io),
    ("name-server", Layer::Io),
    ("load-balancer", Layer::Io),
    ("console", Layer::Io),
    ("control-plane", Layer::Composer),
    ("node-agent", Layer::Composer),
    ("longshore", Layer::Composer),
    ("aws-shapes-codegen", Layer::Tool),
    ("aws-wire-test-shapes", Layer::Tool),
    ("xtask", Layer::Tool),
];

/// What a pure core may use from outside.
const PURE_ALLOWED: &[&str] = &["serde", "thiserror", "regex"];
/// What a contract must not use: anything that does I/O.
const CONTRACT_FORBIDDEN: &[&str] =
    &["tokio", "hyper", "hyper-util", "rusqlite", "rustix", "nix", "getrandom"];

fn layer(name: &str) -> Option<Layer> {
    if name.starts_with("aws-shapes-") && name != "aws-shapes-codegen" {
        return Some(Layer::Contract);
    }
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// Fails with every dependency that crosses the layers.
pub fn check(metadata: &Metadata) -> Result<()> {
    let own = metadata.own();
    let mut wrong = Vec::new();
    for (name, package) in &own {
        match layer(name) {
            None => wrong.push(format!("{name} has no layer; give it one in xtask/src/layers.rs")),
            Some(layer) => wrong.extend(violations(name, layer, package, &own)),
        }
    }
    if wrong.is_empty() {
        println!("layers: {} crates in order", own.len());
        return Ok(());
    }
    bail!("the layers are broken:\n  {}", wrong.join("\n  "))
}

fn violations(name: &str, from: Layer, package: &Package, own: &BTreeMap<&str, &Package>) -> Vec<String> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
    normal
        .filter_map(|dependency| {
            let to = dependency.name.as_str();
            let allowed = if own.contains_key(to) {
                may_use(from, to, layer(to)?)
            } else {
                match from {
                    Layer::Pure => PURE_ALLOWED.contains(&to),
                    Layer::Contract => !CONTRACT_FORBIDDEN.contains(&to),
                    Layer::Io | Layer::Composer | Layer::Tool => true,
                }
            };
            (!allowed).then(|| format!("{name} ({from:?}) depends on {to}"))
        })
        .collect()
}

fn may_use(from: Layer, name: &str, to: Layer) -> bool {
    match from {
        Layer::Pure => name == "vocabulary",
        Layer::Contract => matches!(to, Layer::Pure | Layer::Contract),
        Layer::Io => matches!(to, Layer::Pure | Layer::Contract),
        // Composers use everything below them; among themselves only the binary does.
        Layer::Composer => to != Layer::Tool,
        Layer::Tool => true,
    }
}
