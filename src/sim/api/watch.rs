//! `watch`: what is there (when asked), then every change, with bookmarks, until the client or the time limit ends it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep_until};

use super::answer::{self, Form};
use super::faults::Connection;
use super::paging::{invalid_options, revision_of};
use super::request::{Call, Target};
use super::selector::Selection;
use super::{Api, events, table};
use crate::sim::store::{Change, ChangeKind, FieldError, Object, Status, Subscription, meta};

/// How long a watch lasts when the client does not say.
const LONGEST: Duration = Duration::from_mins(30);
/// Annotation of the bookmark that ends the initial events (KEP-3157).
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Starts a watch.
pub(super) fn watch(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let selection = Selection::new(call.param("labelSelector"), call.param("fieldSelector"), target)?;
    let streamed = check_initial_events(call)?;
    let lasts = match call.param("timeoutSeconds") {
        None => LONGEST,
        Some(text) => {
            let seconds: u64 =
                text.parse().map_err(|_| Status::bad_request("timeoutSeconds: not a number"))?;
            if seconds == 0 { LONGEST } else { Duration::from_secs(seconds) }
        }
    };
    let revision = call.param("resourceVersion").map(revision_of).transpose()?.unwrap_or(0);
    let now = Instant::now();
    let mut feed = Feed {
        api: api.clone(),
        target: target.clone(),
        selection,
        form: answer::form(call),
        table: table::Options::of(call),
        bookmarks: call.flag("allowWatchBookmarks"),
        subscription: None,
        ready: VecDeque::new(),
        ended: false,
        deadline: now + lasts,
        next_bookmark: now + api.options.bookmark_every,
        connection: api.faults.connection(),
        quorum: api.options.quorum.clone(),
    };
    match streamed {
        Some(true) => feed.start_with_list(true),
        None if revision == 0 => feed.start_with_list(false),
        Some(false) if revision == 0 => feed.start_at(api.store.revision()),
        None | Some(false) => feed.start_at(revision),
    }
    let frames = stream::unfold(feed, async |mut feed| feed.next().await.map(|frame| (frame, feed)));
    Ok(answer::build(200, "application/json", Body::from_stream(frames)))
}

/// `sendInitialEvents`, checked with `resourceVersionMatch` (apimachinery `validation.ValidateListOptions`).
fn check_initial_events(call: &Call) -> Result<Option<bool>, Status> {
    let forbidden = |field: &str, why: &str| Err(invalid_options(&FieldError::forbidden(field, why)));
    let how = call.param("resourceVersionMatch");
    if !call.has_param("sendInitialEvents") {
        return match how {
            None => Ok(None),
            Some(_) => forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
        };
    }
    match how {
        Some("NotOlderThan") => Ok(Some(call.flag("sendInitialEvents"))),
        _ => forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
    }
}

struct Feed {
    api: Api,
    target: Target,
    selection: Selection,
    form: Form,
    table: table::Options,
    bookmarks: bool,
    subscription: Option<Subscription>,
    ready: VecDeque<Bytes>,
    ended: bool,
    deadline: Instant,
    next_bookmark: Instant,
    connection: signal::Receiver<Connection>,
    quorum: Option<signal::Receiver<bool>>,
}

enum Step {
    Broken,
    TimeUp,
    Bookmark,
    Changed(Option<Change>),
}

impl Feed {
    fn start_with_list(&mut self, marked: bool) {
        let (revision, objects) =
            self.api.store.list_at(self.target.stored, self.target.namespace.as_deref());
        for object in objects {
            if self.selection.accepts(self.target.stored, &object) {
                let frame = self.frame("ADDED", &object);
                self.ready.push_back(frame);
            }
        }
        if marked && self.bookmarks {
            let frame = self.bookmark(revision, true);
            self.ready.push_back(frame);
        }
        self.start_at(revision);
    }

    fn start_at(&mut self, revision: u64) {
        match self.api.store.subscribe(Some(revision)) {
            Ok(subscription) => self.subscription = Some(subscription),
            Err(gone) => {
                self.fail(&Status::expired(format!(
                    "too old resource version: {revision} ({})",
                    gone.oldest
                )));
            }
        }
    }

    /// Errors after the start go as an event (cacher: "must fail with a watch event of type ERROR").
    fn fail(&mut self, status: &Status) {
        self.ended = true;
        self.ready.push_back(line("ERROR", &status.to_value()));
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(Ok(frame));
            }
            if self.ended {
                return None;
            }
            match self.step().await {
                Step::Broken => {
                    self.ended = true;
                    return Some(Err(io::Error::new(
                        io::ErrorKind::ConnectionReset,
                        "connection reset by peer",
                    )));
                }
                Step::TimeUp => {
                    self.ended = true;
                    self.mark();
                }
                Step::Bookmark => {
                    self.next_bookmark = Instant::now() + self.api.options.bookmark_every;
                    self.mark();
                }
                Step::Changed(None) => {
                    self.fail(&Status::expired("The resourceVersion for the provided watch is too old."));
                }
                Step::Changed(Some(change)) => self.take(&change),
            }
        }
    }

    async fn step(&mut self) -> Step {
        let Some(subscription) = self.subscription.as_mut() else { return Step::Changed(None) };
        let mut hold = self.connection.clone();
        let quorum = &mut self.quorum;
        let change = async {
            let _ = hold.wait_for(|state| *state != Connection::Hanging).await;
            if let Some(quorum) = quorum {
                let _ = quorum.wait_for(|has| *has).await;
            }
            subscription.next().await
        };
        tokio::select! {
            biased;
            _ = self.connection.wait_for(|state| *state == Connection::Down) => Step::Broken,
            () = sleep_until(self.deadline) => Step::TimeUp,
            change = change => Step::Changed(change),
            () = sleep_until(self.next_bookmark), if self.bookmarks => Step::Bookmark,
        }
    }

    fn mark(&mut self) {
        let silent = self.quorum.as_ref().is_some_and(|quorum| !*quorum.borrow())
            || *self.connection.borrow() == Connection::Hanging;
        if let (true, false, Some(subscription)) = (self.bookmarks, silent, &self.subscription) {
            let frame = self.bookmark(subscription.revision(), false);
            self.ready.push_back(frame);
        }
    }

    /// A change as this watch sees it: one that enters or leaves its selection is an addition or a deletion.
    fn take(&mut self, change: &Change) {
        let in_place =
            self.target.namespace.as_deref().is_none_or(|ns| ns == meta::namespace(&change.object));
        if change.resource != self.target.stored || !in_place {
            return;
        }
        let accepts = |object: &Value| self.selection.accepts(self.target.stored, object);
        let now = change.kind != ChangeKind::Deleted && accepts(&change.object);
        let before = change.previous.as_ref().is_some_and(|object| accepts(object));
        let frame = match (before, now) {
            (false, true) => self.frame("ADDED", &change.object),
            (true, true) => self.frame("MODIFIED", &change.object),
            (true, false) => {
                // The last state that was selected, at the revision of the change.
                let previous = change.previous.clone().unwrap_or_else(|| change.object.clone());
                let mut last = Value::clone(&previous);
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                self.frame("DELETED", &Object::new(last))
            }
            (false, false) => return,
        };
        self.ready.push_back(frame);
    }

    fn frame(&mut self, kind: &str, object: &Object) -> Bytes {
        let shown = events::shown(&self.target, object);
        match self.form {
            Form::Object => line(kind, &shown),
            Form::Partial => line(kind, &answer::partial(&shown)),
            Form::Table => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                let rows = std::slice::from_ref(object);
                let table = table::table(&self.api, &self.target, rows, &self.table, &metadata);
                // Only the first event of a watch has the column definitions.
                self.table.without_columns = true;
                line(kind, &table)
            }
        }
    }

    fn bookmark(&self, revision: u64, initial_end: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ INITIAL_END: "true" });
        }
        let object = match self.form {
            Form::Object => json!({
                "kind": self.target.served.kind, "apiVersion": self.target.served.api_version(), "metadata": metadata,
            }),
            Form::Partial => {
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
            }
            Form::Table => {
                json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": [], "rows": [] })
            }
        };
        line("BOOKMARK", &object)
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut text = format!("{{\"type\":\"{kind}\",\"object\":");
    text.push_str(&object.to_string());
    text.push_str("}\n");
    Bytes::from(text)
}
