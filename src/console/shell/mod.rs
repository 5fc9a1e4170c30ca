//! The only place of the console with tasks, channels, a terminal and a clock: feeds the core with messages and carries
//! out its effects.
//!
//! [`run`] opens the real terminal; [`drive`](app::drive) is the same application on any terminal and any stream of
//! input, as tests use it.

pub mod app;
mod executor;
mod hosts;
mod keeper;
mod observers;
pub mod outside;
mod probe;
mod recordings;
pub mod replay;
mod secret;
mod terminal;

use crate::backend::clock::now;
use crate::backend::herald::Herald;
use crate::console::model::{Model, Setup};
use crate::console::msg::Orphan;
use crate::domain::report::{FailureKind, Report};
use crate::engine::Backends;
use futures::future::BoxFuture;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::fmt;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;

/// Prepares the back ends from the kubeconfig; asked at the start and for every reconnect.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Backends, Report>> + Send + Sync>;

/// What the console is given.
#[derive(Clone)]
pub struct ConsoleOptions {
    /// Looks, keys, policy (its context is filled in), how drains are set, words for a demo.
    pub setup: Setup,
    /// Prepares the back ends.
    pub connect: Connect,
    /// Runs of earlier processes that did not end.
    pub orphans: Vec<Orphan>,
    /// Who is told of runs while nobody looks.
    pub herald: Herald,
    /// Where recordings and what is known of rolls go.
    pub state_dir: PathBuf,
}

impl fmt::Debug for ConsoleOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleOptions").field("setup", &self.setup).finish_non_exhaustive()
    }
}

/// Opens the console and returns when it was quit: lines about what was interrupted, to be printed below the
/// engineer's prompt.
///
/// # Errors
/// The terminal cannot be used. (A cluster that cannot be reached is shown, and is no error.)
pub async fn run(options: ConsoleOptions) -> Result<Vec<String>, Report> {
    let trouble = |error: io::Error| {
        Report::new(FailureKind::Local, format!("the terminal cannot be used: {error}"))
            .hint("the console needs an interactive terminal; see `pitstop run` for work without one")
    };
    let guard = terminal::Guard::enter().map_err(trouble)?;
    let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout()));
    let mut screen = Terminal::new(backend).map_err(trouble)?;
    let size = screen.size().map_err(trouble)?;
    let model = Model::new(options.setup.clone(), (size.width, size.height), now());
    let input = crossterm::event::EventStream::new();
    let ended = app::drive(&mut screen, model, input, options, outside::Stdout).await;
    drop(guard);
    ended.map(|model| farewell(&model)).map_err(trouble)
}

/// What was not over when the console was quit.
fn farewell(model: &Model) -> Vec<String> {
    use crate::domain::run::RunState;
    use crate::domain::undo::left_unsaid;
    let mut lines = Vec::new();
    for run in model.runs.iter().filter(|run| run.state != RunState::Done && run.state != RunState::Aborted) {
        let step = run.current().and_then(|step| run.steps.get(step));
        let at = step.map(|view| format!(" at {}", view.step.kind.name())).unwrap_or_default();
        lines.push(format!("run {} was interrupted{at}", run.id));
        let left = match run.ended {
            Some(_) => run.left.clone(),
            // its task was still at work when the patience was over
            None => left_unsaid(run, RunState::Interrupted),
        };
        lines.extend(left.iter().map(|left| format!("  left changed: {left}")));
        lines.push(format!("  look at it with: pitstop runs show {}", run.id));
    }
    lines
}
