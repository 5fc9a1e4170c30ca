//! The turns of a roll as lines: what the run of each node tells, with the node's name.

use super::text::{self, Teller};
use crate::domain::ids::RunId;
use crate::domain::run::{RunChange, RunEvent};
use std::collections::BTreeMap;

/// Turns what a roll tells of its nodes into lines.
#[derive(Debug, Default)]
pub struct Turns {
    tellers: BTreeMap<RunId, Teller>,
    paced: String,
}

impl Turns {
    /// The lines for an event; none when it says nothing new.
    pub fn lines(&mut self, event: &RunEvent) -> Vec<String> {
        match &event.change {
            RunChange::Paced { text, .. } => {
                if text.is_empty() || *text == self.paced {
                    return Vec::new();
                }
                self.paced.clone_from(text);
                vec![format!("{} {text}", text::time(event.at))]
            }
            RunChange::Child { child, .. } => {
                let teller = self.tellers.entry(child.run.clone()).or_default();
                let lines = teller.lines(child);
                if matches!(child.change, RunChange::Finished { .. }) {
                    self.tellers.remove(&child.run);
                }
                lines
            }
            _ => Vec::new(),
        }
    }
}
