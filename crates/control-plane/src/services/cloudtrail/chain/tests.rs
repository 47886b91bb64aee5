//! What is seen of tampering, and what is not taken for it.

use std::{fs, path::Path};

use proptest::prelude::*;
use telemetry_store::{LogEvent, LogGroupKey, LogQuery, Options, TelemetryStore};
use vocabulary::{AccountId, Scope, Timestamp};

use super::*;

const NOON: i64 = 20_000 * DAY_MILLIS + DAY_MILLIS / 2;
const KEPT_DAYS: u32 = 90;

fn key() -> Key {
    Key::new([7; 32])
}

fn scope() -> Scope {
    Scope::new(AccountId::local(), "us-east-1".parse().unwrap())
}

/// A trail of a directory, written as the platform does it.
struct Lab {
    folder: tempfile::TempDir,
    store: TelemetryStore,
    chain: Option<Writer>,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let store = TelemetryStore::open(folder.path(), Options::default()).unwrap();
        let chain = Some(Writer::open(&folder.path().join(DIRECTORY), key()).unwrap());
        Lab { folder, store, chain }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn link(&mut self, events: &[(i64, &str)]) {
        let digests = events.iter().map(|(at, text)| digest(&scope(), Timestamp::from_millis(*at), text));
        let link = Link {
            from: events.iter().map(|event| event.0).min().unwrap(),
            until: events.iter().map(|event| event.0).max().unwrap(),
            scopes: vec![format!("{}/us-east-1", AccountId::local())],
            events: digests.collect(),
            ..Link::default()
        };
        let until = Timestamp::from_millis(link.until);
        self.chain.as_mut().unwrap().append(&link, until).unwrap();
    }

    async fn store(&self, events: &[(i64, &str)]) {
        let event = |(at, text): &(i64, &str)| LogEvent {
            timestamp: Timestamp::from_millis(*at),
            ingestion: Timestamp::from_millis(*at),
            message: (*text).to_owned(),
        };
        let key = LogGroupKey::new(scope(), "trail").stream("events");
        self.store.append_logs(key, events.iter().map(event).collect()).await.unwrap();
    }

    async fn write(&mut self, events: &[(i64, &str)]) {
        self.link(events);
        self.store(events).await;
    }

    fn verdict(&self, head: Option<&str>) -> Verdict {
        self.verdict_while(head, false)
    }

    fn verdict_while(&self, head: Option<&str>, running: bool) -> Verdict {
        let now = Timestamp::from_millis(NOON + DAY_MILLIS);
        verify(self.path(), &key(), head, running, (KEPT_DAYS, now)).unwrap()
    }

    /// Runs SQL on the file of a day, as somebody who can write in the directory.
    fn tamper(&self, day: i64, sql: &str) {
        let path = self.path().join(format!("events-{}.sqlite", day.div_euclid(DAY_MILLIS) * DAY_MILLIS));
        let connection = rusqlite::Connection::open(path).unwrap();
        assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
    }

    fn chain_file(&self, at: i64) -> PathBuf {
        self.path().join(DIRECTORY).join(name_of(at))
    }

    fn edit(&self, at: i64, edit: impl Fn(&str) -> String) {
        let path = self.chain_file(at);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, edit(&text)).unwrap();
    }
}

/// Four links over two days.
async fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.write(&[(NOON, "one")]).await;
    lab.write(&[(NOON + 1, "two")]).await;
    // Of midnight: the events of two days in one link.
    lab.write(&[(NOON + DAY_MILLIS / 2 - 1, "three"), (NOON + DAY_MILLIS / 2, "four")]).await;
    lab.write(&[(NOON + DAY_MILLIS, "five")]).await;
    lab
}

#[tokio::test]
async fn what_is_as_it_was_written_fits() {
    let lab = lab().await;
    let verdict = lab.verdict(None);
    assert_eq!(verdict.faults, []);
    assert_eq!((verdict.links, verdict.events, verdict.before, verdict.lost), (4, 5, 0, 0));
    assert_eq!(verdict.head, lab.chain.as_ref().unwrap().head());
    assert_eq!(lab.verdict(Some(&verdict.head)).faults, []);
}

#[tokio::test]
async fn altered_added_and_removed_events_are_seen() {
    let of = async |sql: &str| {
        let lab = lab().await;
        lab.tamper(NOON, sql);
        lab.verdict(None)
    };
    let altered = of("UPDATE events SET message = 'onE' WHERE message = 'one'").await;
    assert!(
        matches!(&altered.faults[..], [Fault::Missing { link: 0, .. }, Fault::Added { .. }]),
        "{altered:?}"
    );
    let moved = of("UPDATE events SET ts = ts + 5 WHERE message = 'two'").await;
    assert_eq!(moved.faults_total, 2);
    let removed = of("DELETE FROM events WHERE message = 'three'").await;
    assert!(matches!(&removed.faults[..], [Fault::Missing { link: 2, .. }]), "{removed:?}");
    let copied = of("INSERT INTO events SELECT stream, ts, seq + 1000, ingested, message FROM events WHERE message = 'two'").await;
    assert!(matches!(&copied.faults[..], [Fault::Added { .. }]), "{copied:?}");
    // A whole day.
    let lab = lab().await;
    fs::remove_file(lab.path().join(format!("events-{}.sqlite", 20_000 * DAY_MILLIS))).unwrap();
    assert_eq!(lab.verdict(None).faults_total, 3);
}

#[tokio::test]
async fn a_chain_that_was_touched_is_seen() {
    let of = async |edit: &dyn Fn(&str) -> String| {
        let lab = lab().await;
        lab.edit(NOON, edit);
        lab.verdict(None).faults
    };
    let swapped = of(&|text| text.lines().rev().map(|line| format!("{line}\n")).collect()).await;
    assert!(swapped.iter().any(|fault| matches!(fault, Fault::Broken { .. })), "{swapped:?}");
    let without_first = of(&|text| text.lines().skip(1).map(|line| format!("{line}\n")).collect()).await;
    assert!(without_first.iter().any(|fault| matches!(fault, Fault::NoBeginning { number: 1, .. })));
    let forged = of(&|text| text.replacen("\"number\":0", "\"number\":9", 1)).await;
    assert!(matches!(forged[0], Fault::Forged { line: 1, .. }), "{forged:?}");
    // The last line of a file that is not the last.
    let cut = of(&|text| text[..text.len() - 10].to_owned()).await;
    assert!(matches!(cut[0], Fault::CutOff { .. }), "{cut:?}");
    let lab = lab().await;
    fs::remove_file(lab.chain_file(NOON)).unwrap();
    let faults = lab.verdict(None).faults;
    assert!(faults.iter().any(|fault| matches!(fault, Fault::NoBeginning { .. })), "{faults:?}");
}

#[tokio::test]
async fn the_newest_links_are_missed_by_whoever_knows_a_head() {
    let lab = lab().await;
    let head = lab.verdict(None).head;
    let last = NOON + DAY_MILLIS;
    lab.edit(last, |text| text.lines().next().map(|line| format!("{line}\n")).unwrap());
    lab.tamper(last, "DELETE FROM events WHERE message = 'five'");
    assert_eq!(lab.verdict(None).faults, [], "a chain without its end looks whole");
    assert_eq!(lab.verdict(Some(&head)).faults, [Fault::NoHead(head.clone())]);
    // Written anew, with another key or with the same: no head of before is in it.
    fs::remove_dir_all(lab.path().join(DIRECTORY)).unwrap();
    assert_eq!(lab.verdict(Some(&head)).faults, [Fault::NoHead(head)]);
}

#[tokio::test]
async fn a_chain_goes_on_after_a_restart() {
    let mut lab = lab().await;
    let at = NOON + DAY_MILLIS;
    // A crash in the middle of a line: its events were not written.
    lab.edit(at, |text| format!("{text}0123456789 {{\"num"));
    assert_eq!(lab.verdict(None).faults, []);
    let mut again = Writer::open(&lab.path().join(DIRECTORY), key()).unwrap();
    assert_eq!(again.unsettled().unwrap().number, 3);
    lab.chain = Some(again);
    lab.write(&[(at + 1, "six")]).await;
    let verdict = lab.verdict(None);
    assert_eq!((verdict.faults, verdict.links), (vec![], 5));
    // Another root key: a new chain, and a verdict that says so.
    lab.chain = Some(Writer::open(&lab.path().join(DIRECTORY), Key::new([8; 32])).unwrap());
    lab.write(&[(at + 2, "seven")]).await;
    assert!(lab.verdict(None).faults_total > 0);
}

#[tokio::test]
async fn events_under_way_and_lost_ones_are_told_apart_from_removed_ones() {
    let mut lab = lab().await;
    let at = NOON + DAY_MILLIS + 10;
    lab.link(&[(at, "never written")]);
    assert!(matches!(lab.verdict(None).faults[..], [Fault::Missing { link: 4, .. }]));
    let running = lab.verdict_while(None, true);
    assert_eq!((running.faults, running.under_way), (vec![], 1));
    let lost = vec![digest(&scope(), Timestamp::from_millis(at), "never written")];
    let link = Link { from: at, until: at, lost, ..Link::default() };
    lab.chain.as_mut().unwrap().append(&link, Timestamp::from_millis(at)).unwrap();
    let verdict = lab.verdict(None);
    assert_eq!((verdict.faults, verdict.lost), (vec![], 1));
}

#[tokio::test]
async fn the_trail_writes_its_chain_and_says_what_a_crash_took() {
    use crate::services::{cloudtrail::Trail, testing::Fixture};
    let fixture = Fixture::new().await;
    let mut lab = lab().await;
    let at = NOON + DAY_MILLIS + 10;
    lab.link(&[(at, "never written")]);
    // As after a restart.
    let chain = Writer::open(&lab.path().join(DIRECTORY), key()).unwrap();
    let trail = Trail::start(lab.store.clone(), fixture.services.state.clone(), Some(chain));
    let parts = http::Request::new(()).into_parts().0;
    for _ in 0..3 {
        use aws_schema::Operation;
        let operation = aws_shapes_ecs::ListClusters::TABLE;
        let service = aws_shapes_ecs::SERVICE;
        let now = Timestamp::from_millis(at + 10);
        let entry = crate::services::cloudtrail::Recording::begin(
            &fixture.services,
            (service, operation),
            &parts,
            now,
            "request",
        );
        trail.leave(entry.into_entry());
    }
    trail.settle().await;
    let verdict = lab.verdict(None);
    assert_eq!((verdict.faults, verdict.lost, verdict.events), (vec![], 1, 8));
    let stored = lab.store.query(LogQuery::all(LogGroupKey::new(scope(), "trail"), 100), Box::new(|_| true));
    assert_eq!(stored.await.unwrap().events.len(), 8);
}

#[test]
fn old_links_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), key()).unwrap();
    for day in 0..3 {
        let at = NOON + day * DAY_MILLIS;
        let link = Link { from: at, until: at, events: vec!["00".repeat(32)], ..Link::default() };
        writer.append(&link, Timestamp::from_millis(at)).unwrap();
    }
    let days = || files(folder.path()).unwrap().len();
    let after = |days: i64| Timestamp::from_millis(20_000 * DAY_MILLIS + days * DAY_MILLIS);
    forget(folder.path(), 90, after(91)).unwrap();
    assert_eq!(days(), 3);
    forget(folder.path(), 90, after(92)).unwrap();
    assert_eq!(days(), 2);
    // A clock that is set back writes into the newest file.
    let link = Link { events: vec!["11".repeat(32)], ..Link::default() };
    writer.append(&link, Timestamp::from_millis(NOON)).unwrap();
    assert_eq!(days(), 2);
}

proptest! {
    #[test]
    fn no_byte_of_a_link_can_be_another(position in 0usize..400, to in any::<u8>()) {
        let link = Link { number: 3, at: NOON, after: "ab".repeat(32), events: vec!["cd".repeat(32)], ..Link::default() };
        let (line, code) = key().line(&link);
        prop_assert_eq!(key().read(&line), Some((link, code)));
        let mut bytes = line.into_bytes();
        let position = position % bytes.len();
        prop_assume!(bytes[position] != to);
        // The same code in capitals is the same code.
        prop_assume!(!bytes[position].eq_ignore_ascii_case(&to) || position >= 64);
        bytes[position] = to;
        let altered = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert_eq!(key().read(&altered), None);
    }

    #[test]
    fn whatever_is_read_is_no_link(text in ".{0,200}") {
        prop_assert_eq!(key().read(&text), None);
    }
}
