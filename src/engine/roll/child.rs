//! The run of a node: begun, gone on with, and ended.

use super::board::{Aim, Board};
use super::family::Kin;
use crate::domain::debt::Debt;
use crate::domain::guard::Permit;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Kind, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::RollAction;
use crate::domain::run::{Outcome, RunChange, RunState};
use crate::domain::time::brief;
use crate::domain::undo::LEFT_OUT;
use crate::engine::driver::{Driver, Run, begin_within, resume_within, run_id};
use crate::engine::job::{Shared, pause};
use crate::engine::journal::{self, Record};
use crate::engine::plan::{Facts, child};
use std::time::Duration;
use tokio::time::Instant;

/// How the turn of a node can begin.
enum Beginning {
    /// In this run.
    Run(Box<Run>),
    /// It was done by a run of an earlier process.
    Done(String),
}

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
        let words = match self.beginning(board, step, &node).await {
            Ok(Beginning::Run(run)) => {
                board.admit(step, node, *run);
                return self.note_under_way(board);
            }
            Ok(Beginning::Done(words)) => Ok(words),
            Err(report) => Err(report),
        };
        match words {
            Ok(words) => self.turn_done(step, &node, words, Duration::ZERO).await,
            Err(report) => {
                board.failed.insert(step);
                self.end_step(step, Outcome::Failed(report), Duration::ZERO).await;
            }
        }
    }

    async fn beginning(&mut self, board: &Board, step: usize, node: &NodeName) -> Result<Beginning, Report> {
        board.family.found(self.shared.memory().baseline);
        let kin = Kin { family: board.family.clone(), keeper: self.shared.keeper() };
        let permit = self.shared.turn_permit(node)?;
        let backends = self.shared.backends.clone();
        let op = self.shared.voice.op();
        if let Some(record) = self.earlier(step) {
            match record.state() {
                RunState::Done => {
                    return Ok(Beginning::Done(format!("done by run {}", record.header.run)));
                }
                RunState::Aborted => {}
                _ if record.view.is_none() => {}
                _ => {
                    let run = resume_within(backends, &record, permit, op, kin)?;
                    let run_id = run.id.clone();
                    self.shared.voice.tell(RunChange::TurnBegan { step, run: run_id }).await;
                    return Ok(Beginning::Run(Box::new(run)));
                }
            }
        }
        let facts = self.facts_for_turn().await?;
        let plan = child(&self.shared.plan, &self.shared.run, node, &facts);
        let id = run_id(&plan);
        // on the disk before the run begins: whoever goes on with the roll finds it
        self.shared.voice.tell(RunChange::TurnBegan { step, run: id.clone() }).await;
        Ok(Beginning::Run(Box::new(begin_within(backends, plan, permit, op, id, kin))))
    }

    /// What the plan of the node's run is made from; the API may be away for a moment.
    async fn facts_for_turn(&self) -> Result<Facts, Report> {
        let backends = &self.shared.backends;
        let end = Instant::now() + backends.settings.timing.ready;
        let mut tries = 0;
        loop {
            match Facts::read(backends).await {
                Err(report) if report.kind.is_passing() && Instant::now() < end => {}
                answer => return answer,
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    return Err(Report::new(FailureKind::Cancelled, "stopped before the turn began"));
                }
                () = tokio::time::sleep(pause(tries)) => tries += 1,
            }
        }
    }

    /// What an earlier process did in this turn.
    fn earlier(&self, step: usize) -> Option<Record> {
        let run = self.shared.voice.look(|view| view.roll.as_ref()?.turn(step)?.run.clone()).flatten()?;
        let state_dir = &self.shared.backends.settings.state_dir;
        let path = journal::directory(state_dir).join(format!("{run}.jsonl"));
        journal::read(&path).ok()
    }

    /// The run of a node is over, and so is its turn, or it comes again.
    pub(super) async fn turn_ended(&mut self, board: &mut Board, step: usize) {
        board.is_due = true;
        let Some(child) = board.active.remove(&step) else { return };
        board.family.leave(&child.node);
        self.note_under_way(board);
        let took = child.began.elapsed();
        let end = child.view.as_ref().filter(|view| view.ended.is_some()).map(|view| view.state);
        match (end, child.aim.clone()) {
            (Some(RunState::Done), _) => {
                let what = match self.shared.plan.roll.as_ref().map(|roll| &roll.options.action) {
                    Some(RollAction::DrainOnly) => "drained",
                    Some(RollAction::Command(_)) => "serviced",
                    _ => "rebooted",
                };
                let words = format!("{what} in {}", brief(took));
                self.turn_done(step, &child.node, words, took).await;
            }
            (Some(RunState::Aborted), Aim::Postpone(why)) => {
                let why = format!("{} comes last: {why}; what was begun on it is put back", child.node);
                self.put_last(step, why).await;
            }
            (Some(RunState::Aborted), Aim::LeaveOut) => {
                self.end_step(step, Outcome::Skipped(LEFT_OUT.to_owned()), took).await;
            }
            (Some(RunState::Aborted), Aim::Carry | Aim::Abort) => {
                self.end_step(step, Outcome::Aborted, took).await;
            }
            (Some(RunState::Interrupted), _) if self.cancel.is_cancelled() => {
                self.end_step(step, Outcome::Aborted, took).await;
            }
            (Some(RunState::Failed | RunState::Interrupted), _) => {
                board.failed.insert(step);
                self.end_step(step, Outcome::Failed(child.end()), took).await;
            }
            _ => {
                board.failed.insert(step);
                let words = format!("the run of {} ended without a word", child.node);
                let report = Report::new(FailureKind::Unexpected, words);
                self.end_step(step, Outcome::Failed(report), took).await;
            }
        }
    }

    async fn turn_done(&mut self, step: usize, node: &NodeName, words: String, took: Duration) {
        // it is done: pods may prefer it again
        let trouble = self.unmark(step, node).await;
        if let Some(report) = trouble {
            let text = format!("{node} keeps its mark for now: {}", report.line());
            self.shared.voice.tell(RunChange::Noted { step, text, warn: true }).await;
        }
        self.end_step(step, Outcome::Done(words), took).await;
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
