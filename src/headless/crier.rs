//! Tells people who look elsewhere of a run without a screen: on the terminal, if standard error is one, and through the
//! webhook. Nothing here is waited for while the run goes; what could not be told is a line of the log.

use crate::backend::herald::Herald;
use crate::domain::notice::{Notice, headline, is_urgent, notice};
use crate::domain::run::{RunChange, RunView};
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};

/// What is still being posted when the run is over gets this long.
const PARTING: Duration = Duration::from_secs(5);

/// Tells of one run.
pub(super) struct Crier {
    herald: Herald,
    context: String,
    is_terminal: bool,
    title: String,
    posts: JoinSet<()>,
    /// A step waits: told when nobody answers.
    waiting: Option<AbortHandle>,
}

impl Crier {
    pub(super) fn new(herald: Herald, context: String) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { herald, context, is_terminal, title: String::new(), posts: JoinSet::new(), waiting: None }
    }

    /// An event happened; `run` is the view with it.
    pub(super) fn hear(&mut self, run: &RunView, change: &RunChange) {
        if matches!(
            change,
            RunChange::State { .. } | RunChange::StepStarted { .. } | RunChange::Finished { .. }
        ) && let Some(waiting) = self.waiting.take()
        {
            waiting.abort();
        }
        self.entitle(&format!("{} - {} - pitstop", headline(run), self.context));
        let Some(notice) = notice(run, &self.context, change).filter(|notice| self.herald.wants(notice))
        else {
            return;
        };
        let after = if is_urgent(&notice, run) { Duration::ZERO } else { self.herald.after };
        let (herald, is_terminal) = (self.herald.clone(), self.is_terminal);
        let waits = !after.is_zero();
        let task = self.posts.spawn(async move {
            tokio::time::sleep(after).await;
            cry(&herald, is_terminal, &notice).await;
        });
        if waits {
            self.waiting = Some(task);
        }
    }

    fn entitle(&mut self, title: &str) {
        if self.is_terminal && self.title != title {
            title.clone_into(&mut self.title);
            self.herald.title(title).iter().for_each(|escape| write(escape));
        }
    }

    /// Waits a moment for what is being posted.
    pub(super) async fn finish(mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.abort();
        }
        let all = async { while self.posts.join_next().await.is_some() {} };
        if tokio::time::timeout(PARTING, all).await.is_err() {
            tracing::warn!("a notice was still being posted when the run was over");
        }
    }
}

async fn cry(herald: &Herald, is_terminal: bool, notice: &Notice) {
    if is_terminal {
        write(&herald.escapes(notice));
    }
    if let Err(report) = herald.post(notice).await {
        tracing::warn!("nobody was told: {report}");
        super::notice(&format!("nobody was told: {report}"));
    }
}

/// Escapes for the terminal; nothing can be done when it is gone.
fn write(escapes: &str) {
    let mut out = std::io::stderr().lock();
    drop(out.write_all(escapes.as_bytes()).and_then(|()| out.flush()));
}
