//! What a roll has under way, what comes next, and what rests.

use super::estimate::Expected;
use super::family::Family;
use super::put_off::PutOff;
use crate::domain::ids::NodeName;
use crate::domain::plan::StepKind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::{Group, Role, RollView};
use crate::domain::run::{Outcome, RunCommand, RunEvent, RunState, RunView, StepState, StepView};
use crate::domain::time::Stamp;
use crate::engine::driver::Run;
use crate::engine::plan::Facts;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is to become of a run that was told to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    /// It is to be carried out.
    Carry,
    /// It is put back, and its node comes last; why.
    Postpone(String),
    /// It is put back, and its node is left out.
    LeaveOut,
    /// It is put back, as the whole roll is.
    Abort,
    /// It ends as it is.
    Leave,
}

/// The run of one node.
pub(super) struct Child {
    pub node: NodeName,
    pub commands: Option<Sender<RunCommand>>,
    pub cancel: CancellationToken,
    pub view: Option<RunView>,
    pub began: Instant,
    pub aim: Aim,
    /// Its run is there; before that, what its plan is made from is read.
    pub is_begun: bool,
}

impl Child {
    fn new(node: NodeName) -> Self {
        Self {
            node,
            commands: None,
            cancel: CancellationToken::new(),
            view: None,
            began: Instant::now(),
            aim: Aim::Carry,
            is_begun: false,
        }
    }

    pub fn state(&self) -> RunState {
        self.view.as_ref().map_or(RunState::Running, |view| view.state)
    }

    pub fn is_stuck(&self) -> bool {
        self.aim == Aim::Carry
            && matches!(self.state(), RunState::Failed | RunState::Waiting | RunState::Paused)
    }

    /// Its irrevocable request may have been sent.
    pub fn has_asked(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.steps.iter().any(|step| step.asked))
    }

    /// Its node was drained, and how the others do without it is looked at: what is wrong now concerns all of them.
    pub fn is_validated(&self) -> bool {
        let is_begun = |step: &StepView| step.step.kind == StepKind::Components && step.attempts > 0;
        self.view.as_ref().is_some_and(|view| view.steps.iter().any(is_begun))
    }

    /// Tells it something; one that is over needs no orders.
    pub async fn tell(&self, order: RunCommand) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(order).await;
        }
    }

    /// Has it put back what it has done, and says what becomes of its turn then. One that has not begun does not begin.
    pub async fn put_back(&mut self, aim: Aim) {
        self.aim = aim;
        if self.is_begun {
            self.tell(RunCommand::Abort).await;
        } else {
            self.cancel.cancel();
        }
    }

    /// What became of it when it ended otherwise than well.
    pub fn end(&self) -> Report {
        // what could not be put back weighs more than why it was to be
        let failed =
            self.view.iter().flat_map(|view| view.steps.iter().rev()).find_map(|step| match &step.state {
                StepState::Ended(Outcome::Failed(report), _) => Some(report.kind),
                _ => None,
            });
        // one that waited was not green: that is a finding, as a gate is
        let kind = failed.unwrap_or(FailureKind::Denied);
        Report::new(kind, format!("the run of {} did not end well: {}", self.node, self.trouble()))
    }

    /// Why it does not go on, in one line.
    pub fn trouble(&self) -> String {
        let Some(view) = &self.view else { return "it does not say why".to_owned() };
        let is_undone = view.steps.iter().any(|step| step.is_undo);
        if let (Some(why), false) = (&view.held, is_undone) {
            return why.clone();
        }
        let failed = view.steps.iter().rev().find_map(|step| match &step.state {
            StepState::Ended(Outcome::Failed(report), _) => {
                let undo = if step.is_undo { "it could not be put back: " } else { "" };
                Some(format!("{undo}{}: {}", step.step.kind.name(), report.line()))
            }
            _ => None,
        });
        if failed.is_none() && view.ended.is_some() && view.state == RunState::Aborted {
            return "it was aborted".to_owned();
        }
        let at = view.current().and_then(|at| view.steps.get(at)).map(|step| step.step.kind.name());
        failed.unwrap_or_else(|| format!("it waits at {}", at.unwrap_or("its end")))
    }
}

/// What is heard of the turn of a node.
pub(super) enum Word {
    /// What the plan of its run is made from was read, or could not be.
    Facts(Box<Result<Facts, Report>>),
    /// Its run told something.
    Told(Box<RunEvent>),
    /// Its run has ended.
    Over,
}

/// The same by the index of its step.
type Heard = (usize, Word);

/// All of it.
pub(super) struct Board {
    /// Runs of nodes, by the indices of their turns.
    pub active: BTreeMap<usize, Child>,
    /// What all of them tell.
    pub heard: Receiver<Heard>,
    ears: Sender<Heard>,
    pub family: Arc<Family>,
    /// Turns that ended otherwise than well, and are passed over.
    pub failed: BTreeSet<usize>,
    /// The turn that the engineer let begin.
    pub confirmed: Option<usize>,
    /// The canary was looked at, or its pause is over.
    pub is_released: bool,
    /// Nothing new begins: the roll is put back, or ends.
    pub is_ending: bool,
    /// Something happened after which another turn may begin.
    pub is_due: bool,
    /// Since when nothing can begin although nothing is under way.
    pub idle: Option<Instant>,
    /// Nodes that were put off, and what is known of what blocks them.
    pub put_off: PutOff,
    /// When what blocks a node that was put off is looked at again.
    pub glance: Option<Stamp>,
    /// How long turns take by what is on record, once it was asked for.
    pub expected: Option<Expected>,
    /// What was told last of what is waited for.
    pub paced: Option<(String, Option<Stamp>, Option<usize>)>,
}

impl Board {
    /// Nothing is under way yet.
    pub fn new() -> Self {
        let (ears, heard) = channel(64);
        Self {
            active: BTreeMap::new(),
            heard,
            ears,
            family: Arc::default(),
            failed: BTreeSet::new(),
            confirmed: None,
            is_released: false,
            is_ending: false,
            is_due: true,
            idle: None,
            put_off: PutOff::default(),
            glance: None,
            expected: None,
            paced: None,
        }
    }

    /// The turn of a node begins. What the plan of its run is made from is read beside everything else, so that orders and the
    /// other runs are heard meanwhile.
    pub fn prepare(
        &mut self,
        step: usize,
        node: NodeName,
        facts: impl Future<Output = Result<Facts, Report>> + Send + 'static,
    ) {
        self.family.enter(&node);
        let child = Child::new(node);
        let (ears, cancel) = (self.ears.clone(), child.cancel.clone());
        self.active.insert(step, child);
        tokio::spawn(async move {
            let stopped = || Err(Report::new(FailureKind::Cancelled, "stopped before the turn began"));
            let facts = cancel.run_until_cancelled_owned(facts).await.unwrap_or_else(stopped);
            let _ = ears.send((step, Word::Facts(Box::new(facts)))).await;
        });
    }

    /// Listens to the run of a node.
    pub fn admit(&mut self, step: usize, node: &NodeName, run: Run, aim: Aim) {
        let Run { commands, mut events, cancel, .. } = run;
        self.family.enter(node);
        let child = self.active.entry(step).or_insert_with(|| Child::new(node.clone()));
        (child.commands, child.cancel, child.is_begun) = (Some(commands), cancel, true);
        child.aim = aim;
        let ears = self.ears.clone();
        tokio::spawn(async move {
            // when nobody listens any more, the run goes on as it is
            while let Some(event) = events.recv().await {
                let _ = ears.send((step, Word::Told(Box::new(event)))).await;
            }
            let _ = ears.send((step, Word::Over)).await;
        });
    }

    /// The turn of a node is over, or it does not begin.
    pub fn dismiss(&mut self, step: usize) -> Option<Child> {
        let child = self.active.remove(&step)?;
        self.family.leave(&child.node);
        self.is_due = true;
        Some(child)
    }

    /// The first run that waits for a decision, a failed one before others.
    pub fn stuck(&self) -> Option<(usize, &Child)> {
        let of = |wanted: fn(RunState) -> bool| {
            self.active.iter().find(move |(_, child)| child.is_stuck() && wanted(child.state()))
        };
        of(|state| state == RunState::Failed).or_else(|| of(|_| true)).map(|(step, child)| (*step, child))
    }
}

/// Nodes whose pause is not over yet, and when the last of the pauses ends that must be over before another group, or
/// another control-plane node.
pub(super) struct Rests {
    /// Nodes of workers that count as away still, with the end of their pause.
    pub nodes: BTreeMap<NodeName, Stamp>,
    /// The end of the last pause of the control plane.
    pub control_plane: Option<Stamp>,
}

/// The pauses by what the view knows of the turns that ended.
pub(super) fn rests(roll: &RollView, now: Stamp) -> Rests {
    let mut rests = Rests { nodes: BTreeMap::new(), control_plane: None };
    for turn in roll.turns.iter().filter(|turn| turn.began.is_some()) {
        let Some(ended) = turn.ended else { continue };
        let role = turn.group.role();
        let until = ended.plus(roll.options.interval(role));
        if until <= now {
            continue;
        }
        if role == Role::ControlPlane {
            rests.control_plane = rests.control_plane.max(Some(until));
        } else {
            rests.nodes.insert(turn.node.clone(), until);
        }
    }
    rests
}

/// The canary that is done.
pub(super) struct Canary {
    pub node: NodeName,
    /// When the pause after it ends.
    pub until: Stamp,
    /// Its last look was green.
    pub is_green: bool,
}

/// The canary; `None` = there was none, or it has not ended well.
pub(super) fn canary(roll: &RollView, view: &RunView) -> Option<Canary> {
    let turn = roll.turns.iter().find(|turn| turn.group == Group::Canary)?;
    let is_green = match &view.steps.get(turn.step)?.state {
        StepState::Ended(Outcome::Done(_), _) => true,
        StepState::Ended(Outcome::Warned(_), _) => false,
        _ => return None,
    };
    let pause = roll.options.canary_pause.max(roll.options.node_interval);
    Some(Canary { node: turn.node.clone(), until: turn.ended?.plus(pause), is_green })
}
