//! Patterns of the models, written for Java, matched with `regex`: linear time whatever the input.
//!
//! A pattern that `regex` cannot express (look-around) passes everything; a test lists them, and the service
//! that needs one checks it by hand.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use regex::Regex;

/// Compiled once, at first use: most patterns of a model are never needed.
static COMPILED: OnceLock<RwLock<HashMap<&'static str, Option<Regex>>>> = OnceLock::new();

/// Whether the whole of `text` matches.
pub(super) fn matches(pattern: &'static str, text: &str) -> bool {
    let compiled = COMPILED.get_or_init(RwLock::default);
    if let Some(known) = compiled.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return known.as_ref().is_none_or(|regex| regex.is_match(text));
    }
    let regex = compile(pattern);
    let matched = regex.as_ref().is_none_or(|regex| regex.is_match(text));
    compiled.write().unwrap_or_else(PoisonError::into_inner).insert(pattern, regex);
    matched
}

#[cfg(test)]
pub(crate) fn compiles(pattern: &str) -> bool {
    compile(pattern).is_some()
}

fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(&format!(r"\A(?:{})\z", translate(pattern))).ok()
}

/// From Java's dialect: its classes are ASCII, its POSIX classes have other names, and characters outside the
/// basic plane are written as surrogate pairs.
fn translate(pattern: &str) -> String {
    let pattern = pattern
        .replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\x{10000}-\x{10FFFF}")
        .replace(r"\ud800\udc00-\udbff\udfff", r"\x{10000}-\x{10FFFF}");
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.as_str();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let class = CLASSES.iter().find(|(java, _)| rest.starts_with(java));
        match class {
            Some((java, ours)) => {
                out.push_str(ours);
                rest = &rest[java.len()..];
            }
            None => {
                let end = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    out.push_str(rest);
    out
}

const CLASSES: &[(&str, &str)] = &[
    (r"\w", "[0-9A-Za-z_]"),
    (r"\W", "[^0-9A-Za-z_]"),
    (r"\d", "[0-9]"),
    (r"\D", "[^0-9]"),
    (r"\s", r"[ \t\n\x0B\f\r]"),
    (r"\S", r"[^ \t\n\x0B\f\r]"),
    (r"\p{ASCII}", r"[\x00-\x7F]"),
    (r"\p{Alnum}", "[0-9A-Za-z]"),
    (r"\p{Alpha}", "[A-Za-z]"),
    (r"\p{Digit}", "[0-9]"),
    (r"\p{Lower}", "[a-z]"),
    (r"\p{Upper}", "[A-Z]"),
    (r"\p{Graph}", "[!-~]"),
    (r"\p{Print}", "[ -~]"),
    (r"\p{Punct}", r"[!-/:-@\[-`{-~]"),
    (r"\p{Space}", r"[ \t\n\x0B\f\r]"),
    (r"\p{IsAlphabetic}", r"\p{L}"),
    (r"\p{IsDigit}", r"\p{Nd}"),
    (r"\/", "/"),
];
