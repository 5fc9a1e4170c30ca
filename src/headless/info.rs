//! `pitstop info`: versions and places, for bug reports and for finding things.

use super::{Exit, Format, json, line};
use crate::domain::etcd::place::Discovery;
use crate::domain::report::Report;
use crate::engine::{Backends, locate};
use serde::Serialize;

/// What is known without a cluster.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Our version.
    pub version: String,
    /// The configuration's path.
    pub config: String,
    /// Where state and log files are.
    pub state_dir: String,
    /// Where journals are.
    pub runs: String,
    /// Who we are to others: `user@host`.
    pub holder: String,
}

#[derive(Debug, Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    context: Option<&'a str>,
    snapshots: Option<String>,
    server: Option<String>,
    /// Where etcd lives, how it is reached and what was wrong with other ways; one line each.
    etcd: Vec<String>,
    /// Why the cluster cannot be spoken to.
    trouble: Option<String>,
}

/// Shows it; a cluster that cannot be reached is said, and is no error here.
///
/// # Errors
/// Nothing can be written.
pub async fn info(facts: &Facts, backends: Result<Backends, Report>, format: Format) -> Result<Exit, Report> {
    let mut page =
        Page { facts, context: None, snapshots: None, server: None, etcd: Vec::new(), trouble: None };
    match &backends {
        Err(report) => page.trouble = Some(report.line()),
        Ok(backends) => {
            page.context = Some(&backends.settings.context);
            page.snapshots = Some(backends.settings.snapshot_dir.display().to_string());
            match backends.cluster.version().await {
                Ok(version) => {
                    page.server = Some(version);
                    page.etcd = etcd(backends).await;
                }
                Err(error) => page.trouble = Some(error.to_string()),
            }
        }
    }
    if format == Format::Json {
        json(&page)?;
        return Ok(Exit::Done);
    }
    let rows = [
        ("pitstop", Some(facts.version.as_str())),
        ("configuration", Some(&facts.config)),
        ("state", Some(&facts.state_dir)),
        ("journals", Some(&facts.runs)),
        ("holder", Some(&facts.holder)),
        ("context", page.context),
        ("snapshots", page.snapshots.as_deref()),
        ("server", page.server.as_deref()),
        ("trouble", page.trouble.as_deref()),
    ];
    let etcd = page.etcd.iter().map(|words| ("etcd", Some(words.as_str())));
    for (name, value) in rows.into_iter().chain(etcd) {
        if let Some(value) = value {
            line(&format!("{name:<14} {value}"))?;
        }
    }
    Ok(Exit::Done)
}

/// Looks once.
async fn etcd(backends: &Backends) -> Vec<String> {
    let Some(etcd) = &backends.etcd else { return vec!["not to be reached: access = \"none\"".to_owned()] };
    if let Ok(nodes) = backends.cluster.node_objects().await {
        locate(backends, &nodes).await;
    }
    let mut lines = Vec::new();
    if let Some(Discovery::Found(place)) = etcd.place() {
        let nodes: Vec<&str> = place.nodes.iter().map(|node| node.as_str()).collect();
        let on = [nodes.join(", "), place.external.join(", ")].join(" ");
        lines.push(format!("{:?}: {}", place.distribution, on.trim()));
    }
    match etcd.look().await {
        Err(error) => lines.push(error.to_string()),
        Ok(view) => {
            let words = view.words().unwrap_or_else(|| "no members are known".to_owned());
            lines.push(format!("{words}, via {}", view.access));
            for cluster in view.clusters() {
                lines.extend(cluster.unseen.clone());
                lines.extend(cluster.tried.iter().map(|words| format!("tried: {words}")));
            }
        }
    }
    lines
}
