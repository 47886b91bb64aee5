//! What containers print: records of segments there and back, also after what is no record; lines cut the same however they come.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/container-runtime/src/output/lines.rs"]
mod lines;
#[path = "../../crates/container-runtime/src/output/record.rs"]
mod record;

use libfuzzer_sys::fuzz_target;
use lines::LineCutter;
use record::{Body, LogStream, decode, encode_end, encode_line};
use vocabulary::Timestamp;

fn cut(data: &[u8], part: usize) -> Vec<(Vec<u8>, bool)> {
    let (mut cutter, mut found) = (LineCutter::default(), Vec::new());
    for part in data.chunks(part.max(1)) {
        cutter.push(part, |line, partial| found.push((line.to_vec(), partial)));
    }
    cutter.flush(false, |line, partial| found.push((line.to_vec(), partial)));
    assert!(cutter.is_empty());
    found
}

fuzz_target!(|data: &[u8]| {
    let [part, data @ ..] = data else { return };
    let (mut rest, mut written, mut taken) = (data, Vec::new(), 0);
    while let Ok(Some((body, length))) = decode(rest) {
        assert!(length > 0 && length <= rest.len());
        match &body {
            Body::Line { stream, at, line, partial } => {
                encode_line(&mut written, *stream, *at, line, *partial)
            }
            Body::End => encode_end(&mut written, Timestamp::from_millis(0)),
        }
        (rest, taken) = (&rest[length..], taken + length);
    }
    // A record that is not whole yet stays so until it is.
    if taken > 0 {
        assert_eq!(decode(&data[..record::HEADER_BYTES - 1]), Ok(None));
    }
    let mut again = written.as_slice();
    while !again.is_empty() {
        let (_, length) = decode(again).expect("records").expect("whole");
        again = &again[length..];
    }

    let whole = cut(data, data.len());
    assert_eq!(cut(data, usize::from(*part)), whole, "parts make no difference");
    let joined: Vec<u8> = whole.iter().flat_map(|(line, _)| line.iter()).copied().collect();
    let expected: Vec<u8> = data.iter().copied().filter(|byte| *byte != b'\n').collect();
    assert_eq!(joined, expected, "nothing is lost");
    let mut out = Vec::new();
    for (line, partial) in &whole {
        encode_line(&mut out, LogStream::Stderr, Timestamp::from_millis(7), line, *partial);
    }
    let mut out = out.as_slice();
    for (line, partial) in whole {
        let (body, length) = decode(out).expect("records").expect("whole");
        assert_eq!(
            body,
            Body::Line { stream: LogStream::Stderr, at: Timestamp::from_millis(7), line, partial }
        );
        out = &out[length..];
    }
    assert!(out.is_empty());
});
