//! What a roll has under way, what comes next, and what rests.

use super::family::Family;
use crate::domain::ids::NodeName;
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::{Group, Role, RollView};
use crate::domain::run::{Outcome, RunCommand, RunEvent, RunState, RunView, StepState};
use crate::domain::time::Stamp;
use crate::engine::driver::Run;
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
}

impl Child {
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

    /// Tells it something; one that is over needs no orders.
    pub async fn tell(&self, order: RunCommand) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(order).await;
        }
    }

    /// What became of it when it ended otherwise than well.
    pub fn end(&self) -> Report {
        let failed = self.view.iter().flat_map(|view| &view.steps).find_map(|step| match &step.state {
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
        if let Some(why) = &view.held {
            return why.clone();
        }
        let failed = view.steps.iter().find_map(|step| match &step.state {
            StepState::Ended(Outcome::Failed(report), _) => {
                Some(format!("{}: {}", step.step.kind.name(), report.line()))
            }
            _ => None,
        });
        let at = view.current().and_then(|at| view.steps.get(at)).map(|step| step.step.kind.name());
        failed.unwrap_or_else(|| format!("it waits at {}", at.unwrap_or("its end")))
    }
}

/// What the run of a node told, by the index of its turn; `None` = it has ended.
type Heard = (usize, Option<RunEvent>);

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
            paced: None,
        }
    }

    /// Listens to the run of a node.
    pub fn admit(&mut self, step: usize, node: NodeName, run: Run) {
        let Run { commands, mut events, cancel, .. } = run;
        self.family.enter(&node);
        let child = Child {
            node,
            commands: Some(commands),
            cancel,
            view: None,
            began: Instant::now(),
            aim: Aim::Carry,
        };
        self.active.insert(step, child);
        let ears = self.ears.clone();
        tokio::spawn(async move {
            // when nobody listens any more, the run goes on as it is
            while let Some(event) = events.recv().await {
                let _ = ears.send((step, Some(event))).await;
            }
            let _ = ears.send((step, None)).await;
        });
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

/// When the pause after the canary ends; `None` = there was none, or it has not ended well.
pub(super) fn canary(roll: &RollView, view: &RunView) -> Option<(Stamp, NodeName)> {
    let turn = roll.turns.iter().find(|turn| turn.group == Group::Canary)?;
    let is_done = view
        .steps
        .get(turn.step)
        .is_some_and(|step| matches!(step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _)));
    let pause = roll.options.canary_pause.max(roll.options.node_interval);
    is_done.then(|| turn.ended.map(|ended| (ended.plus(pause), turn.node.clone()))).flatten()
}
