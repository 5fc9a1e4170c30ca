//! The terminal console: a pure core (model, messages, `update`, keys, dialogs, lists), drawn by `view` and fed by
//! `shell`.
//!
//! The core knows no task, no clock and no terminal: what happens comes in as a [`msg::Msg`], what shall happen goes
//! out as [`msg::Effect`]s, and time is the [`Stamp`](crate::domain::time::Stamp) that messages carry.

pub mod dialog;
pub mod filter;
pub mod forecast;
pub mod keymap;
pub mod list;
pub mod model;
pub mod msg;
pub mod page;
pub mod palette;
pub mod phase;
pub mod record;
pub mod rollout;
pub mod rows;
#[cfg(test)]
pub mod samples;
pub mod shell;
pub mod title;
pub mod update;
pub mod view;
