//! Writes recordings into the state directory, for their owner only.

use crate::console::record::Recording;
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::Stamp;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes a recording to `recordings/console-TIME.jsonl`; its path and the number of its messages.
pub(super) async fn save(
    recording: Recording,
    state_dir: PathBuf,
    at: Stamp,
) -> Result<(String, usize), Report> {
    let written = tokio::task::spawn_blocking(move || write(&recording, &state_dir, at)).await;
    written.unwrap_or_else(|error| {
        Err(Report::new(FailureKind::Unexpected, format!("writing the recording broke off: {error}")))
    })
}

fn write(recording: &Recording, state_dir: &Path, at: Stamp) -> Result<(String, usize), Report> {
    let text = recording.write(at)?;
    let dir = state_dir.join("recordings");
    let (path, mut file) = create(&dir, at).map_err(|error| trouble(&dir, &error))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // half a recording is of no use
        drop(std::fs::remove_file(&path));
        return Err(trouble(&path, &error));
    }
    Ok((path.display().to_string(), recording.heard.len()))
}

fn trouble(path: &Path, error: &io::Error) -> Report {
    Report::new(FailureKind::Local, format!("{} cannot be written: {error}", path.display()))
}

/// A new file that only its owner can read; an existing one is never written over.
fn create(dir: &Path, at: Stamp) -> io::Result<(PathBuf, File)> {
    std::fs::create_dir_all(dir)?;
    let time = jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y%m%dT%H%M%SZ").to_string());
    let mut number = 1;
    loop {
        let name = if number == 1 { String::new() } else { format!("-{number}") };
        let path = dir.join(format!("console-{time}{name}.jsonl"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            Err(error) => return Err(error),
        }
    }
}
