//! `pitstop run` and `pitstop snapshot`: the ladder on the command line, the run, its events as lines.

use super::crier::Crier;
use super::prompt::{self, Prompt};
use super::signals::Signals;
use super::text::Teller;
use super::{Exit, Format, json, line, plan};
use crate::backend::clock::now;
use crate::backend::herald::Herald;
use crate::domain::config::{DrainOptions, Policy};
use crate::domain::guard::{Assent, Errand, Permit, Request, Rung, World, demand_for, grant_for};
use crate::domain::ids::{NodeName, OpId};
use crate::domain::lock::LockChoice;
use crate::domain::plan::{Kind, Step, StepKind};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView, StepState};
use crate::domain::window::Opening;
use crate::engine::{Backends, Facts, Run, start};
use tokio::sync::mpsc::Sender;

/// How a run is confirmed and told.
#[derive(Debug, Clone)]
pub struct Manner {
    /// `--yes`.
    pub is_confirmed: bool,
    /// The value of an explicit `--context`.
    pub context: Option<String>,
    /// `--dry-run`.
    pub is_dry: bool,
    /// How it is written.
    pub format: Format,
    /// Who is told while nobody looks.
    pub herald: Herald,
}

/// Carries out a request.
///
/// # Errors
/// The cluster cannot be read, the request is denied, or it is not confirmed.
pub async fn run(
    backends: Backends,
    policy: &Policy,
    mut request: Request,
    manner: &Manner,
) -> Result<Exit, Report> {
    deny_outside_of_windows(&backends, &request, manner)?;
    let mut prompt = Prompt::new();
    introduce(&backends, &request, &mut prompt).await?;
    let facts = facts(&backends, request.kind).await?;
    if manner.is_dry {
        return plan::show(&backends, &facts, policy, &request, manner.format).await;
    }
    // what is known to block raises the ladder, and --yes stands above it
    if request.kind == Kind::Drain && !manner.is_confirmed {
        request.blocked = plan::is_blocked(&backends, &request).await?;
    }
    super::rights::may_begin(&backends, &mut request, manner).await?;
    let lock = plan::lock(&backends, &request).await;
    let etcd = facts.etcd.clone();
    let world = World {
        nodes: (request.kind != Kind::Snapshot).then_some(&facts.nodes),
        etcd: etcd.as_ref(),
        lock: lock.as_deref(),
    };
    let ask = Ask { errand: Errand::Begin, policy, request: &request, world };
    let permit = confirm(ask, manner, &mut prompt).await?;
    let steps = crate::engine::plan(&request, &facts);
    let run = start(backends, steps, permit, OpId(1), false);
    follow(run, manner, policy.context.clone(), prompt).await
}

/// `pitstop runs unlock`: clears the maintenance lock that a run left behind.
///
/// # Errors
/// The lock cannot be read, is kept alive, or clearing it is not confirmed.
pub async fn unlock(backends: Backends, policy: &Policy, manner: &Manner) -> Result<Exit, Report> {
    let row = backends.cluster.lease_read(&backends.settings.lease_namespace).await?;
    let Some(row) = row else {
        super::notice("nobody holds the maintenance lock");
        return Ok(Exit::Done);
    };
    super::notice(&format!("the maintenance lock is held by {}", row.words(now())));
    let request = Request {
        kind: Kind::Unlock,
        nodes: row.node.into_iter().collect(),
        drain: DrainOptions::default(),
        blocked: false,
        lock: LockChoice::Take,
        resolve: None,
    };
    run(backends, policy, request, manner).await
}

/// Lets the engineer answer what SSH asks before anything depends on it: hosts of the nodes, and of the control planes (etcd).
async fn introduce(backends: &Backends, request: &Request, prompt: &mut Prompt) -> Result<(), Report> {
    let (Some(hosts), Kind::Reboot | Kind::Snapshot) = (&backends.hosts, request.kind) else {
        return Ok(());
    };
    // the API that is away is told by whoever needs it
    let Ok(mut rows) = backends.cluster.nodes().await else { return Ok(()) };
    rows.retain(|row| request.nodes.contains(&row.name) || row.is_control_plane());
    super::hosts::introduce(hosts, &rows, prompt).await
}

/// What is confirmed beforehand is not begun outside of a maintenance window: nobody would be there to wait for.
fn deny_outside_of_windows(backends: &Backends, request: &Request, manner: &Manner) -> Result<(), Report> {
    let moves = matches!(request.kind, Kind::Drain | Kind::Reboot);
    let opening = backends.settings.timing.windows.at(now());
    if !moves || manner.is_dry || !manner.is_confirmed || opening.is_open() {
        return Ok(());
    }
    let opens = match &opening {
        Opening::Closed { opens: Some(opens), .. } => {
            format!("it opens at {}, in {}; ", opens.clock, crate::domain::time::brief(opens.at.since(now())))
        }
        _ => String::new(),
    };
    let report = Report::new(FailureKind::Denied, format!("{} is denied: {}", request.kind, opening.words()));
    Err(report.hint(format!("{opens}without --yes each step may be confirmed by hand")))
}

/// What the plan is made from; a snapshot needs no API, so that it can be taken when there is none.
async fn facts(backends: &Backends, kind: Kind) -> Result<Facts, Report> {
    match Facts::read(backends).await {
        Err(_) if kind == Kind::Snapshot => Ok(Facts::new(backends, std::collections::BTreeMap::new(), None)),
        facts => facts,
    }
}

/// What is to be confirmed, and what is known about it.
pub(super) struct Ask<'a> {
    pub(super) errand: Errand,
    pub(super) policy: &'a Policy,
    pub(super) request: &'a Request,
    pub(super) world: World<'a>,
}

/// The ladder on the command line: `--yes`, or the answer to a question.
pub(super) async fn confirm(ask: Ask<'_>, manner: &Manner, prompt: &mut Prompt) -> Result<Permit, Report> {
    let Ask { errand, policy, request, world } = ask;
    let rung = demand_for(errand, policy, request, world)?;
    // a snapshot changes nothing in the cluster, and was asked for by name
    if manner.is_confirmed || request.kind == Kind::Snapshot {
        let given = Assent::Flag { context: manner.context.clone() };
        return grant_for(errand, policy, request, world, given);
    }
    let verb = match errand {
        Errand::Begin => String::new(),
        Errand::GoOn { .. } => "go on with ".to_owned(),
        Errand::PutBack => "put back what was left by ".to_owned(),
    };
    if !prompt::is_possible() {
        return Err(Report::new(FailureKind::Local, format!("{verb}{} is not confirmed", request.kind))
            .hint("nobody can be asked here: give --yes, or run it in a terminal"));
    }
    let nodes: Vec<&str> = request.nodes.iter().map(crate::domain::ids::NodeName::as_str).collect();
    let object = match &request.resolve {
        Some(chosen) => format!("{} by {}", chosen.budget, chosen.remedy),
        None => nodes.join(", "),
    };
    let what = format!("{verb}{} {object} in context {}", request.kind, policy.context);
    let question = match &rung {
        Rung::Key => format!("{what}: type y to confirm:"),
        Rung::TypeName(name) if request.resolve.is_some() => format!("{what}: type {name} to confirm:"),
        Rung::TypeName(name) => format!("{what}: type the node's name ({name}) to confirm:"),
        Rung::TypeContext(context) => format!("{what}: type the context's name ({context}) to confirm:"),
    };
    let typed = prompt.ask(&question).await?.unwrap_or_default();
    if rung == Rung::Key && typed != "y" {
        return Err(Report::new(FailureKind::Cancelled, format!("{} was not confirmed", request.kind)));
    }
    grant_for(errand, policy, request, world, Assent::Typed(typed)).map_err(|mut report| {
        // what was typed was no: that is the operator's word, not a gate
        report.kind = FailureKind::Cancelled;
        report
    })
}

/// Tells events until the run is over; answers its questions.
pub(super) async fn follow(
    run: Run,
    manner: &Manner,
    context: String,
    prompt: Prompt,
) -> Result<Exit, Report> {
    let Run { commands, mut events, cancel, .. } = run;
    let mut desk = Desk::new(commands, manner, context, prompt);
    let mut signals = Signals::new()?;
    let mut interrupts = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = signals.next() => {
                interrupts += 1;
                if interrupts > 1 {
                    return Ok(Exit::Interrupted);
                }
                super::notice("interrupted: the run stops where it is; once more to leave at once");
                cancel.cancel();
                continue;
            }
            event = events.recv() => event,
        };
        let Some(event) = event else { break };
        if let Err(error) = desk.tell(&event) {
            cancel.cancel();
            return Err(desk.give_up(error, events).await);
        }
        let answer = tokio::select! {
            biased;
            () = signals.next() => {
                interrupts += 1;
                super::notice("interrupted: the run stops where it is");
                cancel.cancel();
                Ok(None)
            }
            answer = desk.answer(&event) => answer,
        };
        match answer {
            Ok(None) => {}
            Ok(Some(Reply::Order(order))) => desk.order(order).await,
            Ok(Some(Reply::Nobody)) => desk.commands = None,
            Ok(Some(Reply::Quit)) => cancel.cancel(),
            Err(error) => {
                cancel.cancel();
                return Err(desk.give_up(error, events).await);
            }
        }
    }
    Ok(desk.close(interrupts > 0).await)
}

/// An answer to a run that waits.
enum Reply {
    Order(RunCommand),
    /// Nobody is there to decide: the run ends as it is.
    Nobody,
    /// Stop where it is.
    Quit,
}

/// Where the run's events arrive and its questions are answered.
struct Desk {
    commands: Option<Sender<RunCommand>>,
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
    fn new(commands: Sender<RunCommand>, manner: &Manner, context: String, prompt: Prompt) -> Self {
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
    async fn close(self, was_interrupted: bool) -> Exit {
        self.explain_warning();
        self.explain_pending();
        if let Some(view) = &self.view {
            super::takeover::advise(view);
        }
        let exit = self.exit(was_interrupted);
        self.crier.finish().await;
        exit
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
        let Some(view) = self.view.as_ref().filter(|view| view.kind == Kind::Reboot) else { return };
        let Some(kind) = view.steps.get(*step).map(|view| view.step.kind) else { return };
        if self.prompt.is_none() && self.warning.is_none() && kind != StepKind::Lock {
            self.warning = Some((kind, words.clone()));
        }
    }

    fn explain_warning(&self) {
        if let Some(why) = &self.held {
            super::notice(&format!(
                "{why}: with --yes nothing that changes something begins outside of a maintenance window"
            ));
        }
        let Some((kind, words)) = &self.warning else { return };
        super::notice(&format!("{} was not green: {words}", kind.name()));
        if self.end == Some(RunState::Interrupted) {
            super::notice(
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
            super::notice(&format!("There are pending nodes to be drained:\n {}", pending.join("\n ")));
        }
    }

    /// Nobody can be told or asked any more: waits until the run, which was told to stop, has done so, and says on
    /// standard error what is left.
    async fn give_up(mut self, error: Report, mut events: tokio::sync::mpsc::Receiver<RunEvent>) -> Report {
        self.commands = None;
        while let Some(event) = events.recv().await {
            self.keep(&event);
        }
        if let Some(view) = &self.view {
            super::notice(&format!("run {} is {}", view.id, super::text::state(view.state)));
            for left in &view.left {
                super::notice(&format!("left: {left}"));
            }
        }
        error
    }

    fn tell(&mut self, event: &RunEvent) -> Result<(), Report> {
        self.keep(event);
        match self.format {
            Format::Json => json(event),
            Format::Text => {
                for text in self.teller.lines(event) {
                    line(&text)?;
                }
                Ok(())
            }
        }
    }

    async fn order(&mut self, order: RunCommand) {
        if let Some(commands) = &self.commands {
            // a run that is over needs no orders
            let _ = commands.send(order).await;
        }
    }

    /// What to tell a run that waits or failed.
    async fn answer(&mut self, event: &RunEvent) -> Result<Option<Reply>, Report> {
        let RunChange::State { state, .. } = &event.change else { return Ok(None) };
        let Some(index) = self.view.as_ref().and_then(RunView::current) else { return Ok(None) };
        let ends =
            self.step(index).is_some_and(|step| matches!(step.kind, StepKind::Settle | StepKind::Unlock));
        match (state, &mut self.prompt) {
            (RunState::Waiting | RunState::Paused, None) if self.held.is_some() => Ok(Some(Reply::Nobody)),
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

    fn step(&self, index: usize) -> Option<&Step> {
        Some(&self.view.as_ref()?.steps.get(index)?.step)
    }

    /// The offer to leave a step out, where the plan allows it.
    fn skip(&self, index: usize) -> &'static str {
        if self.step(index).is_some_and(|step| step.may_skip) { "k leave it out, " } else { "" }
    }

    fn describe(&self, index: usize) -> String {
        let Some(step) = self.step(index) else { return String::new() };
        let total = self.view.as_ref().map_or(0, |view| view.steps.len());
        format!("[{:>2}/{total}] {}: {}\n        {}", index + 1, step.kind.name(), step.what, step.command)
    }

    async fn ask_before(&mut self, index: usize) -> Result<Reply, Report> {
        let question = format!(
            "{}\n  y go on, a go on by itself, {}x abort, q quit:",
            self.describe(index),
            self.skip(index)
        );
        self.ask(&question, index, false).await
    }

    async fn ask_after(&mut self, index: usize) -> Result<Reply, Report> {
        let question =
            format!("{} failed\n  t try again, {}x abort, q quit:", self.describe(index), self.skip(index));
        self.ask(&question, index, true).await
    }

    async fn ask(&mut self, question: &str, index: usize, has_failed: bool) -> Result<Reply, Report> {
        let may_skip = self.step(index).is_some_and(|step| step.may_skip);
        let Some(prompt) = &mut self.prompt else { return Ok(Reply::Nobody) };
        loop {
            let Some(typed) = prompt.ask(question).await? else { return Ok(Reply::Quit) };
            let order = match (typed.as_str(), has_failed) {
                ("y", false) => RunCommand::Confirm(index),
                ("a", false) => RunCommand::Automatic,
                ("t", true) => RunCommand::Retry,
                ("k", _) if may_skip => RunCommand::Skip,
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
