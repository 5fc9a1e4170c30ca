//! `pitstop run` and `pitstop snapshot`: the ladder on the command line, the run, its events as lines.

mod desk;

use super::prompt::{self, Prompt};
use super::signals::Signals;
use super::{Exit, Format, plan};
use crate::backend::clock::now;
use crate::backend::herald::Herald;
use crate::domain::config::Policy;
use crate::domain::guard::{Assent, Errand, Permit, Request, Rung, World, demand_for, grant_for};
use crate::domain::ids::OpId;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::window::Opening;
use crate::engine::{Backends, Facts, Run, start};
use desk::{Desk, Reply};

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
    let steps = crate::engine::plan(&request, &facts);
    super::roll::announce(&backends, &steps);
    let permit = confirm(ask, manner, &mut prompt).await?;
    // a roll goes on by itself from node to node
    let is_automatic = request.kind == Kind::Roll && manner.is_confirmed;
    let run = start(backends, steps, permit, OpId(1), is_automatic);
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
    let request = Request::new(Kind::Unlock, row.node.into_iter().collect());
    run(backends, policy, request, manner).await
}

/// Lets the engineer answer what SSH asks before anything depends on it: hosts of the nodes, and of the control planes (etcd).
async fn introduce(backends: &Backends, request: &Request, prompt: &mut Prompt) -> Result<(), Report> {
    let (Some(hosts), Kind::Reboot | Kind::Roll | Kind::Snapshot) = (&backends.hosts, request.kind) else {
        return Ok(());
    };
    // the API that is away is told by whoever needs it
    let Ok(mut rows) = backends.cluster.nodes().await else { return Ok(()) };
    rows.retain(|row| request.nodes.contains(&row.name) || row.is_control_plane());
    super::hosts::introduce(hosts, &rows, prompt).await
}

/// What is confirmed beforehand is not begun outside of a maintenance window: nobody would be there to wait for.
fn deny_outside_of_windows(backends: &Backends, request: &Request, manner: &Manner) -> Result<(), Report> {
    let moves = matches!(request.kind, Kind::Drain | Kind::Reboot | Kind::Roll);
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
        None if nodes.len() > 8 => format!("{} and {} more nodes", nodes[..4].join(", "), nodes.len() - 4),
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
                    desk.leave();
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
