//! Licences and duplicates among the dependencies: what `cargo deny` would check, without a tool to install.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::metadata::Metadata;

/// Licences that an Apache-2.0 program may be linked with.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that state no licence in their manifest, whose licence file was read: MIT.
const READ: &[&str] = &["rust-criu"];

/// Crates that may be there in several versions, since their users have not agreed on one yet. Shrink it where it can be shrunk.
const MAY_DIFFER: &[&str] = &include!("../duplicates.in");

/// Fails with every dependency whose licence is not allowed, and every duplicate that is not known.
pub fn check(metadata: &Metadata) -> Result<()> {
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut count = 0;
    for package in metadata.foreign() {
        count += 1;
        versions.entry(&package.name).or_default().insert(&package.version);
        match &package.license {
            Some(expression) if allowed(expression) => {}
            Some(expression) => {
                wrong.push(format!("{} {}: licence {expression}", package.name, package.version));
            }
            None if READ.contains(&package.name.as_str()) => {}
            None => wrong.push(format!(
                "{} {}: no licence ({:?})",
                package.name, package.version, package.license_file
            )),
        }
    }
    let duplicates: BTreeMap<&str, &BTreeSet<&str>> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| (*name, versions))
        .collect();
    for (name, versions) in &duplicates {
        if !MAY_DIFFER.contains(name) {
            wrong.push(format!("{name} is there in several versions: {versions:?}"));
        }
    }
    for name in MAY_DIFFER.iter().filter(|name| !duplicates.contains_key(*name)) {
        wrong.push(format!("{name} is no longer there twice; take it out of xtask/duplicates.in"));
    }
    if wrong.is_empty() {
        println!("licences: {count} dependencies allowed, {} in several versions", duplicates.len());
        return Ok(());
    }
    bail!("dependencies:\n  {}", wrong.join("\n  "))
}

/// Whether an SPDX expression can be met: every `AND` needs one of its `OR`s. Nested brackets beyond that do not occur.
fn allowed(expression: &str) -> bool {
    let flat = expression.replace('/', " OR ").replace(['(', ')'], "");
    if expression.contains('(') && expression.contains(" AND ") {
        return flat
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|licence| ALLOWED.contains(&licence.trim())));
    }
    flat.split(" OR ").any(|part| part.split(" AND ").all(|licence| ALLOWED.contains(&licence.trim())))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions_are_read() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("Apache-2.0 AND ISC", true),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
        ] {
            assert_eq!(allowed(expression), expected, "{expression}");
        }
    }
}
