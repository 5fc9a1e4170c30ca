//! What is known of a rolling update, kept in the state directory so that its story survives a restart: one file for each roll
//! under `rollouts/CONTEXT/`, written whole and put in place at once.

use crate::domain::report::{FailureKind, Report};
use crate::domain::rollout::Rollout;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that says another number is of another version of pitstop, and is not read.
const FORMAT: u32 = 1;
/// So many rolls are kept for each context.
const KEPT: usize = 10;
/// Two beginnings that are nearer to each other are of the same roll.
const TWIN: Duration = Duration::from_secs(30);
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

/// The right to keep the rolls of one context. One process of this machine has it at a time, so that a roll has one story,
/// however many look at it; the next one takes it when that process ends.
#[derive(Debug)]
pub struct Pen {
    state_dir: PathBuf,
    context: String,
    held: Option<File>,
}

impl Pen {
    /// Not taken yet: that is tried with each [`save`](Self::save).
    pub fn new(state_dir: PathBuf, context: String) -> Self {
        Self { state_dir, context, held: None }
    }

    /// The context whose rolls it keeps.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Keeps a roll; nothing when there is none. Older ones go when there are too many. `false` = another process keeps it.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn save(&mut self, rollout: &Rollout) -> Result<bool, Report> {
        let Some(began) = rollout.began() else { return Ok(true) };
        if self.held.is_none() {
            let dir = directory(&self.state_dir, &self.context);
            self.held = take(&dir).map_err(|error| unwritten(&dir, &error))?;
            if self.held.is_none() {
                return Ok(false);
            }
            forget_twin(&dir, began);
        }
        save(&self.state_dir, &self.context, rollout).map(|()| true)
    }
}

/// The lock of a directory; `None` = another process has it.
fn take(dir: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(dir)?;
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join(".lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Another process that saw the same roll begin dated that a little differently: what it kept is the same story.
fn forget_twin(dir: &Path, began: Stamp) {
    for path in files(dir) {
        let at = path.file_stem().and_then(|name| name.to_str()?.parse().ok()).map(Stamp);
        if at.is_some_and(|at| at != began && at.since(began).max(began.since(at)) < TWIN) {
            drop(fs::remove_file(path));
        }
    }
}

fn unwritten(dir: &Path, error: &io::Error) -> Report {
    Report::new(FailureKind::Local, format!("{} cannot be written: {error}", dir.display()))
}

fn save(state_dir: &Path, context: &str, rollout: &Rollout) -> Result<(), Report> {
    let Some(began) = rollout.began() else { return Ok(()) };
    let dir = directory(state_dir, context);
    let kept = Kept { format: FORMAT, context: context.to_owned(), rollout };
    let text = serde_json::to_vec(&kept).map_err(|error| {
        Report::new(FailureKind::Unexpected, format!("no JSON can be made of a roll: {error}"))
    })?;
    put(&dir, &format!("{:015}.json", began.0), &text).map_err(|error| unwritten(&dir, &error))?;
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
    fn one_process_keeps_the_story_and_the_next_one_goes_on_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pen = || Pen::new(dir.path().to_owned(), "lab".to_owned());
        let (mut first, mut second) = (pen(), pen());
        assert!(first.save(&roll(1_000)).unwrap());
        assert!(!second.save(&roll(1_400)).unwrap(), "the other one has it");
        assert!(first.save(&roll(1_000)).unwrap());
        drop(first);
        assert!(second.save(&roll(1_400)).unwrap());
        let names: Vec<_> = files(&directory(dir.path(), "lab"));
        assert_eq!(names.len(), 1, "one roll, one story: {names:?}");
        assert!(second.save(&roll(900_000)).unwrap(), "another roll");
        assert_eq!(files(&directory(dir.path(), "lab")).len(), 2);
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
