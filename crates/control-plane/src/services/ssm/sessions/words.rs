//! A command line cut into words, as the SSM agent does it in a container: no shell runs it, so that only quotes and backslashes count.

/// A quote was opened and not closed, or a backslash stands at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command ends within a quotation")]
pub struct Unfinished;

/// The words of a command line. In single quotes everything stands for itself; in double quotes a backslash takes the meaning of a quote or
/// another backslash away; outside, of anything. A word that begins with `#` ends the line.
///
/// # Errors
/// [`Unfinished`].
pub fn split(line: &str) -> Result<Vec<String>, Unfinished> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => while chars.next_if(|char| *char != '\n').is_some() {},
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(Unfinished)? {
                        '\'' => break,
                        char => word.push(char),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(Unfinished)? {
                        '"' => break,
                        '\\' => {
                            let escaped = chars.next().ok_or(Unfinished)?;
                            if !matches!(escaped, '"' | '\\') {
                                word.push('\\');
                            }
                            word.push(escaped);
                        }
                        char => word.push(char),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(Unfinished)?),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A command line that [`split`] cuts into these words.
pub fn join(words: &[String]) -> String {
    let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_and_backslashes_count() {
        let of = |line: &str| split(line).unwrap().join("|");
        assert_eq!(of("/bin/sh"), "/bin/sh");
        assert_eq!(of("  sh -c 'echo \"a b\" && ls'  "), "sh|-c|echo \"a b\" && ls");
        assert_eq!(of("sh -c \"echo \\\"x\\\" \\$HOME\""), "sh|-c|echo \"x\" \\$HOME");
        assert_eq!(of("a\\ b '' c\"d\"'e' # rest"), "a b||cde");
        assert_eq!(of(" \n\t"), "");
        for unfinished in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(unfinished), Err(Unfinished), "{unfinished}");
        }
    }

    proptest! {
        #[test]
        fn what_is_joined_is_cut_as_it_was(words in proptest::collection::vec(".{0,12}", 0..6)) {
            prop_assert_eq!(split(&join(&words)).unwrap(), words);
        }
    }
}
