//! The confirmation ladder, and the permit that only it gives.
//!
//! Everything that changes a cluster or a host takes a [`Permit`]; the only way to one is [`grant`], which asks the
//! policy again. So no code path can forget to ask.

mod request;
mod turn;
mod unlocked;

pub use request::Request;
pub use turn::may_turn;
use unlocked::without_lock;

use super::config::Policy;
use super::etcd::EtcdView;
use super::feed::Table;
use super::ids::{BudgetKey, NodeName};
use super::lock::LockChoice;
use super::node::NodeRow;
use super::plan::Kind;
use super::remedy::{Remedy, Resolution};
use super::report::{FailureKind, Report};
use serde::{Deserialize, Serialize};

/// How much assent is needed; a later rung includes the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The key `y`.
    Key,
    /// The node's name, typed.
    TypeName(String),
    /// The context's name, typed.
    TypeContext(String),
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assent {
    /// The key `y` in an armed dialog.
    Key,
    /// A text, typed to the letter.
    Typed(String),
    /// `--yes` on the command line; with the context when `--context` was given by hand.
    Flag {
        /// The value of an explicit `--context`.
        context: Option<String>,
    },
}

impl Assent {
    /// In one word, for the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Typed(_) => "typed",
            Self::Flag { .. } => "flag",
        }
    }
}

/// What is known when the question is asked.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The nodes, or `None` while they are not known.
    pub nodes: Option<&'a Table<NodeRow>>,
    /// The etcd view.
    pub etcd: Option<&'a EtcdView>,
    /// Who else holds the maintenance lock, in words.
    pub lock: Option<&'a str>,
}

/// A single change, to be held against a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// Patch `spec.unschedulable` to true, with the note.
    Cordon(&'a NodeName),
    /// Patch it back.
    Uncordon(&'a NodeName),
    /// Evict or delete a pod of this node.
    Evict(&'a NodeName),
    /// Ask the host of this node to reboot.
    Reboot(&'a NodeName),
    /// Run the configured command on the host of this node before its reboot.
    Patch(&'a NodeName),
    /// Take the power of this node's machine away and give it back.
    Power(&'a NodeName),
    /// Move the etcd leadership away from the member on this node.
    MoveLeader(&'a NodeName),
    /// Read a snapshot from etcd and write it to a file.
    Snapshot,
    /// Take, renew or give back the maintenance lease.
    Lock,
    /// Change this budget, the owner of its pods or their autoscaler, as this remedy does.
    Borrow(&'a BudgetKey, Remedy),
    /// Put such a change back.
    Restore,
    /// Mark a node that is to come in a roll, or take the mark away.
    Mark(&'a NodeName),
}

/// Leave to change something: which kind of run, on which nodes. Cannot be made outside this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permit {
    kind: Kind,
    nodes: Vec<NodeName>,
    resolve: Option<Resolution>,
    by: Assent,
}

impl Permit {
    /// Whether the permit covers a change.
    pub fn covers(&self, change: &Change<'_>) -> bool {
        let on = |node: &NodeName| self.nodes.contains(node);
        match change {
            Change::Cordon(node) => {
                matches!(self.kind, Kind::Cordon | Kind::Drain | Kind::Reboot) && on(node)
            }
            // every run that may cordon may also undo its cordon
            Change::Uncordon(node) => {
                let may = self.remedy().map_or(!matches!(self.kind, Kind::Snapshot | Kind::Unlock), |one| {
                    one == Remedy::SkipNode
                });
                may && on(node)
            }
            Change::Evict(node) => {
                let may = matches!(self.kind, Kind::Drain | Kind::Reboot)
                    || self.remedy().is_some_and(Remedy::moves_pods);
                may && on(node)
            }
            Change::Reboot(node) | Change::Patch(node) | Change::MoveLeader(node) => {
                self.kind == Kind::Reboot && on(node)
            }
            Change::Power(node) => self.kind == Kind::PowerCycle && on(node),
            Change::Mark(node) => self.kind == Kind::Roll && on(node),
            Change::Snapshot => matches!(self.kind, Kind::Snapshot | Kind::Reboot | Kind::Roll),
            Change::Lock => self.kind != Kind::Snapshot,
            Change::Borrow(budget, remedy) => self
                .resolve
                .as_ref()
                .is_some_and(|chosen| chosen.budget == **budget && chosen.remedy == *remedy),
            Change::Restore => self.kind == Kind::Resolve,
        }
    }

    /// The remedy, when it was given for one.
    fn remedy(&self) -> Option<Remedy> {
        self.resolve.as_ref().map(|chosen| chosen.remedy)
    }

    /// The same as a check: an error that names the change.
    pub fn check(&self, change: &Change<'_>) -> Result<(), Report> {
        if self.covers(change) {
            return Ok(());
        }
        let nodes: Vec<&str> = self.nodes.iter().map(NodeName::as_str).collect();
        Err(Report::new(
            FailureKind::Denied,
            format!("no permit for {change:?}: it was given for {} of {}", self.kind, nodes.join(", ")),
        ))
    }

    /// The nodes it was given for.
    pub fn nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    /// What it was given for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it was confirmed.
    pub fn assent(&self) -> &Assent {
        &self.by
    }
}

/// What a permit is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A new run.
    Begin,
    /// Going on with a run that another process left.
    GoOn {
        /// Its reboot may have been asked for: to let it finish is safer than to leave it so.
        has_asked: bool,
    },
    /// Putting back what such a run left changed.
    PutBack,
}

/// The rung that a request for a new run needs, or why it is denied.
pub fn demand(policy: &Policy, request: &Request, world: World<'_>) -> Result<Rung, Report> {
    demand_for(Errand::Begin, policy, request, world)
}

/// The rung that a request needs, or why it is denied.
pub fn demand_for(
    errand: Errand,
    policy: &Policy,
    request: &Request,
    world: World<'_>,
) -> Result<Rung, Report> {
    if errand != Errand::PutBack {
        deny_malformed(request, world)?;
    }
    if policy.read_only && request.kind != Kind::Snapshot {
        return Err(Report::new(
            FailureKind::Denied,
            format!("{} is denied: this console is read-only", request.kind),
        )
        .hint("start pitstop without --read-only"));
    }
    let may_reboot = matches!(errand, Errand::Begin | Errand::GoOn { has_asked: false });
    if matches!(request.kind, Kind::Reboot | Kind::Roll) && may_reboot {
        for node in &request.nodes {
            deny_unsafe_reboot(node, world)?;
        }
    }
    if request.kind == Kind::Drain && errand != Errand::PutBack {
        for node in &request.nodes {
            deny_while_another_is_away("draining", node, world)?;
        }
    }
    if request.kind == Kind::PowerCycle {
        for node in &request.nodes {
            deny_unsafe_power_cycle(node, world)?;
        }
    }
    let heeds_lock = match &request.resolve {
        Some(chosen) => chosen.remedy.changes(),
        None => matches!(request.kind, Kind::Drain | Kind::Reboot | Kind::PowerCycle | Kind::Roll),
    };
    if let (Some(holder), true) = (world.lock, heeds_lock && errand != Errand::PutBack) {
        return Err(Report::new(FailureKind::Denied, format!("the maintenance lock is held: {holder}"))
            .hint("wait for that run to end; when it is dead, the lock can be taken over (--adopt-lock) or cleared (pitstop runs unlock)"));
    }
    if policy.is_protected() && request.kind != Kind::Snapshot {
        let rung = Rung::TypeContext(policy.context.clone());
        return Ok(if request.lock == LockChoice::Without { without_lock(rung) } else { rung });
    }
    if errand == Errand::PutBack {
        // an uncordon, or the lock
        return Ok(Rung::Key);
    }
    let rung = rung(request, world);
    if request.lock == LockChoice::Without && matches!(request.kind, Kind::Reboot | Kind::Roll) {
        return Ok(without_lock(rung));
    }
    Ok(rung)
}

/// A request that names no node, too many, or one that is not there.
fn deny_malformed(request: &Request, world: World<'_>) -> Result<(), Report> {
    match (request.kind, request.nodes.len()) {
        // a lock that was left behind may name a node that is gone
        (Kind::Snapshot | Kind::Unlock, _) => return Ok(()),
        (Kind::Resolve, _) => deny_unresolvable(request)?,
        (kind, 0) => {
            return Err(Report::new(FailureKind::Denied, format!("{kind} needs the name of a node")));
        }
        (kind @ (Kind::Reboot | Kind::PowerCycle), 2..) => {
            return Err(Report::new(FailureKind::Denied, format!("{kind} takes one node at a time"))
                .hint("let the first one come back, then start the next run"));
        }
        _ => {}
    }
    let Some(nodes) = world.nodes else { return Ok(()) };
    match request.nodes.iter().find(|node| !nodes.contains_key(*node)) {
        Some(node) => Err(Report::new(FailureKind::NotFound, format!("there is no node named {node}"))),
        None => Ok(()),
    }
}

/// A resolution that names no remedy, or one that is only explained.
fn deny_unresolvable(request: &Request) -> Result<(), Report> {
    match &request.resolve {
        None => Err(Report::new(FailureKind::Denied, "resolve needs a budget and a remedy")),
        Some(chosen) if !chosen.remedy.is_carried_out() => Err(Report::new(
            FailureKind::Denied,
            format!("{} is explained and not carried out: it needs people's decision", chosen.remedy),
        )),
        Some(_) => Ok(()),
    }
}

/// The name that a remedy asks for; `None` = the key is enough.
fn name_for(chosen: &Resolution) -> Option<String> {
    let target = chosen.targets.first();
    match chosen.remedy {
        Remedy::Wait => None,
        Remedy::DeleteHealthy => target.map(|target| target.pod.name.clone()),
        Remedy::DisableEviction => target.map(|target| target.node.0.clone()),
        remedy if remedy.weakens() || chosen.is_unsure => Some(chosen.budget.name.clone()),
        _ => None,
    }
}

fn rung(request: &Request, world: World<'_>) -> Rung {
    if let Some(chosen) = &request.resolve {
        if chosen.remedy == Remedy::Wait {
            return Rung::Key;
        }
        if let Some(name) = name_for(chosen) {
            return Rung::TypeName(name);
        }
    }
    let Some(first) = request.nodes.first() else { return Rung::Key };
    let is_plain_worker = |node: &NodeName| {
        world
            .nodes
            .and_then(|nodes| nodes.get(node))
            .is_some_and(|row| !row.is_control_plane() && !row.is_labelled_etcd())
            && world.etcd.is_none_or(|etcd| !etcd.is_host(node))
    };
    // the name that asks most of whoever types it
    let gravest = request.nodes.iter().find(|node| !is_plain_worker(node)).unwrap_or(first);
    let typed = Rung::TypeName(gravest.0.clone());
    let forced = request.drain.force
        || request.drain.delete_emptydir_data
        || request.drain.disable_eviction
        || request.drain.grace_period == 0;
    match request.kind {
        Kind::Snapshot => Rung::Key,
        Kind::Reboot | Kind::PowerCycle | Kind::Roll => typed,
        // "anything on a control-plane or etcd node", and unknown nodes count as such
        _ if !request.nodes.iter().all(is_plain_worker) => typed,
        Kind::Drain if forced || request.blocked => typed,
        Kind::Cordon | Kind::Uncordon | Kind::Drain | Kind::Unlock | Kind::Resolve => Rung::Key,
    }
}

/// A reboot is denied when it would break quorum, or while another control-plane node is away.
///
/// Only what is known speaks here. What is not known is the gates' matter, and they take it as not passed.
fn deny_unsafe_reboot(node: &NodeName, world: World<'_>) -> Result<(), Report> {
    deny_under_alarm(node, world)?;
    deny_loss_of_quorum(node, world.etcd)?;
    deny_while_another_is_away("rebooting", node, world)
}

fn deny_while_another_is_away(doing: &str, node: &NodeName, world: World<'_>) -> Result<(), Report> {
    let Some(nodes) = world.nodes else { return Ok(()) };
    if !nodes.get(node).is_none_or(NodeRow::is_control_plane) {
        return Ok(());
    }
    match nodes.values().find(|row| row.name != *node && row.is_control_plane() && !row.is_ready()) {
        None => Ok(()),
        Some(away) => Err(Report::new(
            FailureKind::Denied,
            format!(
                "{doing} {node} is denied: another control-plane node, {}, is away (not Ready)",
                away.name
            ),
        )
        .hint(format!("bring {} back first", away.name))),
    }
}

/// The power of a node that works is denied under the same rules as its reboot. One that is known to be away loses nothing by
/// it: that is what a power cycle is for.
fn deny_unsafe_power_cycle(node: &NodeName, world: World<'_>) -> Result<(), Report> {
    let is_away = world.nodes.and_then(|nodes| nodes.get(node)).is_some_and(|row| !row.is_ready());
    let clusters = || world.etcd.into_iter().flat_map(EtcdView::clusters);
    let mut members = clusters().filter_map(|cluster| cluster.on_node(node));
    if is_away && members.all(|member| !member.health.is_healthy()) {
        return Ok(());
    }
    deny_unsafe_reboot(node, world)
}

/// An alarm concerns the whole cluster, whichever member it names: no control plane is touched under one.
fn deny_under_alarm(node: &NodeName, world: World<'_>) -> Result<(), Report> {
    let Some(etcd) = world.etcd else { return Ok(()) };
    let is_worker = world.nodes.and_then(|nodes| nodes.get(node)).is_some_and(|row| !row.is_control_plane());
    let alarmed = |cluster| Some((cluster, EtcdView::alarms(cluster).into_iter().next()?));
    let Some((cluster, alarm)) = etcd.clusters().find_map(alarmed) else { return Ok(()) };
    if is_worker && !etcd.is_host(node) {
        return Ok(());
    }
    let (label, words) = (cluster.label(), alarm.words(&cluster.name_of(alarm.member)));
    Err(Report::new(FailureKind::Denied, format!("rebooting {node} is denied: {label} has an {words}")))
}

/// Safe iff the healthy voters without this one still make ⌊N/2⌋+1 of the N voters (a reboot is no removal).
fn deny_loss_of_quorum(node: &NodeName, etcd: Option<&EtcdView>) -> Result<(), Report> {
    etcd.into_iter().flat_map(EtcdView::clusters).try_for_each(|cluster| deny_loss_in(node, cluster))
}

fn deny_loss_in(node: &NodeName, etcd: &EtcdView) -> Result<(), Report> {
    let (Some(member), Some(quorum)) = (etcd.on_node(node), etcd.quorum()) else { return Ok(()) };
    let (is_voter, is_healthy) = (!member.learner, member.health.is_healthy());
    if quorum.may_lose(is_voter, is_healthy) {
        return Ok(());
    }
    let left = quorum.healthy.saturating_sub(usize::from(is_voter && is_healthy));
    let report = Report::new(
        FailureKind::Denied,
        format!(
            "rebooting {node} is denied: {} of {} {} voters {} healthy; without {node} {left} would be left, below the quorum of {}",
            quorum.healthy,
            quorum.voters,
            etcd.label(),
            if quorum.healthy == 1 { "is" } else { "are" },
            quorum.needed()
        ),
    );
    Err(if quorum.voters < 3 {
        report.hint(format!(
            "{} can spare none: this version reboots control-plane nodes only in clusters of three or more voters",
            super::text::count(quorum.voters, "voter")
        ))
    } else {
        report.hint("bring the other members back first")
    })
}

/// Gives the permit for a new run when what was given is enough for what is demanded now.
pub fn grant(policy: &Policy, request: &Request, world: World<'_>, given: Assent) -> Result<Permit, Report> {
    grant_for(Errand::Begin, policy, request, world, given)
}

/// Gives the permit when what was given is enough for what is demanded now.
pub fn grant_for(
    errand: Errand,
    policy: &Policy,
    request: &Request,
    world: World<'_>,
    given: Assent,
) -> Result<Permit, Report> {
    let rung = demand_for(errand, policy, request, world)?;
    let enough = match (&rung, &given) {
        (Rung::TypeName(want) | Rung::TypeContext(want), Assent::Typed(text)) => want == text,
        (Rung::Key, _) | (Rung::TypeName(_), Assent::Flag { .. }) => true,
        (Rung::TypeContext(_), Assent::Flag { context }) => context.as_ref() == Some(&policy.context),
        (_, Assent::Key) => false,
    };
    if enough {
        let resolve = request.resolve.clone();
        return Ok(Permit { kind: request.kind, nodes: request.nodes.clone(), resolve, by: given });
    }
    let report = Report::new(FailureKind::Denied, format!("{} was not confirmed", request.kind));
    Err(match rung {
        Rung::TypeContext(context) => report.hint(format!("context {context} is protected: give --context {context} by hand beside --yes, or type it in the console")),
        Rung::TypeName(name) => report.hint(format!("type {name}")),
        Rung::Key => report,
    })
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
