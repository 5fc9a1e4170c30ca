//! What is true: rows and rules. Pure: no I/O, no clock, no async, no terminal.
//!
//! Everything here is plain data that backend tasks fill, the engine judges and the console draws. Texts in rows
//! have passed [`text::clean`] at the backend's border.

pub mod access;
pub mod actor;
pub mod budget;
pub mod checklist;
pub mod config;
pub mod debt;
pub mod drain;
pub mod etcd;
pub mod feed;
pub mod finding;
pub mod forecast;
pub mod found;
pub mod gate;
pub mod guard;
pub mod host;
pub mod ids;
pub mod lock;
pub mod log;
pub mod node;
pub mod notice;
pub mod placement;
pub mod plan;
pub mod pod;
pub mod power;
pub mod probe;
pub mod remedy;
pub mod report;
pub mod restore;
pub mod resume;
pub mod roll;
pub mod rollout;
pub mod run;
pub mod secret;
pub mod selector;
pub mod standing;
pub mod text;
pub mod time;
pub mod undo;
pub mod wave;
pub mod window;
