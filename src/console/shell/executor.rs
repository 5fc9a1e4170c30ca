//! Carries out effects: connects, starts runs, passes commands on, and ends everything when asked to.

use super::keeper::Keeper;
use super::observers::Link;
use super::{Connect, ConsoleOptions};
use crate::backend::clock::now;
use crate::backend::host::Hosts;
use crate::console::model::Model;
use crate::console::msg::{Effect, Msg};
use crate::domain::feed::{Liveness, Source};
use crate::domain::guard::{Permit, Request};
use crate::domain::ids::{BudgetKey, Generation, OpId, RunId};
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{RunChange, RunCommand};
use crate::engine::account::{Account, markdown};
use crate::engine::{self, Backends, Facts, Run, journal};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How many messages may wait for the core.
const INBOX: usize = 1024;
/// A kubeconfig that could not be read is read again after this time.
const RETRY: Duration = Duration::from_secs(5);
/// Runs get this long to end when the console is quit.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run under way.
struct Live {
    commands: mpsc::Sender<RunCommand>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// What the tasks behind the screen say.
#[expect(clippy::large_enum_variant, reason = "one at a time, and none is kept")]
pub(super) enum Word {
    /// For the core.
    Msg(Msg),
    /// The kubeconfig was read, or not.
    Connected(Result<Backends, Report>),
    /// A run of an earlier process was taken up, or not.
    Taken(OpId, Result<Run, Report>),
    /// The report of a run was written, or not.
    Reported(RunId, Result<String, Report>),
}

/// Carries out effects.
pub(super) struct Executor {
    connect: Connect,
    to: mpsc::Sender<Msg>,
    inbox: mpsc::Receiver<Msg>,
    link: Option<Link>,
    generation: Generation,
    connecting: Option<JoinHandle<Result<Backends, Report>>>,
    /// What reads and writes journals: a slow disk must not hold the screen up.
    reading: JoinSet<Word>,
    runs: BTreeMap<OpId, Live>,
    ends: Option<Instant>,
    keeper: Keeper,
}

impl Executor {
    /// Starts connecting at once.
    pub(super) fn new(options: &ConsoleOptions) -> Self {
        let (to, inbox) = mpsc::channel(INBOX);
        let mut executor = Self {
            connect: options.connect.clone(),
            to,
            inbox,
            link: None,
            generation: Generation::default(),
            connecting: None,
            reading: JoinSet::new(),
            runs: BTreeMap::new(),
            ends: None,
            keeper: Keeper::new(options.state_dir.clone()),
        };
        executor.reconnect(Duration::ZERO);
        executor
    }

    /// The next word of a task. Safe to be dropped in the middle.
    pub(super) async fn next(&mut self) -> Word {
        let connecting = async {
            match &mut self.connecting {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(msg) = self.inbox.recv() => Word::Msg(msg),
            Some(Ok(word)) = self.reading.join_next() => word,
            connected = connecting => {
                self.connecting = None;
                Word::Connected(connected.unwrap_or_else(|error| {
                    Err(Report::new(FailureKind::Unexpected, format!("connecting broke off: {error}")))
                }))
            }
        }
    }

    /// A word that is there already.
    pub(super) fn try_next(&mut self) -> Option<Msg> {
        self.inbox.try_recv().ok()
    }

    /// Where tasks tell what they have to say.
    pub(super) fn inlet(&self) -> mpsc::Sender<Msg> {
        self.to.clone()
    }

    /// The kubeconfig was read: the watches start, and those of an older connection end.
    pub(super) fn connected(&mut self, connected: Result<Backends, Report>, model: &Model) -> Msg {
        match connected {
            Ok(backends) => {
                self.generation = Generation(self.generation.0 + 1);
                let context = backends.settings.context.clone();
                let link = Link::open(backends, self.generation, &self.to);
                link.look_at_orphans(&model.known.orphans, &self.to);
                self.link = Some(link);
                Msg::Joined(self.generation, context)
            }
            Err(report) if self.link.is_some() => {
                log(Level::Error, None, format!("not reconnected: {}", report.line()))
            }
            Err(mut report) => {
                self.reconnect(RETRY);
                let again = format!("it is read again every {} s, and with Ctrl-R", RETRY.as_secs());
                report.hint = Some(report.hint.map_or(again.clone(), |hint| format!("{hint}; {again}")));
                Msg::Source(model.known.generation, Source::Api, Liveness::Failing { last: None, report })
            }
        }
    }

    fn reconnect(&mut self, after: Duration) {
        if let Some(task) = self.connecting.take() {
            task.abort();
        }
        let connect = self.connect.clone();
        self.connecting = Some(tokio::spawn(async move {
            sleep(after).await;
            connect().await
        }));
    }

    /// The node table is another one.
    pub(super) fn nodes_changed(&self, model: &Model) {
        if let Some(link) = &self.link {
            let rows: Vec<_> = model.known.nodes.values().cloned().collect();
            link.nodes_changed(&rows);
        }
    }

    /// Carries out an effect that needs no terminal; what it has to say at once comes back.
    pub(super) fn perform(&mut self, effect: Effect, model: &Model) -> Option<Msg> {
        match effect {
            Effect::Start { op, request, permit, automatic } => {
                self.start(op, &request, permit, automatic, model)
            }
            Effect::TakeOver { op, run, permit, aborts } => self.take_over(op, run, permit, aborts),
            Effect::Command { op, command } => self.command(op, command),
            Effect::Reconnect => {
                self.reconnect(Duration::ZERO);
                None
            }
            Effect::Diagnose(budget) => {
                self.diagnose(budget);
                None
            }
            Effect::Probe(node) => {
                if let (Some(link), Some(row)) = (&self.link, model.known.nodes.get(&node)) {
                    link.probe(row.clone());
                }
                None
            }
            Effect::Quit => {
                self.quit();
                None
            }
            Effect::Trust(host) => {
                if let Some(hosts) = self.hosts() {
                    super::hosts::trust(hosts, host, self.to.clone());
                }
                None
            }
            Effect::AskPower(node) => {
                if let Some(link) = &self.link {
                    link.ask_power(node, &self.to);
                }
                None
            }
            Effect::AskNeed(nodes) => {
                if let Some(link) = &self.link {
                    let rows = nodes.iter().filter_map(|node| model.known.nodes.get(node)).cloned();
                    link.ask_need(rows.collect(), &self.to);
                }
                None
            }
            Effect::KeepRollout => {
                self.keeper.keep(model);
                None
            }
            Effect::RecallRollout(context) => {
                self.keeper.recall(context, self.to.clone());
                None
            }
            Effect::Copy(_)
            | Effect::CopyReport(_)
            | Effect::Record
            | Effect::Tell(_)
            | Effect::Unlock(_) => None,
        }
    }

    fn hosts(&self) -> Option<Hosts> {
        self.link.as_ref()?.backends.hosts.clone()
    }

    /// Opens an SSH key with the passphrase that was typed.
    pub(super) fn unlock(&self, path: String, passphrase: Zeroizing<String>) {
        if let Some(hosts) = self.hosts() {
            super::hosts::unlock(hosts, path, passphrase, self.to.clone());
        }
    }

    fn start(
        &mut self,
        op: OpId,
        request: &Request,
        permit: Permit,
        automatic: bool,
        model: &Model,
    ) -> Option<Msg> {
        let Some(link) = &self.link else {
            return Some(Msg::RunLost(op, no_cluster()));
        };
        let facts = Facts::new(&link.backends, model.known.nodes.clone(), model.known.etcd.clone());
        let plan = engine::plan(request, &facts);
        let run = engine::start(link.backends.clone(), plan, permit, op, automatic);
        let task = tokio::spawn(tell_run(op, run.events, self.to.clone()));
        self.runs.insert(op, Live { commands: run.commands, cancel: run.cancel, task });
        None
    }

    /// Reads why a budget blocks; what comes of it is told when it is there.
    fn diagnose(&self, budget: BudgetKey) {
        let Some(link) = &self.link else { return };
        let (cluster, to, generation) = (link.backends.cluster.clone(), self.to.clone(), self.generation);
        tokio::spawn(async move {
            let found = engine::resolve::look(&cluster, &budget, &[]).await;
            let _ = to.send(Msg::Diagnosed(generation, budget, Box::new(found))).await;
        });
    }

    /// Goes on with a run of an earlier process, or puts back what it left.
    fn take_over(&mut self, op: OpId, run: RunId, permit: Permit, aborts: bool) -> Option<Msg> {
        let Some(link) = &self.link else { return Some(Msg::RunLost(op, no_cluster())) };
        let backends = link.backends.clone();
        let work = move || {
            let record = journal::find(&backends.settings.state_dir, Some(run.as_str()))?;
            if aborts {
                engine::put_back(backends, &record, permit, op, false)
            } else {
                engine::resume(backends, &record, permit, op, false)
            }
        };
        self.reading.spawn(async move { Word::Taken(op, aside(work).await) });
        None
    }

    /// A run of an earlier process was taken up, or not.
    pub(super) fn taken(&mut self, op: OpId, taken: Result<Run, Report>) -> Option<Msg> {
        match taken {
            Ok(run) => {
                if self.ends.is_some() {
                    run.cancel.cancel();
                }
                let task = tokio::spawn(tell_run(op, run.events, self.to.clone()));
                self.runs.insert(op, Live { commands: run.commands, cancel: run.cancel, task });
                None
            }
            Err(report) => Some(Msg::RunLost(op, report)),
        }
    }

    /// Writes the report of a run, as its journal tells it; it comes as a word.
    pub(super) fn report(&mut self, run: &RunId) {
        let state_dir = self.link.as_ref().map(|link| link.backends.settings.state_dir.clone());
        let run = run.clone();
        self.reading.spawn(async move {
            let id = run.clone();
            let work = move || {
                let state_dir = state_dir.ok_or_else(no_cluster)?;
                let record = journal::find(&state_dir, Some(id.as_str()))?;
                Ok(markdown(&Account::new(&record)))
            };
            Word::Reported(run, aside(work).await)
        });
    }

    fn command(&mut self, op: OpId, command: RunCommand) -> Option<Msg> {
        let sent = self.runs.get(&op).map(|run| run.commands.try_send(command));
        match sent {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                Some(log(Level::Error, Some(op), format!("{op} did not take the command: {error}")))
            }
            None => Some(log(Level::Error, Some(op), format!("{op} is not under way here"))),
        }
    }

    /// Cancels every run; each gets a while to end in good order. Asked again, waits no longer.
    fn quit(&mut self) {
        for run in self.runs.values() {
            run.cancel.cancel();
        }
        self.ends = Some(Instant::now() + PATIENCE);
    }

    /// Keeps what is known of the roll, before the process ends.
    pub(super) async fn part(&mut self, model: &Model) {
        self.keeper.keep(model);
        self.keeper.finish().await;
    }

    /// Whether quitting was asked for and nothing runs any more (or the patience is over).
    pub(super) fn is_over(&mut self) -> bool {
        self.runs.retain(|_, run| !run.task.is_finished());
        let is_idle = self.runs.is_empty() && self.reading.is_empty();
        self.ends.is_some_and(|ends| is_idle || Instant::now() >= ends)
    }
}

impl Drop for Executor {
    /// Runs are cancelled, not killed: what they have begun they end.
    fn drop(&mut self) {
        for run in self.runs.values() {
            run.cancel.cancel();
        }
        if let Some(task) = &self.connecting {
            task.abort();
        }
    }
}

fn no_cluster() -> Report {
    Report::new(FailureKind::Local, "there is no cluster yet")
}

/// Work on files, off the tasks that draw and listen.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Report> + Send + 'static,
) -> Result<T, Report> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Report::new(FailureKind::Unexpected, format!("reading the journal broke off: {error}")))
    })
}

/// Passes on a run's events. A run that ends without its last one is reported as lost.
async fn tell_run(op: OpId, mut events: mpsc::Receiver<crate::domain::run::RunEvent>, to: mpsc::Sender<Msg>) {
    let mut has_finished = false;
    while let Some(event) = events.recv().await {
        has_finished |= matches!(event.change, RunChange::Finished { .. });
        if to.send(Msg::Run(event)).await.is_err() {
            return;
        }
    }
    if !has_finished {
        let report = Report::new(FailureKind::Unexpected, "its task ended before the run was over");
        let _ = to.send(Msg::RunLost(op, report)).await;
    }
}

fn log(level: Level, op: Option<OpId>, text: String) -> Msg {
    Msg::Log(LogLine { at: now(), level, origin: Origin::System, op, node: None, text })
}
