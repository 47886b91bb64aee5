//! What is seen of tampering, and what is not taken for it.

use std::{fs, path::Path};

use proptest::prelude::*;
use telemetry_store::{LogEvent, LogGroupKey, LogQuery, Options, RetentionPolicy, TelemetryStore};
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

    /// What is old goes, as the platform does it every hour.
    async fn verdict_after_upkeep(&self, now: i64) -> Verdict {
        let now = Timestamp::from_millis(now);
        let policy = RetentionPolicy { default_days: Some(KEPT_DAYS), ..RetentionPolicy::default() };
        self.store.retain(policy, now).await.unwrap();
        forget(&self.path().join(DIRECTORY), KEPT_DAYS, now).unwrap();
        verify(self.path(), &key(), None, false, (KEPT_DAYS, now)).unwrap()
    }

    /// As a platform that starts.
    fn restart(&mut self) {
        self.chain = Some(Writer::open(&self.path().join(DIRECTORY), key()).unwrap());
    }

    fn remove_chain(&self) {
        fs::remove_dir_all(self.path().join(DIRECTORY)).unwrap();
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
    // Out of sight.
    let hidden = lab().await;
    let catalog = rusqlite::Connection::open(hidden.path().join("catalog.sqlite")).unwrap();
    assert_eq!(catalog.execute("UPDATE streams SET grp = 'elsewhere'", []).unwrap(), 1);
    assert_eq!(hidden.verdict(None).faults_total, 5);
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
    lab.remove_chain();
    assert!(lab.verdict(Some(&head)).faults.contains(&Fault::NoHead(head)));
}

#[tokio::test]
async fn a_chain_that_was_removed_is_missed() {
    let midnight = || Fault::CutShort { number: 2, day: name_of(NOON + DAY_MILLIS) };
    let mut lab = lab().await;
    lab.remove_chain();
    lab.tamper(NOON, "UPDATE events SET message = 'onE' WHERE message = 'one'");
    assert_eq!(lab.verdict(None).faults, [midnight(), Fault::NotCovered(5)]);
    // Also when the platform has begun another.
    lab.restart();
    lab.write(&[(NOON + DAY_MILLIS + 1, "six")]).await;
    let day = name_of(NOON + DAY_MILLIS);
    let faults = lab.verdict(None).faults;
    assert_eq!(faults, [Fault::NoBeginning { number: 3, day: day.clone() }, Fault::NotCovered(5)]);

    // With its mark: nothing shows that the events are as they were.
    let mut lab = self::lab().await;
    lab.remove_chain();
    fs::remove_file(mark::path_of(&lab.path().join(DIRECTORY))).unwrap();
    let verdict = lab.verdict(None);
    assert_eq!(verdict.faults, [Fault::NotCovered(5)]);
    assert!(verdict.is_only_not_covered());
    lab.restart();
    lab.write(&[(NOON + DAY_MILLIS + 1, "six")]).await;
    assert_eq!(lab.verdict(None).faults, [Fault::NotCovered(5)]);

    // With its events.
    let mut lab = self::lab().await;
    lab.remove_chain();
    for at in [NOON, NOON + DAY_MILLIS] {
        lab.tamper(at, "DELETE FROM events");
    }
    assert_eq!(lab.verdict(None).faults, [midnight()]);
    lab.restart();
    lab.write(&[(NOON + DAY_MILLIS + 1, "six")]).await;
    assert_eq!(lab.verdict(None).faults, [Fault::NoBeginning { number: 3, day }]);

    // A day's links, at the end.
    let mut lab = self::lab().await;
    fs::remove_file(lab.chain_file(NOON + DAY_MILLIS)).unwrap();
    lab.tamper(NOON + DAY_MILLIS, "DELETE FROM events");
    assert!(lab.verdict(None).faults.contains(&midnight()));
    lab.restart();
    lab.write(&[(NOON + DAY_MILLIS + 1, "six")]).await;
    assert!(matches!(lab.verdict(None).faults[..], [Fault::Broken { number: 3, .. }, Fault::Added { .. }]));

    let lab = self::lab().await;
    fs::write(mark::path_of(&lab.path().join(DIRECTORY)), "nothing of ours\n").unwrap();
    assert_eq!(lab.verdict(None).faults, [Fault::ForgedMark]);
}

#[tokio::test]
async fn what_goes_for_its_age_is_no_fault() {
    let lab = lab().await;
    let mut events = Vec::new();
    for hours in (89 * 24..94 * 24).step_by(3) {
        let verdict = lab.verdict_after_upkeep(NOON + hours * 3_600_000).await;
        assert_eq!((verdict.faults, verdict.before), (vec![], 0), "after {hours} hours");
        events.push(verdict.events);
    }
    assert_eq!((events.first(), events.last()), (Some(&5), Some(&0)));
    // What is younger is missed.
    let lab = self::lab().await;
    lab.tamper(NOON, "DELETE FROM events WHERE message = 'three'");
    let verdict = lab.verdict_after_upkeep(NOON + 90 * DAY_MILLIS + DAY_MILLIS / 4).await;
    assert!(matches!(verdict.faults[..], [Fault::Missing { link: 2, .. }]), "{verdict:?}");
}

#[tokio::test]
async fn a_platform_that_was_off_for_days_has_a_beginning() {
    let mut lab = Lab::new();
    for day in [0, 4, 5] {
        lab.write(&[(NOON + day * DAY_MILLIS, "one")]).await;
    }
    for days in 90..96 {
        let verdict = lab.verdict_after_upkeep(NOON + days * DAY_MILLIS).await;
        assert_eq!(verdict.faults, [], "after {days} days");
    }
    // Links of before this was known say nothing of the one before them.
    let link = Link { number: 7, ..Link::default() };
    assert!(!key().line(&link).0.contains("previous"));
    assert_eq!(key().read::<Link>(&key().line(&link).0).unwrap().0, link);
}

#[tokio::test]
async fn a_link_that_failed_is_written_once() {
    let mut lab = lab().await;
    let at = NOON + 2 * DAY_MILLIS;
    // The first of a day, and one behind it.
    for number in 0..2 {
        let text = format!("again {number}");
        let digest = digest(&scope(), Timestamp::from_millis(at + number), &text);
        let link = Link { from: at + number, until: at + number, events: vec![digest], ..Link::default() };
        let writer = lab.chain.as_mut().unwrap();
        writer.fails = true;
        assert!(writer.append(&link, Timestamp::from_millis(at)).is_err());
        writer.append(&link, Timestamp::from_millis(at)).unwrap();
        lab.store(&[(at + number, &text)]).await;
    }
    let verdict = lab.verdict(None);
    assert_eq!((verdict.faults, verdict.links, verdict.events), (vec![], 6, 7));
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
    let directory = folder.path().join(DIRECTORY);
    let mut writer = Writer::open(&directory, key()).unwrap();
    for day in 0..3 {
        let at = NOON + day * DAY_MILLIS;
        let link = Link { from: at, until: at, events: vec!["00".repeat(32)], ..Link::default() };
        writer.append(&link, Timestamp::from_millis(at)).unwrap();
    }
    let days = || files(&directory).unwrap().len();
    let after = |days: i64| Timestamp::from_millis(20_000 * DAY_MILLIS + days * DAY_MILLIS);
    forget(&directory, 90, after(91)).unwrap();
    assert_eq!(days(), 3);
    forget(&directory, 90, after(92)).unwrap();
    assert_eq!(days(), 2);
    // A clock that is set back writes into the newest file.
    let link = Link { events: vec!["11".repeat(32)], ..Link::default() };
    writer.append(&link, Timestamp::from_millis(NOON)).unwrap();
    assert_eq!(days(), 2);
    // The newest stays: a chain that has begun is never empty.
    forget(&directory, 90, after(900)).unwrap();
    assert_eq!(days(), 1);
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
        prop_assert_eq!(key().read::<Link>(&altered), None);
    }

    #[test]
    fn whatever_is_read_is_no_link(text in ".{0,200}") {
        prop_assert_eq!(key().read::<Link>(&text), None);
    }
}
