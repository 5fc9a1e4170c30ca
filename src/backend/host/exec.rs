//! One command on a host: output and errors apart, exit status, and what it means when none came.

use super::session::{Session, failed};
use super::{Hosts, Output, Target, quote};
use crate::backend::error::Error;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use bytes::Bytes;
use futures::future::BoxFuture;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long an ordinary command may take.
const COMMAND: Duration = Duration::from_secs(30);
/// How much of its output is kept.
const MOST_OUTPUT: usize = 1024 * 1024;

/// A portion of a command's output.
pub(super) enum Piece {
    Out(Bytes),
    Err(Bytes),
}

/// A command that was started.
pub(super) struct Running {
    channel: Channel<Msg>,
    status: Option<u32>,
    signal: Option<String>,
    refused: bool,
}

impl Running {
    /// The next portion; `None` when it has ended or the connection was lost.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        while let Some(message) = self.channel.wait().await {
            match message {
                ChannelMsg::Data { data } => return Some(Piece::Out(data)),
                ChannelMsg::ExtendedData { data, ext: 1 } => return Some(Piece::Err(data)),
                ChannelMsg::ExitStatus { exit_status } => self.status = Some(exit_status),
                ChannelMsg::ExitSignal { signal_name, .. } => self.signal = Some(format!("{signal_name:?}")),
                ChannelMsg::Failure => {
                    self.refused = true;
                    return None;
                }
                // the status comes before this
                ChannelMsg::Close => return None,
                _ => {}
            }
        }
        None
    }

    pub(super) fn status(&self) -> Option<u32> {
        self.status
    }

    pub(super) fn signal(&self) -> Option<String> {
        self.signal.clone()
    }

    /// Reads to the end.
    async fn collect(mut self) -> (Output, bool) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(piece) = self.next().await {
            let (kept, data) = match &piece {
                Piece::Out(data) => (&mut stdout, data),
                Piece::Err(data) => (&mut stderr, data),
            };
            let room = MOST_OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let output =
            Output { stdout: text(stdout), stderr: text(stderr), status: self.status, signal: self.signal };
        (output, self.refused)
    }
}

impl Hosts {
    /// Runs one command within 30 s; its words are quoted for the host's shell. An exit status other than 0 is not an
    /// error here; a lost connection is an answer without a status.
    pub async fn run(&self, node: &NodeRow, argv: &[&str]) -> Result<Output, Error> {
        self.run_on(&self.target(node)?, argv).await
    }

    /// As [`Self::run`]. Boxed: many commands stand in one future.
    pub(super) fn run_on<'a>(
        &'a self,
        target: &'a Target,
        argv: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Output, Error>> {
        self.run_after(target, argv, async { Ok(()) })
    }

    /// As [`Self::run_on`]; `go` is awaited when the channel is open, right before the command is sent.
    pub(super) fn run_after<'a>(
        &'a self,
        target: &'a Target,
        argv: &'a [&'a str],
        go: impl Future<Output = Result<(), Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<Output, Error>> {
        Box::pin(async move {
            let running = self.start_after(target, argv, go).await?;
            let Ok((output, refused)) = timeout(COMMAND, running.collect()).await else {
                let message = format!("{} did not end within {} s", argv.join(" "), COMMAND.as_secs());
                return Err(Error::new(FailureKind::Timeout, "run a command on", target.label(), message));
            };
            if refused {
                let message = "the host's SSH server does not run commands for this login";
                return Err(Error::new(FailureKind::Forbidden, "run a command on", target.label(), message));
            }
            Ok(output)
        })
    }

    /// Starts one command. A connection found dead is replaced once, before anything is sent over it.
    pub(super) async fn start(&self, target: &Target, argv: &[&str]) -> Result<Running, Error> {
        self.start_after(target, argv, async { Ok(()) }).await
    }

    async fn start_after(
        &self,
        target: &Target,
        argv: &[&str],
        go: impl Future<Output = Result<(), Error>> + Send,
    ) -> Result<Running, Error> {
        let line = quote::command(argv)?;
        let (session, channel) = self.channel(target).await?;
        go.await?;
        let sent = channel.exec(true, line).await;
        drop(session);
        sent.map_err(|error| failed("run a command on", target, &error))?;
        Ok(Running { channel, status: None, signal: None, refused: false })
    }

    async fn channel(&self, target: &Target) -> Result<(Arc<Session>, Channel<Msg>), Error> {
        let (session, is_new) = self.session(target).await?;
        match session.command_channel(target).await {
            Ok(channel) => Ok((session, channel)),
            Err(error) if is_new || !error.kind.is_passing() => Err(error),
            Err(_) => {
                self.forget(target, &session).await;
                let (session, _) = self.session(target).await?;
                let channel = session.command_channel(target).await?;
                Ok((session, channel))
            }
        }
    }

    /// Runs a command that must succeed and returns what it printed, without the last line break.
    pub(super) async fn read(&self, target: &Target, argv: &[&str]) -> Result<String, Error> {
        let output = self.run_on(target, argv).await?;
        if output.status == Some(0) {
            return Ok(output.stdout.trim_end().to_owned());
        }
        Err(output.failure(argv, target))
    }

    /// The content of a file, read as root. Never part of an error or a log.
    pub(crate) async fn read_as_root(&self, node: &NodeRow, path: &str) -> Result<Vec<u8>, Error> {
        let target = self.target(node)?;
        let argv = self.as_root(&target, &["cat", path]).await?;
        self.read(&target, &argv).await.map(String::into_bytes)
    }

    /// What an HTTP server of the host's own answers, asked by `curl` there: status and text.
    pub(crate) async fn curl(&self, node: &NodeRow, url: &str) -> Result<(u16, String), Error> {
        let target = self.target(node)?;
        let argv = ["curl", "-sS", "--max-time", "5", "-w", "\\n%{http_code}", url];
        let text = self.read(&target, &argv).await?;
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", &text));
        match status.trim().parse() {
            Ok(status) => Ok((status, body.to_owned())),
            Err(_) => Err(Error::new(
                FailureKind::Unexpected,
                "run `curl` on",
                target.label(),
                "it names no status",
            )),
        }
    }

    /// The login's user id, asked for once per connection.
    pub(super) async fn uid(&self, target: &Target) -> Result<u32, Error> {
        let (session, _) = self.session(target).await?;
        let uid = session.uid.get_or_try_init(|| async {
            let text = self.read(target, &["id", "-u"]).await?;
            text.trim().parse().map_err(|_| {
                Error::new(
                    FailureKind::Unexpected,
                    "run `id` on",
                    target.label(),
                    format!("it said {text:?}"),
                )
            })
        });
        uid.await.copied()
    }

    /// The command as root: as it is for root, else through `sudo -n`.
    pub(super) async fn as_root<'a>(&self, target: &Target, argv: &[&'a str]) -> Result<Vec<&'a str>, Error> {
        let prefix: &[&str] = if self.uid(target).await? == 0 { &[] } else { &["sudo", "-n"] };
        Ok([prefix, argv].concat())
    }
}

impl Output {
    /// What went wrong, in one line: the last line of the errors, or how it ended.
    pub(super) fn why(&self) -> String {
        let said = self.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
        match (self.status, &self.signal, said) {
            (None, None, _) => "the connection was lost before it ended".to_owned(),
            (_, _, Some(line)) => line.to_owned(),
            (Some(status), _, None) => format!("exit status {status}"),
            (None, Some(signal), None) => format!("ended by signal {signal}"),
        }
    }

    /// The error of a command that had to succeed.
    pub(super) fn failure(&self, argv: &[&str], target: &Target) -> Error {
        let kind = match self.status {
            Some(_) => FailureKind::Refused,
            None => FailureKind::Unreachable,
        };
        let mut error = Error::new(kind, "run a command on", target.label(), self.why())
            .because(format!("the command was {}", argv.join(" ")));
        error.code = self.status.and_then(|status| u16::try_from(status).ok());
        error
    }
}
