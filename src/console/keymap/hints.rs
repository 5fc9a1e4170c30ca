//! What the footer and the help say of the keys, now: which ones work, and why the others do not.

use super::{Binding, Command, Scope, bindings};
use crate::console::dialog::entry::{acceptable, has_quiet_ahead};
use crate::console::model::{Model, Pane};
use crate::domain::access;
use crate::domain::plan::{Kind, StepKind};
use crate::domain::run::{RunState, RunView, StepState};
use crate::domain::time::Stamp;
use crate::domain::window::Opening;

/// A key with its word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The keys as text (`N`, `j Down`).
    pub keys: String,
    /// The word (footer) or the sentence (help).
    pub word: String,
    /// Why it would be refused now; drawn dimmed.
    pub obstacle: Option<String>,
}

/// The footer, the most urgent keys first: those of the open run, then those of the pane. A run's keys that have
/// nothing to act on are left out; a pane's keys stay, dimmed.
pub fn footer(model: &Model) -> Vec<Hint> {
    bindings(model.setup.preset)
        .filter(|binding| !binding.word.is_empty() && binding.scope.holds(model.focus))
        .filter(|binding| binding.command != Command::Block || may_be_blocked(model))
        .filter(|binding| binding.scope != Scope::OpenRun || obstacle(model, binding.command).is_none())
        .map(|binding| Hint {
            keys: binding.keys.first().map(ToString::to_string).unwrap_or_default(),
            word: binding.word.to_owned(),
            obstacle: obstacle(model, binding.command),
        })
        .collect()
}

/// In the run pane the key for a block is offered while pods are moved, or when that has failed.
fn may_be_blocked(model: &Model) -> bool {
    if model.focus == Pane::Rollout {
        return super::super::rollout::blocking(model).is_some();
    }
    if model.focus != Pane::Run {
        return true;
    }
    let step = model.open_run().and_then(|run| run.steps.get(run.current()?));
    step.is_some_and(|view| view.step.kind == StepKind::Drain && !matches!(view.state, StepState::Pending))
}

/// The help: sections with their keys.
pub fn help(model: &Model) -> Vec<(String, Vec<Hint>)> {
    let section = |title: &str, wanted: &dyn Fn(&Binding) -> bool| {
        let hints = bindings(model.setup.preset).filter(|binding| wanted(binding)).map(|binding| Hint {
            keys: binding.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            word: binding.help.to_owned(),
            obstacle: obstacle(model, binding.command),
        });
        (title.to_owned(), hints.collect())
    };
    vec![
        section("Change (each asks first)", &|binding| {
            binding.command.changes() && !binding.command.is_for_run()
        }),
        section("The open run", &|binding| binding.command.is_for_run()),
        section("Look", &|binding| !binding.command.changes() && !is_move(binding.command)),
        section("Move", &|binding| is_move(binding.command)),
    ]
}

fn is_move(command: Command) -> bool {
    use Command as C;
    matches!(
        command,
        C::Focus(_)
            | C::NextPane
            | C::PriorPane
            | C::Up
            | C::Down
            | C::Top
            | C::Bottom
            | C::PageUp
            | C::PageDown
            | C::HalfUp
            | C::HalfDown
    )
}

/// Why a command would be refused now, before its target is looked at; `None` when it may be tried.
pub fn obstacle(model: &Model, command: Command) -> Option<String> {
    use Command as C;
    match command {
        C::Cordon | C::Uncordon | C::Drain | C::Reboot | C::PowerCycle if model.setup.policy.read_only => {
            Some("this console is read-only".to_owned())
        }
        C::Cordon | C::Uncordon | C::Drain | C::Reboot | C::Snapshot if !model.known.is_joined => {
            Some("no cluster: no kubeconfig could be read yet".to_owned())
        }
        C::Cordon | C::Uncordon | C::Drain | C::Reboot if not_allowed(model, command).is_some() => {
            not_allowed(model, command)
        }
        C::Reconnect if model.live_runs().next().is_some() => Some("an operation is under way".to_owned()),
        C::Answer if model.known.questions.is_empty() => Some("SSH asks nothing".to_owned()),
        C::Orphans if model.known.orphans.is_empty() => Some("no earlier run left anything".to_owned()),
        C::Report if model.open_run().is_none() => Some("no run is open".to_owned()),
        C::Focus(Pane::Run) if model.shows_orphans() => None,
        C::NextRun | C::Focus(Pane::Run) if model.runs.is_empty() => Some("no run yet".to_owned()),
        C::Extend => crate::console::phase::extensible(model)
            .is_none()
            .then(|| "no step with a deadline is under way".to_owned()),
        command if command.is_for_run() => run_obstacle(model, command),
        _ => None,
    }
}

/// Whether the maintenance window is closed, as the run saw it, and has not opened since.
fn is_shut(run: &RunView, now: Stamp) -> bool {
    match &run.window {
        Opening::Closed { opens: Some(opens), .. } => now < opens.at,
        window => !window.is_open(),
    }
}

/// The rule of a role that is missing.
fn not_allowed(model: &Model, command: Command) -> Option<String> {
    let kind = match command {
        Command::Cordon => Kind::Cordon,
        Command::Uncordon => Kind::Uncordon,
        Command::Drain => Kind::Drain,
        Command::Reboot => Kind::Reboot,
        _ => return None,
    };
    access::missing(&model.known.access, kind)
}

/// Whether a gate stands in the way that may be accepted.
fn has_acceptable(run: &RunView) -> bool {
    let (run, step) = run.at_stake();
    let view = step.and_then(|step| run.steps.get(step));
    view.is_some_and(|view| acceptable(run, view).next().is_some())
}

fn run_obstacle(model: &Model, command: Command) -> Option<String> {
    use RunState as S;
    let Some(run) = model.open_run() else { return Some("no run is open".to_owned()) };
    if run.state.is_over() {
        return Some(format!("run {} is over", run.op));
    }
    let step = run.current().and_then(|index| run.steps.get(index));
    let no = |reason: &str| Some(reason.to_owned());
    match command {
        Command::Confirm if !matches!(run.state, S::Waiting | S::Paused) => {
            no("no step waits for a confirmation")
        }
        Command::Automatic if run.automatic => no("it goes on by itself already"),
        // putting back waits for no window
        Command::Automatic if is_shut(run, model.now) && !run.steps.iter().any(|view| view.is_undo) => {
            Some(run.window.words())
        }
        Command::Automatic if run.state == S::Failed => no("a step failed: try it again, skip it or abort"),
        Command::Pause if run.state == S::Paused => no("it is paused already"),
        Command::Retry if run.state != S::Failed => no("no step failed"),
        Command::Skip if run.state == S::Running => no("a step is under way"),
        Command::Skip if step.is_none_or(|view| !view.step.may_skip) => {
            no("the plan does not allow skipping this step")
        }
        Command::Accept if !has_acceptable(run) => no("no gate stands in the way that could be accepted"),
        Command::Last if step.is_none_or(|view| view.step.kind != StepKind::Turn || view.is_undo) => {
            no("no node's turn is at hand")
        }
        Command::Settle if !has_quiet_ahead(run) => no("no quiet time lies ahead"),
        Command::Abort if run.steps.iter().any(|view| view.is_undo) => no("it is being undone already"),
        _ => None,
    }
}
