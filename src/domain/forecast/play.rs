//! A drain played through in a model, round by round, until nothing changes any more.

use super::budgets::{Hold, Purse};
use super::health::{Health, health};
use super::{Replacement, Scene, has_daemonset};
use crate::domain::budget::{Amount, Demand};
use crate::domain::config::DrainOptions;
use crate::domain::drain::{Class, classify};
use crate::domain::ids::{BudgetKey, NodeName};
use crate::domain::placement::{Obstacle, Space};
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use crate::domain::wave::Wave;
use std::collections::{BTreeMap, BTreeSet};

/// How what cannot be known turns out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Luck {
    /// What may recover does.
    pub recovers: bool,
    /// The scheduler spreads the replacements (else it fills one node after the other).
    pub spreads: bool,
}

impl Luck {
    /// Every way in which it may turn out; the first one is the gloomiest of a usual scheduler.
    pub(super) const ALL: [Self; 4] = [
        Self { recovers: false, spreads: true },
        Self { recovers: true, spreads: true },
        Self { recovers: false, spreads: false },
        Self { recovers: true, spreads: false },
    ];
}

/// What came of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Asked to go in this round, and why not earlier.
    Went(Option<Hold>),
    /// Still held at the end, and what would have to happen for that to change.
    Held(Hold, Vec<String>),
    /// Stays by its class, or may not be moved.
    Stays,
}

/// A pod that had to be thought about.
#[derive(Debug, Clone)]
pub(super) struct Ended<'a> {
    pub row: &'a PodRow,
    pub class: Class,
    pub fate: Fate,
    pub replacement: Replacement,
    /// Came to this node as a replacement in the course of the play.
    pub is_ghost: bool,
}

/// The end of one node's drain.
#[derive(Debug, Clone)]
pub(super) struct Played<'a> {
    pub pods: Vec<Ended<'a>>,
}

/// A replacement that has no place yet.
struct Pending<'a> {
    /// The pod that went, by the number it had.
    of: usize,
    row: &'a PodRow,
    was_ready: bool,
    why: String,
}

struct Play<'a, 's> {
    scene: &'s Scene<'a>,
    options: &'s DrainOptions,
    luck: Luck,
    space: Space<'a>,
    purse: Purse<'a>,
    /// Pods that are Ready, by their numbers.
    ready: BTreeSet<usize>,
    /// Why a pod that runs will not be Ready.
    stuck: BTreeMap<usize, String>,
    pending: Vec<Pending<'a>>,
    /// What became of pods that went, by their numbers.
    after: BTreeMap<usize, Replacement>,
    /// The nodes to be drained.
    targets: BTreeSet<usize>,
    /// Pods that went and that nothing creates again.
    lost: Vec<&'a PodRow>,
    ghosts: BTreeSet<usize>,
    /// Pods that the size of its owners asks for and that do not exist, by budget.
    missing: BTreeMap<&'a BudgetKey, i32>,
    /// What recovers by itself has done so.
    has_settled: bool,
}

/// Plays the drain of nodes, wave by wave: those of a wave are cordoned first, drained one after the other, and take pods again
/// before the next wave, which finds the pods where this one has put them.
pub(super) fn play<'a>(
    scene: &Scene<'a>,
    waves: &[Vec<NodeName>],
    options: &DrainOptions,
    luck: Luck,
) -> Vec<Played<'a>> {
    let volumes = scene.volumes.iter().flatten().copied();
    let space = Space::new(scene.nodes.iter().copied(), scene.pods.iter().copied(), volumes);
    let ready = space.residents().filter(|(_, pod)| pod.row.ready && pod.row.deleting.is_none());
    let mut play = Play {
        ready: ready.map(|(id, _)| id).collect(),
        purse: Purse::new(scene.budgets.iter().copied(), luck),
        scene,
        options,
        luck,
        space,
        stuck: BTreeMap::new(),
        pending: Vec::new(),
        after: BTreeMap::new(),
        targets: BTreeSet::new(),
        lost: Vec::new(),
        ghosts: BTreeSet::new(),
        missing: missing(scene),
        has_settled: false,
    };
    let mut played = Vec::new();
    for (at, wave) in waves.iter().enumerate() {
        if at > 0 {
            play.give_back();
        }
        for place in wave.iter().filter_map(|node| play.space.find(node)).collect::<Vec<_>>() {
            play.space.close(place);
            play.targets.insert(place);
        }
        played.extend(wave.iter().map(|node| play.drain(node)).collect::<Vec<_>>());
    }
    played
}

/// A pod of the node that is drained.
struct Target<'a> {
    id: usize,
    row: &'a PodRow,
    class: Class,
    hold: Option<Hold>,
    has_gone: bool,
}

impl<'a> Play<'a, '_> {
    fn drain(&mut self, node: &NodeName) -> Played<'a> {
        let Some(place) = self.space.find(node) else { return Played { pods: Vec::new() } };
        let mut targets = self.targets_on(place);
        loop {
            let mut has_moved = false;
            for target in targets.iter_mut().filter(|target| !target.has_gone) {
                match self.ask(target) {
                    Ok(()) => {
                        target.has_gone = true;
                        has_moved = true;
                        self.leave(target.id, target.row);
                    }
                    Err(hold) => target.hold = Some(hold),
                }
            }
            if !self.settle() && !has_moved {
                break;
            }
        }
        Played { pods: targets.into_iter().map(|target| self.end(target)).collect() }
    }

    /// The nodes of a wave are back: what found no place may find one there.
    fn give_back(&mut self) {
        for place in std::mem::take(&mut self.targets) {
            self.space.open(place);
        }
        while self.settle() {}
    }

    fn targets_on(&self, place: usize) -> Vec<Target<'a>> {
        let here = self.space.residents().filter(|(_, resident)| resident.place == place);
        let mut targets: Vec<Target<'_>> = here
            .map(|(id, resident)| {
                let row = resident.row;
                let class = classify(row, self.options, has_daemonset(self.scene, row), self.scene.now);
                let has_gone = matches!(class, Class::Skip(_) | Class::Refuse(_));
                Target { id, row, class, hold: None, has_gone }
            })
            .collect();
        targets.sort_by_cached_key(|target| {
            (Wave::of(target.row, &self.scene.admission), target.row.key.clone())
        });
        targets
    }

    fn ask(&mut self, target: &Target<'a>) -> Result<(), Hold> {
        match target.class {
            Class::Evict if !self.options.disable_eviction => {
                self.purse.ask(target.row, self.ready.contains(&target.id))
            }
            Class::Evict => {
                if self.ready.contains(&target.id) {
                    self.purse.lost(target.row);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A pod goes; whatever creates it again does so.
    fn leave(&mut self, id: usize, row: &'a PodRow) {
        let was_ready = self.ready.remove(&id);
        self.stuck.remove(&id);
        self.space.remove(id);
        let kind = row.owner.as_ref().map(|owner| owner.kind.as_str());
        if row.is_finished() {
            self.after.insert(id, Replacement::None);
            return;
        }
        let has_another = row.deleting.is_some() && kind != Some("StatefulSet");
        let replacement = match kind {
            // its controller has replaced it when it was deleted
            _ if has_another => Replacement::None,
            None => Replacement::Lost,
            Some("DaemonSet") if row.is_daemon() => Replacement::Lost,
            Some("DaemonSet") => Replacement::Returns {
                why: "its controller puts a pod on every node, cordoned or not".to_owned(),
            },
            Some(_) => {
                // a deleted pod is not Ready any more, whatever it was
                let was_ready = was_ready || (row.deleting.is_some() && row.waiting.is_none());
                self.pending.push(Pending { of: id, row, was_ready, why: String::new() });
                return;
            }
        };
        if replacement == Replacement::Lost {
            self.lost.push(row);
        }
        self.after.insert(id, replacement);
    }

    /// Lets happen what happens by itself; whether anything did.
    fn settle(&mut self) -> bool {
        let mut has_changed = false;
        if !self.has_settled {
            self.has_settled = true;
            has_changed |= self.recover();
        }
        for pending in std::mem::take(&mut self.pending) {
            match self.place(&pending) {
                Ok(()) => has_changed = true,
                Err(why) => self.pending.push(Pending { why, ..pending }),
            }
        }
        has_changed
    }

    /// Pods that are starting become Ready; deleted ones of a StatefulSet are created again.
    fn recover(&mut self) -> bool {
        let mut has_changed = self.await_missing();
        has_changed |= self.luck.recovers && self.purse.refresh();
        let residents: Vec<_> = self.space.residents().collect();
        for (id, resident) in residents {
            let (row, node) = (resident.row, self.space.node(resident.place));
            let is_gone_soon = row.deleting.is_some() && !self.targets.contains(&resident.place);
            if is_gone_soon && node.is_some_and(|node| node.is_ready()) {
                let is_set = row.owner.as_ref().is_some_and(|owner| owner.kind == "StatefulSet");
                if is_set && row.finalizers.is_empty() {
                    self.leave(id, row);
                    has_changed = true;
                }
            } else if row.deleting.is_none() && !self.ready.contains(&id) && self.purse.covers(row) {
                has_changed |= self.judge(id, row, health(row, node, self.scene.now));
            }
        }
        let unbound = self.scene.pods.iter().filter(|pod| pod.node.is_none() && pod.deleting.is_none());
        // accepted by the server and not deleted yet: gone or counted again soon
        let names: BTreeSet<(&str, &str)> = self
            .scene
            .budgets
            .iter()
            .flat_map(|budget| {
                budget.disrupted.iter().map(|name| (budget.key.namespace.as_str(), name.as_str()))
            })
            .collect();
        let accepted = self.scene.pods.iter().filter(|pod| {
            pod.deleting.is_none() && names.contains(&(pod.key.namespace.as_str(), pod.key.name.as_str()))
        });
        for row in accepted.copied().collect::<Vec<_>>() {
            self.purse.regained(row);
            has_changed = true;
        }
        for row in unbound.copied().collect::<Vec<_>>() {
            if self.purse.covers(row) && health(row, None, self.scene.now) == Health::Ready {
                self.purse.regained(row);
                has_changed = true;
            }
        }
        has_changed
    }

    /// Pods that do not exist yet may be created.
    fn await_missing(&mut self) -> bool {
        if !self.luck.recovers {
            return false;
        }
        for (key, count) in &self.missing {
            self.purse.awaited(key, *count);
        }
        !self.missing.is_empty()
    }

    /// Whether a pod that runs is or becomes Ready.
    fn judge(&mut self, id: usize, row: &PodRow, health: Health) -> bool {
        let why = match health {
            Health::Ready => None,
            Health::Unsure(_) if self.luck.recovers => None,
            Health::Unsure(why) | Health::Stuck(why) => Some(why),
        };
        if let Some(why) = why {
            self.stuck.insert(id, why);
            return false;
        }
        self.ready.insert(id);
        self.purse.regained(row);
        true
    }

    /// Finds a place for a replacement, or says why there is none.
    fn place(&mut self, pending: &Pending<'a>) -> Result<(), String> {
        let row = pending.row;
        let is_known = self.scene.volumes.is_some() || row.claims.is_empty();
        if !is_known && !self.luck.recovers {
            return Err("whether its volume ties it to this node is not known".to_owned());
        }
        if !self.luck.recovers && self.waits_for_lower(row) {
            return Err("a pod of its StatefulSet with a lower number is not Ready".to_owned());
        }
        let (mut homes, obstacles) = self.space.homes(row);
        let returns = homes.iter().any(|home| self.targets.contains(home));
        homes.retain(|home| !self.targets.contains(home));
        if returns && (homes.is_empty() || !self.luck.recovers) {
            let why = "it tolerates the cordon, and may be placed on this node again".to_owned();
            self.after.insert(pending.of, Replacement::Returns { why });
            return Ok(());
        }
        let home = self.space.choose(row, &homes, self.luck.spreads);
        let Some(home) = home else { return Err(explain(&obstacles)) };
        let id = self.space.add(row, home);
        self.ghosts.insert(id);
        self.after.insert(pending.of, Replacement::Elsewhere);
        let kind = row.owner.as_ref().map_or("", |owner| owner.kind.as_str());
        let is_usual = matches!(kind, "ReplicaSet" | "StatefulSet" | "ReplicationController" | "Job");
        let health = match health(row, None, self.scene.now) {
            _ if pending.was_ready && !is_usual => {
                Health::Unsure(format!("whether its controller ({kind}) creates another is not known"))
            }
            _ if pending.was_ready => Health::Ready,
            Health::Stuck(why) if self.has_ready_sibling(row) => Health::Unsure(why),
            other => other,
        };
        self.judge(id, row, health);
        Ok(())
    }

    /// Whether another pod of the same owner is Ready: then what ails this one need not ail the next.
    fn has_ready_sibling(&self, row: &PodRow) -> bool {
        let Some(owner) = &row.owner else { return false };
        let is_sibling = |other: &PodRow| {
            other.key != row.key && other.owner.as_ref().is_some_and(|its| its.uid == owner.uid)
        };
        self.space.residents().any(|(id, other)| self.ready.contains(&id) && is_sibling(other.row))
    }

    /// Whether a StatefulSet that creates its pods in order has to wait with this one.
    fn waits_for_lower(&self, row: &PodRow) -> bool {
        let Some((owner, number)) = numbered(row) else { return false };
        let is_lower = |other: &PodRow| numbered(other).is_some_and(|(of, at)| of == owner && at < number);
        let mut residents = self.space.residents();
        self.pending.iter().any(|pending| is_lower(pending.row))
            || residents.any(|(id, other)| is_lower(other.row) && !self.ready.contains(&id))
    }

    fn end(&self, target: Target<'a>) -> Ended<'a> {
        let fate = match (&target.class, target.has_gone, target.hold) {
            (Class::Skip(_) | Class::Refuse(_), ..) => Fate::Stays,
            (_, false, Some(hold)) => {
                let needs = self.needs(&hold, target.row);
                Fate::Held(hold, needs)
            }
            (_, _, hold) => Fate::Went(hold),
        };
        let pending = self.pending.iter().find(|pending| pending.of == target.id);
        let replacement = match (pending, self.after.get(&target.id)) {
            (Some(pending), _) => Replacement::Nowhere {
                why: pending.why.clone(),
                tied_to: self.space.tied_to(target.row).cloned(),
            },
            (None, Some(after)) => after.clone(),
            (None, None) => Replacement::None,
        };
        let is_ghost = self.ghosts.contains(&target.id);
        Ended { row: target.row, class: target.class, fate, replacement, is_ghost }
    }

    /// What would have to happen for a budget to have room again: each pod that is missing to it, and why.
    fn needs(&self, hold: &Hold, held: &PodRow) -> Vec<String> {
        let Hold::Full(key, ..) = hold else { return Vec::new() };
        let budget = self.scene.budgets.iter().find(|budget| budget.key == *key);
        let Some(budget) = budget else { return Vec::new() };
        let mut needs = Vec::new();
        for (id, resident) in self.space.residents().filter(|(_, resident)| budget.covers(resident.row)) {
            if resident.row.key != held.key
                && let Some(why) = self.stuck.get(&id)
            {
                needs.push(format!("{} ({why})", resident.row.key));
            }
        }
        let unbound = self.scene.pods.iter().filter(|pod| pod.node.is_none() && budget.covers(pod));
        for pod in unbound {
            if let Health::Stuck(why) | Health::Unsure(why) = health(pod, None, self.scene.now) {
                needs.push(format!("{} ({why})", pod.key));
            }
        }
        for pending in self.pending.iter().filter(|pending| budget.covers(pending.row)) {
            needs.push(format!("the replacement of {} ({})", pending.row.key, pending.why));
        }
        if let Some(count) = self.missing.get(key) {
            needs.push(format!("{count} that its size asks for (not created)"));
        }
        for row in self.lost.iter().filter(|row| budget.covers(row)) {
            needs.push(format!("{} (nothing creates it again)", row.key));
        }
        needs
    }
}

/// The StatefulSet of a pod, by uid, and the pod's number in it.
fn numbered(pod: &PodRow) -> Option<(&str, u32)> {
    let owner = pod.owner.as_ref().filter(|owner| owner.kind == "StatefulSet")?;
    let number = pod.key.name.rsplit_once('-')?.1.parse().ok()?;
    Some((&owner.uid, number))
}

/// How many pods each budget expects beyond those that there are. A plain number of `minAvailable` expects the pods that
/// there are, whatever their phase; everything else expects as many as the size of their owners asks for.
fn missing<'a>(scene: &Scene<'a>) -> BTreeMap<&'a BudgetKey, i32> {
    let mut missing = BTreeMap::new();
    for budget in &scene.budgets {
        let counts_all = matches!(budget.demand, Demand::MinAvailable(Amount::Pods(_)));
        let is_set = |pod: &PodRow| pod.owner.as_ref().is_some_and(|owner| owner.kind == "StatefulSet");
        let lives = |pod: &PodRow| !pod.is_finished() && (pod.deleting.is_none() || is_set(pod));
        let covered = scene.pods.iter().filter(|pod| budget.covers(pod) && (counts_all || lives(pod)));
        let living = i32::try_from(covered.count()).unwrap_or(i32::MAX);
        if budget.expected > living {
            missing.insert(&budget.key, budget.expected - living);
        }
    }
    missing
}

/// `none of 6 nodes takes it: 3 cordoned, 2 short of CPU, 1 tainted dedicated`.
fn explain(obstacles: &BTreeMap<Obstacle, usize>) -> String {
    let total: usize = obstacles.values().sum();
    let parts: Vec<String> =
        obstacles.iter().map(|(obstacle, nodes)| format!("{nodes} {}", obstacle.words())).collect();
    format!("none of {} takes it: {}", count(total, "node"), parts.join(", "))
}
