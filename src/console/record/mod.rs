//! What the console was told, kept so that it can be written to a file and played again: the state at some time, and
//! every message since.
//!
//! [`update`](super::update::update) is deterministic, so the state and its messages give the same screens again. The
//! memory is bounded: messages are kept in two parts, each with the state at its beginning; when the newer part is full,
//! the older one goes. Secrets do not get into a file: what was typed or pasted is masked when it is heard (see
//! [`mask`]), and all texts are scrubbed when they are written (see [`mod@file`]).

pub mod file;
mod mask;
pub mod pairs;
pub mod rows;

use super::model::Model;
use super::msg::Msg;
use crate::domain::feed::{Delta, Observation};
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// So many messages make a part full.
const MESSAGES: usize = 4_096;
/// So many rows of tables in its messages make a part full (a pod's row takes about 0.7 KiB).
const ROWS: usize = 12_000;

/// Something that the console heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// When.
    pub at: Stamp,
    /// What.
    pub what: What,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
pub enum What {
    /// A message as it came.
    Msg(Msg),
    /// A character of a typed confirmation; which one is not kept.
    Typed {
        /// It was the next one of the name that was asked for.
        is_right: bool,
        /// The key's time.
        at: Stamp,
    },
}

impl Heard {
    /// The message for the core, in the state before it.
    pub fn message(&self, model: &Model) -> Msg {
        match &self.what {
            What::Msg(msg) => msg.clone(),
            What::Typed { is_right, at } => mask::typed(model, *is_right, *at),
        }
    }
}

/// A state and what was heard since.
#[derive(Debug, Clone)]
struct Part {
    start: Model,
    heard: Vec<Arc<Heard>>,
    rows: usize,
}

impl Part {
    fn new(model: &Model) -> Self {
        let mut start = model.clone();
        mask::hide_typed(&mut start);
        Self { start, heard: Vec::new(), rows: 0 }
    }
}

/// A recording: a state, what was heard since, and texts that must not be written.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The state at its beginning.
    pub start: Model,
    /// What was heard since, in order.
    pub heard: Vec<Arc<Heard>>,
    /// What was typed as free text.
    typed: BTreeSet<String>,
}

/// Keeps what is heard.
#[derive(Debug)]
pub struct Recorder {
    parts: VecDeque<Part>,
    typed: BTreeSet<String>,
}

impl Recorder {
    /// Begins with a state.
    pub fn new(model: &Model) -> Self {
        Self { parts: VecDeque::from([Part::new(model)]), typed: BTreeSet::new() }
    }

    /// Hears a message; `model` is the state before it.
    pub fn hear(&mut self, model: &Model, msg: &Msg, at: Stamp) {
        if self.parts.back().is_none_or(|part| part.heard.len() >= MESSAGES || part.rows >= ROWS) {
            self.parts.push_back(Part::new(model));
            while self.parts.len() > 2 {
                self.parts.pop_front();
            }
        }
        self.typed.extend(mask::free_text(model, msg));
        if let Some(part) = self.parts.back_mut() {
            part.rows += rows_of(msg);
            part.heard.push(Arc::new(Heard { at, what: mask::mask(model, msg) }));
        }
    }

    /// All that is kept, as one recording.
    pub fn recording(&self) -> Option<Recording> {
        let start = self.parts.front()?.start.clone();
        let heard = self.parts.iter().flat_map(|part| part.heard.iter().cloned()).collect();
        Some(Recording { start, heard, typed: self.typed.clone() })
    }
}

fn rows_of(msg: &Msg) -> usize {
    let Msg::Seen(_, seen) = msg else { return 0 };
    match seen {
        Observation::Nodes(delta) => weight(delta),
        Observation::Pods(deltas) => deltas.iter().map(weight).sum(),
        Observation::Budgets(delta) => weight(delta),
        Observation::Heartbeats(beats) => beats.len() / 8,
        _ => 0,
    }
}

fn weight<R>(delta: &Delta<R>) -> usize {
    match delta {
        Delta::Reset(rows) => rows.len(),
        Delta::Upsert(_) | Delta::Remove(_) => 1,
    }
}

#[cfg(test)]
mod tests;
