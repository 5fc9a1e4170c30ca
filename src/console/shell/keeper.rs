//! Keeps what is known of a roll in the state directory, one write after the other, and reads what an earlier process
//! kept.

use crate::console::model::Model;
use crate::console::msg::Msg;
use crate::engine::rollouts::{self, Pen};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Writes and reads, one at a time.
pub(super) struct Keeper {
    state_dir: PathBuf,
    pen: Arc<Mutex<Option<Pen>>>,
    writing: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn new(state_dir: PathBuf) -> Self {
        Self { state_dir, pen: Arc::default(), writing: None }
    }

    /// Writes the roll as it is now, after what is being written.
    pub(super) fn keep(&mut self, model: &Model) {
        let rollout = &model.watch.rollout;
        if rollout.began().is_none() {
            return;
        }
        let (rollout, context) = (rollout.clone(), model.setup.policy.context.clone());
        let (before, dir, pen) = (self.writing.take(), self.state_dir.clone(), self.pen.clone());
        self.writing = Some(tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            let write = move || {
                let mut pen = pen.lock().unwrap_or_else(PoisonError::into_inner);
                // the rolls of each context have a pen of their own
                pen.take_if(|pen| pen.context() != context);
                pen.get_or_insert_with(|| Pen::new(dir, context)).save(&rollout)
            };
            let written = tokio::task::spawn_blocking(write).await;
            if let Ok(Err(report)) = written {
                tracing::warn!("what is known of the roll is not kept: {}", report.line());
            }
        }));
    }

    /// Reads what was kept for a context.
    pub(super) fn recall(&self, context: String, to: mpsc::Sender<Msg>) {
        let dir = self.state_dir.clone();
        let now = crate::backend::clock::now();
        tokio::spawn(async move {
            let of = context.clone();
            let read = tokio::task::spawn_blocking(move || rollouts::load(&dir, &of, now)).await;
            if let Ok(Some(rollout)) = read {
                let _ = to.send(Msg::Recalled(context, Box::new(rollout))).await;
            }
        });
    }

    /// Waits for what is being written.
    pub(super) async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
    }
}
