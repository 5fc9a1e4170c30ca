//! Where a run's events arrive and its questions are answered.

use super::Manner;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Kind, Step, StepKind};
use crate::domain::report::Report;
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView, StepState};
use crate::domain::undo::left_unsaid;
use crate::headless::crier::Crier;
use crate::headless::prompt::{self, Prompt};
use crate::headless::takeover::advise;
use crate::headless::text::Teller;
use crate::headless::{Exit, Format, json, line, notice};
use tokio::sync::mpsc::Sender;

/// An answer to a run that waits.
pub(super) enum Reply {
    Order(RunCommand),
    /// Nobody is there to decide: the run ends as it is.
    Nobody,
    /// Stop where it is.
    Quit,
}

/// Where the run's events arrive and its questions are answered.
pub(super) struct Desk {
    pub(super) commands: Option<Sender<RunCommand>>,
    prompt: Option<Prompt>,
    teller: Teller,
    view: Option<RunView>,
    format: Format,
    end: Option<RunState>,
    /// With `--yes`: the first step of a run in steps that was not green, and what it said.
    warning: Option<(StepKind, String)>,
    /// Why the run does not go on by itself, although it was confirmed beforehand.
    held: Option<String>,
    crier: Crier,
}

impl Desk {
    pub(super) fn new(
        commands: Sender<RunCommand>,
        manner: &Manner,
        context: String,
        prompt: Prompt,
    ) -> Self {
        Self {
            commands: Some(commands),
            prompt: (!manner.is_confirmed && prompt::is_possible()).then_some(prompt),
            teller: Teller::default(),
            view: None,
            format: manner.format,
            end: None,
            warning: None,
            held: None,
            crier: Crier::new(manner.herald.clone(), context),
        }
    }

    /// The last words, and the exit code.
    pub(super) async fn close(self, was_interrupted: bool) -> Exit {
        self.explain_warning();
        self.explain_pending();
        if let Some(view) = &self.view {
            advise(view);
        }
        let exit = self.exit(was_interrupted);
        self.crier.finish().await;
        exit
    }

    /// The last words when nobody waits for the run's own: what it leaves as far as it is known, and how to go on.
    pub(super) fn leave(&self) {
        let Some(view) = self.view.as_ref().filter(|view| view.ended.is_none()) else { return };
        let left = left_unsaid(view, RunState::Interrupted);
        notice(&format!("run {} is left in the middle", view.id));
        for words in &left {
            notice(&format!("left: {words}"));
        }
        if !left.is_empty() {
            let id = &view.id;
            notice(&format!("go on with it: pitstop runs resume {id}; put it back: pitstop runs abort {id}"));
        }
    }

    fn keep(&mut self, event: &RunEvent) {
        match &mut self.view {
            Some(view) => view.apply(event),
            None => self.view = RunView::begin(event),
        }
        if let RunChange::Finished { state, .. } = &event.change {
            self.end = Some(*state);
        }
        if let RunChange::Held { why, .. } = &event.change {
            self.held.clone_from(&Some(why.clone()));
        }
        self.keep_warning(event);
        if let Some(view) = &self.view {
            self.crier.hear(view, &event.change);
        }
    }

    /// `--yes` goes on by itself until something is not green. What a flag has accepted by name (`--adopt-lock`) is green.
    fn keep_warning(&mut self, event: &RunEvent) {
        let RunChange::StepEnded { step, outcome: Outcome::Warned(words), .. } = &event.change else {
            return;
        };
        let Some(view) = &self.view else { return };
        let Some(kind) = view.steps.get(*step).map(|view| view.step.kind) else { return };
        let counts = match view.kind {
            Kind::Reboot => true,
            // what a node meets on its way is told by its own run
            Kind::Roll => {
                let is_node = kind == StepKind::Turn && !view.steps[*step].is_undo;
                is_node || matches!(kind, StepKind::Preflight | StepKind::Backup | StepKind::Components)
            }
            _ => false,
        };
        if counts && self.prompt.is_none() && self.warning.is_none() && kind != StepKind::Lock {
            self.warning = Some((kind, words.clone()));
        }
    }

    fn explain_warning(&self) {
        if let Some(why) = &self.held {
            let rule = if self.is_in_window() {
                "with --yes a run goes on only while everything is green"
            } else {
                "with --yes nothing that changes something begins outside of a maintenance window"
            };
            notice(&format!("{why}: {rule}"));
        }
        let Some((kind, words)) = &self.warning else { return };
        notice(&format!("{} was not green: {words}", kind.name()));
        if self.end == Some(RunState::Interrupted) {
            notice(
                "with --yes a run stops at the first thing that is not green; to accept it, run it without --yes and \
                 confirm each step",
            );
        }
    }

    /// Which of several nodes were not drained.
    fn explain_pending(&self) {
        let Some(view) = self.view.as_ref().filter(|view| view.kind == Kind::Drain && view.nodes.len() > 1)
        else {
            return;
        };
        let is_drained = |node: &NodeName| {
            view.steps.iter().any(|step| {
                step.step.kind == StepKind::Drain
                    && step.step.node.as_ref().is_none_or(|on| on == node)
                    && matches!(&step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
            })
        };
        let pending: Vec<&str> =
            view.nodes.iter().filter(|node| !is_drained(node)).map(NodeName::as_str).collect();
        if self.end != Some(RunState::Done) && !pending.is_empty() {
            notice(&format!("There are pending nodes to be drained:\n {}", pending.join("\n ")));
        }
    }

    /// Nobody can be told or asked any more: waits until the run, which was told to stop, has done so, and says on
    /// standard error what is left.
    pub(super) async fn give_up(
        mut self,
        error: Report,
        mut events: tokio::sync::mpsc::Receiver<RunEvent>,
    ) -> Report {
        self.commands = None;
        while let Some(event) = events.recv().await {
            self.keep(&event);
        }
        if let Some(view) = &self.view {
            notice(&format!("run {} is {}", view.id, view.state.word()));
            for left in &view.left {
                notice(&format!("left: {left}"));
            }
        }
        error
    }

    pub(super) fn tell(&mut self, event: &RunEvent) -> Result<(), Report> {
        self.keep(event);
        match self.format {
            Format::Json if !self.teller.is_due(event) => Ok(()),
            Format::Json => json(event),
            Format::Text => {
                for text in self.teller.lines(event) {
                    line(&text)?;
                }
                Ok(())
            }
        }
    }

    pub(super) async fn order(&mut self, order: RunCommand) {
        if let Some(commands) = &self.commands {
            // a run that is over needs no orders
            let _ = commands.send(order).await;
        }
    }

    /// What to tell a run that waits or failed.
    pub(super) async fn answer(&mut self, event: &RunEvent) -> Result<Option<Reply>, Report> {
        let RunChange::State { state, .. } = &event.change else { return Ok(None) };
        let Some(index) = self.view.as_ref().and_then(RunView::current) else { return Ok(None) };
        let ends =
            self.step(index).is_some_and(|step| matches!(step.kind, StepKind::Settle | StepKind::Unlock));
        let is_held = self.held.is_some() && !(ends && self.is_in_window());
        match (state, &mut self.prompt) {
            (RunState::Waiting | RunState::Paused, None) if is_held => Ok(Some(Reply::Nobody)),
            // what a run does last is done in any case: it gives the lock back
            (RunState::Waiting | RunState::Paused, None) if self.warning.is_some() && !ends => {
                Ok(Some(Reply::Nobody))
            }
            (RunState::Waiting | RunState::Paused, None) => {
                Ok(Some(Reply::Order(RunCommand::Confirm(index))))
            }
            (RunState::Failed, None) => Ok(Some(Reply::Nobody)),
            (RunState::Waiting | RunState::Paused, Some(_)) => self.ask_before(index).await.map(Some),
            (RunState::Failed, Some(_)) => self.ask_after(index).await.map(Some),
            _ => Ok(None),
        }
    }

    /// What holds the run is not the maintenance window.
    fn is_in_window(&self) -> bool {
        self.view.as_ref().is_none_or(|view| view.window.is_open())
    }

    fn step(&self, index: usize) -> Option<&Step> {
        Some(&self.view.as_ref()?.steps.get(index)?.step)
    }

    /// The offer to leave a step out, where the plan allows it.
    fn skip(&self, index: usize) -> &'static str {
        if self.step(index).is_some_and(|step| step.may_skip) { "k leave it out, " } else { "" }
    }

    /// The offer to put a node of a roll to the end of the queue.
    fn last(&self, index: usize) -> &'static str {
        if self.is_turn(index) { "l put it last, " } else { "" }
    }

    fn is_turn(&self, index: usize) -> bool {
        self.step(index).is_some_and(|step| step.kind == StepKind::Turn)
    }

    fn describe(&self, index: usize) -> String {
        let Some(step) = self.step(index) else { return String::new() };
        let total = self.view.as_ref().map_or(0, |view| view.steps.len());
        format!("[{:>2}/{total}] {}: {}\n        {}", index + 1, step.kind.name(), step.what, step.command)
    }

    async fn ask_before(&mut self, index: usize) -> Result<Reply, Report> {
        let question = format!(
            "{}\n  y go on, a go on by itself, {}{}x abort, q quit:",
            self.describe(index),
            self.skip(index),
            self.last(index)
        );
        self.ask(&question, index, false).await
    }

    async fn ask_after(&mut self, index: usize) -> Result<Reply, Report> {
        let question = format!(
            "{} failed\n  t try again, {}{}x abort, q quit:",
            self.describe(index),
            self.skip(index),
            self.last(index)
        );
        self.ask(&question, index, true).await
    }

    async fn ask(&mut self, question: &str, index: usize, has_failed: bool) -> Result<Reply, Report> {
        let may_skip = self.step(index).is_some_and(|step| step.may_skip);
        let is_turn = self.is_turn(index);
        let Some(prompt) = &mut self.prompt else { return Ok(Reply::Nobody) };
        loop {
            let Some(typed) = prompt.ask(question).await? else { return Ok(Reply::Quit) };
            let order = match (typed.as_str(), has_failed) {
                ("y", false) => RunCommand::Confirm(index),
                ("a", false) => RunCommand::Automatic,
                ("t", true) => RunCommand::Retry,
                ("k", _) if may_skip => RunCommand::Skip,
                ("l", _) if is_turn => RunCommand::Postpone(index),
                ("x", _) => RunCommand::Abort,
                ("q", _) => return Ok(Reply::Quit),
                _ => continue,
            };
            return Ok(Reply::Order(order));
        }
    }

    fn exit(&self, was_interrupted: bool) -> Exit {
        match self.end {
            Some(RunState::Done | RunState::Interrupted)
                if (self.warning.is_some() || self.held.is_some()) && !was_interrupted =>
            {
                Exit::Findings
            }
            Some(RunState::Done) => Exit::Done,
            Some(RunState::Aborted) if self.has_undo_failed() => Exit::Error,
            Some(RunState::Aborted) => Exit::Stopped,
            Some(RunState::Failed) => self.failure(),
            _ if was_interrupted => Exit::Interrupted,
            Some(_) => Exit::Stopped,
            None => Exit::Error,
        }
    }

    fn has_undo_failed(&self) -> bool {
        let steps = self.view.iter().flat_map(|view| &view.steps);
        steps
            .filter(|view| view.is_undo)
            .any(|view| matches!(view.state, crate::domain::run::StepState::Ended(Outcome::Failed(_), _)))
    }

    fn failure(&self) -> Exit {
        let failed = self.view.iter().flat_map(|view| &view.steps).find_map(|view| match &view.state {
            crate::domain::run::StepState::Ended(Outcome::Failed(report), _) => Some(report.kind),
            _ => None,
        });
        failed.map_or(Exit::Error, Exit::of)
    }
}
