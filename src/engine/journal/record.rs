//! Journals read back: what a run did, whether it ended, and what it left.

use super::{Header, Line, VERSION, directory, trouble};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{RunEvent, RunState, RunView};
use crate::domain::undo::left;
use crate::engine::memory::Memory;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A journal as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The file.
    pub path: PathBuf,
    /// Its first line.
    pub header: Header,
    /// What the run told, in order.
    pub events: Vec<RunEvent>,
    /// The events added up; `None` = it ended before its plan was told.
    pub view: Option<RunView>,
    /// What it remembered last.
    pub memory: Memory,
    /// Changes that were announced and never answered.
    pub unanswered: Vec<String>,
    /// Its process still has the journal open.
    pub is_alive: bool,
    /// The last line was cut off.
    pub is_torn: bool,
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

    /// What it left changed, in words: its own last word, or what its steps add up to.
    pub fn left(&self) -> Vec<String> {
        let mut words = match &self.view {
            Some(view) if view.ended.is_some() => return view.left.clone(),
            Some(view) => left(view, self.state()),
            None => Vec::new(),
        };
        if !self.is_alive {
            words
                .extend(self.unanswered.iter().map(|change| format!("asked for, answer not seen: {change}")));
        }
        words
    }
}

/// Reads one journal. A last line that was cut off is ignored, as it was written while the program was killed.
///
/// # Errors
/// The file cannot be read, is no journal, or was written by a newer version.
pub fn read(path: &Path) -> Result<Record, Report> {
    let text = std::fs::read(path).map_err(|error| trouble(path, "read", &error))?;
    let text = String::from_utf8_lossy(&text);
    let malformed = |number: usize, why: &str| {
        Report::new(FailureKind::Local, format!("{}:{number}: {why}", path.display()))
    };
    let mut lines = text.lines().enumerate().peekable();
    let header = match lines.next().map(|(_, line)| serde_json::from_str(line)) {
        Some(Ok(Line::Header(header))) => header,
        Some(_) => return Err(malformed(1, "this is not a journal of pitstop")),
        None => return Err(malformed(1, "the journal is empty")),
    };
    if header.version > VERSION {
        return Err(malformed(1, &format!("written by a newer pitstop (format {})", header.version)));
    }
    let mut record = Record {
        path: path.to_owned(),
        header,
        events: Vec::new(),
        view: None,
        memory: Memory::default(),
        unanswered: Vec::new(),
        is_alive: is_locked(path),
        is_torn: false,
    };
    while let Some((number, line)) = lines.next() {
        match serde_json::from_str(line) {
            Ok(line) => add(&mut record, line),
            Err(_) if lines.peek().is_none() => record.is_torn = true,
            Err(error) => return Err(malformed(number + 1, &error.to_string())),
        }
    }
    // a run that was killed between writing down a debt and telling it
    if let Some(view) = &mut record.view {
        view.debts.clone_from(&record.memory.debts);
    }
    Ok(record)
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
        Line::Intent { change, .. } => record.unanswered.push(change),
        Line::Result { change, .. } => {
            if let Some(at) = record.unanswered.iter().position(|open| *open == change) {
                record.unanswered.remove(at);
            }
        }
        Line::Memory { memory, .. } => record.memory = *memory,
    }
}

/// Its writer holds a lock as long as it lives.
fn is_locked(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// All journals, the newest first; the ones that cannot be read are given as errors.
pub fn list(state_dir: &Path) -> Vec<Result<Record, Report>> {
    let Ok(entries) = std::fs::read_dir(directory(state_dir)) else { return Vec::new() };
    let mut records: Vec<Result<Record, Report>> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| read(&path))
        .collect();
    let began = |record: &Result<Record, Report>| record.as_ref().map_or(0, |record| record.header.at.0);
    records.sort_by_key(|record| std::cmp::Reverse(began(record)));
    records
}
