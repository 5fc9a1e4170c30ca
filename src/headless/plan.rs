//! `pitstop plan`: the steps, what the ladder will ask, and what a drain would meet. Changes nothing.

use super::foretold::{self, Page as ForecastPage};
use super::{Exit, Format, json, line, text};
use crate::backend::clock::now;
use crate::domain::checklist::{Component, summary};
use crate::domain::config::Policy;
use crate::domain::forecast::Verdict;
use crate::domain::guard::{Request, Rung, World, demand};
use crate::domain::ids::{NodeName, RunId};
use crate::domain::plan::{Kind, Plan};
use crate::domain::report::{FailureKind, Report};
use crate::engine::checklist;
use crate::engine::foretell::{Foretold, foretell};
use crate::engine::roll::{Estimate, outlook};
use crate::engine::{Backends, Facts};
use serde::Serialize;

/// What `-o json` writes. Durations are in seconds.
#[derive(Debug, Serialize)]
struct Page<'a> {
    /// The context.
    context: &'a str,
    /// `cordon`, `drain`, `reboot`, …
    kind: Kind,
    /// The nodes, in order.
    nodes: &'a [NodeName],
    /// What draining them would meet; null where nothing is drained.
    forecast: Option<ForecastPage>,
    /// How long a roll takes; null for everything else.
    estimate: Option<&'a Estimate>,
    /// The components as they are counted now; null where they are not looked at.
    components: Option<&'a [Component]>,
    /// What has to be given to start it.
    confirm: Option<&'a Rung>,
    /// Why it would be denied now.
    denied: Option<&'a Report>,
    /// The steps.
    plan: &'a Plan,
}

/// Reads the cluster and shows the plan for a request.
///
/// # Errors
/// The cluster cannot be read.
pub async fn plan(
    backends: &Backends,
    policy: &Policy,
    request: &Request,
    format: Format,
) -> Result<Exit, Report> {
    let facts = Facts::read(backends).await?;
    show(backends, &facts, policy, request, format).await
}

/// Shows the plan. 2 = it would be denied now, a pod blocks the drain, or one would have nowhere to run; 1 = whether the
/// drain would finish cannot be told.
pub(super) async fn show(
    backends: &Backends,
    facts: &Facts,
    policy: &Policy,
    request: &Request,
    format: Format,
) -> Result<Exit, Report> {
    if let Some(node) = request.nodes.iter().find(|node| !facts.nodes.contains_key(*node)) {
        return Err(Report::new(FailureKind::NotFound, format!("there is no node named {node}")));
    }
    let lock = lock(backends, request).await;
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: lock.as_deref() };
    let plan = crate::engine::plan(request, facts);
    let outlook = outlook(backends, &plan).await?;
    let told = match &outlook {
        Some(outlook) => Some(outlook.foretold.clone()),
        None => foretold_for(backends, request).await?,
    };
    let mut request = request.clone();
    request.blocked = told.as_ref().is_some_and(Foretold::has_findings);
    let answer = demand(policy, &request, world);
    let components = match request.kind {
        Kind::Reboot | Kind::Roll => Some(checklist::count(backends).await?),
        _ => None,
    };
    match format {
        Format::Json => json(&Page {
            context: &policy.context,
            kind: request.kind,
            nodes: &request.nodes,
            forecast: told.as_ref().map(ForecastPage::new),
            estimate: outlook.as_ref().map(|outlook| &outlook.estimate),
            components: components.as_deref(),
            confirm: answer.as_ref().ok(),
            denied: answer.as_ref().err(),
            plan: &plan,
        })?,
        Format::Text => {
            let mut lines = match (&outlook, &told) {
                (Some(outlook), _) => super::roll::lines(&plan, outlook),
                (None, Some(told)) => foretold::lines(told),
                (None, None) => Vec::new(),
            };
            lines.extend(components.map(|list| format!("checklist: {}", summary(&list))));
            write(policy, &plan, &answer, &lines)?;
        }
    }
    let is_unclear = told.is_some_and(|told| matches!(told.verdict(), Verdict::Unclear { .. }));
    Ok(if answer.is_err() || request.blocked {
        Exit::Findings
    } else if is_unclear {
        Exit::Error
    } else {
        Exit::Done
    })
}

fn write(
    policy: &Policy,
    plan: &Plan,
    answer: &Result<Rung, Report>,
    foreseen: &[String],
) -> Result<(), Report> {
    line(&format!("{} in context {}", text::title(plan), policy.context))?;
    foreseen.iter().try_for_each(|text| line(text))?;
    if !foreseen.is_empty() {
        line("")?;
    }
    for (index, step) in plan.steps.iter().enumerate() {
        line(text::step(index + 1, step).trim_end())?;
    }
    match answer {
        Ok(Rung::Key) => line("to start it: confirm with y, or --yes"),
        Ok(Rung::TypeName(name)) => line(&format!("to start it: type {name}, or --yes")),
        Ok(Rung::TypeContext(name)) => {
            line(&format!("to start it: type {name}, or --yes with --context {name}"))
        }
        Err(report) => line(text::error(report).trim_end()),
    }
}

/// What the request's drains would meet; nothing where nothing is drained.
async fn foretold_for(backends: &Backends, request: &Request) -> Result<Option<Foretold>, Report> {
    if !matches!(request.kind, Kind::Drain | Kind::Reboot) || request.nodes.is_empty() {
        return Ok(None);
    }
    Ok(Some(foretell(&backends.cluster, &request.nodes, &request.drain).await?))
}

/// Whether something is known to block a drain.
pub(super) async fn is_blocked(backends: &Backends, request: &Request) -> Result<bool, Report> {
    Ok(foretold_for(backends, request).await?.is_some_and(|told| told.has_findings()))
}

/// Who holds the maintenance lock so that we cannot, in words. When it cannot be read, the run itself will tell.
pub(super) async fn lock(backends: &Backends, request: &Request) -> Option<String> {
    lock_of_others(backends, request, None).await
}

/// The same, not counting the lock of one run.
pub(super) async fn lock_of_others(
    backends: &Backends,
    request: &Request,
    own: Option<&RunId>,
) -> Option<String> {
    let settings = &backends.settings;
    let row = backends.cluster.lease_read(&settings.lease_namespace).await.ok()??;
    if own.is_some() && row.run.as_ref() == own {
        return None;
    }
    // it helps that run on
    if request.kind == Kind::PowerCycle && row.is_of(&settings.holder, request.nodes.first()) {
        return None;
    }
    row.in_the_way(&settings.holder, request.lock, now())
}
