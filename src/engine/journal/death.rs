//! A rehearsal of sudden death, for tests of resuming: in debug builds only, a process that is started with
//! `PITSTOP_DIE_AT=TEXT` kills itself with SIGKILL right after the first line of its journal that contains the text (all of the
//! texts, where `&` separates several) is on the disk. Release builds have no such switch.

/// Whether this line is the last one.
pub(super) fn is_due(line: &[u8]) -> bool {
    #[cfg(debug_assertions)]
    {
        let text = std::env::var("PITSTOP_DIE_AT").unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        !text.is_empty() && text.split('&').all(|part| line.contains(part))
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = line;
        false
    }
}

/// Ends the process without a farewell, when it is due.
pub(super) fn strike(line: &[u8]) {
    if !is_due(line) {
        return;
    }
    let killed = std::process::Command::new("kill").arg("-9").arg(std::process::id().to_string()).status();
    // no signal is caught in time to get here, unless there is no such program
    tracing::error!("the process should be dead by now: {killed:?}");
    std::process::abort();
}
