//! Questions on a terminal. An empty line is never an answer.

use crate::domain::report::{FailureKind, Report};
use std::io::{IsTerminal, Write};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

/// Whether somebody can be asked: both ends are a terminal.
pub(super) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Reads answers line by line.
pub(super) struct Prompt {
    lines: Lines<BufReader<Stdin>>,
}

impl Prompt {
    pub(super) fn new() -> Self {
        Self { lines: BufReader::new(tokio::io::stdin()).lines() }
    }

    /// Asks until something is typed; `None` = the input has ended. The question goes to standard error, so that
    /// standard output stays what was asked for.
    pub(super) async fn ask(&mut self, question: &str) -> Result<Option<String>, Report> {
        let failed = |error: std::io::Error| {
            Report::new(FailureKind::Local, format!("the terminal cannot be read: {error}"))
        };
        loop {
            {
                let mut out = std::io::stderr().lock();
                write!(out, "{question} ").and_then(|()| out.flush()).map_err(failed)?;
            }
            match self.lines.next_line().await.map_err(failed)? {
                None => return Ok(None),
                Some(line) if line.trim().is_empty() => {}
                Some(line) => return Ok(Some(line.trim().to_owned())),
            }
        }
    }
}
