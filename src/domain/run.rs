//! A run as it goes: its events, and the view that they add up to (console, command line and report share it).

mod view;
mod watched;

pub use view::{RunView, StepState, StepView};
pub use watched::Watched;

use super::checklist::Component;
use super::debt::Debt;
use super::found::Difference;
use super::gate::Gate;
use super::ids::{OpId, PodKey, RunId};
use super::plan::{Plan, Step};
use super::probe::{Moment, Reading};
use super::report::Report;
use super::roll::Role;
use super::time::Stamp;
use super::window::Opening;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// A step waits for its confirmation.
    Waiting,
    /// A step is under way.
    Running,
    /// Paused by the engineer.
    Paused,
    /// A step failed; the run waits for a decision, or was left so.
    Failed,
    /// The process ended in the middle.
    Interrupted,
    /// All steps ended.
    Done,
    /// Ended early by the engineer; what was changed has been undone as far as it can be.
    Aborted,
}

impl RunState {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }

    /// Whether the run is over (nothing more will happen without a new command line or `resume`).
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Aborted | Self::Interrupted)
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As planned; what was achieved, in words.
    Done(String),
    /// Done, with something to look at.
    Warned(String),
    /// Not done, and why that is right (nothing to do, does not apply, skipped by the engineer).
    Skipped(String),
    /// Not done.
    Failed(Report),
    /// Stopped by the engineer.
    Aborted,
}

/// How far a step is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is awaited or done now, in one line.
    pub text: String,
    /// Done so far, when a total is known.
    pub done: Option<u64>,
    /// The total (pods, bytes).
    pub total: Option<u64>,
    /// Pods that were let go or are gone: those that still stop within their grace are among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<u64>,
    /// When it gives up.
    pub deadline: Option<Stamp>,
    /// One line per thing that is waited for (a pod and why), what needs a look first.
    #[serde(default)]
    pub items: Vec<String>,
    /// One line per thing that ended and is still of interest (a pod that went, and where its replacement runs).
    #[serde(default)]
    pub ended: Vec<String>,
}

/// What an engineer (or `--yes`) tells a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunCommand {
    /// Confirm the step that waits (its index, so that a late key cannot confirm another).
    Confirm(usize),
    /// Go on by itself until something is not green.
    Automatic,
    /// Stop after the present step; back to step by step.
    Pause,
    /// Try the failed step again.
    Retry,
    /// Leave the failed or waiting step out, where the plan allows.
    Skip,
    /// Stop and undo.
    Abort,
    /// Take a gate that is not open for open, in this run and for a reason. What makes a reboot unsafe cannot be
    /// accepted ([`unacceptable`](super::gate::unacceptable)).
    Accept {
        /// Index of the step that read it (so that a late answer cannot accept for another).
        step: usize,
        /// The gate's name.
        gate: String,
        /// Why, in the engineer's words.
        reason: String,
    },
    /// The quiet time before the last look, for the rest of this run.
    Settle(Duration),
    /// The pause of a roll after each node of a role, for the rest of this run.
    Interval {
        /// Whose.
        role: Role,
        /// How long.
        #[serde(rename = "quiet_seconds", with = "super::time::seconds")]
        quiet: Duration,
    },
    /// Put a node of a roll to the end of the queue (the index of its turn): what was begun on it is put back first.
    Postpone(usize),
    /// To the run of the node whose turn has this index.
    Turn {
        /// Index of the turn.
        step: usize,
        /// What it is told.
        order: Box<RunCommand>,
    },
    /// Let the step that is under way take longer.
    Extend {
        /// Its index (so that a late key cannot extend another).
        step: usize,
        /// By how much.
        by: Duration,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunChange {
    /// The run begins.
    Planned {
        /// What will be done.
        plan: Plan,
    },
    /// The run's state is another one.
    State {
        /// The new state.
        state: RunState,
        /// Whether it goes on by itself.
        automatic: bool,
    },
    /// A step begins.
    StepStarted {
        /// Index in the plan.
        step: usize,
        /// 1 for the first time.
        attempt: u32,
    },
    /// A step tells how far it is.
    Progressed {
        /// Index in the plan.
        step: usize,
        /// How far.
        progress: Progress,
    },
    /// A gate was read.
    GateRead {
        /// Index in the plan.
        step: usize,
        /// The reading.
        gate: Gate,
    },
    /// From here on the step's irrevocable request may have arrived: told right before it is sent.
    Asked {
        /// Index in the plan.
        step: usize,
    },
    /// Something worth a line in the log.
    Noted {
        /// Index in the plan.
        step: usize,
        /// The words.
        text: String,
        /// Whether it is a warning.
        warn: bool,
    },
    /// A step ended.
    StepEnded {
        /// Index in the plan.
        step: usize,
        /// How.
        outcome: Outcome,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// Somebody decided something about the run; what is done by itself has no such event.
    Decided {
        /// Index of the step that the run was at.
        step: usize,
        /// What was told.
        order: RunCommand,
        /// Who: `user@host`.
        by: String,
    },
    /// What a drain is predicted to meet.
    Foretold {
        /// Index in the plan.
        step: usize,
        /// Pod by pod.
        pods: Vec<Foreseen>,
    },
    /// What the run owes back is another list by now.
    Owes {
        /// All of it.
        debts: Vec<Debt>,
    },
    /// Another process goes on with the run, or puts back what it left.
    Resumed {
        /// Who: `user@host`.
        by: String,
        /// How that was confirmed: `key`, `typed` or `flag`.
        confirmed: String,
        /// Whether it is only to put things back.
        aborts: bool,
        /// The run so far, for who has not heard it; the journal needs none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        view: Option<Box<RunView>>,
    },
    /// The world was read again at the end: each thing as it was found and as it is left.
    Compared {
        /// One by one.
        differences: Vec<Difference>,
    },
    /// The run does not go on by itself any more, and why.
    Held {
        /// Index of the step that now waits.
        step: usize,
        /// Why, in one line.
        why: String,
    },
    /// The maintenance window is another one than before.
    Window {
        /// How it is.
        opening: Opening,
    },
    /// The turn of a node begins, or is gone on with, in a run of its own.
    TurnBegan {
        /// Index of the turn in the plan of the roll.
        step: usize,
        /// The node's own run.
        #[serde(rename = "child_run")]
        run: RunId,
    },
    /// What the run of a node told. The journal of that run holds it, not that of the roll.
    Child {
        /// Index of the turn in the plan of the roll.
        step: usize,
        /// What it told.
        child: Box<RunEvent>,
    },
    /// The nodes to come stand in another order, or fewer are to come.
    Queued {
        /// Indices of their turns, the next one first.
        queue: Vec<usize>,
        /// The turn that was put to the end, when one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        postponed: Option<usize>,
        /// Why, in words; empty = as planned.
        #[serde(default)]
        why: String,
    },
    /// What a roll waits for before the next node, in words; empty = for nothing but the nodes that are under way.
    Paced {
        /// The words.
        text: String,
        /// Until when, where it is a matter of time.
        #[serde(default)]
        until: Option<Stamp>,
        /// Index of the turn that a confirmation begins.
        #[serde(default)]
        next: Option<usize>,
    },
    /// How the probes are doing, about every second. Not kept in the journal.
    Probed {
        /// One by one.
        probes: Vec<Reading>,
    },
    /// The probes' account at a moment that counts.
    Measured {
        /// The moment.
        moment: Moment,
        /// One by one; at the end their words are about the whole run.
        probes: Vec<Reading>,
    },
    /// The checklist of components was gone through.
    Counted {
        /// Index in the plan.
        step: usize,
        /// One by one; after the maintenance with what was counted before it.
        components: Vec<Component>,
    },
    /// Undoing begins: steps that will be carried out, appended to the plan.
    Undoing {
        /// The steps.
        steps: Vec<Step>,
    },
    /// The run is over.
    Finished {
        /// Its last state.
        state: RunState,
        /// What was changed and is left so, in words; empty = as it was found.
        left: Vec<String>,
    },
}

/// What is predicted of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreseen {
    /// The pod.
    pub pod: PodKey,
    /// What is expected of it, in words.
    pub words: String,
}

/// One event of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The operation in this process.
    pub op: OpId,
    /// The run.
    pub run: RunId,
    /// When.
    pub at: Stamp,
    /// What.
    #[serde(flatten)]
    pub change: RunChange,
}
