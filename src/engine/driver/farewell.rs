//! How a run ends: what an abort puts back, and the lock that is given back or left marked.

use super::Driver;
use super::attempt::Attempt;
use super::orders::Decision;
use crate::domain::found::{compare, returned};
use crate::domain::plan::Kind;
use crate::domain::run::{Outcome, RunChange, RunState};
use crate::domain::undo::{LEFT_OUT, left, left_without_lock, undo};
use crate::engine::found::look;
use crate::engine::standing;
use std::time::Duration;

/// Marking the lock as left behind may take this long.
const FAREWELL: Duration = Duration::from_secs(5);
/// Reading how things are may take this long.
const READING: Duration = Duration::from_secs(10);

impl Driver {
    /// An abort of a run under way: it ends the automatic mode, so that each step of the undo waits for its confirmation.
    pub(super) async fn abort(&mut self) -> RunState {
        self.is_automatic = false;
        self.is_paused = false;
        self.put_back().await
    }

    /// Carries out what an abort puts back, one step after the other, each with its confirmation unless the run goes on by
    /// itself. Trouble with one part does not keep the others from being put back; the run of a roll's node has failed then, so
    /// that its roll does not take the node for put back, and can do it again.
    pub(super) async fn put_back(&mut self) -> RunState {
        let Some(view) = self.shared.voice.view() else { return RunState::Aborted };
        self.is_undoing = true;
        // what was ordered for the steps of the plan does not concern those of the undo
        while self.orders.try_recv().is_ok() {}
        let plan = undo(&view);
        let first = view.steps.len();
        let count = plan.steps.len();
        let at = view.current().unwrap_or(0);
        for text in plan.stays {
            self.shared.voice.tell(RunChange::Noted { step: at, text, warn: true }).await;
        }
        self.shared.voice.tell(RunChange::Undoing { steps: plan.steps }).await;
        let mut has_failed = false;
        for index in first..first + count {
            match self.before(index).await {
                Decision::Go | Decision::Abort => {}
                Decision::LeaveOut => {
                    self.pass_over(index, LEFT_OUT.to_owned()).await;
                    continue;
                }
                Decision::Leave | Decision::Interrupt => return RunState::Interrupted,
            }
            match self.attempt(index).await {
                Attempt::Interrupted => return RunState::Interrupted,
                Attempt::Ended(Outcome::Failed(_)) => has_failed = true,
                Attempt::Ended(_) | Attempt::Aborted => {}
            }
        }
        if has_failed && self.shared.plan.parent.is_some() { RunState::Failed } else { RunState::Aborted }
    }

    /// Remembers how things are before anything is touched.
    pub(super) async fn find(&self) {
        let plan = &self.shared.plan;
        if plan.kind == Kind::Snapshot {
            return;
        }
        let reading = tokio::time::timeout(
            READING,
            look(&self.shared.backends, &plan.nodes, plan.kind == Kind::Reboot),
        );
        let found = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return,
            found = reading => found,
        };
        match found {
            Ok(Ok(found)) => {
                if let Err(report) = self.shared.remember(|memory| memory.found = Some(found)) {
                    tracing::error!(run = %self.shared.run, "{report}");
                }
            }
            Ok(Err(error)) => tracing::warn!("how things are before the run is not known: {error}"),
            Err(_) => tracing::warn!("how things are before the run could not be read in time"),
        }
    }

    /// Reads the world again and tells how it differs from how it was found. A run that stopped in the middle has no
    /// end to look at.
    pub(super) async fn compare(&self, end: RunState) {
        let plan = &self.shared.plan;
        let borrowed = self.shared.memory().ever_borrowed();
        let is_asked = match end {
            RunState::Aborted => plan.kind != Kind::Snapshot,
            RunState::Done => matches!(plan.kind, Kind::Reboot | Kind::Roll) || !borrowed.is_empty(),
            _ => false,
        };
        if !is_asked {
            return;
        }
        let left = tokio::time::timeout(
            READING,
            look(&self.shared.backends, &plan.nodes, plan.kind == Kind::Reboot),
        )
        .await;
        let left = left.ok().and_then(Result::ok);
        let mut differences = compare(&plan.nodes, self.shared.memory().found.as_ref(), left.as_ref());
        for debt in &borrowed {
            let reading = standing::read(&self.shared.backends.cluster, debt);
            let now = tokio::time::timeout(READING, reading).await.ok().and_then(Result::ok);
            differences.push(returned(debt, now.as_ref()));
        }
        self.shared.voice.tell(RunChange::Compared { differences }).await;
    }

    /// What is left changed. A run that ends otherwise than well leaves its lock marked, so that the next engineer sees
    /// who, what and when; when it left nothing else, the lock is given back instead.
    pub(super) async fn farewell(&mut self, end: RunState) -> Vec<String> {
        let Some(view) = self.shared.voice.view() else { return Vec::new() };
        if self.shared.plan.parent.is_some() {
            // the lock is the roll's
            self.shared.keep(None);
            return left(&view, end);
        }
        let (Some(keeper), false) =
            (self.shared.keep(None), matches!(end, RunState::Done | RunState::Aborted))
        else {
            return left(&view, end);
        };
        let step = view
            .current()
            .and_then(|index| view.steps.get(index))
            .map_or("the end", |view| view.step.kind.name());
        let how = if end == RunState::Failed { "failed" } else { "interrupted" };
        let words = format!("{how} at {step}");
        let others = left_without_lock(&view, end);
        let tombstone = (!others.is_empty()).then_some(words.as_str());
        match tokio::time::timeout(FAREWELL, keeper.give_back(tombstone)).await {
            Ok(Ok(())) if tombstone.is_none() => return others,
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("the maintenance lock could not be given back or marked: {error}");
            }
            Err(_) => tracing::warn!("the maintenance lock could not be given back or marked in time"),
        }
        left(&view, end)
    }
}
