//! Rust names for the model's names.

use std::collections::HashSet;

/// Words that cannot be a field's name.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Types that the generated code itself uses; a shape of that name gets the suffix `Shape`.
const TAKEN_TYPES: &[&str] = &[
    "Option",
    "Some",
    "None",
    "Vec",
    "String",
    "Box",
    "Result",
    "Ok",
    "Err",
    "Self",
    "BTreeMap",
    "Value",
    "Shape",
    "Operation",
    "Member",
    "ShapeError",
    "Timestamp",
    "Document",
    "Default",
    "Clone",
    "Debug",
    "PartialEq",
    "Unit",
    "ServiceTable",
    "OperationTable",
    "StructureTable",
    "ErrorTable",
    "MemberTable",
    "ListTable",
    "MapTable",
    "StringTable",
    "IntegerTable",
    "Kind",
    "Location",
    "Protocol",
    "Auth",
    "HttpTable",
    "PaginatorTable",
    "TimestampFormat",
    "XmlNamespace",
];

/// `launchType` → `launch_type`, `PVMResources` → `pvm_resources`, `type` → `r#type`.
pub fn field(name: &str) -> String {
    let snake = words(name).join("_").to_lowercase();
    let snake = if snake.is_empty() || snake.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{snake}")
    } else {
        snake
    };
    match snake.as_str() {
        "self" | "super" | "crate" => format!("{snake}_"),
        word if KEYWORDS.contains(&word) => format!("r#{word}"),
        _ => snake,
    }
}

/// `runTask` → `RunTask`; a taken name gets a suffix.
pub fn type_name(shape: &str) -> String {
    let mut name: String = shape.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if let Some(first) = name.get(..1) {
        let first = first.to_ascii_uppercase();
        name.replace_range(..1, &first);
    }
    if TAKEN_TYPES.contains(&name.as_str()) {
        name.push_str("Shape");
    }
    name
}

/// `ClusterNotFoundException` → `CLUSTER_NOT_FOUND_EXCEPTION`.
pub fn constant(name: &str) -> String {
    words(name).join("_").to_uppercase()
}

/// Variant names for an enum's values, distinct and in order: `FARGATE_SPOT` → `FargateSpot`, `m5.large` → `M5Large`.
pub fn variants(values: &[String]) -> Vec<String> {
    let mut taken = HashSet::new();
    values
        .iter()
        .map(|value| {
            let mut name = variant(value);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            name
        })
        .collect()
}

fn variant(value: &str) -> String {
    let mut name = String::new();
    for part in value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        for word in words(part) {
            let mut letters = word.chars();
            if let Some(first) = letters.next() {
                name.push(first.to_ascii_uppercase());
                name.extend(letters.map(|c| c.to_ascii_lowercase()));
            }
        }
    }
    if name.is_empty() {
        name.push_str("Empty");
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'V');
    }
    if name == "Self" {
        name.push('_');
    }
    name
}

/// Splits camel case: `enableECSManagedTags` → enable ECS Managed Tags; `IPv6Addresses` → IPv6 Addresses.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut words: Vec<String> = vec![String::new()];
    for (at, &letter) in letters.iter().enumerate() {
        if letter == '_' {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let starts = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() && before != '_'
                    || (before.is_ascii_uppercase()
                        && after.is_some_and(char::is_ascii_lowercase)
                        && !is_plural_or_version(&letters[at..]))
            });
        if starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The last letter of an acronym that belongs to it although a small letter follows: `ARNs`, `IPv6`.
fn is_plural_or_version(rest: &[char]) -> bool {
    match rest {
        [_, 's'] => true,
        [_, 's', next, ..] => next.is_ascii_uppercase(),
        [_, 'v', digit, ..] => digit.is_ascii_digit(),
        _ => false,
    }
}
