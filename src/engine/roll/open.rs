//! Which node's turn begins next, and why none does: looked at anew each time, with the nodes as they are now.

use super::board::{Board, Canary, canary, rests};
use super::estimate::{expected, takes};
use crate::backend::clock::now;
use crate::domain::feed::{Row, Table};
use crate::domain::guard::{Assent, World, may_turn};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::roll::{Group, RollAction, RollView, Room, Turn, TurnView, room, unavailable};
use crate::domain::run::{Outcome, RunView, StepState};
use crate::domain::time::{Stamp, brief};
use crate::domain::window::Windows;
use crate::engine::driver::Driver;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// What is found about the next turn.
pub(super) enum Next {
    /// This one may begin.
    Begin(usize),
    /// None may yet: why, and when to look again. `true` = it is not a matter of our own nodes or pauses.
    Wait(String, Option<Stamp>, bool),
    /// The canary is to be looked at.
    Look(String, usize),
    /// There is none.
    None,
}

impl Driver {
    /// Lets begin what may, and says what is waited for; when to look again at the latest.
    pub(super) async fn open(&mut self, board: &mut Board) -> Option<Stamp> {
        loop {
            if board.is_ending || (!board.failed.is_empty() && !self.keeps_going()) {
                self.pace(board, String::new(), None, None).await;
                return None;
            }
            if let Some((_, child)) = board.stuck() {
                let text = format!("no other node begins while {} wants a decision", child.node);
                self.pace(board, text, None, None).await;
                return None;
            }
            match self.next_turn(board).await {
                Next::None => {
                    board.idle = None;
                    self.pace(board, String::new(), None, None).await;
                    return None;
                }
                Next::Wait(text, until, is_odd) => {
                    return self.wait_for_turn(board, text, until, is_odd).await;
                }
                Next::Look(text, step) => {
                    if let Some(wake) = self.release(board, text, step).await {
                        return wake;
                    }
                }
                Next::Begin(step) => {
                    board.idle = None;
                    if board.confirmed.take_if(|confirmed| *confirmed == step).is_none() {
                        // a window that closes and probes that fail end the automatic mode, as everywhere
                        let is_held = self.hold(step).await
                            || self.hold_by_end(board, step).await
                            || self.hold_by_probes(step).await;
                        if is_held || !self.is_automatic {
                            let text = self.asks_for(step);
                            self.pace(board, text, None, Some(step)).await;
                            return None;
                        }
                    }
                    self.begin_turn(board, step).await;
                }
            }
        }
    }

    /// A turn that would not end in the maintenance window does not begin by itself.
    async fn hold_by_end(&mut self, board: &mut Board, step: usize) -> bool {
        let Some(plan) = &self.shared.plan.roll else { return false };
        let settings = &self.shared.backends.settings;
        if settings.timing.windows == Windows::default() {
            return false;
        }
        let earlier = *board.expected.get_or_insert_with(|| expected(settings, plan));
        let takes = self.shared.voice.look(|view| {
            let roll = view.roll.as_ref()?;
            let turn = roll.turn(step)?;
            Some((turn.node.clone(), takes(roll, view, turn.group.role(), &earlier)))
        });
        let Some((node, takes)) = takes.flatten() else { return false };
        self.hold_for_end(step, &format!("the turn of {node}"), takes).await
    }

    fn asks_for(&self, step: usize) -> String {
        let node = self.shared.plan.steps.get(step).and_then(|step| step.node.clone());
        let is_begun = |view: &RunView| view.roll.as_ref()?.turn(step)?.run.as_ref().map(|_| ());
        let is_begun = self.shared.voice.look(is_begun).flatten().is_some();
        let verb = if is_begun { "goes on with" } else { "begins" };
        node.map_or_else(String::new, |node| format!("{node} is next: N {verb} its turn"))
    }

    /// Nothing may begin now. When nothing is under way either, and that does not pass, somebody has to look.
    async fn wait_for_turn(
        &mut self,
        board: &mut Board,
        text: String,
        until: Option<Stamp>,
        is_odd: bool,
    ) -> Option<Stamp> {
        let timing = &self.shared.backends.settings.timing;
        let patience = timing.ready;
        // what others have to change is looked at again; our own runs and pauses tell by themselves
        let again = until.or_else(|| is_odd.then(|| now().plus(timing.poll.max(Duration::from_secs(1)))));
        let again = [again, board.glance.take()].into_iter().flatten().min();
        if !is_odd || !board.active.is_empty() {
            board.idle = None;
        } else if board.idle.get_or_insert_with(Instant::now).elapsed() >= patience {
            let next = self.first_queued();
            let paced = (text, until, next);
            // told once: what is waited for is the same then
            if self.is_automatic || board.paced.as_ref() != Some(&paced) {
                let why = format!("{}; for {} nothing changed that", paced.0, brief(patience));
                self.hold_turns(next.unwrap_or(0), why).await;
            }
            let (text, until, next) = paced;
            self.pace(board, text, until, next).await;
            return again;
        }
        self.pace(board, text, until, None).await;
        again
    }

    /// The pause after the canary: whoever sits there looks and goes on; with `--yes` a time passes.
    /// `Some` = not released yet.
    async fn release(&mut self, board: &mut Board, text: String, step: usize) -> Option<Option<Stamp>> {
        if board.confirmed == Some(step) {
            board.is_released = true;
            return None;
        }
        let paced = (text, None, Some(step));
        if self.is_automatic || board.paced.as_ref() != Some(&paced) {
            self.hold_turns(step, paced.0.clone()).await;
        }
        self.pace(board, paced.0, None, Some(step)).await;
        Some(None)
    }

    pub(super) fn first_queued(&self) -> Option<usize> {
        self.shared.voice.look(|view| view.roll.as_ref()?.queue.first().copied()).flatten()
    }

    async fn next_turn(&self, board: &mut Board) -> Next {
        let Some(view) = self.shared.voice.view() else { return Next::None };
        let Some(roll) = view.roll.as_deref() else { return Next::None };
        let waiting: Vec<&TurnView> = roll.queue.iter().filter_map(|step| roll.turn(*step)).collect();
        let Some(group) = waiting.iter().map(|turn| turn.group).min() else { return Next::None };
        // the groups come one after the other
        let is_earlier = |step: &usize| roll.turn(*step).is_some_and(|turn| turn.group < group);
        let is_one = group != Group::Workers && !board.active.is_empty();
        if is_one || board.active.keys().any(is_earlier) {
            return Next::Wait(String::new(), None, false);
        }
        let now = now();
        let rests = rests(roll, now);
        if let Some(until) = rests.control_plane {
            return Next::Wait("pause after the control-plane node".to_owned(), Some(until), false);
        }
        if group == Group::Workers
            && !board.is_released
            && let Some(next) = self.after_canary(board, roll, &view, waiting[0].step)
        {
            return next;
        }
        let rows = match self.shared.backends.cluster.nodes().await {
            Ok(rows) => rows.into_iter().map(|row| (row.key(), row)).collect::<Table<NodeRow>>(),
            Err(error) => return Next::Wait(format!("the nodes cannot be read: {error}"), None, true),
        };
        let mut of_group: Vec<&TurnView> = waiting.into_iter().filter(|turn| turn.group == group).collect();
        let put_off = self.put_off(board, &mut of_group, now).await;
        if let (true, Some(wait)) = (of_group.is_empty(), put_off) {
            return wait;
        }
        // what an earlier process began comes before what nobody has touched
        if of_group.iter().any(|turn| turn.run.is_some()) {
            of_group.retain(|turn| turn.run.is_some());
        }
        if group == Group::ControlPlane {
            return self.next_master(&of_group, &rows).await;
        }
        let resting: BTreeSet<NodeName> = rests.nodes.keys().cloned().collect();
        let next = Self::next_worker(board, &view, roll, &of_group, (&rows, resting));
        match next {
            Next::Wait(text, None, false) => {
                // the first pause that ends makes room
                let until = rests.nodes.values().min().copied();
                let text = match until {
                    Some(_) if board.active.is_empty() => "pause after the node".to_owned(),
                    _ => text,
                };
                Next::Wait(text, until, false)
            }
            next => next,
        }
    }

    /// What the pause after the canary says; `None` = it is over.
    fn after_canary(&self, board: &mut Board, roll: &RollView, view: &RunView, step: usize) -> Option<Next> {
        let Some(Canary { node, until, is_green }) = canary(roll, view) else {
            board.is_released = true;
            return None;
        };
        let is_flawed = !is_green && !self.keeps_going();
        if is_flawed || !matches!(self.shared.permit.assent(), Assent::Flag { .. }) {
            let but = if is_green { "" } else { ", but was not green at its last look" };
            let text = format!("the canary {node} is done{but}: look at it, then N goes on with the others");
            return Some(Next::Look(text, step));
        }
        let at = now();
        if until > at {
            return Some(Next::Wait(format!("pause after the canary {node}"), Some(until), false));
        }
        board.is_released = true;
        None
    }

    /// Of the control plane: followers before the leader as it is now, and only while every other one is Ready and quorum
    /// allows it.
    async fn next_master(&self, waiting: &[&TurnView], rows: &Table<NodeRow>) -> Next {
        let etcd = match &self.shared.backends.etcd {
            None => None,
            Some(etcd) => match etcd.look().await {
                Ok(view) => Some(view),
                Err(error) => return Next::Wait(format!("etcd cannot be read: {error}"), None, true),
            },
        };
        let leader = etcd.as_ref().and_then(|etcd| etcd.leader()).and_then(|member| member.node.clone());
        let first = waiting.iter().find(|turn| Some(&turn.node) != leader.as_ref()).or(waiting.first());
        let Some(turn) = first else { return Next::None };
        let world = World { nodes: Some(rows), etcd: etcd.as_ref(), lock: None };
        match may_turn(&turn.node, world) {
            Ok(()) => Next::Begin(turn.step),
            Err(report) => Next::Wait(report.line(), None, true),
        }
    }

    fn next_worker(
        board: &Board,
        view: &RunView,
        roll: &RollView,
        waiting: &[&TurnView],
        (rows, resting): (&Table<NodeRow>, BTreeSet<NodeName>),
    ) -> Next {
        let turn_of =
            |turn: &TurnView| Turn { node: turn.node.clone(), group: turn.group, zone: turn.zone.clone() };
        let all: Vec<Turn> =
            roll.turns.iter().filter(|turn| turn.group != Group::ControlPlane).map(turn_of).collect();
        let all: Vec<&Turn> = all.iter().collect();
        let queue: Vec<Turn> = waiting.iter().map(|turn| turn_of(turn)).collect();
        let queue: Vec<&Turn> = queue.iter().collect();
        let has_active = !board.active.is_empty() || !resting.is_empty();
        let mut ours = resting;
        ours.extend(board.active.values().map(|child| child.node.clone()));
        let meant = meant_to_stay(roll, view);
        let masters: BTreeSet<&NodeName> = roll
            .turns
            .iter()
            .filter(|turn| turn.group == Group::ControlPlane)
            .map(|turn| &turn.node)
            .collect();
        let is_master = |node: &NodeName| {
            masters.contains(node)
                || rows.get(node).is_some_and(|row| row.is_control_plane() || row.is_labelled_etcd())
        };
        let away = unavailable(rows, is_master, &ours, &meant);
        match room(&queue, (&away, &ours), roll.options.max_unavailable, &all) {
            Room::Full(why) => Next::Wait(why, None, !has_active),
            Room::Next(at) => {
                let turn = waiting[at];
                // a worker without an etcd member breaks no quorum: only the nodes matter here
                let world = World { nodes: Some(rows), etcd: None, lock: None };
                match may_turn(&turn.node, world) {
                    Ok(()) => Next::Begin(turn.step),
                    Err(report) => Next::Wait(report.line(), None, true),
                }
            }
        }
    }
}

/// Nodes that the roll drained, and that are to stay so.
fn meant_to_stay(roll: &RollView, view: &RunView) -> BTreeSet<NodeName> {
    if roll.options.action != RollAction::DrainOnly {
        return BTreeSet::new();
    }
    let is_done = |turn: &&TurnView| {
        view.steps.get(turn.step).is_some_and(|step| {
            matches!(step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
        })
    };
    roll.turns.iter().filter(is_done).map(|turn| turn.node.clone()).collect()
}
