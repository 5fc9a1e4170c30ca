//! A command whose output is told line by line while it runs, with a deadline of its own.

use super::exec::Piece;
use super::{Hosts, Output};
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use crate::domain::secret::scrub;
use crate::domain::text::clean;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longer lines are cut.
const MOST_LINE: usize = 4096;
/// So many last lines are kept for the words about a failure.
const LAST: usize = 5;

/// The lines of a stream as they come.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The whole lines that are there now; a carriage return ends one too (progress bars).
    fn take(&mut self, data: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in data {
            if matches!(byte, b'\n' | b'\r') || self.0.len() >= MOST_LINE {
                lines.extend(self.rest());
            }
            if !matches!(byte, b'\n' | b'\r') {
                self.0.push(*byte);
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<String> {
        let line = clean(String::from_utf8_lossy(&std::mem::take(&mut self.0)).trim_end());
        (!line.trim().is_empty()).then_some(line)
    }
}

impl Hosts {
    /// Runs the command that changes a host before its reboot (an upgrade of its packages, for example). Its words are quoted
    /// for the host's shell; its lines are told as they come, cleaned.
    ///
    /// # Errors
    /// It failed, the connection was lost, or the deadline passed: in the last two cases it may still be at work there.
    pub async fn patch(
        &self,
        node: &NodeRow,
        argv: &[&str],
        limit: Duration,
        permit: &Permit,
        tell: mpsc::Sender<String>,
    ) -> Result<(), Error> {
        permit.check(&Change::Patch(&node.name))?;
        let target = self.target(node)?;
        let mut running = self.start(&target, argv).await?;
        let (mut out, mut err, mut last) = (Lines::default(), Lines::default(), Vec::new());
        let work = async {
            while let Some(piece) = running.next().await {
                let lines = match &piece {
                    Piece::Out(data) => out.take(data),
                    Piece::Err(data) => err.take(data),
                };
                for line in lines {
                    keep(&mut last, &line);
                    // nobody listening is no reason to stop
                    let _ = tell.send(line).await;
                }
            }
            for line in [out.rest(), err.rest()].into_iter().flatten() {
                keep(&mut last, &line);
                // nobody listening is no reason to stop
                let _ = tell.send(line).await;
            }
        };
        let ended = tokio::time::timeout(limit, work).await;
        let fail = |kind, why: String| {
            let error = Error::new(kind, "patch", target.label(), why);
            last.iter()
                .fold(error.because(format!("the command was {}", scrub(&argv.join(" ")))), |error, line| {
                    error.because(format!("it said: {line}"))
                })
        };
        if ended.is_err() {
            let words = format!("it did not end within {} s, and may still be at work", limit.as_secs());
            return Err(fail(FailureKind::Timeout, words).hint("look at the host before you try again"));
        }
        let output = Output {
            stdout: String::new(),
            stderr: String::new(),
            status: running.status(),
            signal: running.signal(),
        };
        match (output.status, &output.signal) {
            (Some(0), _) => Ok(()),
            (Some(_), _) | (None, Some(_)) => Err(fail(FailureKind::Refused, output.why())),
            (None, None) => {
                let words = "the connection was lost before it ended; it may still be at work".to_owned();
                Err(fail(FailureKind::Timeout, words).hint("look at the host before you try again"))
            }
        }
    }
}

fn keep(last: &mut Vec<String>, line: &str) {
    if last.len() >= LAST {
        last.remove(0);
    }
    last.push(scrub(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_cleaned() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"Reading\x1b[1m pack"), Vec::<String>::new());
        assert_eq!(lines.take(b"ages\r\n\n10%\r20%"), ["Reading[1m packages", "10%"]);
        assert_eq!(lines.rest().as_deref(), Some("20%"));
        assert_eq!(lines.rest(), None);
    }
}
