//! The same plans without a screen: lines for people, or JSON for programs.
//!
//! With `-o json`, a run is one [`RunEvent`](crate::domain::run::RunEvent) a line, in order, the last one `finished`;
//! `watch` has lines of its own (see [`watch`]), and everything else is one object. Field names are stable. An error goes to standard error: as text, or with `-o json` as one
//! object `{"error": {"kind", "message", "causes", "hint"}}`.

pub mod check;
mod crier;
mod foretold;
mod hosts;
pub mod info;
pub mod plan;
mod prompt;
pub mod resolve;
pub mod restore;
mod rights;
mod roll;
pub mod run;
pub mod runs;
mod signals;
pub mod takeover;
pub mod text;
mod turns;
pub mod watch;
mod watched;

use crate::domain::report::{FailureKind, Report};
use std::io::Write;

/// How output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// JSON.
    Json,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Done,
    /// It could not be done, or not be told.
    Error,
    /// Findings, or a gate that is not passed.
    Findings,
    /// The operator stopped it.
    Stopped,
    /// Interrupted by a signal.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Findings => 2,
            Self::Stopped => 3,
            Self::Interrupted => 130,
        }
    }

    /// For something that failed: pitstop's own no (a gate, the ladder, a lock) is a finding.
    pub fn of(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Denied => Self::Findings,
            FailureKind::Cancelled => Self::Stopped,
            _ => Self::Error,
        }
    }
}

/// Writes a line to standard output.
///
/// # Errors
/// Nobody reads it any more (a closed pipe).
pub fn line(text: &str) -> Result<(), Report> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| {
        Report::new(FailureKind::Local, format!("standard output cannot be written: {error}"))
    })
}

/// Writes an object as one line of JSON.
///
/// # Errors
/// Nobody reads it any more.
pub fn json(value: &impl serde::Serialize) -> Result<(), Report> {
    let text = serde_json::to_string(value).map_err(|error| {
        Report::new(FailureKind::Unexpected, format!("no JSON can be made of it: {error}"))
    })?;
    line(&text)
}

/// Writes a line about the command itself to standard error.
pub fn notice(text: &str) {
    // nothing can be done when standard error is gone
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Writes an error to standard error as one JSON object.
pub fn complain_in_json(report: &Report) {
    let text = serde_json::json!({ "error": report }).to_string();
    notice(&text);
}

/// Writes an error to standard error, as the command line shows all errors: a sentence, reasons, a hint.
pub fn complain(report: &Report) {
    let mut out = std::io::stderr().lock();
    // nothing can be done when standard error is gone
    drop(write!(out, "{}", text::error(report)));
}
