//! Connections that something else carries: a program's input and output, and the word that it leaves when it ends.

use super::dial::Stream;
use super::error::Error;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader, ReadBuf};
use tokio::process::{ChildStderr, Command};
use tokio::time::timeout;

/// How long the carrier's word is waited for once the connection has ended.
const WORD: Duration = Duration::from_millis(300);
/// What is kept of a line.
const MOST_LINE: u64 = 1024;

/// What a carrier says when the connection ends; `None` = nothing.
type Why = BoxFuture<'static, Option<String>>;

/// A stream whose carrier says why it ended: that becomes the error of the read or the write that met the end.
pub(super) struct Told<S> {
    inner: S,
    why: Option<Why>,
    /// What must live as long as the stream.
    _carrier: Box<dyn Send>,
}

impl<S> Told<S> {
    pub(super) fn new(
        inner: S,
        why: impl Future<Output = Option<String>> + Send + 'static,
        carrier: impl Send + 'static,
    ) -> Self {
        let why = async move { timeout(WORD, why).await.ok().flatten() };
        Self { inner, why: Some(why.boxed()), _carrier: Box::new(carrier) }
    }

    /// The carrier's word, once.
    fn word(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        let Some(why) = &mut self.why else { return Poll::Ready(None) };
        let word = ready!(why.poll_unpin(cx));
        self.why = None;
        Poll::Ready(word.filter(|word| !word.is_empty()).map(io::Error::other))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Told<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
        if read.is_ok() && (buf.filled().len() > before || buf.remaining() == 0) {
            return Poll::Ready(Ok(()));
        }
        match ready!(this.word(cx)) {
            Some(word) => Poll::Ready(Err(word)),
            None => Poll::Ready(read),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Told<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match ready!(Pin::new(&mut this.inner).poll_write(cx, buf)) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(error) => Poll::Ready(Err(ready!(this.word(cx)).unwrap_or(error))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Starts a program whose input and output are a connection: one list of words, never a shell. It is killed when the stream is
/// dropped. It has a process group of its own, so that it cannot read the keys of the terminal. The last line that it
/// printed as an error is the error of a read that meets the end.
///
/// # Errors
/// [`FailureKind::Local`]: it cannot be started.
pub(super) fn open(argv: &[String]) -> Result<Stream, Error> {
    let Some((program, words)) = argv.split_first() else {
        return Err(Error::new(FailureKind::Local, "run", "", "the command has no words"));
    };
    let fail = |why: &str| Error::new(FailureKind::Local, "run", program, why);
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| fail(&error.to_string()))?;
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(fail("its input and output cannot be used"));
    };
    let name = program.rsplit('/').next().unwrap_or(program).to_owned();
    let last = Arc::new(Mutex::new(String::new()));
    let reading = tokio::spawn(keep_last(errors, Arc::clone(&last)));
    let why = async move {
        // a child of its own may keep the other end open: what was said until then counts
        let _ = timeout(WORD / 2, reading).await;
        let line = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(if line.is_empty() { format!("{name} ended") } else { format!("{name}: {line}") })
    };
    Ok(Box::new(Told::new(tokio::io::join(output, input), why, child)))
}

/// Keeps the last line that is not empty, cleaned.
async fn keep_last(errors: ChildStderr, last: Arc<Mutex<String>>) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut errors).take(MOST_LINE).read_until(b'\n', &mut line).await {
        let text = clean(String::from_utf8_lossy(&line).trim());
        if !text.is_empty() {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn input_and_output_are_the_connection() {
        let mut stream = open(&argv(&["cat"])).expect("started");
        stream.write_all(b"hello").await.expect("written");
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.expect("read");
        assert_eq!(&back, b"hello");
    }

    #[tokio::test]
    async fn the_last_line_of_errors_is_the_reason() {
        let script = "echo first >&2; printf 'connection \\033[1mrefused\\n\\n' >&2; exit 1";
        let mut stream = open(&argv(&["sh", "-c", script])).expect("started");
        let error = stream.read_u8().await.expect_err("ended");
        assert_eq!(error.to_string(), "sh: connection [1mrefused");
        let mut quiet = open(&argv(&["true"])).expect("started");
        assert_eq!(quiet.read_u8().await.expect_err("ended").to_string(), "true ended");
        let none = open(&argv(&["/no/such/program"])).err().expect("none");
        assert_eq!(none.kind, FailureKind::Local);
    }

    #[tokio::test]
    async fn the_program_ends_with_the_stream() {
        let mut stream = open(&argv(&["sh", "-c", "echo $$; exec cat"])).expect("started");
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).await.expect("its id");
        drop(stream);
        let stat = format!("/proc/{}/stat", line.trim());
        let is_gone = || match std::fs::read_to_string(&stat) {
            Ok(text) => text.contains(") Z"),
            Err(_) => true,
        };
        for _ in 0..200 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still runs");
    }
}
