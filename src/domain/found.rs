//! How things were found before a run touched them, and how they differ when it ends. Read from the world both times.

use super::debt::Debt;
use super::ids::NodeName;
use super::standing::Reading;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One node as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundNode {
    /// `metadata.uid`.
    pub uid: String,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// Whether it was Ready.
    pub is_ready: bool,
    /// The boot that its kubelet reported.
    pub boot_id: String,
    /// Its pods; `None` = they were not counted.
    pub pods: Option<usize>,
}

/// One reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// When it was read.
    pub at: Stamp,
    /// The nodes of the run; one that is not there is not in it.
    pub nodes: BTreeMap<NodeName, FoundNode>,
    /// The maintenance lock; `None` = not looked at.
    #[serde(default)]
    pub lock: Option<FoundLock>,
}

/// The maintenance lock as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundLock {
    /// Nobody held it.
    Free,
    /// This one did: `user@host`.
    Held(String),
}

/// One thing, as it was found and as it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What, with its object: `cp-1 scheduling`.
    pub what: String,
    /// As it was found.
    pub found: String,
    /// As it is left.
    pub left: String,
}

impl Difference {
    fn new(what: impl Into<String>, found: impl Into<String>, left: impl Into<String>) -> Self {
        Self { what: what.into(), found: found.into(), left: left.into() }
    }

    /// Whether it is as it was found.
    pub fn is_same(&self) -> bool {
        self.found == self.left
    }

    /// In one line.
    pub fn words(&self) -> String {
        if self.is_same() {
            format!("{}: {}, as found", self.what, self.left)
        } else {
            format!("{}: was {}, is {}", self.what, self.found, self.left)
        }
    }
}

/// What is said of a thing that was not read.
const UNKNOWN: &str = "not known";

/// Everything that was looked at both times. A reading that failed is said, never taken for "the same".
pub fn compare(nodes: &[NodeName], found: Option<&Found>, left: Option<&Found>) -> Vec<Difference> {
    let mut list = Vec::new();
    for name in nodes {
        let before = found.map(|found| found.nodes.get(name));
        let after = left.map(|left| left.nodes.get(name));
        let words = |of: fn(&FoundNode) -> String| {
            let say = |node: Option<Option<&FoundNode>>| match node {
                None => UNKNOWN.to_owned(),
                Some(None) => "not there".to_owned(),
                Some(Some(node)) => of(node),
            };
            (say(before), say(after))
        };
        let mut add = |what: &str, of: fn(&FoundNode) -> String| {
            let (found, left) = words(of);
            list.push(Difference::new(format!("{name} {what}"), found, left));
        };
        let is_another = matches!((before, after), (Some(Some(a)), Some(Some(b))) if a.uid != b.uid);
        if is_another {
            add("object", |node| format!("uid {}", node.uid));
        }
        add("scheduling", |node| if node.cordoned { "cordoned" } else { "schedulable" }.to_owned());
        add("condition", |node| if node.is_ready { "Ready" } else { "not Ready" }.to_owned());
        add("boot", |node| node.boot_id.clone());
        let is_counted =
            |node: Option<Option<&FoundNode>>| node.flatten().is_some_and(|node| node.pods.is_some());
        if is_counted(before) || is_counted(after) {
            add("pods", |node| node.pods.map_or_else(|| UNKNOWN.to_owned(), |pods| pods.to_string()));
        }
    }
    let lock = |found: Option<&Found>| match found.and_then(|found| found.lock.as_ref()) {
        None => UNKNOWN.to_owned(),
        Some(FoundLock::Free) => "free".to_owned(),
        Some(FoundLock::Held(holder)) => format!("held by {holder}"),
    };
    if [found, left].into_iter().flatten().any(|found| found.lock.is_some()) {
        list.push(Difference::new("maintenance lock", lock(found), lock(left)));
    }
    list
}

/// Something that was borrowed on the way: as it was before, and as it is left; `None` = it could not be read.
pub fn returned(debt: &Debt, now: Option<&Reading>) -> Difference {
    Difference::new(debt.title(), debt.found(), now.map_or_else(|| UNKNOWN.to_owned(), Reading::words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cordoned: bool, boot: &str, lock: Option<&str>) -> Found {
        let node =
            FoundNode { uid: "u1".into(), cordoned, is_ready: true, boot_id: boot.into(), pods: Some(3) };
        let held = lock.map_or(FoundLock::Free, |holder| FoundLock::Held(holder.to_owned()));
        Found { at: Stamp(0), nodes: [("cp-1".into(), node)].into(), lock: Some(held) }
    }

    #[test]
    fn what_is_as_found_is_told_apart_from_what_is_not() {
        let (found, left) = (reading(false, "b1", None), reading(false, "b2", None));
        let list = compare(&["cp-1".into()], Some(&found), Some(&left));
        let changed: Vec<String> = list.iter().filter(|one| !one.is_same()).map(Difference::words).collect();
        assert_eq!(changed, ["cp-1 boot: was b1, is b2"]);
        assert!(list.iter().any(|one| one.words() == "cp-1 scheduling: schedulable, as found"));
    }

    #[test]
    fn a_reading_is_read_back_from_the_journal_as_it_was() {
        for lock in [None, Some("ann@desk")] {
            let found = reading(false, "b1", lock);
            let text = serde_json::to_string(&found).expect("JSON");
            assert_eq!(serde_json::from_str::<Found>(&text).expect("a reading"), found, "{text}");
        }
    }

    #[test]
    fn what_was_not_read_is_never_the_same() {
        let left = reading(true, "b1", Some("ann@desk"));
        for list in
            [compare(&["cp-1".into()], None, Some(&left)), compare(&["cp-1".into()], Some(&left), None)]
        {
            assert!(list.iter().all(|one| !one.is_same()), "{list:?}");
        }
        let gone = Found::default();
        let list = compare(&["cp-1".into()], Some(&left), Some(&gone));
        assert!(list[0].words().ends_with("is not there"), "{:?}", list[0]);
    }
}
