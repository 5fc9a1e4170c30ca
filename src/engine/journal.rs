//! The journal of a run: append-only JSON lines, on disk before and after each change.
//!
//! One file per run, `runs/ID.jsonl` in the state directory, readable by its owner only. The first line is a header
//! with a version (one more for each process that goes on with the run); a line that announces a change (`intent`) and one that tells its end (`result`) are flushed to the
//! disk before the run goes on, so that killing the program at any instant loses nothing that matters. The file is
//! locked while its run lives, which is how another process tells a living run from an interrupted one.

mod death;
mod record;
#[cfg(test)]
mod tests;
mod turns;

pub use record::{Change, Record, find, list, list_all, read};
pub use turns::{turn, turns};

use crate::domain::ids::{NodeName, RunId};
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{RunChange, RunEvent};
use crate::domain::time::Stamp;
use crate::engine::memory::Memory;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The version of the format that this program writes, and the newest that it reads; it reads all older ones.
///
/// 1: header, event, intent, result, memory. 2: further headers of later processes, and the events `decided`, `resumed`
/// and `compared`. 3: rolls, whose nodes have runs of their own: the header's `parent`, and the events `turn_began` and `queued`;
/// probes and components: `measured` and `counted`.
pub const VERSION: u32 = 3;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// Its kind.
    pub kind: Kind,
    /// Its nodes.
    pub nodes: Vec<NodeName>,
    /// The roll that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The probes that were given by hand, by their addresses; one whose address may hold a secret is not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// The context.
    pub context: String,
    /// Who started it: `user@host`.
    pub holder: String,
    /// How it was confirmed: `key`, `typed` or `flag`.
    pub confirmed: String,
    /// This program's version.
    pub program: String,
    /// Process id.
    pub pid: u32,
    /// When it began.
    pub at: Stamp,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Header(Header),
    /// Something that the run told.
    Event {
        /// The event.
        event: RunEvent,
    },
    /// A change is about to be asked for.
    Intent {
        /// When.
        at: Stamp,
        /// Index of the step.
        step: usize,
        /// The change, in words.
        change: String,
    },
    /// The change has been answered.
    Result {
        /// When.
        at: Stamp,
        /// Index of the step.
        step: usize,
        /// The same words as in the intent.
        change: String,
        /// Whether it was done.
        done: bool,
        /// The answer, in words.
        words: String,
    },
    /// What the run remembers by now.
    Memory {
        /// When.
        at: Stamp,
        /// All of it.
        memory: Box<Memory>,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    pages: Mutex<Pages<File>>,
}

/// How many lines may wait for room on the disk.
const WAITING: usize = 10_000;

/// What lines are written to.
trait Disk {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    fn cut(&mut self, length: u64) -> std::io::Result<()>;
    fn flush(&mut self) -> std::io::Result<()>;
}

impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.set_len(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }
}

/// Whole lines only: one that was written in part is cut off again, as the next would be glued to it.
#[derive(Debug)]
struct Pages<D> {
    disk: D,
    /// The length of all whole lines.
    good: u64,
    /// Lines that found no room and must not get lost: they come before the next one.
    waiting: VecDeque<Vec<u8>>,
    /// A part of a line could not be cut off, or a flush failed, after which nothing tells what is on the disk.
    is_broken: bool,
}

impl<D: Disk> Pages<D> {
    fn new(disk: D) -> Self {
        Self { disk, good: 0, waiting: VecDeque::new(), is_broken: false }
    }

    /// Goes on behind the whole lines; what was written in part behind them is cut off.
    fn after(mut disk: D, good: u64) -> std::io::Result<Self> {
        disk.cut(good)?;
        disk.flush()?;
        Ok(Self { disk, good, waiting: VecDeque::new(), is_broken: false })
    }

    /// Writes the lines that wait, then this one.
    fn write(&mut self, line: &[u8], is_durable: bool) -> std::io::Result<()> {
        while let Some(first) = self.waiting.pop_front() {
            if let Err(error) = self.put(&first, false) {
                self.waiting.push_front(first);
                return Err(error);
            }
        }
        self.put(line, is_durable)
    }

    /// Keeps a line for later.
    fn keep(&mut self, line: Vec<u8>) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(line);
        }
    }

    fn put(&mut self, line: &[u8], is_durable: bool) -> std::io::Result<()> {
        if self.is_broken {
            return Err(std::io::Error::other("an earlier line was not written in full"));
        }
        if let Err(error) = self.disk.append(line) {
            self.is_broken = self.disk.cut(self.good).is_err();
            return Err(error);
        }
        self.good += u64::try_from(line.len()).unwrap_or(u64::MAX);
        if is_durable {
            let flushed = self.disk.flush();
            self.is_broken = flushed.is_err();
            return flushed;
        }
        Ok(())
    }
}

/// The directory of all journals.
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("runs")
}

fn trouble(path: &Path, what: &str, error: &std::io::Error) -> Report {
    Report::new(FailureKind::Local, format!("the journal {} cannot be {what}: {error}", path.display()))
        .hint("nothing is changed without a journal: make room or set XDG_STATE_HOME")
}

impl Journal {
    /// Begins the journal of a run. A file of that name must not exist.
    pub fn create(state_dir: &Path, header: Header) -> Result<Self, Report> {
        let directory = directory(state_dir);
        let path = directory.join(format!("{}.jsonl", header.run));
        private_directory(&directory).map_err(|error| trouble(&path, "created", &error))?;
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|error| trouble(&path, "created", &error))?;
        file.try_lock().map_err(|error| trouble(&path, "locked", &std::io::Error::other(error)))?;
        let journal = Self { path, pages: Mutex::new(Pages::new(file)) };
        journal.write(&Line::Header(header), true)?;
        if let Ok(directory) = File::open(directory) {
            // the name itself, too; a file system without that call is not a reason to stop
            drop(directory.sync_all());
        }
        Ok(journal)
    }

    /// Opens the journal of a run that another process left, to go on with it: at most one process has it.
    ///
    /// # Errors
    /// Its process lives (`Denied`), the file cannot be read or written, or it is of a newer version.
    pub fn reopen(path: &Path) -> Result<(Self, Record), Report> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).append(true).open(path).map_err(|error| trouble(path, "opened", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(record::alive(path)),
            Err(TryLockError::Error(error)) => return Err(trouble(path, "locked", &error)),
        }
        // read only now: until the lock was ours, somebody else may have written
        let text = std::fs::read(path).map_err(|error| trouble(path, "read", &error))?;
        let record = record::parse(path, &text, false)?;
        let pages = Pages::after(file, record.length).map_err(|error| trouble(path, "written", &error))?;
        Ok((Self { path: path.to_owned(), pages: Mutex::new(pages) }, record))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line; `is_durable` = it is on the disk when this returns. Lines that were kept come first: nothing is
    /// announced as long as what happened before does not stand in the journal.
    ///
    /// A line is some hundred bytes, written where it is called: waiting for the disk is the point.
    pub fn write(&self, line: &Line, is_durable: bool) -> Result<(), Report> {
        let text = self.text(line)?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let written = pages.write(&text, is_durable || death::is_due(&text));
        written.map_err(|error| trouble(&self.path, "written", &error))?;
        death::strike(&text);
        Ok(())
    }

    /// Adds a line about something that has happened already. When there is no room for it, it is kept and written before
    /// the next one.
    pub fn write_or_keep(&self, line: &Line, is_durable: bool) -> Result<(), Report> {
        let text = self.text(line)?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = pages.write(&text, is_durable || death::is_due(&text)) {
            pages.keep(text);
            return Err(trouble(&self.path, "written", &error));
        }
        death::strike(&text);
        Ok(())
    }

    fn text(&self, line: &Line) -> Result<Vec<u8>, Report> {
        let mut text = serde_json::to_vec(line)
            .map_err(|error| trouble(&self.path, "written", &std::io::Error::other(error)))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Adds an event; the ones that end something are durable, mere progress, and how probes are doing, is left out.
    pub fn event(&self, event: &RunEvent) -> Result<(), Report> {
        let is_durable = match event.change {
            // the run of a node has a journal of its own
            RunChange::Progressed { .. }
            | RunChange::Probed { .. }
            | RunChange::Paced { .. }
            | RunChange::Child { .. } => return Ok(()),
            RunChange::TurnBegan { .. }
            | RunChange::Queued { .. }
            | RunChange::StepEnded { .. }
            | RunChange::Finished { .. }
            | RunChange::Undoing { .. }
            | RunChange::Decided { .. }
            | RunChange::Resumed { .. } => true,
            _ => false,
        };
        let mut event = event.clone();
        if let RunChange::Resumed { view, .. } = &mut event.change {
            // it stands in the lines before
            *view = None;
        }
        self.write_or_keep(&Line::Event { event }, is_durable)
    }
}

fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
