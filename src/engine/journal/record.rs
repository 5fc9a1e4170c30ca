//! Journals read back: what a run did, whether it ended, and what it left.

use super::{Header, Line, VERSION, directory, trouble};
use crate::domain::guard::Request;
use crate::domain::ids::NodeName;
use crate::domain::plan::Plan;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Progress, RunChange, RunEvent, RunState, RunView};
use crate::domain::standing::About;
use crate::domain::time::Stamp;
use crate::domain::undo::{claims, holds_lock, left_unsaid, left_without_lock};
use crate::engine::memory::Memory;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How every word about the maintenance lock begins.
const LOCK: &str = "the maintenance lock";

/// A change that was announced, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Index of the step.
    pub step: usize,
    /// The change, in words.
    pub words: String,
    /// When it was announced.
    pub at: Stamp,
    /// When it was answered, whether it was done, and the answer's words; `None` = never answered.
    pub answer: Option<(Stamp, bool, String)>,
}

/// A journal as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The file.
    pub path: PathBuf,
    /// Its first line.
    pub header: Header,
    /// The headers of the processes that went on with the run later.
    pub later: Vec<Header>,
    /// What the run told, in order.
    pub events: Vec<RunEvent>,
    /// The events added up; `None` = it ended before its plan was told.
    pub view: Option<RunView>,
    /// What it remembered last.
    pub memory: Memory,
    /// The changes, in the order of their announcements.
    pub changes: Vec<Change>,
    /// Changes that were announced and never answered.
    pub unanswered: Vec<String>,
    /// Its process still has the journal open.
    pub is_alive: bool,
    /// For a roll: one of its nodes may have been asked to reboot, and its run is not over.
    pub has_turns_asked: bool,
    /// The last line was cut off.
    pub is_torn: bool,
    /// Length of the whole lines, in bytes.
    pub(super) length: u64,
}

impl Record {
    /// The run's state; one that neither ended nor lives was interrupted.
    pub fn state(&self) -> RunState {
        match &self.view {
            Some(view) if view.ended.is_some() || self.is_alive => view.state,
            _ => RunState::Interrupted,
        }
    }

    /// Whether it neither ended nor lives.
    pub fn is_orphan(&self) -> bool {
        !self.is_alive && self.view.as_ref().is_none_or(|view| view.ended.is_none())
    }

    /// Whether it is over, not as it should be, and left something changed.
    pub fn is_unsettled(&self) -> bool {
        !self.is_alive
            && !matches!(self.state(), RunState::Done | RunState::Aborted)
            && !self.left().is_empty()
    }

    /// What it left changed, in words: its own last word, or what its steps add up to.
    pub fn left(&self) -> Vec<String> {
        let mut words = match &self.view {
            Some(view) if view.ended.is_some() => view.left.clone(),
            Some(view) => left_by(view, self.state(), self.is_alive),
            None => Vec::new(),
        };
        // what a run that is done asked for was seen to be so; an abort has looked at all but pods
        let counts = |change: &&String| match self.state() {
            RunState::Done => false,
            RunState::Aborted => is_pod_change(change),
            _ => true,
        };
        if !self.is_alive {
            let open = self.unanswered.iter().filter(counts);
            words.extend(open.map(|change| format!("asked for, answer not seen: {change}")));
        }
        words
    }

    /// The same, each with what it is about, so that it can be looked up. What steps add up to is told by its own object; any
    /// other word is only told.
    pub fn claims(&self) -> Vec<(String, About)> {
        let known = self.view.as_ref().map(|view| claims(view, self.state())).unwrap_or_default();
        let about = |words: &String| {
            let found = known.iter().find(|(known, _)| known == words).map(|(_, about)| about.clone());
            let is_lock = words.starts_with(LOCK);
            found.unwrap_or(if is_lock { About::Lock } else { About::Told })
        };
        self.left().into_iter().map(|words| (words.clone(), about(&words))).collect()
    }

    /// What its run was asked for.
    pub fn request(&self) -> Request {
        let plan = self.plan();
        let (drain, lock) = plan.map(|plan| (plan.drain.clone(), plan.lock)).unwrap_or_default();
        let resolve = plan.and_then(|plan| plan.resolve.clone());
        let roll = plan.and_then(|plan| plan.roll.as_ref()).map(|roll| Box::new(roll.options.clone()));
        let header = &self.header;
        Request { drain, lock, resolve, roll, ..Request::new(header.kind, header.nodes.clone()) }
    }

    /// Its plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.events.iter().find_map(|event| match &event.change {
            RunChange::Planned { plan } => Some(plan),
            _ => None,
        })
    }

    /// The header of the process that wrote last.
    pub fn last_header(&self) -> &Header {
        self.later.last().unwrap_or(&self.header)
    }

    /// Whether its reboot may have been asked for. What is remembered as asked for, but was never announced, was never sent:
    /// the announcement comes before the request.
    pub fn has_asked(&self) -> bool {
        let is_announced = |node: &NodeName| {
            let change = format!("reboot {node}");
            self.changes.iter().any(|known| known.words == change)
        };
        self.has_turns_asked
            || self.memory.reboot_requested.is_some() && self.header.nodes.iter().any(is_announced)
    }
}

/// What a run without a last word left, or has changed so far.
fn left_by(view: &RunView, state: RunState, is_alive: bool) -> Vec<String> {
    if !is_alive {
        return left_unsaid(view, state);
    }
    let mut words = left_without_lock(view, state);
    if holds_lock(view) {
        words.push(format!("the maintenance lock is held for run {}", view.id));
    }
    words
}

/// Reads one journal. A last line that was cut off is ignored, as it was written while the program was killed.
///
/// # Errors
/// The file cannot be read, is no journal, or was written by a newer version.
pub fn read(path: &Path) -> Result<Record, Report> {
    let text = std::fs::read(path).map_err(|error| trouble(path, "read", &error))?;
    parse(path, &text, is_locked(path))
}

pub(super) fn parse(path: &Path, text: &[u8], is_alive: bool) -> Result<Record, Report> {
    let malformed = |number: usize, why: &str| {
        Report::new(FailureKind::Local, format!("{}:{number}: {why}", path.display()))
    };
    // a line counts with its end: the program goes on only when all of it is on the disk
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut is_torn = whole < text.len();
    let mut lines = text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    let header = match lines.next().map(|(_, line)| (line, serde_json::from_slice(line))) {
        Some((_, Ok(Line::Header(header)))) => header,
        Some((line, _)) => return Err(malformed(1, &foreign(line))),
        None if is_torn => {
            return Err(malformed(
                1,
                "its first line was cut off: the run was killed before it did anything",
            ));
        }
        None => return Err(malformed(1, "the journal is empty: the run was killed before it did anything")),
    };
    newer(&header).map_or(Ok(()), |why| Err(malformed(1, &why)))?;
    let mut record = Record {
        path: path.to_owned(),
        header,
        later: Vec::new(),
        events: Vec::new(),
        view: None,
        memory: Memory::default(),
        changes: Vec::new(),
        unanswered: Vec::new(),
        is_alive,
        has_turns_asked: false,
        is_torn: false,
        length: u64::try_from(whole).unwrap_or(u64::MAX),
    };
    while let Some((number, line)) = lines.next() {
        match serde_json::from_slice(line) {
            Ok(Line::Header(header)) => {
                newer(&header).map_or(Ok(()), |why| Err(malformed(number + 1, &why)))?;
                record.later.push(header);
            }
            Ok(line) => add(&mut record, line),
            // a disk that lost its power may show the line's end before the line
            Err(_) if lines.peek().is_none() && !is_torn => {
                is_torn = true;
                record.length = record.length.saturating_sub(u64::try_from(line.len()).unwrap_or(0));
            }
            Err(error) => return Err(malformed(number + 1, &error.to_string())),
        }
    }
    // a run that was killed between writing down a debt and telling it
    if let Some(view) = &mut record.view {
        view.debts.clone_from(&record.memory.debts);
    }
    record.is_torn = is_torn;
    super::turns::attach(path, &mut record);
    Ok(record)
}

fn newer(header: &Header) -> Option<String> {
    (header.version > VERSION).then(|| {
        format!(
            "written by a newer pitstop ({}, format {}; this one reads up to {VERSION}): use that one",
            header.program, header.version
        )
    })
}

/// What is wrong with a first line that is no header of ours; a newer format may have other fields in it.
fn foreign(line: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    let version =
        value.as_ref().filter(|value| value["line"] == "header").and_then(|value| value["version"].as_u64());
    match version {
        Some(version) if version > u64::from(VERSION) => {
            format!(
                "written by a newer pitstop (format {version}; this one reads up to {VERSION}): use that one"
            )
        }
        _ => "this is not a journal of pitstop".to_owned(),
    }
}

pub(super) fn alive(path: &Path) -> Report {
    let record = read(path).ok();
    let who = record.as_ref().map_or_else(String::new, |record| {
        let header = record.last_header();
        format!(" ({}, process {})", header.holder, header.pid)
    });
    let run = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Report::new(FailureKind::Denied, format!("run {run} is under way in another process{who}"))
        .hint("look there; when that process is stuck, end it first")
}

fn add(record: &mut Record, line: Line) {
    match line {
        Line::Header(_) => {}
        Line::Event { event } => {
            match &mut record.view {
                Some(view) => view.apply(&event),
                None => record.view = RunView::begin(&event),
            }
            record.events.push(event);
        }
        Line::Intent { at, step, change } => {
            record.changes.push(Change { step, words: change.clone(), at, answer: None });
            record.unanswered.push(change);
        }
        Line::Result { at, step, change, done, words } => {
            if done && is_pod_change(&change) {
                count_moved(record, step, &change);
            }
            let open = |known: &&mut Change| known.words == change && known.answer.is_none();
            if let Some(known) = record.changes.iter_mut().rev().find(open) {
                known.answer = Some((at, done, words));
            }
            record.unanswered.retain(|open| *open != change);
        }
        Line::Memory { memory, .. } => {
            let moved = std::mem::take(&mut record.memory.moved);
            record.memory = Memory { moved, ..*memory };
        }
    }
}

/// `evict shop/web-1 (uid)`, `delete shop/web-1 (uid)`
pub(super) fn is_pod_change(change: &str) -> bool {
    (change.starts_with("evict ") || change.starts_with("delete ")) && change.ends_with(')')
}

/// The progress of a drain is not journalled, its answers are: each pod counts once, however often it was asked for.
fn count_moved(record: &mut Record, step: usize, change: &str) {
    let uid = change.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(change);
    let moved = record.memory.moved.entry(step).or_default();
    moved.insert(uid.to_owned());
    let count = u64::try_from(moved.len()).ok();
    let Some(view) = record.view.as_mut().and_then(|view| view.steps.get_mut(step)) else { return };
    view.progress.get_or_insert_with(Progress::default).moved = count;
}

/// Its writer holds a lock as long as it lives.
fn is_locked(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

fn paths(state_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory(state_dir)) else { return Vec::new() };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect()
}

/// All journals, the newest first; the ones that cannot be read are given as errors.
///
/// A run whose lock and cordon a later run took over, and ended well with, has left nothing of its own any more.
///
/// The runs of a roll's nodes are a part of the roll, and not listed beside it.
pub fn list(state_dir: &Path) -> Vec<Result<Record, Report>> {
    let mut records = list_all(state_dir);
    let rolls: BTreeSet<String> =
        records.iter().flatten().map(|record| record.header.run.0.clone()).collect();
    records.retain(|record| {
        let roll = record.as_ref().ok().and_then(|record| record.header.parent.as_ref());
        roll.is_none_or(|roll| !rolls.contains(roll.as_str()))
    });
    records
}

/// The same with the runs of the nodes of rolls.
pub fn list_all(state_dir: &Path) -> Vec<Result<Record, Report>> {
    let mut records: Vec<Result<Record, Report>> = paths(state_dir).iter().map(|path| read(path)).collect();
    let inherited: BTreeSet<String> = records
        .iter()
        .flatten()
        .filter(|record| matches!(record.state(), RunState::Done | RunState::Aborted))
        .filter_map(|record| Some(record.memory.took_over.as_ref()?.0.clone()))
        .collect();
    for record in records.iter_mut().flatten() {
        if inherited.contains(record.header.run.as_str())
            && let Some(view) = &mut record.view
        {
            view.ended.get_or_insert(record.header.at);
            view.left.clear();
            record.unanswered.clear();
        }
    }
    let began = |record: &Result<Record, Report>| record.as_ref().map_or(0, |record| record.header.at.0);
    records.sort_by_key(|record| std::cmp::Reverse(began(record)));
    records
}

/// One journal: the run whose id begins with `id`, or the newest.
///
/// # Errors
/// There is no such run, more than one, or its journal cannot be read.
pub fn find(state_dir: &Path, id: Option<&str>) -> Result<Record, Report> {
    let Some(id) = id else {
        let newest = list(state_dir).into_iter().flatten().next();
        return newest.ok_or_else(|| {
            let place = directory(state_dir);
            Report::new(FailureKind::NotFound, format!("there is no run in {}", place.display()))
        });
    };
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut found = paths(state_dir);
    found.retain(|path| stem(path).is_some_and(|stem| stem.starts_with(id)));
    if let Some(exact) = found.iter().position(|path| stem(path).as_deref() == Some(id)) {
        found = vec![found.swap_remove(exact)];
    }
    match found.as_slice() {
        [one] => read(one),
        [] => Err(Report::new(FailureKind::NotFound, format!("there is no run {id:?} on this machine"))
            .hint("pitstop runs list; a run of another machine has its journal there")),
        many => Err(Report::new(
            FailureKind::Local,
            format!("{} runs begin with {id:?}: give more of the id", many.len()),
        )),
    }
}
