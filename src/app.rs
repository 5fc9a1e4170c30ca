//! From a parsed command line to the room that does it.

use crate::backend::clock;
use crate::backend::store::Location;
use crate::cli::{
    Action, Beginning, Cli, Command, DrainFlags, DryRun, Earlier, Global, Intervals, Output, Rehearsal,
    RollFlags, Runs, Target,
};
use crate::connect::{Place, backends};
use crate::console::shell::replay;
use crate::domain::config::DrainOptions;
use crate::domain::guard::Request;
use crate::domain::ids::NodeName;
use crate::domain::lock::LockChoice;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::RollAction;
use crate::domain::selector;
use crate::domain::standing::Leftover;
use crate::engine::journal::Record;
use crate::engine::{Backends, journal, standing};
use crate::headless::resolve::{self, Wish};
use crate::headless::run::Manner;
use crate::headless::{Exit, Format, check, info, notice, plan, restore, run, runs, takeover, watch};
use crate::logging::{self, LogFile};
use crate::opening::open;
use crate::{config, rehearsal};
use clap::CommandFactory;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// What lives as long as the process: the log file and the runtime.
pub struct Session {
    _log: Option<LogFile>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// What is still under way when the work is done gets this long. A read of a terminal that nobody types at would keep the
/// process for ever.
const PARTING: Duration = Duration::from_millis(200);

/// Reaching the cluster of an earlier run may take this long.
const REACH: Duration = Duration::from_secs(10);

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PARTING);
        }
    }
}

impl Session {
    /// Begins to log, and starts the runtime.
    ///
    /// # Errors
    /// The log level is not one, or the system gives no threads.
    pub fn begin(cli: &Cli) -> Result<Self, Report> {
        let log = logging::begin(&config::state_dir(), &cli.global.log_level)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
            Report::new(FailureKind::Local, format!("no runtime can be started: {error}"))
        })?;
        Ok(Self { _log: log, runtime: Some(runtime) })
    }

    fn wait(&self, work: impl Future<Output = Result<Exit, Report>>) -> Result<Exit, Report> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Report::new(FailureKind::Unexpected, "the runtime has ended")),
        }
    }
}

impl From<Output> for Format {
    fn from(output: Output) -> Self {
        match output {
            Output::Text => Self::Text,
            Output::Json => Self::Json,
        }
    }
}

/// Does what was typed.
///
/// # Errors
/// Whatever keeps it from being done, in one sentence with a hint.
pub fn dispatch(cli: Cli, session: &Session) -> Result<Exit, Report> {
    let Cli { global, command } = cli;
    match command {
        Some(Command::Completions { shell }) => completions(shell),
        Some(Command::Man) => manual(),
        Some(Command::Info { sample_config: true, .. }) => {
            crate::headless::line(config::SAMPLE.trim_end()).map(|()| Exit::Done)
        }
        Some(Command::Runs { command: Runs::Report { id, output } }) => {
            runs::report(&config::state_dir(), id.as_deref(), output.into())
        }
        Some(command) => session.wait(act(&global, command)),
        None => session.wait(console(&global)),
    }
}

async fn act(global: &Global, command: Command) -> Result<Exit, Report> {
    match command {
        Command::Demo(choice) => demo(global, &choice).await,
        Command::Sim { dir, rehearsal: choice } => rehearsal::serve(&dir, &choice).await,
        Command::Replay { file, speed, step } => {
            let recording = replay::read(&file)?;
            replay::play(recording, replay::Playing { speed, is_stepping: step }).await.map(|()| Exit::Done)
        }
        Command::Check { output } => {
            let place = Place::new(global)?;
            check::check(&backends(&place).await?, output.into()).await
        }
        Command::Info { output, .. } => {
            let place = Place::new(global)?;
            info::info(&facts(&place), backends(&place).await, output.into()).await
        }
        command @ Command::Plan { .. } => plan_of(global, command).await,
        command @ Command::Run { .. } => run_of(global, command).await,
        Command::Snapshot { to, output } => snapshot(global, to, output).await,
        Command::Watch { to_version, since, output } => {
            let place = Place::new(global)?;
            let since = since.map(|since| match since {
                Beginning::At(at) => at,
                Beginning::Ago(span) => clock::ago(span),
            });
            let wish = crate::domain::rollout::Wish { to_version, since };
            watch::watch(&backends(&place).await?, wish, output.into()).await
        }
        Command::Runs { command } => earlier(global, command).await,
        // answered without a runtime
        Command::Completions { .. } | Command::Man => Ok(Exit::Done),
    }
}

/// `pitstop snapshot`.
async fn snapshot(global: &Global, to: Option<Location>, output: Output) -> Result<Exit, Report> {
    let here = std::env::current_dir().unwrap_or_default();
    let absolute = |to| match to {
        Location::Directory(dir) => Location::Directory(here.join(dir)),
        bucket @ Location::Bucket(_) => bucket,
    };
    let place = Place { snapshot_to: to.map(absolute), ..Place::new(global)? };
    let manner = manner(global, &place, true, false, output)?;
    let request = request(Kind::Snapshot, &[], DrainOptions::default(), LockChoice::Take);
    carry_out(&place, request, &manner).await
}

/// How a run of the command line is confirmed and told.
fn manner(
    global: &Global,
    place: &Place,
    is_confirmed: bool,
    is_dry: bool,
    output: Output,
) -> Result<Manner, Report> {
    let context = global.context.clone();
    Ok(Manner { is_confirmed, context, is_dry, format: output.into(), herald: place.herald(true)? })
}

async fn plan_of(global: &Global, command: Command) -> Result<Exit, Report> {
    let Command::Plan { target, pods, intervals, roll, patch, drain, output } = command else {
        return Ok(Exit::Error);
    };
    let place = Place { patch, ..Place::new(global)? };
    let backends = backends(&place).await?;
    let policy = place.policy(backends.cluster.context());
    if target.kind == Action::Restore {
        return restore::restore(&backends, output.into()).await;
    }
    if target.kind == Action::Resolve {
        let wish = Wish { budgets: target.nodes, remedy: None, pods: pods.pods, drain: drain.options()? };
        return resolve::plan(&backends, &policy, &wish, output.into()).await;
    }
    let target = all(&backends, target, &roll).await?;
    let request = asked(&backends, &target, &drain, LockChoice::Take).await?;
    let request = rolled(request, &roll, intervals, &backends)?;
    plan::plan(&backends, &policy, &request, output.into()).await
}

async fn run_of(global: &Global, command: Command) -> Result<Exit, Report> {
    let Command::Run {
        target,
        drain,
        yes,
        dry_run,
        adopt_lock,
        unlocked,
        intervals,
        roll,
        patch,
        output,
        remedy,
        pods,
    } = command
    else {
        return Ok(Exit::Error);
    };
    // the pauses of a roll are its own: the runs of its nodes settle as configured
    let of_runs = if target.kind == Action::Roll { Intervals::default() } else { intervals };
    let place = Place { intervals: of_runs, patch, ..Place::new(global)? };
    let manner = self::manner(global, &place, yes, dry_run != DryRun::None, output)?;
    if target.kind == Action::Resolve {
        let wish = Wish { budgets: target.nodes, remedy, pods: pods.pods, drain: drain.options()? };
        let backends = backends(&place).await?;
        let policy = place.policy(backends.cluster.context());
        return resolve::run(backends, &policy, &wish, &manner).await;
    }
    let lock = match (adopt_lock, unlocked) {
        (true, _) => LockChoice::Adopt,
        (_, true) => LockChoice::Without,
        _ => LockChoice::Take,
    };
    let backends = backends(&place).await?;
    let policy = place.policy(backends.cluster.context());
    let target = all(&backends, target, &roll).await?;
    let request = asked(&backends, &target, &drain, lock).await?;
    let request = rolled(request, &roll, intervals, &backends)?;
    run::run(backends, &policy, request, &manner).await
}

/// `--all`: the names of all nodes.
async fn all(backends: &Backends, target: Target, roll: &RollFlags) -> Result<Target, Report> {
    if !roll.all {
        return Ok(target);
    }
    if target.kind != Action::Roll {
        return Err(Report::new(FailureKind::Local, "--all is for rolls"));
    }
    let rows = backends.cluster.node_objects().await?;
    Ok(Target { nodes: rows.into_iter().map(|row| row.name.0).collect(), ..target })
}

/// The same request with how a roll goes, where it is one.
fn rolled(
    request: Request,
    flags: &RollFlags,
    intervals: Intervals,
    backends: &Backends,
) -> Result<Request, Report> {
    if request.kind != Kind::Roll {
        return Ok(request);
    }
    if let RollAction::Command(name) = &flags.action
        && !backends.settings.service.commands.contains_key(name)
    {
        return Err(Report::new(FailureKind::Local, format!("no command {name} is configured"))
            .hint(format!("see [cluster.X.command.{name}] in the configuration: argv and timeout")));
    }
    Ok(Request { roll: Some(Box::new(flags.options(intervals))), ..request })
}

fn request(kind: Kind, nodes: &[String], drain: DrainOptions, lock: LockChoice) -> Request {
    let nodes = nodes.iter().map(|name| NodeName::from(name.as_str())).collect();
    Request { drain, lock, ..Request::new(kind, nodes) }
}

/// What was asked for: the nodes by name or by label, and how pods are moved.
async fn asked(
    backends: &Backends,
    target: &Target,
    flags: &DrainFlags,
    lock: LockChoice,
) -> Result<Request, Report> {
    let wrong = |words: String| Report::new(FailureKind::Local, words);
    let drain = flags.options()?;
    let kind = Kind::try_from(target.kind)?;
    if drain.parallel > 1 && kind != Kind::Drain {
        return Err(wrong(format!("--parallel is for drains, not for {kind}")));
    }
    if flags.chunk_size.is_some() {
        notice("--chunk-size is ignored: lists are read in pages of 500");
    }
    let mut names = target.nodes.clone();
    match target.selector.as_ref().filter(|text| !text.trim().is_empty()) {
        Some(_) if !names.is_empty() => {
            return Err(wrong("cannot specify both a node name and a --selector option".to_owned()));
        }
        None if names.is_empty() => {
            return Err(wrong(format!("{kind} needs the name of a node, or a --selector")));
        }
        None => {}
        Some(text) => {
            let selector = selector::parse(text)
                .map_err(|why| wrong(format!("--selector {text:?} cannot be read: {why}")))?;
            let rows = backends.cluster.node_objects().await?;
            let found = rows.into_iter().filter(|row| selector.matches(&row.labels));
            names = found.map(|row| row.name.0).collect();
            names.sort();
            if names.is_empty() {
                return Err(Report::new(FailureKind::NotFound, format!("no node matches --selector {text}")));
            }
        }
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(request(kind, &names, drain, lock))
}

async fn carry_out(place: &Place, request: Request, manner: &Manner) -> Result<Exit, Report> {
    let backends = backends(place).await?;
    let policy = place.policy(backends.cluster.context());
    run::run(backends, &policy, request, manner).await
}

/// Earlier runs, and what they left.
async fn earlier(global: &Global, command: Runs) -> Result<Exit, Report> {
    let state = config::state_dir();
    let look =
        |record: &Record| -> BoxFuture<'_, Vec<Leftover>> { Box::pin(look_at(global, record.clone())) };
    match command {
        Runs::Resume(earlier) => take_over(global, &earlier, false).await,
        Runs::Abort(earlier) => take_over(global, &earlier, true).await,
        Runs::Unlock { yes, output } => {
            let place = Place::new(global)?;
            let backends = backends(&place).await?;
            let policy = place.policy(backends.cluster.context());
            let manner = self::manner(global, &place, yes, false, output)?;
            run::unlock(backends, &policy, &manner).await
        }
        Runs::List { output } => runs::list(&state, &look, output.into()).await,
        Runs::Show { id, output } => runs::show(&state, id.as_deref(), &look, output.into()).await,
        Runs::Report { id, output } => runs::report(&state, id.as_deref(), output.into()),
    }
}

/// How what a run left is now, by the word of its own cluster.
async fn look_at(global: &Global, record: Record) -> Vec<Leftover> {
    let here = Global { context: Some(record.header.context.clone()), ..global.clone() };
    let reached = async {
        let backends = backends(&Place::new(&here)?).await?;
        let namespace = backends.settings.lease_namespace.clone();
        Ok::<_, Report>(standing::verify(&backends.cluster, &namespace, &record).await)
    };
    match tokio::time::timeout(REACH, reached).await {
        Ok(Ok(left)) => left,
        Ok(Err(report)) => standing::unknown(&record, &report.line()),
        Err(_) => standing::unknown(&record, "its cluster does not answer"),
    }
}

/// Goes on with an earlier run, or aborts it.
async fn take_over(global: &Global, earlier: &Earlier, aborts: bool) -> Result<Exit, Report> {
    let record = journal::find(&config::state_dir(), Some(&earlier.id));
    let mut here = global.clone();
    if let (Ok(record), None) = (&record, &here.context) {
        // the run knows its cluster
        here.context = Some(record.header.context.clone());
    }
    let place = Place::new(&here)?;
    let backends = backends(&place).await?;
    let record = match record {
        Ok(record) => record,
        Err(report) if report.kind == FailureKind::NotFound => {
            return Err(takeover::elsewhere(&backends, &earlier.id).await.unwrap_or(report));
        }
        Err(report) => return Err(report),
    };
    let policy = place.policy(backends.cluster.context());
    let manner = self::manner(global, &place, earlier.yes, false, earlier.output)?;
    if aborts {
        takeover::abort(backends, &policy, &record, &manner).await
    } else {
        takeover::resume(backends, &policy, &record, &manner).await
    }
}

fn facts(place: &Place) -> info::Facts {
    let display = |path: &Path| path.display().to_string();
    info::Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: place.config.path.as_deref().map_or_else(
            || {
                let usual = config::config_path().map_or_else(|| "none".to_owned(), |path| display(&path));
                format!("{usual} (not there: defaults)")
            },
            display,
        ),
        state_dir: display(&place.state_dir),
        runs: display(&crate::engine::journal::directory(&place.state_dir)),
        holder: config::holder(),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Exit, Report> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pitstop", &mut text);
    crate::headless::line(String::from_utf8_lossy(&text).trim_end()).map(|()| Exit::Done)
}

fn manual() -> Result<Exit, Report> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut text)
        .map_err(|error| Report::new(FailureKind::Unexpected, format!("no manual can be made: {error}")))?;
    crate::headless::line(String::from_utf8_lossy(&text).trim_end()).map(|()| Exit::Done)
}

/// The console on the current context.
async fn console(global: &Global) -> Result<Exit, Report> {
    let place = Place::new(global)?;
    open(place, global, None).await
}

/// The console on a simulated cluster that lives as long as it.
async fn demo(global: &Global, choice: &Rehearsal) -> Result<Exit, Report> {
    let stage = rehearsal::Stage::open(choice).await?;
    let place = stage.place(global)?;
    let exit = open(place, global, Some(stage.words())).await;
    stage.close().await;
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_never_ends_does_not_keep_the_process() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (end, never) = std::sync::mpsc::channel::<()>();
        let (ended, has_ended) = std::sync::mpsc::channel();
        runtime.spawn_blocking(move || never.recv());
        let session = Session { _log: None, runtime: Some(runtime) };
        std::thread::spawn(move || {
            drop(session);
            ended.send(())
        });
        has_ended.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(end);
    }
}
