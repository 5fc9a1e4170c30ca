//! The signals that end a run in order: Ctrl-C, what a service manager sends, and the end of the terminal.

use crate::domain::report::{FailureKind, Report};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, what a service manager sends, and the end of the terminal. Kept from the start, so that none is missed between two looks.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None when the process was started so that it outlives its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Report> {
        let caught = |kind| {
            signal(kind).map_err(|error| {
                Report::new(FailureKind::Local, format!("signals cannot be caught: {error}"))
            })
        };
        Ok(Self {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hangup: if is_nohup() { None } else { Some(caught(SignalKind::hangup())?) },
        })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(()) = async { self.hangup.as_mut()?.recv().await } => {}
        }
    }
}

/// Whether hangups are ignored already, as `nohup` arranges it; to catch them would end what shall go on.
fn is_nohup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // bit 0 is signal 1, the hangup (proc(5))
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
