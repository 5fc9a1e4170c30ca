//! Carries out a plan: steps, gates, lock, journal, drain. No screen, no terminal.
//!
//! [`plan()`] says what will be done, [`start`] does it as one task. The [`driver`] owns order, confirmations,
//! deadlines and undo; each [`step`] knows one thing; whatever changes the world goes through [`job::Job::change`],
//! which writes it to the [`journal`] first.

pub mod accepted;
pub mod account;
pub mod checklist;
pub mod drain;
pub mod driver;
pub mod foretell;
pub mod found;
pub mod gate;
pub mod job;
pub mod journal;
pub mod locate;
pub mod lock;
pub mod memory;
pub mod plan;
pub mod probe;
pub mod resolve;
pub mod roll;
pub mod rollouts;
pub mod service;
pub mod settings;
pub mod standing;
pub mod step;
pub mod voice;

#[cfg(test)]
mod testing;

pub use driver::{Run, may_take_over, put_back, resume, start};
pub use locate::locate;
pub use plan::{Facts, plan};
pub use settings::{Backends, Settings, Timing};
