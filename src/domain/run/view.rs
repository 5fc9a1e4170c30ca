//! What the events of a run add up to.

use super::{Outcome, Progress, RunChange, RunCommand, RunEvent, RunState, Watched};
use crate::domain::config::DrainOptions;
use crate::domain::debt::Debt;
use crate::domain::found::Difference;
use crate::domain::gate::{Gate, Verdict};
use crate::domain::ids::{NodeName, OpId, RunId};
use crate::domain::plan::{Kind, Step, StepKind};
use crate::domain::remedy::Resolution;
use crate::domain::roll::RollView;
use crate::domain::time::Stamp;
use crate::domain::undo::LEFT_OUT;
use crate::domain::window::Opening;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// How pods are moved, when they are.
    #[serde(default)]
    pub drain: DrainOptions,
    /// The roll that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The turns of its nodes, for a roll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<Box<RollView>>,
    /// What the probes and the checklist of components say.
    #[serde(default)]
    pub watched: Watched,
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
            watched: Watched::default(),
            drain: plan.drain.clone(),
            parent: plan.parent.clone(),
            roll: RollView::of(plan).map(Box::new),
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
                let why = Outcome::Skipped(LEFT_OUT.to_owned());
                view.state = StepState::Ended(why, Duration::ZERO);
            } else if matches!(view.state, StepState::Running(_)) {
                view.state = StepState::Pending;
            }
        }
        if let Some(roll) = &mut self.roll {
            roll.reopen(&self.steps);
        }
    }

    fn decided(&mut self, order: &RunCommand) {
        if let (RunCommand::Interval { role, quiet }, Some(roll)) = (order, &mut self.roll) {
            roll.options.set_interval(*role, *quiet);
        }
        let RunCommand::Accept { step, gate, reason } = order else { return };
        let Some(view) = self.steps.get_mut(*step) else { return };
        if let Some(known) = view.gates.iter_mut().find(|known| known.name == *gate) {
            known.verdict = Verdict::Accepted(reason.clone());
        }
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &RunEvent) {
        if let Some(roll) = &mut self.roll {
            roll.apply(event);
        }
        match &event.change {
            RunChange::Planned { .. }
            | RunChange::Noted { .. }
            | RunChange::Foretold { .. }
            | RunChange::TurnBegan { .. }
            | RunChange::Child { .. }
            | RunChange::Paced { .. } => {}
            // a node that was put off begins anew
            RunChange::Queued { postponed, .. } => {
                if let Some(step) = postponed {
                    self.at(*step, |view| view.state = StepState::Pending);
                }
            }
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
                self.at(*step, |view| view.begin(event.at, *attempt));
            }
            RunChange::Progressed { step, progress } => {
                self.at(*step, |view| view.progress = Some(progress.clone()));
            }
            RunChange::GateRead { step, gate } => {
                self.at(*step, |view| view.read(gate));
            }
            RunChange::StepEnded { step, outcome, took_ms } => {
                let took = Duration::from_millis(*took_ms);
                self.at(*step, |view| view.state = StepState::Ended(outcome.clone(), took));
            }
            RunChange::Owes { debts } => self.debts.clone_from(debts),
            RunChange::Probed { .. } | RunChange::Measured { .. } | RunChange::Counted { .. } => {
                self.watched.apply(&event.change);
            }
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
        if let Some(step) = self.roll.as_ref().and_then(|roll| roll.current(self)) {
            return Some(step);
        }
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

    /// The run that a decision is about, and its step: that of the node that is stuck, in a roll; else this run itself.
    pub fn at_stake(&self) -> (&Self, Option<usize>) {
        let current = self.current();
        let turn = self.roll.as_ref().zip(current).and_then(|(roll, step)| roll.turn(step));
        match turn.filter(|turn| turn.is_stuck()).and_then(|turn| turn.child.as_deref()) {
            Some(child) => (child, child.current()),
            None => (self, current),
        }
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
    fn begin(&mut self, at: Stamp, attempt: u32) {
        self.state = StepState::Running(at);
        self.attempts = attempt;
        self.progress.take_if(|_| attempt <= 1);
    }

    fn read(&mut self, gate: &Gate) {
        match self.gates.iter_mut().find(|known| known.name == gate.name) {
            Some(known) => *known = gate.clone(),
            None => self.gates.push(gate.clone()),
        }
    }

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
