//! The terminal's modes: entered together, left in the reverse order whatever happens.

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::style::Print;
use crossterm::terminal::{
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::thread;

/// xterm keeps titles on a stack (`CSI 22 ; 2 t`, `CSI 23 ; 2 t`); terminals that know none ignore it.
const KEEP_TITLE: &str = "\x1b[22;2t";
const RESTORE_TITLE: &str = "\x1b[23;2t";

type Hook = Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// While it lives, the terminal is ours: alternate screen, raw, no cursor, pastes in brackets. The mouse is left to
/// the terminal, so that text can be selected.
pub(super) struct Guard {
    previous: Hook,
}

impl Guard {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::other("input or output is not a terminal"));
        }
        // made first, so that modes that were entered are left when a later one fails
        let guard = Self { previous: hook() };
        enable_raw_mode()?;
        execute!(io::stdout(), Print(KEEP_TITLE), EnterAlternateScreen, EnableBracketedPaste, Hide)?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
        if !thread::panicking() {
            let previous = Arc::clone(&self.previous);
            panic::set_hook(Box::new(move |info| previous(info)));
        }
    }
}

/// Gives the terminal back. Errors have nowhere to go: the terminal may be gone.
fn restore() {
    let mut out = io::stdout();
    let _ = execute!(
        out,
        EndSynchronizedUpdate,
        Show,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Print(RESTORE_TITLE)
    );
    let _ = disable_raw_mode();
    let _ = out.flush();
}

/// A panic of this thread gives the terminal back before it is reported. One of a background task must not be
/// written over the screen, as the console goes on: it is logged.
fn hook() -> Hook {
    let previous: Hook = Arc::from(panic::take_hook());
    let (report, screen) = (Arc::clone(&previous), thread::current().id());
    panic::set_hook(Box::new(move |info| {
        tracing::error!(panic = %info, "a task panicked");
        if thread::current().id() == screen {
            restore();
            report(info);
        }
    }));
    previous
}
