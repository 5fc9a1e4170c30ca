//! Journals written, torn, and read back.

use super::*;
use crate::domain::ids::OpId;
use crate::domain::lock::LockChoice;
use crate::domain::plan::{Plan, StepKind};
use crate::domain::run::{Outcome, RunState};
use crate::engine::testing::step;

fn header(run: &str) -> Header {
    Header {
        version: VERSION,
        run: run.into(),
        kind: Kind::Reboot,
        nodes: vec!["cp-1".into()],
        parent: None,
        probes: Vec::new(),
        context: "sim".into(),
        holder: "ann@desk".into(),
        confirmed: "typed".into(),
        program: "0".into(),
        pid: 1,
        at: Stamp(1000),
    }
}

fn event(change: RunChange) -> RunEvent {
    RunEvent { op: OpId(1), run: "r1".into(), at: Stamp(2000), change }
}

fn begun(dir: &Path) -> Journal {
    let journal = Journal::create(dir, header("r1")).unwrap();
    let plan = Plan {
        kind: Kind::Reboot,
        nodes: vec!["cp-1".into()],
        steps: vec![step(StepKind::Cordon, "cp-1"), step(StepKind::Drain, "cp-1")],
        drain: crate::domain::config::DrainOptions::default(),
        lock: LockChoice::Take,
        resolve: None,
        roll: None,
        parent: None,
    };
    for change in [
        RunChange::Planned { plan },
        RunChange::StepStarted { step: 0, attempt: 1 },
        RunChange::StepEnded { step: 0, outcome: Outcome::Done("cordoned".into()), took_ms: 7 },
    ] {
        journal.event(&event(change)).unwrap();
    }
    journal
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = begun(dir.path());
    let record = read(journal.path()).unwrap();
    assert!(record.is_alive && !record.is_torn && !record.is_orphan());
    assert_eq!(record.header, header("r1"));
    assert_eq!(record.events.len(), 3);
    assert!(record.view.unwrap().has_done(StepKind::Cordon));
}

#[test]
fn a_run_that_was_killed_is_an_orphan_and_tells_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let journal = begun(dir.path());
    let change = "evict shop/web-1".to_owned();
    journal.write(&Line::Intent { at: Stamp(3000), step: 1, change }, true).unwrap();
    let path = journal.path().to_owned();
    drop(journal);
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"line\":\"resu");
    std::fs::write(&path, text).unwrap();
    let record = read(&path).unwrap();
    assert!(record.is_torn && record.is_orphan());
    assert_eq!(record.state(), RunState::Interrupted);
    assert_eq!(
        record.left(),
        [
            "cp-1 is cordoned by this run: kubectl uncordon cp-1",
            "asked for, answer not seen: evict shop/web-1"
        ]
    );
}

#[test]
fn what_was_not_answered_is_told_of_a_run_that_ended_too() {
    for (state, is_told) in [(RunState::Aborted, true), (RunState::Failed, true), (RunState::Done, false)] {
        let dir = tempfile::tempdir().unwrap();
        let journal = begun(dir.path());
        let change = "evict shop/web-1 (u1)".to_owned();
        journal.write(&Line::Intent { at: Stamp(3000), step: 1, change }, true).unwrap();
        journal.event(&event(RunChange::Finished { state, left: Vec::new() })).unwrap();
        let path = journal.path().to_owned();
        drop(journal);
        let left = read(&path).unwrap().left();
        assert_eq!(left.iter().any(|words| words.contains("evict shop/web-1 (u1)")), is_told, "{state:?}");
    }
}

#[test]
fn a_pod_that_was_let_go_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = begun(dir.path());
    for uid in ["u1", "u2", "u1"] {
        let change = format!("evict shop/web ({uid})");
        journal.write(&Line::Intent { at: Stamp(3000), step: 1, change: change.clone() }, true).unwrap();
        let line = Line::Result { at: Stamp(3001), step: 1, change, done: true, words: String::new() };
        journal.write(&line, true).unwrap();
        let memory = Box::default();
        journal.write(&Line::Memory { at: Stamp(3002), memory }, true).unwrap();
    }
    let record = read(journal.path()).unwrap();
    assert_eq!(record.memory.moved[&1].len(), 2);
    assert_eq!(record.view.unwrap().steps[1].progress.as_ref().and_then(|progress| progress.moved), Some(2));
}

#[test]
fn a_line_broken_in_the_middle_is_an_error_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let journal = begun(dir.path());
    let text = std::fs::read_to_string(journal.path()).unwrap();
    let broken = text.replacen("\"step_started\"", "\"step_st", 1);
    std::fs::write(journal.path(), broken).unwrap();
    let error = read(journal.path()).unwrap_err();
    assert!(error.message.contains("r1.jsonl:3:"), "{error}");
}

#[test]
fn a_journal_of_a_newer_version_is_not_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::create(dir.path(), Header { version: VERSION + 1, ..header("r2") }).unwrap();
    assert!(read(journal.path()).unwrap_err().message.contains("newer pitstop"));
}

#[test]
fn a_run_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    drop(begun(dir.path()));
    assert!(Journal::create(dir.path(), header("r1")).is_err());
    assert_eq!(list(dir.path()).len(), 1);
    assert!(list(&dir.path().join("elsewhere")).is_empty());
}

/// A disk with an end.
#[derive(Default)]
struct Small {
    bytes: Vec<u8>,
    room: usize,
    may_cut: bool,
    may_flush: bool,
}

impl Disk for Small {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let fits = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..fits]);
        if fits == bytes.len() { Ok(()) } else { Err(std::io::ErrorKind::StorageFull.into()) }
    }

    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        if !self.may_cut {
            return Err(std::io::ErrorKind::Other.into());
        }
        self.bytes.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.may_flush { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    }
}

#[test]
fn a_full_disk_leaves_whole_lines_only() {
    let mut pages = Pages::new(Small { room: 9, may_cut: true, may_flush: true, ..Small::default() });
    pages.write(b"one\n", true).unwrap();
    assert!(pages.write(b"second\n", true).is_err());
    assert_eq!(pages.disk.bytes, b"one\n");
    pages.disk.room = 100;
    pages.write(b"third\n", true).unwrap();
    assert_eq!(pages.disk.bytes, b"one\nthird\n");
}

#[test]
fn nothing_is_glued_to_half_a_line_and_nothing_follows_a_failed_flush() {
    let mut pages = Pages::new(Small { room: 2, may_flush: true, ..Small::default() });
    assert!(pages.write(b"one\n", true).is_err());
    pages.disk.room = 100;
    assert!(pages.write(b"two\n", false).is_err());
    assert_eq!(pages.disk.bytes, b"on");
    let mut pages = Pages::new(Small { room: 100, may_cut: true, ..Small::default() });
    assert!(pages.write(b"one\n", true).is_err());
    assert!(pages.write(b"two\n", false).is_err(), "nobody knows what is on the disk");
}

#[test]
fn what_happened_is_written_before_what_is_to_happen() {
    let mut pages = Pages::new(Small { room: 6, may_cut: true, may_flush: true, ..Small::default() });
    pages.write(b"one\n", true).unwrap();
    assert!(pages.write(b"happened\n", false).is_err());
    pages.keep(b"happened\n".to_vec());
    // there is room for this one, and not for what comes before it
    assert!(pages.write(b"2\n", true).is_err());
    assert_eq!(pages.disk.bytes, b"one\n");
    pages.disk.room = 100;
    pages.write(b"next\n", true).unwrap();
    assert_eq!(pages.disk.bytes, b"one\nhappened\nnext\n");
}

#[test]
fn a_journal_is_gone_on_with_behind_its_whole_lines_by_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let journal = begun(dir.path());
    let path = journal.path().to_owned();
    let refused = Journal::reopen(&path).unwrap_err();
    assert!(refused.message.contains("under way in another process (ann@desk, process 1)"), "{refused}");
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [whole.as_slice(), b"{\"line\":\"resu"].concat()).unwrap();
    let (journal, record) = Journal::reopen(&path).unwrap();
    assert!(record.is_torn && !record.is_alive);
    assert_eq!(std::fs::read(&path).unwrap(), whole, "the torn line is cut off");
    journal.write(&Line::Header(Header { pid: 2, ..header("r1") }), true).unwrap();
    assert!(Journal::reopen(&path).is_err(), "at most one process");
    drop(journal);
    let record = read(&path).unwrap();
    assert_eq!((record.header.pid, record.last_header().pid, record.is_torn), (1, 2, false));
}

#[test]
fn journals_that_tell_nothing_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let says = |text: &[u8]| {
        let path = dir.path().join("x.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path).unwrap_err().message
    };
    assert!(says(b"").contains("the journal is empty"));
    assert!(says(b"{\"line\":\"head").contains("first line was cut off"));
    assert!(says(b"hello\n").contains("not a journal of pitstop"));
    let newer = says(b"{\"line\":\"header\",\"version\":99,\"what\":1}\n");
    assert!(newer.contains("newer pitstop (format 99"), "{newer}");
}
