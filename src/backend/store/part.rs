//! A file on its way: called `.part`, readable by its owner only, named when it is whole and gone when it is not.

use super::verify::{Judge, Whole};
use super::writer::Writer;
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use crate::domain::text::bytes as size_in_words;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What stays free on the disk beyond the file itself.
const RESERVE: u64 = 16 * 1024 * 1024;

/// A file that is being written. Dropping it before [`Part::finish`] removes what was written.
pub(crate) struct Part {
    path: PathBuf,
    file: Writer,
    size: u64,
    leftover: Leftover,
    /// Keeps the file locked until it has its name.
    lock: std::fs::File,
}

/// Removes a file when dropped, unless it was kept.
struct Leftover(Option<PathBuf>);

impl Leftover {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // nothing to be done when even this fails; a `.part` is never taken for a file
            let _ = std::fs::remove_file(path);
        }
    }
}

fn local(path: &Path, error: &io::Error) -> Error {
    Error::new(FailureKind::Local, "write", path.display().to_string(), error.to_string())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The sidecar of a file.
pub(crate) fn sidecar(path: &Path) -> PathBuf {
    with_suffix(path, ".json")
}

/// Creates a file that is locked as long as it is open: whoever finds it locked leaves it alone.
fn create_private(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    loop {
        let file = options.open(path)?;
        // somebody who sweeps may have come between: waits until he has taken it away. Where nothing can be locked, nobody sweeps
        let _ = file.lock();
        let is_there = file.metadata()?.nlink() > 0;
        if is_there {
            return Ok(file);
        }
    }
}

/// The first name that is free: the wanted one, or with a number behind it.
fn begin(wanted: &Path) -> io::Result<(PathBuf, std::fs::File)> {
    let taken = || io::Error::new(io::ErrorKind::AlreadyExists, "exists already; it is not overwritten");
    for number in 1..=9 {
        let path = numbered(wanted, number);
        if [path.clone(), sidecar(&path)].iter().any(|path| path.symlink_metadata().is_ok()) {
            continue;
        }
        match create_private(&with_suffix(&path, ".part")) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(taken())
}

/// `a.db`, `a-2.db`, `a-3.db`
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let plain = super::seal::plain_name(path);
    let mut name = plain.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    let outer = (plain != path).then_some(std::ffi::OsStr::new(super::seal::ENDING));
    for extension in plain.extension().into_iter().chain(outer) {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Removes parts of files that nobody writes any more.
fn sweep(dir: &Path, kind: &str) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(kind) || path.extension().is_none_or(|ending| ending != "part") {
            continue;
        }
        let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) else { continue };
        if file.try_lock().is_ok() {
            tracing::info!("removing {}, left by a program that was killed", path.display());
            let _ = std::fs::remove_file(&path);
        }
    }
}

impl Part {
    /// Begins `dir/name`. The directory is made when it is missing (for its owner only); an existing file of that
    /// name, finished or not, is never overwritten: the new one gets a number then. What a program that was killed left
    /// of files of the same kind (`KIND-STAMP.EXTENSION`) is removed.
    pub(crate) async fn create(dir: &Path, name: &str) -> Result<Self, Error> {
        Self::create_judged(dir, name, Box::new(Whole::default())).await
    }

    /// The same, with a judge of what the disk gives back.
    pub(crate) async fn create_judged(dir: &Path, name: &str, judge: Box<dyn Judge>) -> Result<Self, Error> {
        let wanted = dir.join(name);
        let kind = name.rsplit_once('-').map_or(name, |(kind, _)| kind);
        let (dir, kind) = (dir.to_owned(), kind.to_owned());
        let asked = wanted.clone();
        let (path, file, lock) = blocking(&wanted, move || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            sweep(&dir, &kind);
            let (path, file) = begin(&asked)?;
            let lock = file.try_clone()?;
            Ok((path, file, lock))
        })
        .await?;
        let leftover = Leftover(Some(with_suffix(&path, ".part")));
        Ok(Self { path, file: Writer::new(file, judge), size: 0, leftover, lock })
    }

    /// Fails when the disk has no room for `size` bytes and a reserve.
    pub(crate) fn require_room(&self, size: u64) -> Result<(), Error> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let found = rustix::fs::statvfs(dir).map_err(|error| local(dir, &error.into()))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let needed = size.saturating_add(RESERVE);
        if free >= needed {
            return Ok(());
        }
        let (needed, free) = (size_in_words(needed), size_in_words(free));
        Err(Error::new(
            FailureKind::Local,
            "write",
            self.path.display().to_string(),
            format!("needs {needed}, only {free} are free in {}", dir.display()),
        )
        .hint("make room, or choose another directory"))
    }

    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        self.file.write(bytes).await.map_err(|error| local(&self.path, &error))
    }

    /// Bytes added so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Flushes the file to the disk and reads it back to its end.
    pub(crate) async fn end(self) -> Result<Written, Error> {
        let Self { path, file, size, leftover, lock } = self;
        let (read, verdict) = file.end().await.map_err(|error| local(&path, &error))?;
        if read != size {
            return Err(local(&path, &other_bytes()));
        }
        Ok(Written { path, size, verdict, leftover, lock })
    }

    /// [`Self::end`], and gives the file its name when the disk gave back what has this SHA-256 (hex) as it came.
    pub(crate) async fn finish<M: Serialize + Send + 'static>(
        self,
        sha256: String,
        describe: impl FnOnce(u64, String) -> M,
    ) -> Result<(PathBuf, M), Error> {
        let written = self.end().await?;
        if written.verdict.as_ref() != Ok(&sha256) {
            return Err(local(&written.path, &other_bytes()));
        }
        written.publish(sha256, describe).await
    }
}

/// A file that was written, flushed and read back, and has no name yet. Dropping it removes it.
pub(crate) struct Written {
    path: PathBuf,
    size: u64,
    /// SHA-256 (hex) of what the disk gave back, or what the judge found wrong.
    pub(crate) verdict: Result<String, String>,
    leftover: Leftover,
    lock: std::fs::File,
}

impl Written {
    /// Gives the file and its sidecar their names. `describe` makes the sidecar's content from the file's size and its SHA-256.
    pub(crate) async fn publish<M: Serialize + Send + 'static>(
        self,
        sha256: String,
        describe: impl FnOnce(u64, String) -> M,
    ) -> Result<(PathBuf, M), Error> {
        let meta = describe(self.size, sha256);
        let text = serde_json::to_vec_pretty(&meta).map_err(|error| local(&self.path, &error.into()))?;
        let target = self.path.clone();
        blocking(&self.path, move || publish(&target, &text)).await?;
        drop(self.lock);
        self.leftover.keep();
        Ok((self.path, meta))
    }
}

fn other_bytes() -> io::Error {
    io::Error::other("the disk gave back other bytes than were written")
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| local(path, &error)),
        Err(error) => Err(local(path, &io::Error::other(error.to_string()))),
    }
}

/// Names a file: the sidecar first, so that a named file always has one.
fn publish(path: &Path, meta: &[u8]) -> io::Result<()> {
    let part = with_suffix(path, ".part");
    let sidecar = sidecar(path);
    let sidecar_part = with_suffix(&sidecar, ".part");
    let mut file = create_private(&sidecar_part)?;
    let leftover = Leftover(Some(sidecar_part.clone()));
    file.write_all(meta)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // nobody else of us writes these names: the `.part` was created exclusively, and is locked
    std::fs::rename(&sidecar_part, &sidecar)?;
    leftover.keep();
    let named = Leftover(Some(sidecar));
    std::fs::rename(&part, path)?;
    let whole = Leftover(Some(path.to_owned()));
    std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    named.keep();
    whole.keep();
    Ok(())
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn sha256(bytes: &[u8]) -> String {
        hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .expect("directory")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_finished_file_has_a_sidecar_and_is_private() {
        let dir = tempfile::tempdir().expect("dir");
        let into = dir.path().join("deep/snapshots");
        let mut part = Part::create(&into, "a.db").await.expect("create");
        part.write(b"hello ").await.expect("write");
        part.write(b"world").await.expect("write");
        assert_eq!(names(&into), ["a.db.part"]);
        let (path, meta) = part
            .finish(sha256(b"hello world"), |size, sha| format!("{size} {}", &sha[..8]))
            .await
            .expect("finish");
        assert_eq!(names(&into), ["a.db", "a.db.json"]);
        assert_eq!(meta, "11 b94d27b9");
        assert_eq!(std::fs::read(&path).expect("read"), b"hello world");
        for path in [path.clone(), sidecar(&path)] {
            assert_eq!(path.metadata().expect("meta").permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(into.metadata().expect("meta").permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn what_is_not_finished_is_gone() {
        let dir = tempfile::tempdir().expect("dir");
        let mut part = Part::create(dir.path(), "a.db").await.expect("create");
        part.write(&[7; 3000]).await.expect("write");
        drop(part);
        assert!(names(dir.path()).is_empty());
    }

    #[tokio::test]
    async fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("a.db"), "old").expect("write");
        let second = Part::create(dir.path(), "a.db").await.expect("another name");
        let third = Part::create(dir.path(), "a.db").await.expect("a third one");
        assert_eq!(names(dir.path()), ["a-2.db.part", "a-3.db.part", "a.db"]);
        assert_eq!(std::fs::read(dir.path().join("a.db")).expect("read"), b"old");
        drop((second, third));
        assert_eq!(names(dir.path()), ["a.db"]);
    }

    #[tokio::test]
    async fn what_a_killed_program_left_is_removed_and_what_is_being_written_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        for name in ["etcd-c1-20260101T000000Z.db.part", "other-20260101T000000Z.tar.part"] {
            std::fs::write(dir.path().join(name), "half").expect("write");
        }
        let alive = Part::create(dir.path(), "etcd-c1-20260101T000001Z.db").await.expect("create");
        let next = Part::create(dir.path(), "etcd-c1-20260101T000002Z.db").await.expect("create");
        assert_eq!(
            names(dir.path()),
            [
                "etcd-c1-20260101T000001Z.db.part",
                "etcd-c1-20260101T000002Z.db.part",
                "other-20260101T000000Z.tar.part"
            ]
        );
        let (path, _) = alive.finish(sha256(b""), |size, _| size).await.expect("finish");
        assert!(path.exists(), "nobody took it away");
        drop(next);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_at_once_do_not_take_each_others_parts_away() {
        let dir = tempfile::tempdir().expect("dir");
        let one = async |number: usize| {
            let mut part = Part::create(dir.path(), &format!("etcd-c1-{number}.db")).await.expect("create");
            part.write(b"x").await.expect("write");
            part.finish(sha256(b"x"), |size, _| size).await.expect("finish").0
        };
        for round in 0..20 {
            let files = futures::future::join_all((0..8).map(|number| one(round * 8 + number))).await;
            assert!(files.iter().all(|file| file.exists()));
        }
    }

    #[tokio::test]
    async fn bytes_that_changed_on_the_disk_are_noticed() {
        let dir = tempfile::tempdir().expect("dir");
        let mut part = Part::create(dir.path(), "a.db").await.expect("create");
        let (truth, path) = (vec![7; 1024 * 1024], dir.path().join("a.db.part"));
        part.write(&truth).await.expect("write");
        while path.metadata().expect("meta").len() < truth.len() as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("open")
            .write_all(b"trash")
            .expect("write");
        let error = part.finish(sha256(&truth), |size, _| size).await.expect_err("changed");
        assert!(error.to_string().contains("other bytes"), "{error}");
        assert!(names(dir.path()).is_empty());
    }

    #[tokio::test]
    async fn no_room_is_said_in_figures() {
        let dir = tempfile::tempdir().expect("dir");
        let part = Part::create(dir.path(), "a.db").await.expect("create");
        part.require_room(1).expect("room");
        let error = part.require_room(u64::MAX / 2).expect_err("no room");
        assert!(error.to_string().contains("are free in"), "{error}");
    }
}
