//! What is watched beside the steps of a run: probes, and the checklist of components.

use super::RunChange;
use crate::domain::checklist::Component;
use crate::domain::probe::{self, Moment, Reading, Shown};
use serde::{Deserialize, Serialize};

/// What they say by now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The probes, with the bars of the last minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Shown>,
    /// The probes' last word about the whole run, once it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<Reading>,
    /// The components as they were counted last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
}

impl Watched {
    /// Adds one event; others than those of probes and components say nothing here.
    pub(super) fn apply(&mut self, change: &RunChange) {
        match change {
            RunChange::Probed { probes } => {
                self.ended.clear();
                probe::show(&mut self.probes, probes);
            }
            RunChange::Measured { moment: Moment::End, probes } => self.ended.clone_from(probes),
            RunChange::Measured { probes, .. } => probe::show(&mut self.probes, probes),
            RunChange::Counted { components, .. } => self.components.clone_from(components),
            _ => {}
        }
    }
}
