//! Dialogs: what is asked or shown on top of the panes. Plain data; `update` moves them, the view draws them.
//!
//! A dialog opens only by the engineer's own key. One that can change something arms 250 ms after it was shown (or
//! after its text changed), has the focus on Cancel, and is not confirmed by Enter alone or by a key that repeats.

pub mod ask;
pub mod confirm;
pub mod earlier;
pub mod entry;
pub mod host;
pub mod resolve;
pub mod roll;

use super::keymap::Command;
use crate::domain::guard::{Assent, Request, Rung};
use crate::domain::ids::{BudgetKey, NodeName, OpId, RunId};
use crate::domain::log::Level;
use crate::domain::remedy::Remedy;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a dialog stands before it can be confirmed.
pub const ARMS_AFTER: Duration = Duration::from_millis(250);

/// How a fact is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// A plain fact.
    Plain,
    /// Good.
    Good,
    /// Worth a look before going on.
    Attention,
    /// Bad.
    Bad,
    /// Less important.
    Dim,
}

/// A labelled line of a dialog or a page. An empty label goes on with the label above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub label: String,
    /// The words.
    pub text: String,
    /// How to read it.
    pub tone: Tone,
}

impl Fact {
    /// A plain fact.
    pub fn plain(label: &str, text: impl Into<String>) -> Self {
        Self::toned(Tone::Plain, label, text)
    }

    /// A fact with a tone.
    pub fn toned(tone: Tone, label: &str, text: impl Into<String>) -> Self {
        Self { label: label.to_owned(), text: text.into(), tone }
    }
}

/// What is typed into a dialog, and since when its text stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What was typed so far.
    pub typed: String,
    /// Since when the dialog shows what it shows.
    pub shown: Stamp,
}

impl Prompt {
    /// A fresh one.
    pub fn new(now: Stamp) -> Self {
        Self { shown: now, ..Self::default() }
    }

    /// Whether it can be confirmed yet.
    pub fn is_armed(&self, now: Stamp) -> bool {
        now.since(self.shown) >= ARMS_AFTER
    }
}

/// Which option of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toggle {
    /// Leave `DaemonSet` pods where they are.
    IgnoreDaemonsets,
    /// Move pods whose `emptyDir` data is lost.
    DeleteEmptydirData,
    /// Move pods that nothing will create again.
    Force,
    /// DELETE instead of eviction: budgets are bypassed.
    DisableEviction,
}

/// A switch in a drain's dialog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Which.
    pub toggle: Toggle,
    /// The letter that turns it, while no name is to be typed.
    pub letter: char,
    /// kubectl's flag.
    pub flag: String,
    /// What it means here, with figures.
    pub words: String,
    /// Turned on.
    pub on: bool,
}

/// What a node was when the question was put: another answer at submit means another question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The node.
    pub node: NodeName,
    /// Its uid; empty when it was not known.
    pub uid: String,
    /// Its boot.
    pub boot_id: String,
    /// Whether it was cordoned.
    pub cordoned: bool,
}

/// Asks before a run starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// What is asked for.
    pub request: Request,
    /// The earlier run that is gone on with, or put back; `None` = a new run.
    pub earlier: Option<Earlier>,
    /// How much assent it needs.
    pub rung: Rung,
    /// `Drain worker-1?`
    pub title: String,
    /// Object, count, consequence, command: what will happen.
    pub facts: Vec<Fact>,
    /// Switches of a drain; empty otherwise.
    pub choices: Vec<Choice>,
    /// Which switch Tab has reached; `None` = Cancel.
    pub at: Option<usize>,
    /// What the targets were.
    pub targets: Vec<Target>,
    /// Why the question is put again, or why the last key did nothing.
    pub notice: Option<String>,
    /// What is typed.
    pub prompt: Prompt,
    /// The first line shown, where not all fit.
    pub scroll: usize,
}

impl Confirm {
    /// What was given: a key, or the text as it was typed.
    pub fn assent(&self) -> Assent {
        match self.rung {
            Rung::Key => Assent::Key,
            Rung::TypeName(_) | Rung::TypeContext(_) => Assent::Typed(self.prompt.typed.clone()),
        }
    }
}

/// What is done about a run of an earlier process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The run.
    pub run: RunId,
    /// Whether what it left is put back; else it is gone on with.
    pub aborts: bool,
}

/// Asks before a run's own command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The run.
    pub op: OpId,
    /// The step that it was asked about; the answer counts only for this one.
    pub step: Option<usize>,
    /// `Confirm`, `Automatic`, `Retry`, `Skip` or `Abort`.
    pub command: Command,
    /// `Run step 7, drain?`
    pub title: String,
    /// What, command, gates, undo, unchecked; for an abort the undo plan.
    pub facts: Vec<Fact>,
    /// Why the last key did nothing.
    pub notice: Option<String>,
    /// What is typed (nothing: `y` is enough), and since when it stands.
    pub prompt: Prompt,
    /// The first line shown, where not all fit.
    pub scroll: usize,
}

/// What a page is about. Its words are computed when it is drawn, so they stay true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A node.
    Node(NodeName),
    /// An etcd member.
    Member(u64),
    /// A budget.
    Budget(BudgetKey),
    /// One way out of a budget's block.
    Way(BudgetKey, Remedy),
    /// What runs of earlier processes left.
    Orphans,
    /// The maintenance lock.
    Lock,
    /// A log line by its number.
    Line(u64),
    /// A step of a run.
    Step(OpId, usize),
    /// A node's turn in a rolling update.
    Turn(NodeName),
    /// All that happened in a rolling update since it began.
    Story,
}

/// A page that can be scrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// About what; its lines: [`page`](super::page::facts).
    pub subject: Subject,
    /// The first line shown.
    pub scroll: usize,
}

/// Why a budget blocks, and the ways out: one of them is chosen, and asked about in a dialog of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// The budget; its diagnosis: [`Model::analyses`](super::model::Model::analyses).
    pub budget: BudgetKey,
    /// Which way the cursor is on.
    pub at: usize,
    /// The first line shown.
    pub scroll: usize,
}

/// The command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Palette {
    /// What was typed.
    pub text: String,
    /// Which suggestion is chosen; suggestions: [`suggestions`](super::palette::suggestions).
    pub at: Option<usize>,
    /// Why the line was not understood.
    pub notice: Option<String>,
}

/// Something said that must be seen: a denial, a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How loud.
    pub level: Level,
    /// The title.
    pub title: String,
    /// Message, causes, hint.
    pub lines: Vec<String>,
}

/// Asks before quitting while operations live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuitAsk {
    /// Since when it stands.
    pub prompt: Prompt,
    /// Why the last key did nothing.
    pub notice: Option<String>,
}

/// A dialog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialog {
    /// Asks before a run starts.
    Confirm(Box<Confirm>),
    /// Asks before a run's command.
    Ask(Box<Ask>),
    /// Asks for text for a run.
    Entry(Box<entry::Entry>),
    /// The keys, scrolled by this many lines.
    Help(usize),
    /// The command line.
    Palette(Palette),
    /// All that is known of something.
    Page(Page),
    /// Ways out of a block.
    Ways(Ways),
    /// Something said.
    Message(Message),
    /// Asks before quitting.
    Quit(QuitAsk),
    /// Asks for the passphrase of an SSH key.
    Passphrase(host::Passphrase),
    /// Asks whether a host's key is the right one.
    Trust(Box<host::Trust>),
}

impl Dialog {
    /// What is typed and whether it is armed, for dialogs that ask.
    pub fn prompt(&self) -> Option<&Prompt> {
        match self {
            Self::Confirm(confirm) => Some(&confirm.prompt),
            Self::Ask(ask) => Some(&ask.prompt),
            Self::Entry(entry) => Some(&entry.prompt),
            Self::Quit(quit) => Some(&quit.prompt),
            Self::Trust(trust) => Some(&trust.prompt),
            Self::Passphrase(_)
            | Self::Help(_)
            | Self::Palette(_)
            | Self::Page(_)
            | Self::Ways(_)
            | Self::Message(_) => None,
        }
    }

    /// Whether it asks and cannot be confirmed yet.
    pub fn is_arming(&self, now: Stamp) -> bool {
        self.prompt().is_some_and(|prompt| !prompt.is_armed(now))
    }
}
