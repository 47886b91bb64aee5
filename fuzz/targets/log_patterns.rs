//! Filter patterns of logs: a pattern is read or refused; for terms, what is matched is what the guide says, told another way.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/control-plane/src/services/logs/pattern/mod.rs"]
mod pattern;

use libfuzzer_sys::fuzz_target;
use longshore_fuzz::two;
use pattern::FilterPattern;

fuzz_target!(|text: &str| {
    let (text, message) = two(text);
    // As the model bounds it.
    if text.chars().count() > 1024 {
        return;
    }
    let Ok(read) = FilterPattern::parse(text) else { return };
    let matched = read.matches(message);
    if matched {
        let values = read.extract(message);
        assert!(values.keys().all(|name| name.starts_with('$')), "{values:?}");
    }
    if read.is_everything() {
        assert!(matched);
    }
    // Plain words: all of them are there.
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !words.is_empty() && words.iter().all(plain) {
        assert_eq!(matched, words.iter().all(|word| message.contains(word)));
    }
});
