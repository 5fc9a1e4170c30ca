//! Questions on a terminal. An empty line is never an answer.

use crate::domain::report::{FailureKind, Report};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Write};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use zeroize::Zeroizing;

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

    /// Asks for something that is not to be seen; `None` = nothing was typed, or the input has ended.
    pub(super) async fn ask_masked(&mut self, question: &str) -> Result<Option<Zeroizing<String>>, Report> {
        let failed = |error: std::io::Error| {
            Report::new(FailureKind::Local, format!("the terminal cannot be read: {error}"))
        };
        {
            let mut out = std::io::stderr().lock();
            write!(out, "{question} ").and_then(|()| out.flush()).map_err(failed)?;
        }
        let unseen = Unseen::begin()?;
        let line = tokio::select! {
            line = self.lines.next_line() => line.map_err(failed)?.map(Zeroizing::new),
            // or the terminal would stay dumb
            _ = tokio::signal::ctrl_c() => None,
        };
        drop(unseen);
        Ok(line.filter(|line| !line.is_empty()))
    }
}

/// Nothing typed is shown as long as this lives.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> Result<Self, Report> {
        let failed = |error: rustix::io::Errno| {
            Report::new(FailureKind::Local, format!("the terminal cannot hide what is typed: {error}"))
        };
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0) {
            tracing::warn!(%error, "the terminal was not put back");
        }
    }
}
