//! Which keys a list shows: prefix, delimiter, where it begins, how many. Pure: it is given a way to look for keys and looks no further than
//! the page needs, however many keys a common prefix stands for.

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    pub prefix: &'a str,
    /// Keys that go on after the prefix with something up to this become one common prefix.
    pub delimiter: Option<&'a str>,
    /// The first key that may be shown.
    pub from: String,
    /// Keys and common prefixes together.
    pub most: usize,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub keys: Vec<(String, T)>,
    pub common_prefixes: Vec<String>,
    /// Where the next page begins, and the last that this one shows; none when there is nothing more.
    pub next: Option<Next>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub from: String,
    pub last_shown: String,
}

/// The page of the keys that `seek` finds: the first at or behind a text, with what belongs to it.
pub fn page<T>(asked: &Asked<'_>, mut seek: impl FnMut(&str) -> Option<(String, T)>) -> Page<T> {
    let mut page = Page { keys: Vec::new(), common_prefixes: Vec::new(), next: None };
    let mut from = asked.from.as_str().max(asked.prefix).to_owned();
    let mut last_shown = String::new();
    if asked.most == 0 {
        return page;
    }
    while let Some((key, value)) = seek(&from) {
        let Some(rest) = key.strip_prefix(asked.prefix) else { break };
        if page.keys.len() + page.common_prefixes.len() == asked.most {
            page.next = Some(Next { from, last_shown });
            break;
        }
        let common = asked.delimiter.and_then(|delimiter| {
            let at = rest.find(delimiter)? + delimiter.len();
            Some(key[..asked.prefix.len() + at].to_owned())
        });
        match common {
            Some(common) => {
                let after = past(&common);
                last_shown.clone_from(&common);
                page.common_prefixes.push(common);
                match after {
                    Some(after) => from = after,
                    None => break,
                }
            }
            None => {
                from = successor(&key);
                last_shown.clone_from(&key);
                page.keys.push((key, value));
            }
        }
    }
    page
}

/// Where a list begins that has shown everything up to and with `marker`, a key or, with a delimiter, a common prefix.
pub fn behind(marker: &str, prefix: &str, delimiter: Option<&str>) -> String {
    let is_common = delimiter.is_some_and(|delimiter| {
        marker
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix(delimiter))
            .is_some_and(|rest| !rest.contains(delimiter))
    });
    if is_common && let Some(after) = past(marker) {
        return after;
    }
    successor(marker)
}

/// The smallest text behind `text`.
fn successor(text: &str) -> String {
    format!("{text}\0")
}

/// The smallest text behind all that begin with `prefix`; none when there is no such text.
fn past(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        let next = match last {
            char::MAX => None,
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{Asked, Page, behind, page, past};

    fn seek<'a>(keys: &'a BTreeMap<String, u32>) -> impl FnMut(&str) -> Option<(String, u32)> + 'a {
        |from| keys.range(from.to_owned()..).next().map(|(key, value)| (key.clone(), *value))
    }

    fn keys(names: &[&str]) -> BTreeMap<String, u32> {
        names.iter().map(|name| ((*name).to_owned(), 0)).collect()
    }

    fn shown(page: &Page<u32>) -> (Vec<&str>, Vec<&str>) {
        let keys = page.keys.iter().map(|(key, _)| key.as_str()).collect();
        (keys, page.common_prefixes.iter().map(String::as_str).collect())
    }

    #[test]
    fn folders() {
        let keys = keys(&["a", "b/", "b/1", "b/2/x", "c/1", "d"]);
        let asked = Asked { delimiter: Some("/"), most: 10, ..Asked::default() };
        assert_eq!(shown(&page(&asked, seek(&keys))), (vec!["a", "d"], vec!["b/", "c/"]));
        let inside = Asked { prefix: "b/", ..asked.clone() };
        assert_eq!(shown(&page(&inside, seek(&keys))), (vec!["b/", "b/1"], vec!["b/2/"]));
        let named = Asked { prefix: "b", ..asked.clone() };
        assert_eq!(shown(&page(&named, seek(&keys))), (vec![], vec!["b/"]));
        let behind_b = Asked { from: behind("b/", "", Some("/")), ..asked };
        assert_eq!(shown(&page(&behind_b, seek(&keys))), (vec!["d"], vec!["c/"]));
    }

    #[test]
    fn the_last_letters() {
        let high = format!("a{}", char::MAX);
        let keys = keys(&[&format!("{high}x"), &format!("{high}y")]);
        let asked = Asked { delimiter: Some(&high), most: 10, ..Asked::default() };
        assert_eq!(shown(&page(&asked, seek(&keys))), (vec![], vec![high.as_str()]));
        assert_eq!(past("\u{D7FF}").as_deref(), Some("\u{E000}"));
    }

    fn names() -> impl Strategy<Value = BTreeSet<String>> {
        proptest::collection::btree_set("[ab/é]{0,6}", 0..40)
    }

    proptest! {
        /// However small the pages are, together they show each key or its common prefix once, in order.
        #[test]
        fn pages_show_everything_once(names in names(), prefix in "[ab/]{0,2}", folded: bool, size in 1_usize..5) {
            let keys: BTreeMap<String, u32> = names.iter().map(|name| (name.clone(), 0)).collect();
            let delimiter = folded.then_some("/");
            let mut asked = Asked { prefix: &prefix, delimiter, from: String::new(), most: size };
            let mut all = Vec::new();
            for _ in 0..100 {
                let page = page(&asked, seek(&keys));
                let mut found: Vec<String> = page.keys.into_iter().map(|(key, _)| key).collect();
                found.extend(page.common_prefixes);
                prop_assert!(found.len() <= size);
                found.sort();
                all.extend(found);
                match page.next {
                    Some(next) => {
                        prop_assert!(behind(&next.last_shown, &prefix, delimiter) <= next.from);
                        asked.from = next.from;
                    }
                    None => break,
                }
            }
            let expected: BTreeSet<String> = names
                .iter()
                .filter_map(|name| {
                    let rest = name.strip_prefix(&prefix)?;
                    let cut = delimiter.and_then(|_| rest.find('/')).map(|at| prefix.len() + at + 1);
                    Some(cut.map_or(name.clone(), |cut| name[..cut].to_owned()))
                })
                .collect();
            prop_assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
