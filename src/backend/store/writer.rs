//! Writes a file off the tasks' threads and reads it back from the disk while the rest is still coming.
//!
//! One thread writes blocks. From [`SEGMENT`] bytes on a second one flushes what is complete, drops it from memory and reads it
//! back, so that the reading costs hardly any time after the last byte came.

use super::verify::Judge;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes that are written at once.
const BLOCK: usize = 512 * 1024;
/// Blocks that may wait for the disk.
const WAITING: usize = 16;
/// Bytes that are flushed and read back at once.
const SEGMENT: u64 = 16 * 1024 * 1024;

/// What the disk gave back: the size in bytes, and the SHA-256 in hex, or in words what is wrong with it.
pub(super) type ReadBack = (u64, Result<String, String>);

/// A file that is being written.
pub(super) struct Writer {
    blocks: Option<SyncSender<Vec<u8>>>,
    pending: Vec<u8>,
    thread: Option<JoinHandle<io::Result<ReadBack>>>,
}

impl Writer {
    /// Begins to write. The file must be empty, and open for reading too. What is read back goes to the judge.
    pub(super) fn new(file: File, judge: Box<dyn Judge>) -> Self {
        let (blocks, incoming) = sync_channel(WAITING);
        let thread = thread::spawn(move || write(file, judge, &incoming));
        Self { blocks: Some(blocks), pending: Vec::with_capacity(BLOCK), thread: Some(thread) }
    }

    /// Adds bytes; waits while too many are on their way to the disk.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = (BLOCK - self.pending.len()).min(bytes.len());
            self.pending.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.pending.len() == BLOCK {
                self.pass_on().await?;
            }
        }
        Ok(())
    }

    async fn pass_on(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.pending, Vec::with_capacity(BLOCK));
        let Some(blocks) = &self.blocks else { return Err(gone()) };
        let sent = match blocks.try_send(block) {
            Ok(()) => true,
            Err(TrySendError::Full(block)) => {
                let blocks = blocks.clone();
                let waiting = tokio::task::spawn_blocking(move || blocks.send(block));
                waiting.await.is_ok_and(|sent| sent.is_ok())
            }
            Err(TrySendError::Disconnected(_)) => false,
        };
        // a writer that ended early failed, and says with what
        if sent { Ok(()) } else { self.joined().await.and(Err(gone())) }
    }

    /// Writes the rest, flushes everything to the disk and reads it to the end.
    pub(super) async fn end(mut self) -> io::Result<ReadBack> {
        self.pass_on().await?;
        self.joined().await
    }

    async fn joined(&mut self) -> io::Result<ReadBack> {
        self.blocks = None;
        let thread = self.thread.take().ok_or_else(gone)?;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        joined.map_err(io::Error::other)?.map_err(|_| gone())?
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes has ended")
}

/// The writing thread.
fn write(file: File, judge: Box<dyn Judge>, incoming: &Receiver<Vec<u8>>) -> io::Result<ReadBack> {
    let file = Arc::new(file);
    let mut reading = Reading::Waiting(Behind::new(Arc::clone(&file), judge));
    let mut asked = 0;
    let mut size = 0;
    for block in incoming {
        (&*file).write_all(&block)?;
        size += block.len() as u64;
        if size - asked >= SEGMENT {
            asked = size;
            reading = reading.advance(size);
        }
    }
    reading.finish(size)
}

/// The reading behind the writing.
enum Reading {
    /// There is no complete segment yet.
    Waiting(Behind),
    /// A thread reads what is complete, as far as it is told.
    Running(SyncSender<u64>, JoinHandle<io::Result<Behind>>),
}

impl Reading {
    /// So much is written and may be read.
    fn advance(self, size: u64) -> Self {
        let (until, thread) = match self {
            Self::Running(until, thread) => (until, thread),
            Self::Waiting(mut behind) => {
                let (until, segments) = sync_channel(1);
                let reading = move || {
                    for end in segments {
                        behind.read_to(end)?;
                    }
                    Ok(behind)
                };
                (until, thread::spawn(reading))
            }
        };
        // when it has failed, its error comes with the end
        let _ = until.send(size);
        Self::Running(until, thread)
    }

    fn finish(self, size: u64) -> io::Result<ReadBack> {
        let mut behind = match self {
            Self::Waiting(behind) => behind,
            Self::Running(until, thread) => {
                drop(until);
                thread.join().map_err(|_| gone())??
            }
        };
        behind.file.sync_all()?;
        behind.read_to(size)?;
        Ok((behind.at, behind.judge.finish()))
    }
}

/// How far the file was read back.
struct Behind {
    file: Arc<File>,
    judge: Box<dyn Judge>,
    at: u64,
    buffer: Vec<u8>,
}

impl Behind {
    fn new(file: Arc<File>, judge: Box<dyn Judge>) -> Self {
        Self { file, judge, at: 0, buffer: vec![0; 256 * 1024] }
    }

    /// Flushes, and reads up to `end`, or less when the file ends before.
    fn read_to(&mut self, end: u64) -> io::Result<()> {
        self.file.sync_data()?;
        forget_cached(&self.file, self.at, end - self.at);
        while self.at < end {
            let most = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = self.file.read_at(&mut self.buffer[..most], self.at)?;
            if count == 0 {
                break;
            }
            self.judge.update(&self.buffer[..count]);
            self.at += count as u64;
        }
        Ok(())
    }
}

/// Drops clean pages of a file from memory, so that the next read comes from the disk (an advice, no promise).
pub(super) fn forget_cached(file: &File, from: u64, length: u64) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, from, NonZeroU64::new(length), rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, length);
}

#[cfg(test)]
mod tests {
    use super::super::part::hex;
    use super::super::verify::Whole;
    use super::*;
    use ring::digest::{SHA256, digest};

    async fn written(content: &[u8], portion: usize) -> ReadBack {
        let mut writer = Writer::new(tempfile::tempfile().expect("file"), Box::new(Whole::default()));
        for bytes in content.chunks(portion) {
            writer.write(bytes).await.expect("write");
        }
        writer.end().await.expect("end")
    }

    #[tokio::test]
    async fn all_of_it_is_read_back_whatever_its_length() {
        let most = usize::try_from(SEGMENT).expect("a size") * 2 + BLOCK + 7;
        let content: Vec<u8> = (0..most).map(|at| u8::try_from(at * 31 % 251).expect("a byte")).collect();
        for length in [0, 1, BLOCK, BLOCK + 1, most] {
            let expected = hex(digest(&SHA256, &content[..length]).as_ref());
            assert_eq!(
                written(&content[..length], 32 * 1024).await,
                (length as u64, Ok(expected)),
                "{length}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_said_while_it_is_written_and_at_the_end() {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("open");
        let mut writer = Writer::new(full(), Box::new(Whole::default()));
        let mut failed = None;
        for _ in 0..4 * WAITING {
            failed = writer.write(&vec![1; BLOCK]).await.err();
            if failed.is_some() {
                break;
            }
        }
        assert_eq!(failed.expect("full").kind(), io::ErrorKind::StorageFull);
        let mut writer = Writer::new(full(), Box::new(Whole::default()));
        writer.write(b"a few").await.expect("waits");
        assert_eq!(writer.end().await.expect_err("full").kind(), io::ErrorKind::StorageFull);
    }
}
