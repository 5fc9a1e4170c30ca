//! What each kind of run asks of the API server, as rules of a role, and which of them are missing.

use super::lock::LockChoice;
use super::plan::Kind;
use super::report::{FailureKind, Report};
use serde::{Deserialize, Serialize};

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Right {
    /// `get`, `list`, `patch`, …
    pub verb: String,
    /// The API group; empty = the core group.
    pub group: String,
    /// The resource, in the plural.
    pub resource: String,
    /// `eviction`, or empty.
    pub subresource: String,
    /// Asked for in the namespace of the maintenance lease only; else everywhere.
    pub in_namespace: bool,
}

impl Right {
    fn new(verb: &str, group: &str, resource: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            in_namespace: resource == "leases",
        }
    }

    /// Whether it is about the maintenance lease, which a run can do without by the engineer's word.
    pub fn is_of_lease(&self) -> bool {
        self.resource == "leases"
    }

    /// Whether a drain uses it before it has changed anything: the server's answer to that is as good. What the prediction
    /// reads is such a right, and the cordon, which is the first change.
    pub fn is_tried_first(&self) -> bool {
        self.subresource != "eviction" && !self.is_of_lease()
    }

    /// As a rule of a role: `apiGroups: [""], resources: ["pods/eviction"], verbs: ["create"]`.
    pub fn rule(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!(
            "apiGroups: [\"{}\"], resources: [\"{}{slash}{}\"], verbs: [\"{}\"]",
            self.group, self.resource, self.subresource, self.verb
        )
    }

    /// `create pods/eviction`
    pub fn words(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.verb, self.resource, self.subresource)
    }
}

/// What the API server said to a right: `None` = it allows it, else the missing rule in words.
pub type Answer = (Right, Option<String>);

/// The rights that a kind of run needs.
pub fn needed(kind: Kind, lock: LockChoice) -> Vec<Right> {
    let cordon = [Right::new("get", "", "nodes"), Right::new("patch", "", "nodes")];
    let drain = [
        Right::new("list", "", "pods"),
        Right::new("watch", "", "pods"),
        Right::new("create", "", "pods/eviction"),
        Right::new("list", "policy", "poddisruptionbudgets"),
        Right::new("get", "apps", "daemonsets"),
    ];
    let reboot = [
        Right::new("list", "", "events"),
        Right::new("list", "storage.k8s.io", "volumeattachments"),
        Right::new("list", "apps", "daemonsets"),
        Right::new("list", "discovery.k8s.io", "endpointslices"),
    ];
    // taken with POST or PUT, renewed and given back with PATCH
    let lease =
        ["get", "create", "update", "patch"].map(|verb| Right::new(verb, "coordination.k8s.io", "leases"));
    match kind {
        Kind::Snapshot => Vec::new(),
        Kind::Unlock => lease.into_iter().filter(|right| right.verb != "create").collect(),
        Kind::Cordon | Kind::Uncordon => cordon.to_vec(),
        Kind::Drain => cordon.into_iter().chain(drain).collect(),
        _ => {
            let locked = lease.into_iter().filter(|_| lock != LockChoice::Without);
            cordon.into_iter().chain(drain).chain(reboot).chain(locked).collect()
        }
    }
}

/// Every right that any kind of run needs, each once.
pub fn all() -> Vec<Right> {
    let mut all: Vec<Right> =
        [Kind::Reboot, Kind::Unlock].into_iter().flat_map(|kind| needed(kind, LockChoice::Take)).collect();
    all.sort();
    all.dedup();
    all
}

/// Why a kind of run is not allowed, in words with the missing rule; `None` = it is, as far as was answered. The rights to
/// the maintenance lease do not count: a run can go on without it, by the engineer's word.
pub fn missing(answers: &[Answer], kind: Kind) -> Option<String> {
    first_missing(answers, kind).map(|(_, why)| why.to_owned())
}

/// The whole report that a kind of run is not allowed, with the rule that a role has to have; `None` = it is.
pub fn refusal(answers: &[Answer], kind: Kind) -> Option<Report> {
    let (right, why) = first_missing(answers, kind)?;
    let report = Report::new(FailureKind::Forbidden, format!("{kind} is not allowed here: {why}"));
    Some(report.hint(format!(
        "a role bound to this user must allow it: {}; the role pitstop-operator (rbac.yaml) has all that is needed",
        right.rule()
    )))
}

fn first_missing(answers: &[Answer], kind: Kind) -> Option<(&Right, &str)> {
    let choice = if kind == Kind::Unlock { LockChoice::Take } else { LockChoice::Without };
    let wanted = needed(kind, choice);
    let mut asked = answers.iter().filter(|(right, _)| wanted.contains(right));
    asked.find_map(|(right, answer)| Some((right, answer.as_deref()?)))
}

/// Why the maintenance lock cannot be used, in words with the missing rule.
pub fn missing_lock(answers: &[Answer]) -> Option<String> {
    answers.iter().filter(|(right, _)| right.is_of_lease()).find_map(|(_, answer)| answer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_the_lock_is_a_matter_of_its_own() {
        let with = |denied: &str| -> Vec<Answer> {
            all()
                .into_iter()
                .map(|right| {
                    let answer = (right.words() == denied).then(|| format!("may not {denied}"));
                    (right, answer)
                })
                .collect()
        };
        assert_eq!(missing(&[], Kind::Reboot), None, "what was not asked is not missing");
        let answers = with("create pods/eviction");
        assert_eq!(missing(&answers, Kind::Drain).as_deref(), Some("may not create pods/eviction"));
        assert!(missing(&answers, Kind::Reboot).is_some());
        let report = refusal(&answers, Kind::Drain).expect("a refusal");
        assert_eq!(report.kind, FailureKind::Forbidden);
        let rule = "apiGroups: [\"\"], resources: [\"pods/eviction\"], verbs: [\"create\"]";
        assert!(report.hint.is_some_and(|hint| hint.contains(rule)));
        assert_eq!((missing(&answers, Kind::Cordon), missing_lock(&answers)), (None, None));
        let answers = with("create leases");
        assert_eq!(missing(&answers, Kind::Reboot), None);
        assert!(missing_lock(&answers).is_some());
    }
}
