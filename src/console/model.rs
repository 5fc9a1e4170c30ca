//! Everything the console knows and shows. Changed only by `update`, read by the view.

use super::dialog::Dialog;
use super::keymap::Preset;
use super::list::{Column, ListState};
use super::msg::Orphan;
use super::rollout::Watch;
use crate::domain::access::Answer;
use crate::domain::budget::BudgetRow;
use crate::domain::config::{DrainOptions, Policy};
use crate::domain::etcd::{EtcdView, Quorum};
use crate::domain::feed::{Kept, Liveness, Source, Table};
use crate::domain::guard::Request;
use crate::domain::host::{HostFacts, HostQuestion, RebootNeed};
use crate::domain::ids::{BudgetKey, Generation, NodeName, OpId, PodKey};
use crate::domain::lock::{LeaseRow, LockChoice};
use crate::domain::log::{Level, LogLine};
use crate::domain::node::NodeRow;
use crate::domain::notice::{Cause, Notice};
use crate::domain::placement::VolumeRow;
use crate::domain::pod::PodRow;
use crate::domain::power::PowerReading;
use crate::domain::remedy::Analysis;
use crate::domain::report::Report;
use crate::domain::run::{RunState, RunView};
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How many lines the log pane keeps.
pub const LOG_LINES: usize = 5_000;

/// A pane, in the order of the keys `1` to `6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pane {
    /// Nodes.
    Nodes,
    /// Etcd members.
    Etcd,
    /// Disruption budgets.
    Budgets,
    /// The log.
    Log,
    /// The steps of the open run.
    Run,
    /// The rolling update that is under way, whoever drives it.
    Rollout,
}

impl Pane {
    /// All, in order.
    pub const ALL: [Self; 6] = [Self::Nodes, Self::Etcd, Self::Budgets, Self::Log, Self::Run, Self::Rollout];

    /// The word in titles and tabs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Etcd => "etcd",
            Self::Budgets => "budgets",
            Self::Log => "log",
            Self::Run => "run",
            Self::Rollout => "rollout",
        }
    }
}

/// The colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// For dark terminals.
    #[default]
    Dark,
    /// For light terminals.
    Light,
    /// No colour at all: bold, dim and reverse only.
    Mono,
}

/// How it shall look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The colours.
    pub theme: Theme,
    /// Glyphs of ASCII only.
    pub ascii: bool,
}

/// A host that does not answer over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAway {
    /// Since when.
    pub since: Stamp,
    /// What came of the last attempt.
    pub report: Report,
}

/// What is known of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Which connection the tables are from; messages of an older one are dropped.
    pub generation: Generation,
    /// A kubeconfig could be read: there is a cluster to speak to (whether it answers is its liveness).
    pub is_joined: bool,
    /// The nodes.
    pub nodes: Table<NodeRow>,
    /// The nodes were listed once.
    pub has_nodes: bool,
    /// The pods.
    #[serde(with = "super::record::rows")]
    pub pods: Table<PodRow>,
    /// The pods were listed once.
    pub has_pods: bool,
    /// The keys of the pods on each node.
    pub pods_on: BTreeMap<NodeName, BTreeSet<PodKey>>,
    /// The budgets.
    #[serde(with = "super::record::rows")]
    pub budgets: Table<BudgetRow>,
    /// The budgets were listed once.
    pub has_budgets: bool,
    /// The volumes that are tied to nodes; `None` until they were listed once.
    pub volumes: Option<Table<VolumeRow>>,
    /// The last round over the etcd members.
    pub etcd: Option<EtcdView>,
    /// The quorum when a member answered last, and when that was.
    pub heard: Option<(Quorum, Stamp)>,
    /// What hosts said of their boot.
    pub hosts: BTreeMap<NodeName, HostFacts>,
    /// Hosts that do not answer over SSH.
    pub away: BTreeMap<NodeName, HostAway>,
    /// Whether hosts need a reboot, as far as they were asked.
    pub needs: BTreeMap<NodeName, RebootNeed>,
    /// Hosts that are being asked it now.
    pub asked_need: BTreeSet<NodeName>,
    /// What management controllers said of their machines' power.
    pub power: BTreeMap<NodeName, PowerReading>,
    /// What SSH asks.
    pub questions: Vec<HostQuestion>,
    /// The maintenance lock as it is now.
    pub lock: Option<LeaseRow>,
    /// The API server's version.
    pub version: Option<String>,
    /// Tables that cannot be read, and why.
    pub trouble: BTreeMap<Kept, Report>,
    /// What the API server said to each right; empty = not asked yet.
    pub access: Vec<Answer>,
    /// How each source is.
    pub sources: BTreeMap<Source, Liveness>,
    /// Runs of earlier processes that did not end.
    pub orphans: Vec<Orphan>,
}

/// The lines of the log pane: a ring with a number for each line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogRing {
    lines: VecDeque<LogLine>,
    first: u64,
    /// Lines that came too fast to be shown (they are in the log file).
    pub dropped: u64,
}

impl LogRing {
    /// Adds a line; the oldest one goes when there are [`LOG_LINES`].
    pub fn push(&mut self, line: LogLine) {
        if self.lines.len() >= LOG_LINES {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(line);
    }

    /// The lines with their numbers, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &LogLine)> {
        self.lines.iter().enumerate().map(|(at, line)| (self.first + at as u64, line))
    }

    /// The lines from a number on.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &LogLine> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skip)
    }

    /// The number of the next line.
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// A line by its number.
    pub fn get(&self, number: u64) -> Option<&LogLine> {
        self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

/// One list per pane.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lists {
    /// Nodes by name.
    pub nodes: ListState<NodeName>,
    /// Members by id.
    pub etcd: ListState<u64>,
    /// Budgets by namespace and name.
    pub budgets: ListState<BudgetKey>,
    /// Log lines by number; nothing selected = follow.
    pub log: ListState<u64>,
    /// Steps of the open run by index; nothing selected = the current one.
    pub run: ListState<usize>,
    /// Nodes of the rollout by name.
    #[serde(default)]
    pub rollout: ListState<NodeName>,
}

/// A short message in the footer; goes away after some seconds or with the next key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// How loud.
    pub level: Level,
    /// The words.
    pub text: String,
    /// Since when.
    pub at: Stamp,
}

/// A run that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calling {
    /// Since when nobody has answered.
    pub since: Stamp,
    /// What will be told.
    pub notice: Notice,
}

/// How the console begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// How it looks.
    pub look: Look,
    /// Which keys.
    pub preset: Preset,
    /// What may be changed. Its context is filled in when a kubeconfig has been read.
    pub policy: Policy,
    /// How drains are set until the dialog says otherwise.
    pub drain: DrainOptions,
    /// Who we are, as noted in the maintenance lock: `user@host`.
    pub holder: String,
    /// What people who look elsewhere are told of.
    pub tells: Vec<Cause>,
    /// They are told of a step that waits when no key was pressed for so long.
    pub tells_after: Duration,
    /// Words for the header when the cluster is a simulated one (`demo: default, speed 10`).
    pub demo: Option<String>,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// How it began; `look` and `policy.context` change later.
    pub setup: Setup,
    /// The time, as the last tick or key said.
    pub now: Stamp,
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
    /// What is known.
    pub known: Known,
    /// The log.
    pub log: LogRing,
    /// Which pane has the focus; where only one pane fits, it is the one shown.
    pub focus: Pane,
    /// The panes' lists.
    pub lists: Lists,
    /// The filter of this pane is being typed.
    pub editing: Option<Pane>,
    /// Dialogs, the topmost last; it has the keys.
    pub dialogs: Vec<Dialog>,
    /// Runs of this process, oldest first.
    pub runs: Vec<RunView>,
    /// Runs that were asked for and have not told their plan yet.
    pub starting: BTreeMap<OpId, Request>,
    /// The run that the run pane shows and that `N A P T K X` speak to.
    pub open: Option<OpId>,
    /// What earlier processes left was told and was not dismissed or opened yet.
    pub is_calling: bool,
    /// Runs that wait for somebody, to be told when nobody answers.
    pub calling: BTreeMap<OpId, Calling>,
    /// Blocks that were looked into: the last diagnosis of each budget, or why there is none.
    #[serde(with = "super::record::pairs")]
    pub analyses: BTreeMap<BudgetKey, Result<Analysis, Report>>,
    /// When a block was last asked to be looked into.
    #[serde(with = "super::record::pairs")]
    pub diagnosing: BTreeMap<BudgetKey, Stamp>,
    /// Which of the earlier runs their page shows.
    #[serde(default)]
    pub orphan_at: usize,
    /// The rolling update that is under way, or was last.
    #[serde(default)]
    pub watch: Watch,
    /// What the next run does about a maintenance lock that is in its way.
    pub lock_choice: LockChoice,
    /// A short message.
    pub flash: Option<Flash>,
    /// The number of the next operation.
    pub next_op: u64,
    /// Quitting was confirmed; the shell ends what runs.
    pub is_quitting: bool,
}

impl Model {
    /// The state at the start: nothing known.
    pub fn new(setup: Setup, size: (u16, u16), now: Stamp) -> Self {
        let sources = [Source::Api, Source::Etcd, Source::Ssh].map(|source| (source, Liveness::Connecting));
        Self {
            setup,
            now,
            size,
            known: Known { sources: sources.into(), ..Known::default() },
            log: LogRing::default(),
            focus: Pane::Nodes,
            lists: Lists {
                rollout: ListState { sort: Column::State, ..ListState::default() },
                ..Lists::default()
            },
            editing: None,
            dialogs: Vec::new(),
            runs: Vec::new(),
            starting: BTreeMap::new(),
            open: None,
            is_calling: false,
            calling: BTreeMap::new(),
            analyses: BTreeMap::new(),
            diagnosing: BTreeMap::new(),
            orphan_at: 0,
            watch: Watch::default(),
            lock_choice: LockChoice::Take,
            flash: None,
            next_op: 1,
            is_quitting: false,
        }
    }

    /// The run that is shown.
    pub fn open_run(&self) -> Option<&RunView> {
        self.runs.iter().find(|run| Some(run.op) == self.open)
    }

    /// Whether the key of the run pane shows what earlier runs left: while it is called out, and as long as no run is open.
    pub fn shows_orphans(&self) -> bool {
        self.is_calling || self.open_run().is_none() && !self.known.orphans.is_empty()
    }

    /// A run by its operation.
    pub fn run(&self, op: OpId) -> Option<&RunView> {
        self.runs.iter().find(|run| run.op == op)
    }

    /// Runs that are not over, oldest first.
    pub fn live_runs(&self) -> impl Iterator<Item = &RunView> {
        self.runs.iter().filter(|run| !run.state.is_over())
    }

    /// Live runs in which a step waits for a confirmation, or failed and waits for a decision.
    pub fn waiting_runs(&self) -> impl Iterator<Item = &RunView> {
        self.live_runs()
            .filter(|run| matches!(run.state, RunState::Waiting | RunState::Failed | RunState::Paused))
    }

    /// The live run that works on a node.
    pub fn run_on(&self, node: &NodeName) -> Option<&RunView> {
        self.live_runs().find(|run| run.nodes.contains(node))
    }

    /// The last diagnosis of a budget.
    pub fn analysis(&self, budget: &BudgetKey) -> Option<&Analysis> {
        self.analyses.get(budget)?.as_ref().ok()
    }

    /// The topmost dialog.
    pub fn dialog(&self) -> Option<&Dialog> {
        self.dialogs.last()
    }
}
