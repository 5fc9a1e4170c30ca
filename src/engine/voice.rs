//! What a run tells: each event goes into the journal, into the run's own view, and to whoever listens.

use super::journal::{Journal, Line};
use crate::backend::clock::now;
use crate::domain::ids::{OpId, RunId};
use crate::domain::report::Report;
use crate::domain::run::{Progress, RunChange, RunEvent, RunView};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The voice of one run.
pub struct Voice {
    op: OpId,
    run: RunId,
    events: mpsc::Sender<RunEvent>,
    view: Mutex<Option<RunView>>,
    journal: Option<Journal>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Voice {
    /// A voice; without a journal nothing may be changed.
    pub fn new(op: OpId, run: RunId, events: mpsc::Sender<RunEvent>, journal: Option<Journal>) -> Self {
        Self { op, run, events, view: Mutex::new(None), journal }
    }

    /// A voice that goes on with a run.
    pub fn resumed(op: OpId, view: RunView, events: mpsc::Sender<RunEvent>, journal: Journal) -> Self {
        let run = view.id.clone();
        Self { op, run, events, view: Mutex::new(Some(view)), journal: Some(journal) }
    }

    fn note(&self, change: RunChange) -> RunEvent {
        let event = RunEvent { op: self.op, run: self.run.clone(), at: now(), change };
        let mut view = held(&self.view);
        match view.as_mut() {
            Some(view) => view.apply(&event),
            None => *view = RunView::begin(&event),
        }
        drop(view);
        if let Some(journal) = &self.journal
            && let Err(report) = journal.event(&event)
        {
            tracing::error!(run = %self.run, "{report}");
        }
        event
    }

    /// Tells something that must not get lost; waits while the listener is busy. Nobody listening is no obstacle.
    pub async fn tell(&self, change: RunChange) {
        let event = self.note(change);
        drop(self.events.send(event).await);
    }

    /// Tells how far a step is; dropped when the listener is busy, as the next one says more.
    pub fn progress(&self, step: usize, progress: Progress) {
        self.pass(RunChange::Progressed { step, progress });
    }

    /// Passes on something that a newer word replaces; dropped when the listener is busy.
    pub fn pass(&self, change: RunChange) {
        let event = self.note(change);
        drop(self.events.try_send(event));
    }

    /// The operation in this process.
    pub fn op(&self) -> OpId {
        self.op
    }

    /// Looks at the run as it is now; `None` = it was not planned yet.
    pub fn look<T>(&self, at: impl FnOnce(&RunView) -> T) -> Option<T> {
        held(&self.view).as_ref().map(at)
    }

    /// The run as it looks now.
    pub fn view(&self) -> Option<RunView> {
        held(&self.view).clone()
    }

    /// The last progress of a step.
    pub fn last_progress(&self, step: usize) -> Option<Progress> {
        held(&self.view).as_ref()?.steps.get(step)?.progress.clone()
    }

    /// Writes a line about something that has happened; when there is no room for it, it is kept for later.
    pub fn record_or_keep(&self, line: &Line, is_durable: bool) {
        if let Some(journal) = &self.journal
            && let Err(report) = journal.write_or_keep(line, is_durable)
        {
            tracing::error!(run = %self.run, "{report}");
        }
    }

    /// Writes a line that is no event; `is_durable` = it is on the disk when this returns.
    ///
    /// # Errors
    /// There is no journal, or it cannot be written.
    pub fn record(&self, line: &Line, is_durable: bool) -> Result<(), Report> {
        match &self.journal {
            Some(journal) => journal.write(line, is_durable),
            None => Err(Report::new(
                crate::domain::report::FailureKind::Local,
                "there is no journal, and nothing is changed without one",
            )),
        }
    }
}
