//! What makes a node the one that it is, and what of it a turn changes.

use crate::domain::node::NodeRow;
use serde::{Deserialize, Serialize};

/// What a turn may change of a node. An empty text is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `metadata.uid` of the Node object.
    pub uid: String,
    /// Boot id.
    pub boot_id: String,
    /// Kubelet version.
    pub version: String,
    /// Kernel version.
    pub kernel: String,
    /// OS image.
    pub os_image: String,
}

/// What changed, the one that says most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The kubelet's version.
    Version,
    /// The OS image.
    Image,
    /// The kernel.
    Kernel,
    /// It is another Node object.
    Node,
    /// It has booted anew.
    Boot,
}

impl Identity {
    /// Of a node as it is now.
    pub fn of(row: &NodeRow) -> Self {
        Self {
            uid: row.uid.clone(),
            boot_id: row.boot_id.clone(),
            version: row.version.clone(),
            kernel: row.kernel.clone(),
            os_image: row.os_image.clone(),
        }
    }

    /// All that differs in a later state, as far as both are known.
    pub fn changes(&self, later: &Self) -> Vec<Change> {
        let pairs = [
            (Change::Version, &self.version, &later.version),
            (Change::Image, &self.os_image, &later.os_image),
            (Change::Kernel, &self.kernel, &later.kernel),
            (Change::Node, &self.uid, &later.uid),
            (Change::Boot, &self.boot_id, &later.boot_id),
        ];
        let differs = |(change, before, after): (Change, &String, &String)| {
            (!before.is_empty() && !after.is_empty() && before != after).then_some(change)
        };
        pairs.into_iter().filter_map(differs).collect()
    }

    /// Whether anything differs in a later state.
    pub fn is_anew(&self, later: &Self) -> bool {
        !self.changes(later).is_empty()
    }

    /// What a turn made of the node, in few words: `v1.34.2 → v1.35.1, another Node object`.
    pub fn words(&self, later: &Self) -> String {
        let mut words = Vec::new();
        for change in self.changes(later) {
            words.push(match change {
                Change::Version => format!("{} → {}", self.version, later.version),
                Change::Image => format!("{} → {}", self.os_image, later.os_image),
                Change::Kernel => format!("kernel {} → {}", self.kernel, later.kernel),
                Change::Node => "a new Node object".to_owned(),
                Change::Boot => "a new boot".to_owned(),
            });
        }
        // a new machine has booted, of course
        if words.len() > 1 {
            words.retain(|word| word != "a new boot");
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_change() {
        let before =
            Identity { uid: "a".into(), boot_id: "1".into(), version: "v1".into(), ..Identity::default() };
        let after = Identity { version: String::new(), boot_id: "2".into(), ..before.clone() };
        assert_eq!(before.changes(&after), [Change::Boot]);
        assert_eq!(before.words(&after), "a new boot");
        let replaced = Identity { uid: "b".into(), version: "v2".into(), ..after };
        assert_eq!(before.changes(&replaced), [Change::Version, Change::Node, Change::Boot]);
        assert_eq!(before.words(&replaced), "v1 → v2, a new Node object");
    }
}
