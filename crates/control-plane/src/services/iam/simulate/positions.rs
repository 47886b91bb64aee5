//! Where the statements of a policy stand in its text.

/// Line and column, both from 1.
pub type Position = (usize, usize);

/// Begin and end (behind the last character) of every statement, in order. Of a text that is a policy: what is not has none.
pub fn statements(text: &str) -> Vec<(Position, Position)> {
    let mut spans = Vec::new();
    let (mut depth, mut position) = (0_usize, (1, 1));
    // The text that was read last, and whether the value of the member `Statement` of the document is being read.
    let mut string: Option<String> = None;
    let (mut last, mut inside, mut escaped) = (String::new(), false, false);
    // How deep statements lie: in the document itself, or in a list.
    let (mut statement_depth, mut start) = (0, position);
    for character in text.chars() {
        let here = position;
        position = if character == '\n' { (here.0 + 1, 1) } else { (here.0, here.1 + 1) };
        if let Some(open) = &mut string {
            match character {
                _ if escaped => {
                    escaped = false;
                    open.push(character);
                }
                '\\' => escaped = true,
                '"' => last = string.take().unwrap_or_default(),
                other => open.push(other),
            }
            continue;
        }
        match character {
            '"' => string = Some(String::new()),
            ':' if depth == 1 => inside = last == "Statement",
            '[' | '{' => {
                depth += 1;
                if inside && depth == 2 {
                    statement_depth = if character == '[' { 3 } else { 2 };
                }
                if inside && character == '{' && depth == statement_depth {
                    start = here;
                }
            }
            ']' | '}' => {
                if inside && character == '}' && depth == statement_depth {
                    spans.push((start, position));
                }
                depth = depth.saturating_sub(1);
            }
            ',' if depth == 1 => inside = false,
            _ => {}
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_are_found_where_they_stand() {
        let one = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\n    \"Effect\": \"Allow\",\n    \"Action\": \"s3:*\",\n    \"Resource\": \"*\"\n  }\n}";
        // As the example of SimulateCustomPolicy has it.
        assert_eq!(statements(one), [((3, 16), (7, 4))]);
        let two = r#"{"Id":"Statement","Statement":[{"Sid":"a\"}{","Condition":{"Bool":{"a":["true"]}}},{"Sid":"b"}],"Version":"x"}"#;
        let found = statements(two);
        let texts: Vec<&str> = found.iter().map(|((_, from), (_, to))| &two[from - 1..to - 1]).collect();
        assert_eq!(texts, [r#"{"Sid":"a\"}{","Condition":{"Bool":{"a":["true"]}}}"#, r#"{"Sid":"b"}"#]);
        assert_eq!(statements("nonsense ]}]{{"), []);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_to_an_end(text in r#"[\{\}\[\]":,\\a-zS]{0,200}"#) {
            for (start, end) in statements(&text) {
                proptest::prop_assert!(start < end);
            }
        }
    }
}
