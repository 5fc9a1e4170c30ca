//! What is known of a rolling update, kept in the state directory so that its story survives a restart: one file for each roll
//! under `rollouts/CONTEXT/`, written whole and put in place at once.

use crate::domain::report::{FailureKind, Report};
use crate::domain::rollout::Rollout;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that says another number is of another version of pitstop, and is not read.
const FORMAT: u32 = 1;
/// So many rolls are kept for each context.
const KEPT: usize = 10;
/// What nobody has watched for longer is of the past.
const PAST: Duration = Duration::from_hours(24);

#[derive(Serialize, Deserialize)]
struct Kept<R> {
    format: u32,
    context: String,
    rollout: R,
}

/// Where the rolls of a context are kept.
pub fn directory(state_dir: &Path, context: &str) -> PathBuf {
    let safe: String = context
        .chars()
        .map(|ch| if ch.is_ascii_alphanumeric() || matches!(ch, '-' | '_' | '@') { ch } else { '_' })
        .collect();
    state_dir.join("rollouts").join(if safe.is_empty() { "unnamed".to_owned() } else { safe })
}

/// Keeps a roll; nothing when there is none. Older ones go when there are too many.
///
/// # Errors
/// The directory cannot be written.
pub fn save(state_dir: &Path, context: &str, rollout: &Rollout) -> Result<(), Report> {
    let Some(began) = rollout.began() else { return Ok(()) };
    let dir = directory(state_dir, context);
    let kept = Kept { format: FORMAT, context: context.to_owned(), rollout };
    let text = serde_json::to_vec(&kept).map_err(|error| {
        Report::new(FailureKind::Unexpected, format!("no JSON can be made of a roll: {error}"))
    })?;
    put(&dir, &format!("{:015}.json", began.0), &text).map_err(|error| {
        Report::new(FailureKind::Local, format!("{} cannot be written: {error}", dir.display()))
    })?;
    prune(&dir);
    Ok(())
}

fn put(dir: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let draft = dir.join(format!(".{name}.{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, dir.join(name)))
        .and_then(|()| File::open(dir)?.sync_all());
    if written.is_err() {
        drop(fs::remove_file(&draft));
    }
    written
}

/// The files of a directory, the newest roll first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
    files.sort();
    files.reverse();
    files
}

fn prune(dir: &Path) {
    for old in files(dir).into_iter().skip(KEPT) {
        drop(fs::remove_file(old));
    }
}

/// The newest roll of a context, when somebody watched it within the last day. What cannot be read is passed over.
pub fn load(state_dir: &Path, context: &str, now: Stamp) -> Option<Rollout> {
    let path = files(&directory(state_dir, context)).into_iter().next()?;
    let text = fs::read(&path).ok()?;
    let kept: Kept<Rollout> = match serde_json::from_slice(&text) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!("{} cannot be read: {error}", path.display());
            return None;
        }
    };
    let is_recent = kept.rollout.seen().is_some_and(|seen| now.since(seen) < PAST);
    (kept.format == FORMAT && kept.context == context && is_recent).then_some(kept.rollout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::{Stage, Wish};

    fn roll(began: i64) -> Rollout {
        let mut rollout = Rollout::new(Wish::default());
        rollout.stage = Stage::Rolling { began: Stamp(began) };
        rollout
    }

    #[test]
    fn the_newest_is_read_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        for began in 1..=15 {
            save(dir.path(), "lab/../x", &roll(began)).unwrap();
        }
        let kept = directory(dir.path(), "lab/../x");
        assert_eq!(kept, dir.path().join("rollouts").join("lab____x"));
        assert_eq!(files(&kept).len(), KEPT);
        assert!(files(&kept)[0].ends_with("000000000000015.json"));
        assert_eq!(load(dir.path(), "lab/../x", Stamp(0)), None, "nobody has watched it");
        fs::write(&files(&kept)[0], b"{").unwrap();
        assert_eq!(load(dir.path(), "lab/../x", Stamp(0)), None);
        assert_eq!(load(dir.path(), "other", Stamp(0)), None);
    }
}
