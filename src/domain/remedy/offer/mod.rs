//! Offers: what each remedy needs here, what it costs, and what is put back. One file per family.

mod explained;
mod pods;
mod relax;
mod skip;
mod surge;
mod wait;

use super::class::{Class, Finding, Waiting};
use super::facts::{Covered, Facts, Known, Workload};
use super::keepers::{Keeper, Keepers};
use super::{Remedy, size};
use crate::domain::budget::Demand;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether something that a remedy needs is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Met {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "met",
            Self::No => "not met",
            Self::Unknown => "unknown",
        })
    }
}

/// Something that a remedy needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What.
    pub what: String,
    /// Whether it is there.
    pub met: Met,
    /// How that shows; may be empty.
    pub why: String,
}

impl Condition {
    fn new(what: &str, met: Met, why: impl Into<String>) -> Self {
        Self { what: what.to_owned(), met, why: why.into() }
    }

    fn check(what: &str, is_met: bool, why: impl Into<String>) -> Self {
        Self::new(what, if is_met { Met::Yes } else { Met::No }, why)
    }

    /// A fact that may not be known.
    fn known<T>(what: &str, fact: &Known<T>, judge: impl FnOnce(&T) -> (bool, String)) -> Self {
        match fact {
            Ok(fact) => {
                let (is_met, why) = judge(fact);
                Self::check(what, is_met, why)
            }
            Err(why) => Self::new(what, Met::Unknown, why),
        }
    }
}

/// A remedy as it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which.
    pub remedy: Remedy,
    /// What it does, in few words.
    pub title: String,
    /// What it needs.
    pub conditions: Vec<Condition>,
    /// What it means for availability.
    pub effect: String,
    /// What a person would type, in order.
    pub commands: Vec<String>,
    /// What may go wrong.
    pub traps: Vec<String>,
    /// What is put back afterwards, and how that is made sure.
    pub restores: String,
    /// By how many replicas a surge goes up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surge: Option<i32>,
    /// What a relaxed budget asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relaxed: Option<Demand>,
}

impl Offer {
    fn new(remedy: Remedy, effect: &str) -> Self {
        Self {
            remedy,
            title: remedy.title().to_owned(),
            conditions: Vec::new(),
            effect: effect.to_owned(),
            commands: Vec::new(),
            traps: Vec::new(),
            restores: "nothing is changed that would have to be put back".to_owned(),
            surge: None,
            relaxed: None,
        }
    }

    fn needs(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    fn types(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    fn beware(mut self, trap: impl Into<String>) -> Self {
        self.traps.push(trap.into());
        self
    }

    fn restores(mut self, words: impl Into<String>) -> Self {
        self.restores = words.into();
        self
    }

    /// Whether pitstop carries it out, and nothing that it needs is known to be missing.
    pub fn may_run(&self) -> bool {
        self.remedy.is_carried_out() && self.missing().is_none()
    }

    /// The first thing that it needs and that is not there.
    pub fn missing(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.met == Met::No)
    }

    /// Whether something that it needs is not known.
    pub fn is_unsure(&self) -> bool {
        self.conditions.iter().any(|condition| condition.met == Met::Unknown)
    }
}

/// What applies, the safest first; and what was looked at and left out.
pub(super) fn offers(facts: &Facts, findings: &[Finding]) -> (Vec<Offer>, Vec<String>) {
    let mut notes = Vec::new();
    if findings.is_empty() {
        return (Vec::new(), notes);
    }
    let case = Case { facts, findings };
    let mut offers = vec![wait::wait(&case)];
    offers.extend(explained::safe(&case));
    offers.extend(surge::surge(&case, &mut notes));
    offers.extend(surge::restart(&case));
    offers.extend(relax::allow_unhealthy(&case));
    offers.extend(pods::delete_unready(&case));
    offers.extend(relax::relax(&case));
    offers.extend(skip::skips(&case));
    offers.extend(pods::delete_healthy(&case));
    offers.extend(pods::disable_eviction(&case));
    offers.extend(explained::last_resorts(&case));
    offers.sort_by_key(|offer| offer.remedy);
    for unread in [
        facts.workloads.as_ref().err().map(|why| format!("the owners of its pods: {why}")),
        facts.nodes.as_ref().err().map(|why| format!("the nodes: {why}")),
    ] {
        notes.extend(unread.map(|words| format!("not known: {words}")));
    }
    (offers, notes)
}

/// The facts and what was found in them.
struct Case<'a> {
    facts: &'a Facts,
    findings: &'a [Finding],
}

impl<'a> Case<'a> {
    fn has(&self, class: Class) -> bool {
        self.findings.iter().any(|finding| finding.class == class)
    }

    fn has_any(&self, classes: &[Class]) -> bool {
        classes.iter().any(|class| self.has(*class))
    }

    /// The verdict on waiting over all classes: the worst.
    fn waiting(&self) -> Waiting {
        let of = |wanted| self.findings.iter().any(|finding| finding.waiting == wanted);
        if of(Waiting::Never) {
            Waiting::Never
        } else if of(Waiting::MayHelp) {
            Waiting::MayHelp
        } else {
            Waiting::Helps
        }
    }

    /// The pods that are to move and were not let go yet.
    fn targets(&self) -> impl Iterator<Item = &'a Covered> {
        self.facts.targets().filter(|pod| pod.row.deleting.is_none())
    }

    fn first(&self, ready: bool) -> Option<&'a Covered> {
        self.targets().find(|pod| pod.row.ready == ready)
    }

    /// The workload of the pods that are to move, else of all pods, where it is one.
    fn workload(&self) -> Known<Option<&'a Workload>> {
        let workloads = self.facts.workloads.as_ref().map_err(Clone::clone)?;
        let mut of_targets =
            self.targets().filter_map(|pod| workloads.iter().find(|workload| workload.owns(&pod.row)));
        match of_targets.next() {
            Some(first) if of_targets.all(|other| other.key == first.key) => Ok(Some(first)),
            Some(_) => Ok(None),
            None => Ok(self.facts.only_workload()),
        }
    }

    fn needs_target(&self) -> Condition {
        let names: Vec<&str> = self.targets().map(|pod| pod.row.key.name.as_str()).collect();
        let why = match names.as_slice() {
            [] => "none of its pods is on a cordoned node: cordon the node, or name the pod".to_owned(),
            [one] => (*one).to_owned(),
            [first, more @ ..] => format!("{first} and {} more", more.len()),
        };
        Condition::check("a pod that is to move", !names.is_empty(), why)
    }

    fn needs_room(&self) -> Condition {
        Condition::known("another node takes the new pod", &self.facts.room, |nodes| match nodes.as_slice() {
            [] => (false, "no schedulable node takes one more".to_owned()),
            [one] => (true, one.to_string()),
            [one, more @ ..] => (true, format!("{one} and {} more", more.len())),
        })
    }
}

/// Whether a tool writes these fields again, and what to say about it.
fn kept_by(keepers: &Keepers, fields: &[&str], namespace: &str) -> (Condition, Option<String>) {
    let what = format!("no tool puts {} back", fields.join(" or "));
    match keepers.of(fields) {
        None => {
            let others: Vec<&str> =
                keepers.others(fields).into_iter().map(super::keepers::Tool::name).collect();
            let why = match others.as_slice() {
                [] => "no such manager in managedFields".to_owned(),
                names => format!("{} tracks it and does not manage that field", names.join(", ")),
            };
            (Condition::new(&what, Met::Yes, why), None)
        }
        Some(Keeper { tool, evidence, .. }) if !tool.reverts() => {
            let trap = format!("{} writes it again at the next release", tool.name());
            (Condition::new(&what, Met::Yes, format!("{evidence}: only a release writes it")), Some(trap))
        }
        Some(keeper) => {
            let words = format!(
                "{}: {} puts it back within seconds or minutes unless it is suspended",
                keeper.evidence,
                keeper.tool.name()
            );
            let trap = format!("suspend {} first: {}", keeper.tool.name(), keeper.suspend(namespace));
            (Condition::new(&what, Met::Unknown, words), Some(trap))
        }
    }
}

/// How many pods the budget counts.
fn counted(facts: &Facts) -> i32 {
    if facts.budget.expected > 0 {
        facts.budget.expected
    } else {
        i32::try_from(facts.pods.len()).unwrap_or(i32::MAX)
    }
}

/// The size of a surge, where it is small enough to be offered.
fn small_surge(facts: &Facts, notes: &mut Vec<String>) -> Option<i32> {
    let pods = counted(facts);
    match size::surge(facts.spec.demand, pods) {
        Some(0) => None,
        Some(delta) if delta <= size::LARGEST_SURGE => Some(delta),
        Some(delta) => {
            notes.push(format!(
                "{} of {pods} would need {delta} more pods: too many to offer",
                facts.spec.demand
            ));
            None
        }
        None => {
            notes.push(format!("more pods never help: {} needs all of them", facts.spec.demand));
            None
        }
    }
}
