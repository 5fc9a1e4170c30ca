//! The run of a node: begun, gone on with, and ended.

use super::board::{Aim, Board, Child};
use super::earlier::{Beginning, judged, unsettled};
use super::family::Kin;
use crate::domain::debt::Debt;
use crate::domain::guard::Permit;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Kind, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::RollAction;
use crate::domain::run::{Outcome, RunChange, RunCommand, RunState};
use crate::domain::time::brief;
use crate::domain::undo::LEFT_OUT;
use crate::engine::driver::{Driver, begin_within, run_id};
use crate::engine::job::{Shared, pause};
use crate::engine::plan::{Facts, child};
use crate::engine::settings::Backends;
use std::time::Duration;
use tokio::time::Instant;

impl Shared {
    /// The kind of the runs of a roll's nodes.
    pub(super) fn turn_kind(&self) -> Kind {
        let action = self.plan.roll.as_ref().map(|roll| &roll.options.action);
        if action == Some(&RollAction::DrainOnly) { Kind::Drain } else { Kind::Reboot }
    }

    /// Whether its nodes are meant to be cordoned at the end.
    pub(in crate::engine) fn turns_stay_cordoned(&self) -> bool {
        self.turn_kind() == Kind::Drain
    }

    /// Leave for the run of one node, which the roll's permit includes.
    pub(super) fn turn_permit(&self, node: &NodeName) -> Result<Permit, Report> {
        self.permit.for_turn(self.turn_kind(), node)
    }
}

impl Driver {
    /// Lets a turn begin, or goes on with the run that an earlier process began.
    pub(super) async fn begin_turn(&mut self, board: &mut Board, step: usize) {
        let attempts = self.shared.voice.look(|view| view.steps.get(step).map(|view| view.attempts));
        let attempt = attempts.flatten().unwrap_or(0) + 1;
        let Some(node) = self.shared.plan.steps.get(step).and_then(|step| step.node.clone()) else { return };
        self.shared.voice.tell(RunChange::StepStarted { step, attempt }).await;
        board.family.found(self.shared.memory().baseline);
        match self.beginning(board, step, &node) {
            Ok(Beginning::Anew) => board.prepare(step, node, facts(self.shared.backends.clone())),
            Ok(Beginning::GoOn(run)) => {
                self.shared.voice.tell(RunChange::TurnBegan { step, run: run.id.clone() }).await;
                board.admit(step, &node, *run, Aim::Carry);
            }
            Ok(Beginning::PutBack(run, aim)) => board.admit(step, &node, *run, aim),
            Ok(Beginning::Over(outcome @ Outcome::Skipped(_))) => {
                self.end_step(step, outcome, Duration::ZERO).await;
            }
            Ok(Beginning::Over(outcome)) => self.turn_done(step, &node, outcome, Duration::ZERO).await,
            Err(report) => self.turn_failed(board, step, report, Duration::ZERO).await,
        }
        self.note_under_way(board);
    }

    /// What the run of a part of the roll is given.
    pub(super) fn kin(&self, board: &Board) -> Kin {
        Kin { family: board.family.clone(), keeper: self.shared.keeper() }
    }

    /// What the plan of the node's run is made from is known, or is not: the run begins, unless something else was decided
    /// meanwhile.
    pub(super) async fn turn_prepared(
        &mut self,
        board: &mut Board,
        step: usize,
        facts: Result<Facts, Report>,
    ) {
        let Some(child) = board.active.get(&step) else { return };
        let node = child.node.clone();
        if child.aim != Aim::Carry || self.cancel.is_cancelled() {
            return self.turn_not_begun(board, step).await;
        }
        let begun = match facts {
            Ok(facts) => self.begin_run(board, step, &node, &facts).await,
            Err(report) => Err(report),
        };
        if let Err(report) = begun {
            let child = board.dismiss(step);
            let took = child.map_or(Duration::ZERO, |child| child.began.elapsed());
            self.turn_failed(board, step, report, took).await;
        }
        self.note_under_way(board);
    }

    async fn begin_run(
        &mut self,
        board: &mut Board,
        step: usize,
        node: &NodeName,
        facts: &Facts,
    ) -> Result<(), Report> {
        let permit = self.shared.turn_permit(node)?;
        let plan = child(&self.shared.plan, &self.shared.run, node, facts);
        let id = run_id(&plan);
        // on the disk before the run begins: whoever goes on with the roll finds it
        self.shared.voice.tell(RunChange::TurnBegan { step, run: id.clone() }).await;
        let (backends, op) = (self.shared.backends.clone(), self.shared.voice.op());
        let run = begin_within(backends, plan, permit, op, id, self.kin(board));
        if self.is_paused {
            // it has just begun: there is room for an order
            let _ = run.commands.send(RunCommand::Pause).await;
        }
        board.admit(step, node, run, Aim::Carry);
        Ok(())
    }

    /// Nothing was done on the node yet.
    async fn turn_not_begun(&mut self, board: &mut Board, step: usize) {
        let Some(child) = board.dismiss(step) else { return };
        self.note_under_way(board);
        match child.aim {
            Aim::Postpone(why) => self.put_last(step, format!("{} comes last: {why}", child.node)).await,
            Aim::LeaveOut => {
                self.end_step(step, Outcome::Skipped(LEFT_OUT.to_owned()), Duration::ZERO).await;
            }
            Aim::Carry | Aim::Abort | Aim::Leave => {
                self.end_step(step, Outcome::Aborted, Duration::ZERO).await;
            }
        }
    }

    /// The run of a node is over, and so is its turn, or it comes again.
    pub(super) async fn turn_ended(&mut self, board: &mut Board, step: usize) {
        let Some(child) = board.dismiss(step) else { return };
        self.note_under_way(board);
        let took = child.began.elapsed();
        let view = child.view.as_ref().filter(|view| view.ended.is_some());
        match (view.map(|view| view.state), child.aim.clone()) {
            (Some(RunState::Done), _) => self.turn_is_done(step, &child, took).await,
            (Some(RunState::Aborted), Aim::Postpone(why)) => {
                board.put_off.note(step, &child);
                let why = format!("{} comes last: {why}; what was begun on it is put back", child.node);
                self.put_last(step, why).await;
            }
            (Some(RunState::Aborted), Aim::LeaveOut) => {
                self.end_step(step, Outcome::Skipped(LEFT_OUT.to_owned()), took).await;
            }
            (Some(RunState::Aborted), Aim::Abort) => {
                self.end_step(step, Outcome::Aborted, took).await;
            }
            (Some(RunState::Interrupted), _) if self.cancel.is_cancelled() => {
                self.end_step(step, Outcome::Aborted, took).await;
            }
            (Some(RunState::Failed | RunState::Interrupted | RunState::Aborted), _) => {
                self.turn_failed(board, step, child.end(), took).await;
            }
            _ => {
                let words = format!("the run of {} ended without a word", child.node);
                self.turn_failed(board, step, Report::new(FailureKind::Unexpected, words), took).await;
            }
        }
    }

    async fn turn_failed(&mut self, board: &mut Board, step: usize, report: Report, took: Duration) {
        board.failed.insert(step);
        self.end_step(step, Outcome::Failed(report), took).await;
    }

    /// The run of a node came to its end. One whose last look was not green lets no other begin by itself.
    async fn turn_is_done(&mut self, step: usize, child: &Child, took: Duration) {
        let what = match self.shared.plan.roll.as_ref().map(|roll| &roll.options.action) {
            Some(RollAction::DrainOnly) => "drained",
            Some(RollAction::Command(_)) => "serviced",
            _ => "rebooted",
        };
        let words = format!("{what} in {}{}", brief(took), self.changed(step));
        let outcome = child.view.as_ref().map_or(Outcome::Done(words.clone()), |view| judged(view, words));
        self.turn_done(step, &child.node, outcome, took).await;
        let unsettled = child.view.as_ref().and_then(unsettled);
        if let Some(why) = unsettled.filter(|_| !self.keeps_going() && self.first_queued().is_some()) {
            self.hold_turns(step, format!("{} was not green at its last look: {why}", child.node)).await;
        }
    }

    /// What the command of the roll changed of the node, by the word of the node's own run.
    fn changed(&self, step: usize) -> String {
        let is_command = self
            .shared
            .plan
            .roll
            .as_ref()
            .is_some_and(|roll| matches!(roll.options.action, RollAction::Command(_)));
        let record = if is_command { self.earlier(step).ok().flatten() } else { None };
        let changed = record.and_then(|record| record.memory.changed);
        changed.map_or_else(String::new, |words| format!("; {words}"))
    }

    async fn turn_done(&mut self, step: usize, node: &NodeName, outcome: Outcome, took: Duration) {
        // it is done: pods may prefer it again
        let trouble = self.unmark(step, node).await;
        if let Some(report) = trouble {
            let text = format!("{node} keeps its mark for now: {}", report.line());
            self.shared.voice.tell(RunChange::Noted { step, text, warn: true }).await;
        }
        self.end_step(step, outcome, took).await;
    }

    async fn unmark(&mut self, step: usize, node: &NodeName) -> Option<Report> {
        let debts = self.shared.memory().debts;
        let is_marked =
            debts.iter().any(|debt| matches!(debt, Debt::NodesMarked { nodes } if nodes.contains(node)));
        if !is_marked {
            return None;
        }
        let job = self.job(step)?;
        crate::engine::step::take_mark(&job, node).await.err()
    }

    async fn end_step(&mut self, step: usize, outcome: Outcome, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.shared.voice.tell(RunChange::StepEnded { step, outcome, took_ms }).await;
    }

    /// Puts a turn to the end of its group.
    pub(super) async fn put_last(&mut self, step: usize, why: String) {
        let queue = self.shared.voice.look(|view| view.roll.as_ref().map(|roll| roll.queue.clone()));
        let mut queue = queue.flatten().unwrap_or_default();
        queue.retain(|queued| *queued != step);
        queue.push(step);
        self.shared.voice.tell(RunChange::Queued { queue, postponed: Some(step), why }).await;
    }

    /// The lock says which nodes are in their turns.
    fn note_under_way(&self, board: &Board) {
        let Some(keeper) = self.shared.keeper() else { return };
        let nodes: Vec<String> = board.family.under_way().into_iter().map(|node| node.0).collect();
        let turn = StepKind::Turn.name();
        keeper.enter(&if nodes.is_empty() {
            turn.to_owned()
        } else {
            format!("{turn} of {}", nodes.join(", "))
        });
    }
}

/// What the plan of a node's run is made from; the API may be away for a moment.
async fn facts(backends: Backends) -> Result<Facts, Report> {
    let end = Instant::now() + backends.settings.timing.ready;
    let mut tries = 0;
    loop {
        match Facts::read(&backends).await {
            Err(report) if report.kind.is_passing() && Instant::now() < end => {}
            answer => return answer,
        }
        tokio::time::sleep(pause(tries)).await;
        tries += 1;
    }
}
