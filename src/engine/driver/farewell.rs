//! How a run ends: what an abort puts back, and the lock that is given back or left marked.

use super::Driver;
use super::attempt::Attempt;
use crate::domain::run::{RunChange, RunState};
use crate::domain::undo::{left, left_without_lock, undo};
use std::time::Duration;

/// Marking the lock as left behind may take this long.
const FAREWELL: Duration = Duration::from_secs(5);

impl Driver {
    /// Carries out what an abort puts back. Trouble with one part does not keep the others from being put back.
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
        for index in first..first + count {
            if matches!(self.attempt(index).await, Attempt::Interrupted) {
                return RunState::Interrupted;
            }
        }
        RunState::Aborted
    }

    /// What is left changed. A run that ends otherwise than well leaves its lock marked, so that the next engineer sees
    /// who, what and when; when it left nothing else, the lock is given back instead.
    pub(super) async fn farewell(&mut self, end: RunState) -> Vec<String> {
        let Some(view) = self.shared.voice.view() else { return Vec::new() };
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
