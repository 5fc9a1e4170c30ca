//! The log file: `pitstop.DATE.log` in the state directory, a new one each day, the last two weeks kept.
//!
//! Nothing is ever written to the terminal from here: while the console draws, a stray line would break the screen.

use crate::domain::report::{FailureKind, Report};
use std::path::Path;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

/// Files that are kept.
const KEPT: usize = 14;

/// Writes what is left when it is dropped.
#[must_use]
pub struct LogFile {
    _guard: WorkerGuard,
}

/// Begins to log. Without a directory that can be written there is no log, which is no reason not to start.
///
/// # Errors
/// The level is not one.
pub fn begin(directory: &Path, level: &str) -> Result<Option<LogFile>, Report> {
    let filter = filter(level)?;
    if std::fs::create_dir_all(directory).is_err() {
        return Ok(None);
    }
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("pitstop")
        .filename_suffix("log")
        .max_log_files(KEPT)
        .build(directory);
    let Ok(file) = file else { return Ok(None) };
    keep_private(directory);
    let (writer, guard) = tracing_appender::non_blocking(file);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).finish();
    // a second begin in one process (tests) keeps the first
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return Ok(None);
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "begin");
    Ok(Some(LogFile { _guard: guard }))
}

/// Logs are for their user alone: they name pods, hosts and people. The directory keeps others out of the file that a long
/// session begins at midnight, too.
fn keep_private(directory: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        for (path, mode) in logs.map(|path| (path, 0o600)).chain([(directory.to_owned(), 0o700)]) {
            // what belongs to somebody else stays as it is
            let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        }
    }
}

/// A bare level speaks of us; what other crates say below warnings is noise until somebody asks for it by name. The
/// Kubernetes client tells of each failed connection without an address; we tell of them ourselves.
fn filter(level: &str) -> Result<EnvFilter, Report> {
    let is_bare = !level.contains(['=', ',']);
    let directives = if is_bare { format!("warn,kube_client=off,pitstop={level}") } else { level.to_owned() };
    EnvFilter::builder().parse(directives).map_err(|error| {
        Report::new(FailureKind::Local, format!("--log-level {level:?} is not understood: {error}"))
            .hint("error, warn, info, debug, trace, or a filter such as info,kube=debug")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters() {
        for level in ["info", "debug", "off", "info,kube=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        assert!(filter("loud").unwrap_err().line().contains("--log-level \"loud\""));
    }
}
