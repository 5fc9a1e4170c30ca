//! The account of a journal that two processes wrote.

use super::*;
use crate::domain::gate::{Gate, Verdict};
use crate::domain::ids::OpId;
use crate::domain::plan::{Plan, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Foreseen;
use crate::engine::journal::{self, Journal, Line};
use crate::engine::testing::step;
use std::path::Path;

fn header(at: i64) -> Header {
    Header {
        version: journal::VERSION,
        run: "r1".into(),
        kind: Kind::Reboot,
        nodes: vec!["cp-1".into()],
        parent: None,
        probes: Vec::new(),
        context: "sim".into(),
        holder: "ann@desk".into(),
        confirmed: "typed".into(),
        program: "0".into(),
        pid: 7,
        at: Stamp(at),
    }
}

fn pod(name: &str) -> PodKey {
    PodKey { namespace: "shop".into(), name: name.into(), uid: format!("u-{name}") }
}

fn tell(journal: &Journal, at: i64, change: RunChange) {
    let event = RunEvent { op: OpId(1), run: "r1".into(), at: Stamp(at), change };
    journal.event(&event).expect("written");
}

fn ask(journal: &Journal, at: i64, change: &str, answer: Option<Result<(), &str>>) {
    let change = change.to_owned();
    journal.write(&Line::Intent { at: Stamp(at), step: 1, change: change.clone() }, false).expect("written");
    let Some(answer) = answer else { return };
    let words = answer.err().unwrap_or_default().to_owned();
    let line = Line::Result { at: Stamp(at + 5), step: 1, change, done: words.is_empty(), words };
    journal.write(&line, false).expect("written");
}

fn begun(dir: &Path) -> Journal {
    let journal = Journal::create(dir, header(1000)).expect("a journal");
    let plan = Plan {
        kind: Kind::Reboot,
        nodes: vec!["cp-1".into()],
        steps: vec![step(StepKind::Preflight, "cp-1"), step(StepKind::Drain, "cp-1")],
        drain: crate::domain::config::DrainOptions::default(),
        lock: crate::domain::lock::LockChoice::default(),
        resolve: None,
        roll: None,
        parent: None,
    };
    tell(&journal, 1000, RunChange::Planned { plan });
    tell(&journal, 1001, RunChange::StepStarted { step: 0, attempt: 1 });
    let gate = Gate::new("api", "is it there", Verdict::Failed, "a | b is not", Stamp(1002));
    tell(&journal, 1003, RunChange::GateRead { step: 0, gate });
    let report = Report::new(FailureKind::Denied, "1 gate is not passed: api");
    tell(&journal, 1010, RunChange::StepEnded { step: 0, outcome: Outcome::Failed(report), took_ms: 9 });
    let order = RunCommand::Accept { step: 0, gate: "api".into(), reason: "firewall".into() };
    tell(&journal, 1020, RunChange::Decided { step: 0, order, by: "ann@desk".into() });
    tell(&journal, 1030, RunChange::StepStarted { step: 0, attempt: 2 });
    tell(&journal, 1040, RunChange::StepEnded { step: 0, outcome: Outcome::Done("ok".into()), took_ms: 10 });
    let foreseen = |name: &str, words: &str| Foreseen { pod: pod(name), words: words.into() };
    let pods =
        vec![foreseen("a", "moves"), foreseen("b", "waits"), foreseen("c", "stays"), foreseen("d", "moves")];
    tell(&journal, 1041, RunChange::Foretold { step: 1, pods });
    tell(&journal, 1050, RunChange::StepStarted { step: 1, attempt: 1 });
    ask(&journal, 1051, "evict shop/a (u-a)", Some(Ok(())));
    ask(&journal, 1052, "evict shop/b (u-b)", Some(Err("no room")));
    ask(&journal, 1060, "evict shop/b (u-b)", Some(Ok(())));
    ask(&journal, 1070, "evict shop/d (u-d)", None);
    journal
}

#[test]
fn an_account_holds_both_processes() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = begun(dir.path()).path().to_owned();
    let (journal, _) = Journal::reopen(&path).expect("nobody has it");
    journal.write(&Line::Header(header(5000)), true).expect("written");
    let resumed =
        RunChange::Resumed { by: "bob@desk".into(), confirmed: "flag".into(), aborts: false, view: None };
    tell(&journal, 5000, resumed);
    tell(&journal, 5001, RunChange::StepStarted { step: 1, attempt: 2 });
    tell(&journal, 5009, RunChange::StepEnded { step: 1, outcome: Outcome::Done("gone".into()), took_ms: 8 });
    tell(&journal, 5010, RunChange::Finished { state: RunState::Done, left: vec!["x | y".into()] });
    let account = Account::new(&journal::read(&path).expect("readable"));
    assert_eq!((account.sessions.len(), account.state, account.took_ms()), (2, RunState::Done, 4010));
    assert_eq!(account.steps[0].attempts.len(), 2);
    assert_eq!((account.steps[0].took_ms, account.steps[0].gates[0].closed), (19, 1));
    let drain = &account.steps[1];
    assert_eq!((drain.attempts[0].ended, drain.attempts[1].took_ms), (None, Some(8)));
    let happened: Vec<&str> = account.predictions.iter().map(|one| one.happened.as_str()).collect();
    assert_eq!(
        happened,
        [
            "went when it was asked",
            "went when it was asked for the 2. time; refused before: no room",
            "was not asked",
            "was asked, and the answer was not seen"
        ]
    );
    assert!(account.timeline.is_sorted_by_key(|moment| moment.at));
    let page = markdown(&account);
    for words in [
        "# reboot cp-1: done",
        "taken up again by ann@desk",
        "gate api at preflight, by ann@desk: firewall",
        "| shop/b | waits | went when it was asked for the 2. time; refused before: no room |",
        "not seen: the process ended first",
        "a \\| b is not",
        "- x \\| y",
        "resumed by bob@desk in another process",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn a_run_that_was_killed_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = begun(dir.path()).path().to_owned();
    let account = Account::new(&journal::read(&path).expect("readable"));
    assert_eq!((account.state, account.ended), (RunState::Interrupted, None));
    let page = markdown(&account);
    assert!(page.contains("asked for, answer not seen: evict shop/d (u-d)"), "{page}");
}
