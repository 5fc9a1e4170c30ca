//! What the marks of other tools on a node say about a roll. The marks come as words (`kops: scheduled for update`), the
//! tool before the colon.

use crate::domain::debt::MARK;
use serde::{Deserialize, Serialize};

/// The marks of one node, sorted by what they mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Says that its turn is to come.
    pub to_come: Option<String>,
    /// Says that somebody works on it.
    pub at_work: Option<String>,
    /// Says that its turn failed.
    pub failed: Option<String>,
    /// A roll of pitstop marks all its nodes when it begins: those without the mark are none of it.
    pub is_listed: bool,
    /// Says that it is removed for good, because there are too many.
    pub is_surplus: bool,
}

const TO_COME: [&str; 3] =
    ["kops: scheduled for update", "kops: needs update", "Cluster API: outdated revision"];
const AT_WORK: [&str; 11] = [
    "KubeOne: upgrade in progress",
    "kured: reboot in progress",
    "kured: lock",
    "machine-config operator: working",
    "machine-config operator: drains",
    "Karpenter: disrupted",
    "Cluster API: not initialised",
    "node-maintenance operator: drains",
    "node-maintenance operator: in maintenance",
    "Flatcar update operator: reboots",
    "Container Linux update operator: reboots",
];
const FAILED: [&str; 2] = ["machine-config operator: degraded", "AKS: quarantined by an upgrade"];
const SURPLUS: &str = "cluster-autoscaler: to be deleted";

impl Marks {
    /// Sorts the words of a node; what says nothing about a roll is left out.
    pub fn of(words: &[String], taints: &[String]) -> Self {
        let first = |known: &[&str]| {
            words.iter().find(|word| known.iter().any(|mark| word.starts_with(mark))).cloned()
        };
        let is_listed = taints.iter().any(|taint| taint.starts_with(MARK));
        let ours = || is_listed.then(|| "pitstop: its turn is to come".to_owned());
        Self {
            to_come: first(&TO_COME).or_else(ours),
            at_work: first(&AT_WORK),
            failed: first(&FAILED),
            is_listed,
            is_surplus: words.iter().any(|word| word == SURPLUS),
        }
    }

    /// The tool that left them: what stands before the colon.
    pub fn tool(&self) -> Option<&str> {
        let word = self.at_work.as_ref().or(self.to_come.as_ref()).or(self.failed.as_ref())?;
        Some(word.split(':').next().unwrap_or(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_sorted_by_what_they_mean() {
        let words = ["out of service", "kops: scheduled for update", "cluster-autoscaler: to be deleted"];
        let marks = Marks::of(&words.map(str::to_owned), &[]);
        assert_eq!(marks.to_come.as_deref(), Some("kops: scheduled for update"));
        assert_eq!((marks.tool(), marks.is_surplus), (Some("kops"), true));
        let lock = Marks::of(&["kured: lock {\"nodeID\": \"w\"}".to_owned()], &[]);
        assert!(lock.at_work.is_some());
        assert_eq!(Marks::of(&["out of service".to_owned()], &[]), Marks::default());
    }
}
