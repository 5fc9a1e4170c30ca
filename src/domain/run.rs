//! A run as it goes: its events, and the view that they add up to (console, command line and report share it).

use super::debt::Debt;
use super::found::Difference;
use super::gate::{Gate, Verdict};
use super::ids::{NodeName, OpId, PodKey, RunId};
use super::plan::{Kind, Plan, Step, StepKind};
use super::remedy::Resolution;
use super::report::Report;
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

/// State of one step in the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not reached.
    Pending,
    /// Under way since.
    Running(Stamp),
    /// Ended.
    Ended(Outcome, Duration),
}

/// One step in the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// What it is.
    pub step: Step,
    /// Its state.
    pub state: StepState,
    /// How often it was started.
    pub attempts: u32,
    /// Its last progress.
    pub progress: Option<Progress>,
    /// Its gates, the last reading of each.
    pub gates: Vec<Gate>,
    /// Part of the undo plan.
    pub is_undo: bool,
    /// Its irrevocable request was sent, or may have been, in one of its attempts.
    #[serde(default)]
    pub asked: bool,
}

/// A run as its events add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// The operation in this process.
    pub op: OpId,
    /// The run.
    pub id: RunId,
    /// Kind.
    pub kind: Kind,
    /// Nodes.
    pub nodes: Vec<NodeName>,
    /// State.
    pub state: RunState,
    /// Whether it goes on by itself.
    pub automatic: bool,
    /// When it began.
    pub started: Stamp,
    /// When it ended.
    pub ended: Option<Stamp>,
    /// The steps.
    pub steps: Vec<StepView>,
    /// What was left changed.
    pub left: Vec<String>,
    /// Why it does not go on by itself, until its next step begins.
    #[serde(default)]
    pub held: Option<String>,
    /// How the maintenance window was when it was last looked at.
    #[serde(default)]
    pub window: Opening,
    /// What it changed on the way and owes back.
    #[serde(default)]
    pub debts: Vec<Debt>,
    /// What was looked at again at the end.
    #[serde(default)]
    pub compared: Vec<Difference>,
    /// The way out that was chosen, for a resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Resolution>,
}

impl RunView {
    /// The view of a run whose first event is `Planned`, or `Resumed` with the view so far; `None` for any other event.
    pub fn begin(event: &RunEvent) -> Option<Self> {
        if let RunChange::Resumed { view: Some(view), .. } = &event.change {
            let mut view = Self { op: event.op, ..(**view).clone() };
            view.reopen();
            return Some(view);
        }
        let RunChange::Planned { plan } = &event.change else { return None };
        let steps = plan.steps.iter().cloned().map(|step| StepView::new(step, false)).collect();
        Some(Self {
            op: event.op,
            id: event.run.clone(),
            kind: plan.kind,
            nodes: plan.nodes.clone(),
            state: RunState::Running,
            automatic: false,
            started: event.at,
            ended: None,
            steps,
            left: Vec::new(),
            held: None,
            window: Opening::Always,
            debts: Vec::new(),
            compared: Vec::new(),
            resolve: plan.resolve.clone(),
        })
    }

    /// What was under way when its process ended is open again. Parts of an abort that did not end are planned anew, so that
    /// they are over here.
    fn reopen(&mut self) {
        self.state = RunState::Running;
        self.automatic = false;
        self.ended = None;
        self.left.clear();
        self.compared.clear();
        for view in &mut self.steps {
            let is_open = !matches!(
                &view.state,
                StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _)
            );
            if view.is_undo && is_open {
                let why = Outcome::Skipped(super::undo::LEFT_OUT.to_owned());
                view.state = StepState::Ended(why, Duration::ZERO);
            } else if matches!(view.state, StepState::Running(_)) {
                view.state = StepState::Pending;
            }
        }
    }

    fn decided(&mut self, order: &RunCommand) {
        let RunCommand::Accept { step, gate, reason } = order else { return };
        let Some(view) = self.steps.get_mut(*step) else { return };
        if let Some(known) = view.gates.iter_mut().find(|known| known.name == *gate) {
            known.verdict = Verdict::Accepted(reason.clone());
        }
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &RunEvent) {
        match &event.change {
            RunChange::Planned { .. } | RunChange::Noted { .. } | RunChange::Foretold { .. } => {}
            RunChange::Decided { order, .. } => self.decided(order),
            RunChange::Resumed { .. } => self.reopen(),
            RunChange::Compared { differences } => self.compared.clone_from(differences),
            RunChange::Held { why, .. } => self.held = Some(why.clone()),
            RunChange::Window { opening } => self.window = opening.clone(),
            RunChange::State { state, automatic } => {
                self.state = *state;
                self.automatic = *automatic;
                if *automatic {
                    self.held = None;
                }
            }
            RunChange::Asked { step } => self.at(*step, |view| view.asked = true),
            RunChange::StepStarted { step, attempt } => {
                self.held = None;
                self.at(*step, |view| {
                    view.state = StepState::Running(event.at);
                    view.attempts = *attempt;
                    view.progress.take_if(|_| *attempt <= 1);
                });
            }
            RunChange::Progressed { step, progress } => {
                self.at(*step, |view| view.progress = Some(progress.clone()));
            }
            RunChange::GateRead { step, gate } => {
                if let Some(view) = self.steps.get_mut(*step) {
                    match view.gates.iter_mut().find(|known| known.name == gate.name) {
                        Some(known) => *known = gate.clone(),
                        None => view.gates.push(gate.clone()),
                    }
                }
            }
            RunChange::StepEnded { step, outcome, took_ms } => {
                let took = Duration::from_millis(*took_ms);
                self.at(*step, |view| view.state = StepState::Ended(outcome.clone(), took));
            }
            RunChange::Owes { debts } => self.debts.clone_from(debts),
            RunChange::Undoing { steps } => {
                self.steps.extend(steps.iter().cloned().map(|step| StepView::new(step, true)));
            }
            RunChange::Finished { state, left } => {
                self.state = *state;
                self.ended = Some(event.at);
                self.left.clone_from(left);
            }
        }
    }

    /// Changes a step, if it is there.
    fn at(&mut self, step: usize, change: impl FnOnce(&mut StepView)) {
        if let Some(view) = self.steps.get_mut(step) {
            change(view);
        }
    }

    /// The step that is under way; else the first that did not end well (it waits for a confirmation, or failed).
    /// While an abort puts things back, only its steps count.
    pub fn current(&self) -> Option<usize> {
        let is_open = |view: &StepView| {
            !matches!(
                &view.state,
                StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _)
            )
        };
        let is_undoing = self.steps.iter().any(|view| view.is_undo);
        self.steps
            .iter()
            .position(|view| matches!(view.state, StepState::Running(_)))
            .or_else(|| self.steps.iter().position(|view| view.is_undo == is_undoing && is_open(view)))
    }

    /// Whether a step of this kind ended with an effect.
    pub fn has_done(&self, kind: StepKind) -> bool {
        self.steps.iter().any(|view| {
            view.step.kind == kind
                && matches!(&view.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
        })
    }
}

impl StepView {
    /// A step that was not started yet.
    pub fn new(step: Step, is_undo: bool) -> Self {
        Self {
            step,
            state: StepState::Pending,
            attempts: 0,
            progress: None,
            gates: Vec::new(),
            is_undo,
            asked: false,
        }
    }
}
