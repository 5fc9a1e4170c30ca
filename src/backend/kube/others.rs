//! Who else maintains nodes, by the objects of the tools that do: kured, the system-upgrade-controller, Cluster API,
//! node-maintenance operators. (Marks on the nodes themselves: `rows/marks.rs`.)
//!
//! An API group that is not served says that its tool is not there; what is served and cannot be read is an error, as
//! silence is no proof of absence.

use super::request::{Ask, path};
use super::rows::{LeaseWire, Meta, nullable, tidy, time};
use super::survey::{Items, KuredLock};
use super::{Cluster, lease};
use crate::backend::error::Error;
use crate::domain::actor::Actor;
use crate::domain::time::Stamp;
use futures::FutureExt as _;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where node-maintenance operators (medik8s) keep their leases.
const MEDIK8S: &str = "medik8s-leases";

/// An answer about one tool: who is at work, or why it cannot be told.
pub type Sighting = Result<Vec<Actor>, Error>;

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    preferred_version: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: String,
}

/// An object of one of the tools; a field that it does not have stays empty.
#[derive(Deserialize)]
struct Thing {
    metadata: Meta,
    #[serde(default, deserialize_with = "nullable")]
    spec: ThingSpec,
    #[serde(default, deserialize_with = "nullable")]
    status: ThingStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ThingSpec {
    #[serde(deserialize_with = "nullable")]
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ThingStatus {
    /// Of a Plan: the nodes that it works on.
    #[serde(deserialize_with = "nullable")]
    applying: Vec<String>,
    /// Of a Machine.
    #[serde(deserialize_with = "nullable")]
    node_ref: NodeRef,
    /// Of a NodeMaintenance.
    #[serde(deserialize_with = "nullable")]
    phase: String,
    /// Of a Job.
    active: Option<u32>,
    #[serde(deserialize_with = "time")]
    start_time: Option<Stamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeRef {
    name: String,
}

impl Cluster {
    /// Looks for every tool at once. `now` is the API server's time.
    pub async fn others(&self, now: Stamp) -> Vec<Sighting> {
        let groups = match self.groups().await {
            Ok(groups) => groups,
            Err(error) => return vec![Err(error)],
        };
        let of = |group: &str| groups.get(group).cloned();
        let (plans, jobs, machines, maintenances, leases) = futures::join!(
            self.plans(of("upgrade.cattle.io")).boxed(),
            self.upgrade_jobs(of("upgrade.cattle.io")).boxed(),
            self.machines(of("cluster.x-k8s.io")).boxed(),
            self.maintenances(of("nodemaintenance.medik8s.io")).boxed(),
            self.maintenance_leases(now).boxed(),
        );
        vec![plans, jobs, machines, maintenances, leases]
    }

    /// Who works on nodes one after the other, kured's lock among them; and the first reason why that cannot be told in full.
    /// What may not be read says nothing about a roll, so it is no reason to stop looking.
    pub async fn rollers(&self) -> (Vec<Actor>, Option<Error>) {
        let now = match self.server_time().await {
            Ok(now) => now,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let (others, daemons) = futures::join!(self.others(now), self.daemons());
        let mut actors = Vec::new();
        let mut trouble = None;
        for sighting in others {
            match sighting {
                Ok(found) => actors.extend(found),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        match daemons {
            Ok((_, locks)) => actors.extend(locks.iter().map(KuredLock::actor)),
            Err(error) => trouble = trouble.or(Some(error)),
        }
        (actors, trouble)
    }

    /// API groups that are served, with their preferred version.
    async fn groups(&self) -> Result<BTreeMap<String, String>, Error> {
        let found: Groups = self.inner.fetch(&Ask::get("list API groups", "", "/apis".into())).await?;
        Ok(found.groups.into_iter().map(|group| (group.name, group.preferred_version.version)).collect())
    }

    async fn things(&self, op: &'static str, to: String, labels: &str) -> Result<Vec<Thing>, Error> {
        let mut ask = Ask::get(op, "", to);
        if !labels.is_empty() {
            ask = ask.query("labelSelector", labels);
        }
        Ok(self.inner.fetch::<Items<Thing>>(&ask).await?.items)
    }

    async fn plans(&self, version: Option<String>) -> Sighting {
        let Some(version) = version else { return Ok(Vec::new()) };
        let to = path(&["apis", "upgrade.cattle.io", &version, "plans"]);
        let plans = self.things("list upgrade plans", to, "").await?;
        let working = plans.iter().flat_map(|plan| plan.status.applying.iter().map(move |node| (plan, node)));
        Ok(working
            .map(|(plan, node)| {
                let what = format!("upgrades {node}");
                plan.actor("system-upgrade-controller", "Plan", node, &what)
            })
            .collect())
    }

    async fn upgrade_jobs(&self, version: Option<String>) -> Sighting {
        if version.is_none() {
            return Ok(Vec::new());
        }
        let to = path(&["apis", "batch", "v1", "jobs"]);
        let jobs = self.things("list upgrade jobs", to, "upgrade.cattle.io/plan").await?;
        let working = jobs.iter().filter(|job| job.status.active.unwrap_or(0) > 0);
        Ok(working
            .map(|job| {
                let node = job.metadata.labels.get("upgrade.cattle.io/node").cloned().unwrap_or_default();
                let actor = job.actor("system-upgrade-controller", "Job", &node, "its job is at work");
                Actor { since: job.status.start_time, ..actor }
            })
            .collect())
    }

    /// Machines of Cluster API that are being deleted: their nodes are drained and removed.
    async fn machines(&self, version: Option<String>) -> Sighting {
        let Some(version) = version else { return Ok(Vec::new()) };
        let to = path(&["apis", "cluster.x-k8s.io", &version, "machines"]);
        let machines = self.things("list machines", to, "").await?;
        let leaving =
            machines.iter().filter_map(|machine| Some((machine, machine.metadata.deletion_timestamp?)));
        Ok(leaving
            .map(|(machine, since)| {
                let actor = machine.actor(
                    "Cluster API",
                    "Machine",
                    &machine.status.node_ref.name,
                    "the machine is being deleted",
                );
                Actor { since: Some(since), ..actor }
            })
            .collect())
    }

    async fn maintenances(&self, version: Option<String>) -> Sighting {
        let Some(version) = version else { return Ok(Vec::new()) };
        let to = path(&["apis", "nodemaintenance.medik8s.io", &version, "nodemaintenances"]);
        let all = self.things("list node maintenances", to, "").await?;
        Ok(all
            .iter()
            .map(|one| {
                let phase = if one.status.phase.is_empty() { "not begun" } else { &one.status.phase };
                let what = format!("node maintenance, {}", tidy(phase.to_owned()));
                one.actor("node-maintenance operator", "NodeMaintenance", &one.spec.node_name, &what)
            })
            .collect())
    }

    /// Leases named `node-NAME` that are held and not over.
    async fn maintenance_leases(&self, now: Stamp) -> Sighting {
        let ask = Ask::get("list node-maintenance leases", "", lease::leases(MEDIK8S));
        let found: Items<LeaseWire> = self.inner.fetch(&ask).await?;
        let held = found.items.iter().filter_map(|wire| Some((wire, wire.lock()?)));
        Ok(held
            .filter(|(_, row)| !row.is_expired(now))
            .map(|(wire, row)| {
                let name = tidy(wire.metadata.name.clone());
                Actor {
                    tool: "node-maintenance lease".to_owned(),
                    kind: "Lease".to_owned(),
                    namespace: MEDIK8S.to_owned(),
                    node: name.strip_prefix("node-").map(Into::into),
                    name,
                    what: format!("held by {}", row.holder),
                    since: row.since,
                }
            })
            .collect())
    }
}

impl Thing {
    fn actor(&self, tool: &str, kind: &str, node: &str, what: &str) -> Actor {
        Actor {
            tool: tool.to_owned(),
            kind: kind.to_owned(),
            namespace: tidy(self.metadata.namespace.clone()),
            name: tidy(self.metadata.name.clone()),
            node: (!node.is_empty()).then(|| tidy(node.to_owned()).into()),
            what: tidy(what.to_owned()),
            since: self.metadata.creation_timestamp,
        }
    }
}

#[cfg(test)]
#[path = "others_tests.rs"]
mod tests;
