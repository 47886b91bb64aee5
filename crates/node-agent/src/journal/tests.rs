use std::{fs, io::Write};

use super::*;
use crate::tests::fixtures::Backwards;

fn raw(text: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(text).unwrap()
}

fn position(offset: u64) -> LogPosition {
    LogPosition { segment: 1, offset }
}

/// Specification, record, positions of a task.
type Texts = (String, String, Vec<(String, u64)>);

fn held(journal: &Journal, task: &str) -> Option<Texts> {
    let held = journal.read().remove(task)?;
    let positions = held.positions.into_iter().map(|(name, at)| (name, at.offset)).collect();
    Some((held.spec?, held.record?.get().to_owned(), positions))
}

fn fill(journal: &Journal) {
    journal
        .append(&[Line::Sealed("a".into(), "spec a".into()), Line::Record("a".into(), raw("one"))])
        .unwrap();
    journal
        .append(&[Line::Sealed("b".into(), "spec b".into()), Line::Record("b".into(), raw("one"))])
        .unwrap();
    journal.append(&[Line::Record("a".into(), raw("two"))]).unwrap();
    journal.append(&[Line::Position("a".into(), "app".into(), position(7))]).unwrap();
    journal.append(&[Line::Position("a".into(), "app".into(), position(9))]).unwrap();
    journal.append(&[Line::Gone("b".into())]).unwrap();
}

#[test]
fn the_last_word_counts_before_and_after_the_file_is_opened_anew() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("journal");
    let journal = Journal::open(path.clone(), Arc::new(Backwards)).unwrap();
    fill(&journal);
    let expected = Some(("spec a".to_owned(), "\"two\"".to_owned(), vec![("app".to_owned(), 9)]));
    assert_eq!(held(&journal, "a"), expected);
    assert_eq!(journal.tasks(), ["a".to_owned()].into());
    drop(journal);
    let before = fs::metadata(&path).unwrap().len();
    let journal = Journal::open(path.clone(), Arc::new(Backwards)).unwrap();
    assert_eq!(held(&journal, "a"), expected);
    assert_eq!(journal.positions.lock().unwrap()["a"]["app"], position(9));
    assert!(fs::metadata(&path).unwrap().len() < before, "what is past is left out");
}

#[test]
fn a_torn_end_takes_nothing_with_it() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("journal");
    fill(&Journal::open(path.clone(), Arc::new(Backwards)).unwrap());
    let whole = fs::read(&path).unwrap();
    let last_line = br#"{"record":["a","three"]}"#;
    for length in 0..last_line.len() {
        fs::write(&path, &whole).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&last_line[..length]).unwrap();
        let journal = Journal::open(path.clone(), Arc::new(Backwards)).unwrap();
        assert_eq!(held(&journal, "a").unwrap().1, "\"two\"");
        journal.append(&[Line::Record("a".into(), raw("four"))]).unwrap();
        assert_eq!(held(&journal, "a").unwrap().1, "\"four\"", "what follows a torn line is read");
    }
}

#[test]
fn the_file_stays_in_proportion_to_what_counts() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("journal");
    let journal = Journal::open(path.clone(), Arc::new(Backwards)).unwrap();
    let large = "x".repeat(100_000);
    for _ in 0..200 {
        journal.append(&[Line::Record("a".into(), raw(&large))]).unwrap();
    }
    assert!(fs::metadata(&path).unwrap().len() < SMALLEST_REWRITE + 200_000);
    journal.append(&[Line::Sealed("a".into(), "spec".into())]).unwrap();
    assert_eq!(held(&journal, "a").unwrap().1.len(), large.len() + 2);
    journal.flush().unwrap();
}

#[test]
fn what_follows_a_write_that_was_cut_off_is_read() {
    let disk = tempfile::tempdir().unwrap();
    let journal = Journal::open(disk.path().join("journal"), Arc::new(Backwards)).unwrap();
    fill(&journal);
    // As after a write that a full disk took half of.
    let open = journal.open.lock().unwrap();
    (&*open.file).write_all(br#"{"record":["a","half"#).unwrap();
    open.file.set_len(open.size).unwrap();
    drop(open);
    journal.append(&[Line::Record("a".into(), raw("three"))]).unwrap();
    assert_eq!(held(&journal, "a").unwrap().1, "\"three\"");
}

#[test]
fn a_line_counts_also_when_the_file_cannot_be_written_anew() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("journal");
    let journal = Journal::open(path.clone(), Arc::new(Backwards)).unwrap();
    // A directory where the new file would be.
    fs::create_dir(path.with_extension("new")).unwrap();
    let large = "x".repeat(SMALLEST_REWRITE as usize);
    journal
        .append(&[Line::Sealed("a".into(), "spec".into()), Line::Record("a".into(), raw(&large))])
        .unwrap();
    journal.append(&[Line::Record("a".into(), raw("small"))]).unwrap();
    assert_eq!(held(&journal, "a").unwrap().1, "\"small\"");
}
