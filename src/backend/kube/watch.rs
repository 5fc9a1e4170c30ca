//! Lists and watches, folded into rows: list once, follow from there, resume where the server closed a watch in good
//! order, list again when it has forgotten that place (410) or the connection broke.
//!
//! A watch that says nothing for longer than its server would stay silent (bookmarks come about once a minute) is taken
//! for dead and resumed. Where watching is forbidden, listing every few seconds takes its place.

use super::Inner;
use super::fault::{self, Status};
use super::request::{Ask, lost, next_chunk};
use super::rows::Wire;
use super::{Feed, backoff::Backoff};
use crate::backend::error::Error;
use crate::domain::feed::Delta;
use crate::domain::report::FailureKind;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

/// Deadline of the head of a watch's answer.
const HEAD: Duration = Duration::from_secs(15);
/// How often is listed where watching is forbidden; the same where somebody waits for changes.
const POLL: Duration = Duration::from_secs(5);
const BRISK_POLL: Duration = Duration::from_secs(2);
/// After such a time of listing, watching is tried again.
const POLLED: Duration = Duration::from_mins(1);
/// Objects of one page of a list.
const PAGE: &str = "500";
/// No single object is larger (etcd's own limit is far below).
const LONGEST: usize = 64 << 20;
/// Changes that wait for their reader before the watch stops reading.
const QUEUE: usize = 256;

/// What is listed and watched.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// What it is in words: `list nodes`, `watch nodes`.
    pub list: &'static str,
    /// See `list`.
    pub watch: &'static str,
    /// The collection's path.
    pub path: String,
    /// `fieldSelector`; empty = none.
    pub fields: String,
    /// How long the server is asked to keep one watch open.
    pub span: Duration,
    /// How long a watch may say nothing.
    pub silence: Duration,
    /// How often is listed where watching is forbidden.
    pub poll: Duration,
}

impl Scope {
    /// A scope that lives as long as the program: a watch of some minutes, dead when it misses a bookmark.
    pub(super) fn long(list: &'static str, watch: &'static str, path: String) -> Self {
        let (span, silence) = (Duration::from_secs(270), Duration::from_secs(75));
        Self { list, watch, path, fields: String::new(), span, silence, poll: POLL }
    }

    /// A scope in which somebody waits for changes: short watches, so that a dead connection shows within seconds.
    pub(super) fn brisk(mut self) -> Self {
        (self.span, self.silence) = (Duration::from_secs(20), Duration::from_secs(25));
        self.poll = BRISK_POLL;
        self
    }

    /// Only objects with these fields.
    pub(super) fn fields(mut self, fields: String) -> Self {
        self.fields = fields;
        self
    }

    fn selected(&self, ask: Ask) -> Ask {
        if self.fields.is_empty() { ask } else { ask.query("fieldSelector", &self.fields) }
    }
}

#[derive(Deserialize)]
struct Page<W> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default = "Option::default")]
    items: Option<Vec<W>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    r#continue: String,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    r#type: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Frame<T> {
    object: T,
}

impl Inner {
    /// Reads a whole collection, page by page, and the version at which it was so.
    pub(super) async fn list<W: Wire>(&self, scope: &Scope) -> Result<(Vec<W::Row>, String), Error> {
        let (mut rows, mut token, mut is_paged) = (Vec::new(), String::new(), true);
        loop {
            let mut ask = scope.selected(Ask::list(scope.list, scope.path.clone()));
            if is_paged {
                ask = ask.query("limit", PAGE);
            }
            if !token.is_empty() {
                ask = ask.query("continue", &token);
            }
            match self.fetch::<Page<W>>(&ask).await {
                // the pages took longer than the server remembers: once more, in one piece
                Err(error) if error.kind == FailureKind::Gone && !token.is_empty() => {
                    rows.clear();
                    token.clear();
                    is_paged = false;
                }
                Err(error) => return Err(error),
                Ok(page) => {
                    rows.extend(page.items.into_iter().flatten().filter_map(Wire::row));
                    token = page.metadata.r#continue;
                    if token.is_empty() {
                        rows.shrink_to_fit();
                        return Ok((rows, page.metadata.resource_version));
                    }
                }
            }
        }
    }
}

/// Rows as they were at a version.
pub(super) type Start<W> = (Vec<<W as Wire>::Row>, String);

/// The same as [`feed`], from a list that was made already.
pub(super) fn feed_from<W: Wire>(inner: &Arc<Inner>, scope: Scope, start: Option<Start<W>>) -> Feed<W::Row> {
    begin::<W>(inner, scope, None, start)
}

/// Starts following a collection. `wake` = whenever it changes, an open watch is opened anew and a pause is cut short.
pub(super) fn feed<W: Wire>(
    inner: &Arc<Inner>,
    scope: Scope,
    wake: Option<watch::Receiver<u64>>,
) -> Feed<W::Row> {
    begin::<W>(inner, scope, wake, None)
}

fn begin<W: Wire>(
    inner: &Arc<Inner>,
    scope: Scope,
    wake: Option<watch::Receiver<u64>>,
    start: Option<Start<W>>,
) -> Feed<W::Row> {
    let (to, from) = mpsc::channel(QUEUE);
    let (inner, backoff) = (inner.clone(), Backoff::new());
    let follower = Follower::<W> { inner, scope, to: to.clone(), wake, backoff, is_relisted: false };
    tokio::spawn(async move {
        tokio::select! {
            () = to.closed() => {}
            () = follower.run(start) => {}
        }
    });
    Box::pin(ReceiverStream::new(from))
}

/// Why a watch came to its end without an error.
enum End {
    /// The server closed it, or it was silent for too long: resume from the last version.
    Resume,
    /// The server does not remember the version: list again.
    Relist,
}

struct Follower<W: Wire> {
    inner: Arc<Inner>,
    scope: Scope,
    to: mpsc::Sender<Result<Delta<W::Row>, Error>>,
    wake: Option<watch::Receiver<u64>>,
    backoff: Backoff,
    /// The last watch could not go on, and nothing was seen since.
    is_relisted: bool,
}

impl<W: Wire> Follower<W> {
    /// Ends only by being dropped.
    async fn run(mut self, start: Option<Start<W>>) {
        if let Some((rows, version)) = start {
            self.say(Ok(Delta::Reset(rows))).await;
            self.follow(version).await;
        }
        loop {
            match self.inner.list::<W>(&self.scope).await {
                Ok((rows, version)) => {
                    self.say(Ok(Delta::Reset(rows))).await;
                    self.follow(version).await;
                }
                Err(error) => self.failed(error).await,
            }
        }
    }

    /// Watches until the collection has to be listed again.
    async fn follow(&mut self, mut version: String) {
        loop {
            let begun = Instant::now();
            match self.watch(&mut version).await {
                Ok(End::Relist) => {
                    // a server that calls its own fresh list too old is not asked again at once for ever
                    if std::mem::replace(&mut self.is_relisted, true) {
                        self.pause().await;
                    }
                    return;
                }
                Ok(End::Resume) if begun.elapsed() > Duration::from_secs(1) => self.is_well(),
                Ok(End::Resume) => self.pause().await,
                Err(error) if error.kind == FailureKind::Forbidden => {
                    let error = error.because("listing every few seconds takes its place");
                    self.say(Err(error)).await;
                    self.poll().await;
                    return;
                }
                // the server that answers next may know another past (another API server behind, or restored data): a
                // place in the old one proves nothing
                Err(error) => {
                    self.failed(error).await;
                    return;
                }
            }
        }
    }

    fn is_well(&mut self) {
        self.backoff.reset();
        self.is_relisted = false;
    }

    /// Lists in place of watching, for a minute.
    async fn poll(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < POLLED {
            tokio::time::sleep(self.scope.poll).await;
            match self.inner.list::<W>(&self.scope).await {
                Ok((rows, _)) => self.say(Ok(Delta::Reset(rows))).await,
                Err(error) => self.failed(error).await,
            }
        }
    }

    /// One watch from a version on.
    async fn watch(&mut self, version: &mut String) -> Result<End, Error> {
        let ask = self
            .scope
            .selected(Ask::get(self.scope.watch, "", self.scope.path.clone()))
            .query("watch", "true")
            .query("allowWatchBookmarks", "true")
            .query("timeoutSeconds", &self.scope.span.as_secs().to_string())
            .query("resourceVersion", version)
            .within(HEAD);
        let opened = async {
            let response = self.inner.open(&ask).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(self.inner.finish(&ask, response).await.err().unwrap_or_else(|| {
                Error::new(FailureKind::Unexpected, ask.op, "", "neither an answer nor a failure")
            }))
        };
        let response = match self.inner.in_time(&ask, opened).await {
            Err(error) if error.kind == FailureKind::Gone => return Ok(End::Relist),
            other => other?,
        };
        let mut body = response.into_body();
        let mut lines = Lines::default();
        loop {
            let chunk = tokio::select! {
                chunk = tokio::time::timeout(self.scope.silence, next_chunk(&mut body)) => chunk,
                () = woken(&mut self.wake) => return Ok(End::Resume),
            };
            let Ok(chunk) = chunk else {
                tracing::debug!(op = self.scope.watch, "a silent watch is opened anew");
                return Ok(End::Resume);
            };
            let Some(chunk) = chunk else { return Ok(End::Resume) };
            lines.push(&chunk.map_err(|error| lost(&ask, &error))?);
            while let Some(line) = lines.next() {
                if let Some(end) = self.line(&ask, &line, version).await? {
                    return Ok(end);
                }
            }
            if lines.waiting() > LONGEST {
                return Err(Error::new(
                    FailureKind::Unexpected,
                    ask.op,
                    "",
                    "a line of the watch is too long",
                ));
            }
        }
    }

    /// Takes one line of a watch.
    async fn line(&mut self, ask: &Ask, line: &[u8], version: &mut String) -> Result<Option<End>, Error> {
        let unreadable = |error: serde_json::Error| {
            Error::new(FailureKind::Unexpected, ask.op, "", "the watch cannot be read")
                .because(error.to_string())
        };
        let kind: Kind<'_> = serde_json::from_slice(line).map_err(unreadable)?;
        if kind.r#type == "ERROR" {
            let status: Status = serde_json::from_slice::<Frame<Status>>(line).map_err(unreadable)?.object;
            let error = fault::said(ask, &status, None, &self.inner.who);
            return if error.kind == FailureKind::Gone { Ok(Some(End::Relist)) } else { Err(error) };
        }
        let object: W = serde_json::from_slice::<Frame<W>>(line).map_err(unreadable)?.object;
        if !object.version().is_empty() {
            object.version().clone_into(version);
        }
        self.is_well();
        let delta: fn(W::Row) -> Delta<W::Row> = match &*kind.r#type {
            "ADDED" | "MODIFIED" => Delta::Upsert,
            "DELETED" => Delta::Remove,
            _ => return Ok(None),
        };
        if let Some(row) = object.row() {
            self.say(Ok(delta(row))).await;
        }
        Ok(None)
    }

    async fn failed(&mut self, error: Error) {
        let asked = error.retry_after;
        self.say(Err(error)).await;
        match asked {
            Some(wait) => tokio::time::sleep(wait.min(Duration::from_mins(1))).await,
            None => self.pause().await,
        }
    }

    async fn pause(&mut self) {
        let pause = self.backoff.next();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = woken(&mut self.wake) => {}
        }
    }

    async fn say(&self, word: Result<Delta<W::Row>, Error>) {
        // a reader that is gone ends this task through `closed`
        let _ = self.to.send(word).await;
    }
}

/// Waits for a call to open everything anew; for ever when nobody calls.
async fn woken(wake: &mut Option<watch::Receiver<u64>>) {
    if let Some(wake) = wake
        && wake.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Pieces of a body, cut into lines.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Bytes before this index hold no line break.
    seen: usize,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(at) = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n') else {
                self.seen = self.bytes.len();
                return None;
            };
            let rest = self.bytes.split_off(self.seen + at + 1);
            let line = std::mem::replace(&mut self.bytes, rest);
            self.seen = 0;
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }

    fn waiting(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
