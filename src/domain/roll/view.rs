//! A roll as its events add up: which node is done, under way, next, or stuck.

use super::{Group, RollOptions};
use crate::domain::ids::{NodeName, RunId};
use crate::domain::plan::{Kind, Plan, StepKind};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView, StepState, StepView};
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};

/// One node's turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// Index of its step in the plan.
    pub step: usize,
    /// The node.
    pub node: NodeName,
    /// With which it comes.
    pub group: Group,
    /// Its zone.
    pub zone: Option<String>,
    /// The node's own run, the last one.
    pub run: Option<RunId>,
    /// That run, until it is done.
    pub child: Option<Box<RunView>>,
    /// How often it was put to the end of the queue.
    pub postponed: u32,
    /// When it was put there last.
    pub put_off: Option<Stamp>,
    /// When its turn began.
    pub began: Option<Stamp>,
    /// When its turn ended.
    pub ended: Option<Stamp>,
    /// The engineer left it out: what was begun on it is put back, and it does not come again.
    #[serde(default)]
    pub left_out: bool,
}

impl TurnView {
    /// Whether its run waits for a decision.
    pub fn is_stuck(&self) -> bool {
        self.child.as_ref().is_some_and(|child| {
            child.ended.is_none()
                && matches!(child.state, RunState::Failed | RunState::Waiting | RunState::Paused)
        })
    }
}

/// A roll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollView {
    /// How it goes, with the pauses as they are now.
    pub options: RollOptions,
    /// Every node's turn, in the planned order.
    pub turns: Vec<TurnView>,
    /// The turns to come, by the indices of their steps, the next one first.
    pub queue: Vec<usize>,
    /// What it waits for before the next node, in words; empty = nothing but the nodes under way.
    pub paced: String,
    /// Until when, where it is a matter of time.
    pub until: Option<Stamp>,
    /// The turn that a confirmation begins.
    pub next: Option<usize>,
}

impl RollView {
    /// At the beginning; `None` = the plan is not that of a roll.
    pub fn of(plan: &Plan) -> Option<Self> {
        let roll = plan.roll.as_ref().filter(|_| plan.kind == Kind::Roll)?;
        let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.kind == StepKind::Turn);
        let turns: Vec<TurnView> = steps
            .zip(&roll.turns)
            .map(|((step, _), turn)| TurnView {
                step,
                node: turn.node.clone(),
                group: turn.group,
                zone: turn.zone.clone(),
                run: None,
                child: None,
                postponed: 0,
                put_off: None,
                began: None,
                ended: None,
                left_out: false,
            })
            .collect();
        Some(Self {
            options: roll.options.clone(),
            queue: turns.iter().map(|turn| turn.step).collect(),
            turns,
            paced: String::new(),
            until: None,
            next: None,
        })
    }

    /// The turn whose step has this index.
    pub fn turn(&self, step: usize) -> Option<&TurnView> {
        self.turns.iter().find(|turn| turn.step == step)
    }

    fn turn_mut(&mut self, step: usize) -> Option<&mut TurnView> {
        self.turns.iter_mut().find(|turn| turn.step == step)
    }

    /// The turns that are under way.
    pub fn under_way<'r>(&'r self, run: &'r RunView) -> impl Iterator<Item = &'r TurnView> {
        self.turns.iter().filter(|turn| {
            run.steps.get(turn.step).is_some_and(|view| matches!(view.state, StepState::Running(_)))
        })
    }

    /// How many turns of a group ended well, of how many; `None` = of all groups.
    pub fn done(&self, run: &RunView, group: Option<Group>) -> (usize, usize) {
        let of = |turn: &&TurnView| group.is_none_or(|group| turn.group == group);
        let is_done = |turn: &&TurnView| {
            run.steps.get(turn.step).is_some_and(|view| {
                matches!(view.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
            })
        };
        let all = self.turns.iter().filter(of);
        (all.clone().filter(is_done).count(), all.count())
    }

    /// The turn that wants a decision most; else the one that a confirmation begins, while the run waits for one.
    pub fn current(&self, run: &RunView) -> Option<usize> {
        if run.steps.iter().any(|view| view.is_undo) {
            return None;
        }
        if let Some(stuck) = self.under_way(run).find(|turn| turn.is_stuck()) {
            return Some(stuck.step);
        }
        let waits = matches!(run.state, RunState::Waiting | RunState::Paused);
        self.next.filter(|_| waits)
    }

    /// The canary was put off: the next worker takes its place.
    fn name_canary(&mut self, was: usize) {
        let next = self
            .queue
            .iter()
            .find(|step| **step != was && self.turn(**step).is_some_and(|turn| turn.group == Group::Workers));
        let Some(next) = next.copied() else { return };
        for (step, group) in [(next, Group::Canary), (was, Group::Workers)] {
            if let Some(turn) = self.turn_mut(step) {
                turn.group = group;
            }
        }
    }

    /// Another process goes on. Turns that were begun and are not over come first, as planned: also one whose run had not begun
    /// yet, and one that failed.
    pub(crate) fn reopen(&mut self, steps: &[StepView]) {
        let is_open = |turn: &&TurnView| {
            let is_over = steps.get(turn.step).is_some_and(|view| {
                matches!(
                    view.state,
                    StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _)
                )
            });
            !is_over && !self.queue.contains(&turn.step)
        };
        let mut queue: Vec<usize> = self.turns.iter().filter(is_open).map(|turn| turn.step).collect();
        queue.append(&mut self.queue);
        self.queue = queue;
        self.paced.clear();
        (self.until, self.next) = (None, None);
    }

    fn decided(&mut self, step: usize, order: &RunCommand) {
        let leaves_out = match order {
            RunCommand::Skip => true,
            RunCommand::Turn { order, .. } => **order == RunCommand::Abort,
            _ => false,
        };
        if let (true, Some(turn)) = (leaves_out, self.turn_mut(step)) {
            turn.left_out = true;
        }
    }

    /// Adds one event of the roll.
    pub(crate) fn apply(&mut self, event: &RunEvent) {
        match &event.change {
            RunChange::StepStarted { step, .. } => {
                if let Some(turn) = self.turn_mut(*step) {
                    turn.began = Some(event.at);
                    turn.ended = None;
                }
                self.queue.retain(|queued| queued != step);
            }
            RunChange::StepEnded { step, outcome, .. } => {
                if let Some(turn) = self.turn_mut(*step) {
                    turn.ended = Some(event.at);
                    let is_well =
                        matches!(outcome, Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_));
                    turn.child.take_if(|child| is_well && child.left.is_empty());
                }
                self.queue.retain(|queued| queued != step);
            }
            RunChange::Decided { step, order, .. } => self.decided(*step, order),
            RunChange::TurnBegan { step, run } => {
                if let Some(turn) = self.turn_mut(*step) {
                    turn.child.take_if(|child| child.id != *run);
                    turn.run = Some(run.clone());
                }
            }
            RunChange::Child { step, child } => {
                let Some(turn) = self.turn_mut(*step) else { return };
                match &mut turn.child {
                    Some(view) if view.id == child.run => match RunView::begin(child) {
                        Some(anew) => **view = anew,
                        None => view.apply(child),
                    },
                    _ => turn.child = RunView::begin(child).map(Box::new),
                }
            }
            RunChange::Queued { queue, postponed, .. } => {
                self.queue.clone_from(queue);
                if let Some(turn) = postponed.and_then(|step| self.turn_mut(step)) {
                    turn.postponed += 1;
                    // one that was not begun yet was only moved
                    turn.put_off = turn.began.map(|_| event.at);
                    turn.run = None;
                    turn.child = None;
                    turn.began = None;
                    turn.ended = None;
                    if turn.group == Group::Canary {
                        let step = turn.step;
                        self.name_canary(step);
                    }
                }
            }
            RunChange::Paced { text, until, next } => {
                self.paced.clone_from(text);
                self.until = *until;
                self.next = *next;
            }
            _ => {}
        }
    }
}
