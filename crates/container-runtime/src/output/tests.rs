//! Lines, records, segments and the tail.

use super::LogTail;
use super::lines::LineCutter;
use super::record::{self, Body, LogPosition, LogStream, MAX_LINE_BYTES};
use super::writer::OutputWriter;
use crate::config::OutputLimits;
use vocabulary::Timestamp;

/// What a cutter makes of pieces, with `|` after a line and `~` after a piece of one.
fn cut(pieces: &[&str]) -> String {
    let (mut cutter, mut text) = (LineCutter::default(), String::new());
    let mut emit = |line: &[u8], partial: bool| {
        text.push_str(&String::from_utf8_lossy(line));
        text.push(if partial { '~' } else { '|' });
    };
    for piece in pieces {
        cutter.push(piece.as_bytes(), &mut emit);
    }
    cutter.flush(false, &mut emit);
    text
}

#[test]
fn lines_are_cut_at_newlines_wherever_reads_end() {
    assert_eq!(cut(&["one\ntwo\n"]), "one|two|");
    assert_eq!(cut(&["on", "e\nt", "wo"]), "one|two|");
    assert_eq!(cut(&["\n\n", "x\n"]), "||x|");
    assert_eq!(cut(&[]), "");
}

#[test]
fn lines_too_long_come_in_pieces_and_nothing_is_lost() {
    for extra in [0, 1, 7, MAX_LINE_BYTES, MAX_LINE_BYTES + 1] {
        let line = "x".repeat(MAX_LINE_BYTES + extra);
        let text = cut(&[&line, "\nend\n"]);
        assert_eq!(text.replace('~', ""), format!("{line}|end|"), "with {extra} more");
        assert_eq!(text.matches('~').count(), extra.div_ceil(MAX_LINE_BYTES), "with {extra} more");
    }
}

#[test]
fn records_survive_and_halves_are_no_records() {
    let at = Timestamp::from_millis(1_700_000_000_123);
    let mut bytes = Vec::new();
    record::encode_line(&mut bytes, LogStream::Stderr, at, b"hello", true);
    for length in 0..bytes.len() {
        assert_eq!(record::decode(&bytes[..length]), Ok(None), "{length} bytes");
    }
    let body = Body::Line { stream: LogStream::Stderr, at, line: b"hello".to_vec(), partial: true };
    assert_eq!(record::decode(&bytes), Ok(Some((body, bytes.len()))));
    assert!(record::decode(&[0xff; 64]).is_err());
    assert!(record::decode(&[0; 64]).is_err());
}

#[tokio::test]
async fn a_tail_reads_across_segments_from_any_position_and_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = OutputLimits { segment_bytes: 100, total_bytes: 1000 };
    let mut writer = OutputWriter::create(dir.path(), limits).expect("a writer");
    for number in 0..50 {
        writer.line(
            LogStream::Stdout,
            Timestamp::from_millis(number),
            format!("line {number}").as_bytes(),
            false,
        );
        assert!(writer.flush().expect("written"));
    }
    writer.end(Timestamp::from_millis(50));
    writer.flush().expect("written");
    assert!(writer.is_full());
    let read = async |from| {
        let mut tail = LogTail::finished("app".into(), dir.path().to_owned(), from);
        let mut records = Vec::new();
        while let Some(record) = tail.next().await.expect("output") {
            records.push(record);
        }
        records
    };
    let all = read(LogPosition::default()).await;
    assert_eq!(all.len(), 50);
    for (number, record) in all.iter().enumerate() {
        assert_eq!(record.line, format!("line {number}").into_bytes());
        assert_eq!(read(record.next).await, all[number + 1..], "from the position after line {number}");
    }
    // What was acknowledged may be gone; the rest is there.
    writer.acknowledge(all[30].next);
    assert!(!writer.is_full());
    let rest = read(LogPosition::default()).await;
    assert!(rest.len() < 50 && all.ends_with(&rest) && rest.len() >= 19, "{} left", rest.len());
}
