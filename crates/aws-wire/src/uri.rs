//! URI patterns of the REST protocols: `/clusters/{name}`, `/{Bucket}/{Key+}?uploads`.

use crate::text::percent_decode;

/// How well a request fits a pattern; the greatest wins. Query literals weigh most: S3 tells most of its
/// operations apart by them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    query_literals: usize,
    literals: usize,
    labels: usize,
}

/// Matches `path` and the decoded `query` against `pattern`, giving the labels' decoded values.
pub(crate) fn fit<'p>(
    pattern: &'p str,
    path: &str,
    query: &[(String, String)],
) -> Option<(Fit, Vec<(&'p str, String)>)> {
    let (pattern_path, pattern_query) = pattern.split_once('?').unwrap_or((pattern, ""));
    let mut query_literals = 0;
    for literal in pattern_query.split('&').filter(|literal| !literal.is_empty()) {
        let (name, value) = literal.split_once('=').unwrap_or((literal, ""));
        let found = query.iter().any(|(key, given)| key == name && (value.is_empty() || given == value));
        found.then(|| query_literals += 1)?;
    }
    let (literals, labels) = fit_path(pattern_path, path)?;
    Some((Fit { query_literals, literals, labels: labels.len() }, labels))
}

fn fit_path<'p>(pattern: &'p str, path: &str) -> Option<(usize, Vec<(&'p str, String)>)> {
    let parts: Vec<&str> = trimmed(pattern).split('/').collect();
    let given: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let greedy = parts.iter().position(|part| label(part).is_some_and(|name| name.ends_with('+')));
    let mut labels = Vec::new();
    let mut literals = 0;
    match greedy {
        None => {
            // A slash at the end of the path does not matter where every part is named.
            let given = match given.split_last() {
                Some((&"", before)) if !before.is_empty() => before,
                _ => &given[..],
            };
            (parts.len() == given.len()).then_some(())?;
            literals += fit_parts(&parts, given, &mut labels)?;
        }
        Some(at) => {
            let after = parts.len() - at - 1;
            (given.len() > at + after).then_some(())?;
            literals += fit_parts(&parts[..at], &given[..at], &mut labels)?;
            let middle = given[at..given.len() - after].join("/");
            (!middle.is_empty()).then_some(())?;
            labels.push((label(parts[at])?.trim_end_matches('+'), percent_decode(&middle, false)));
            literals += fit_parts(&parts[at + 1..], &given[given.len() - after..], &mut labels)?;
        }
    }
    Some((literals, labels))
}

fn fit_parts<'p>(parts: &[&'p str], given: &[&str], labels: &mut Vec<(&'p str, String)>) -> Option<usize> {
    let mut literals = 0;
    for (part, given) in parts.iter().zip(given) {
        match label(part) {
            Some(name) => {
                (!given.is_empty()).then_some(())?;
                labels.push((name, percent_decode(given, false)));
            }
            None => {
                (*part == percent_decode(given, false)).then_some(())?;
                literals += 1;
            }
        }
    }
    Some(literals)
}

fn trimmed(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    pattern.strip_suffix('/').unwrap_or(pattern)
}

fn label(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}
