//! `pitstop plan`: the steps, what the ladder will ask, and what a drain would meet. Changes nothing.

use super::{Exit, Format, json, line, text};
use crate::backend::clock::now;
use crate::domain::config::Policy;
use crate::domain::drain::{Class, Expectation, Forecast};
use crate::domain::guard::{Request, Rung, World, demand};
use crate::domain::ids::NodeName;
use crate::domain::plan::{Kind, Plan};
use crate::domain::report::Report;
use crate::engine::foretell::{foretell, line as pod_line};
use crate::engine::{Backends, Facts};
use serde::Serialize;
use std::collections::BTreeMap;

/// What `-o json` writes.
#[derive(Debug, Serialize)]
struct Page<'a> {
    /// The context.
    context: &'a str,
    /// The steps.
    plan: &'a Plan,
    /// What has to be given to start it.
    confirm: Option<&'a Rung>,
    /// Why it would be denied now.
    denied: Option<&'a Report>,
    /// Per node, what a drain would meet.
    forecast: &'a BTreeMap<NodeName, Vec<Forecast>>,
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

/// Shows the plan. 2 = it would be denied now, or a pod cannot be moved.
pub(super) async fn show(
    backends: &Backends,
    facts: &Facts,
    policy: &Policy,
    request: &Request,
    format: Format,
) -> Result<Exit, Report> {
    let lock = lock(backends, request).await;
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: lock.as_deref() };
    let mut forecasts = BTreeMap::new();
    if matches!(request.kind, Kind::Drain | Kind::Reboot) {
        for node in request.nodes.iter().filter(|node| facts.nodes.contains_key(*node)) {
            forecasts.insert(node.clone(), foretell(&backends.cluster, node, &request.drain).await?);
        }
    }
    let mut request = request.clone();
    request.blocked = forecasts.values().any(|list| has_blocks(list));
    let answer = demand(policy, &request, world);
    let plan = crate::engine::plan(&request, facts);
    match format {
        Format::Json => json(&Page {
            context: &policy.context,
            plan: &plan,
            confirm: answer.as_ref().ok(),
            denied: answer.as_ref().err(),
            forecast: &forecasts,
        })?,
        Format::Text => write(policy, &plan, &answer, &forecasts)?,
    }
    Ok(if answer.is_err() || request.blocked { Exit::Findings } else { Exit::Done })
}

fn write(
    policy: &Policy,
    plan: &Plan,
    answer: &Result<Rung, Report>,
    forecasts: &BTreeMap<NodeName, Vec<Forecast>>,
) -> Result<(), Report> {
    line(&format!("{} in context {}", text::title(plan), policy.context))?;
    for (index, step) in plan.steps.iter().enumerate() {
        line(text::step(index + 1, step).trim_end())?;
    }
    for (node, list) in forecasts {
        line(&format!("pods of {node}"))?;
        for pod in list {
            line(&format!("    {}", pod_line(pod)))?;
            for warning in &pod.warnings {
                line(&format!("      ! {warning}"))?;
            }
        }
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

fn has_blocks(list: &[Forecast]) -> bool {
    list.iter().any(|pod| {
        matches!(pod.class, Class::Refuse(_)) || matches!(pod.expectation, Expectation::Blocked(..))
    })
}

/// Whether something is known to block a drain.
pub(super) async fn is_blocked(backends: &Backends, request: &Request) -> Result<bool, Report> {
    for node in &request.nodes {
        if has_blocks(&foretell(&backends.cluster, node, &request.drain).await?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Who holds the maintenance lock so that we cannot, in words. When it cannot be read, the run itself will tell.
pub(super) async fn lock(backends: &Backends, request: &Request) -> Option<String> {
    let settings = &backends.settings;
    let row = backends.cluster.lease_read(&settings.lease_namespace).await.ok()??;
    row.in_the_way(&settings.holder, request.lock, now())
}
