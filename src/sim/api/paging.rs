//! Lists at a revision, whole or in chunks (`limit`, `continue`, `resourceVersion`, `resourceVersionMatch`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::Api;
use super::request::{Call, Target};
use super::selector::Selection;
use crate::sim::store::{FieldError, Object, Status, meta};

/// How long a list can be continued, as etcd's compaction interval.
const LASTS: Duration = Duration::from_mins(5);
/// How many unfinished lists are kept.
const KEPT: usize = 64;

/// Unfinished lists.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    open: Mutex<(u64, VecDeque<Snapshot>)>,
}

#[derive(Debug, Clone)]
struct Snapshot {
    id: u64,
    revision: u64,
    items: Arc<Vec<Object>>,
    ends: Instant,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) revision: u64,
    pub(super) items: Vec<Object>,
    pub(super) more: Option<String>,
    pub(super) remaining: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: String,
    /// Revision of the list; -1 to go on with whatever is there now.
    rv: i64,
    /// Last key already given, `namespace/name`.
    start: String,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    offset: usize,
}

impl Token {
    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    fn read(text: &str) -> Result<Token, Status> {
        let bad = || Status::bad_request("continue key is not valid: invalid encoding");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        serde_json::from_slice(&bytes).map_err(|_| bad())
    }
}

impl Chunks {
    fn keep(&self, revision: u64, items: Arc<Vec<Object>>) -> u64 {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 += 1;
        let id = open.0;
        open.1.push_back(Snapshot { id, revision, items, ends: Instant::now() + LASTS });
        if open.1.len() > KEPT {
            open.1.pop_front();
        }
        id
    }

    fn find(&self, id: u64) -> Option<Snapshot> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.1.iter().find(|s| s.id == id && now < s.ends).cloned()
    }
}

/// The revision in a query parameter, when it is one.
pub(super) fn revision_of(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// 504 for a revision that is not there yet.
pub(super) fn too_large(asked: u64, current: u64) -> Status {
    Status::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}"))
        .cause("ResourceVersionTooLarge", "Too large resource version", None)
        .retry_after(1)
}

/// 422 about list options.
pub(super) fn invalid_options(error: &FieldError) -> Status {
    let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {}: {}", error.field, error.message);
    let details = json!({
        "group": "meta.k8s.io", "kind": "ListOptions",
        "causes": [{ "reason": error.reason, "message": error.message, "field": error.field }],
    });
    Status { details: Some(details), ..Status::new(422, "Invalid", message) }
}

fn check_match(call: &Call) -> Result<(), Status> {
    let forbidden = |why: &str| Err(invalid_options(&FieldError::forbidden("resourceVersionMatch", why)));
    if call.has_param("sendInitialEvents") {
        let why = "sendInitialEvents is forbidden for list";
        return Err(invalid_options(&FieldError::forbidden("sendInitialEvents", why)));
    }
    let Some(how) = call.param("resourceVersionMatch") else { return Ok(()) };
    match (how, call.param("resourceVersion")) {
        (_, None) => forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"),
        _ if call.param("continue").is_some() => {
            forbidden("resourceVersionMatch is forbidden when continue is provided")
        }
        ("Exact", Some("0")) => {
            forbidden("resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"")
        }
        ("Exact" | "NotOlderThan", _) => Ok(()),
        (other, _) => Err(invalid_options(&FieldError {
            reason: "FieldValueNotSupported",
            field: "resourceVersionMatch".to_owned(),
            message: format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""),
        })),
    }
}

/// The part of the list that a request asks for.
pub(super) fn page(api: &Api, call: &Call, target: &Target, selection: &Selection) -> Result<Page, Status> {
    check_match(call)?;
    let limit = match call.param("limit") {
        Some(text) => text.parse::<usize>().map_err(|_| Status::bad_request("limit: not a number"))?,
        None => 0,
    };
    if let Some(token) = call.param("continue") {
        if call.param("resourceVersion").is_some_and(|rv| rv != "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return resume(api, target, selection, &Token::read(token)?, limit);
    }
    let (revision, items) = at_revision(api, call, target)?;
    let items = select(items, target, selection);
    // The watch cache, which answers for "0", knows no chunks.
    let limit = if call.param("resourceVersion") == Some("0") { 0 } else { limit };
    Ok(cut(api, revision, &Arc::new(items), 0, 0, limit, selection))
}

fn at_revision(api: &Api, call: &Call, target: &Target) -> Result<(u64, Vec<Object>), Status> {
    let namespace = target.namespace.as_deref();
    let (current, items) = api.store.list_at(target.stored, namespace);
    let Some(text) = call.param("resourceVersion") else { return Ok((current, items)) };
    let asked = revision_of(text)?;
    if asked > current {
        return Err(too_large(asked, current));
    }
    let exact = match call.param("resourceVersionMatch") {
        Some(how) => how == "Exact",
        None => call.param("limit").is_some() && asked > 0,
    };
    if !exact {
        return Ok((current, items));
    }
    let gone = || Status::expired("The resourceVersion for the provided list is too old.");
    let items = api.store.list_exact(target.stored, namespace, asked).map_err(|_| gone())?;
    Ok((asked, items))
}

fn select(items: Vec<Object>, target: &Target, selection: &Selection) -> Vec<Object> {
    items.into_iter().filter(|object| selection.accepts(target.stored, object)).collect()
}

fn key(object: &Object) -> (&str, &str) {
    (meta::namespace(object), meta::name(object))
}

fn cut(
    api: &Api,
    revision: u64,
    items: &Arc<Vec<Object>>,
    id: u64,
    offset: usize,
    limit: usize,
    selection: &Selection,
) -> Page {
    let rest = items.get(offset..).unwrap_or_default();
    if limit == 0 || rest.len() <= limit {
        return Page { revision, items: rest.to_vec(), more: None, remaining: None };
    }
    let part = rest[..limit].to_vec();
    let remaining = selection.is_everything().then_some(rest.len() - limit);
    let start = part.last().map(|o| format!("{}/{}", meta::namespace(o), meta::name(o))).unwrap_or_default();
    let id = if id == 0 { api.chunks.keep(revision, items.clone()) } else { id };
    let rv = i64::try_from(revision).unwrap_or(i64::MAX);
    let token = Token { v: "meta.k8s.io/v1".to_owned(), rv, start, id, offset: offset + limit };
    Page { revision, items: part, more: Some(token.text()), remaining }
}

fn resume(
    api: &Api,
    target: &Target,
    selection: &Selection,
    token: &Token,
    limit: usize,
) -> Result<Page, Status> {
    if token.rv < 0 {
        let (revision, items) = api.store.list_at(target.stored, target.namespace.as_deref());
        let (namespace, name) = token.start.split_once('/').unwrap_or_default();
        let items = items.into_iter().filter(|object| key(object) > (namespace, name)).collect();
        return Ok(cut(api, revision, &Arc::new(select(items, target, selection)), 0, 0, limit, selection));
    }
    let kept = api.chunks.find(token.id).filter(|s| api.store.check_since(s.revision).is_ok());
    match kept {
        Some(s) => Ok(cut(api, s.revision, &s.items, s.id, token.offset, limit, selection)),
        None => Err(expired(token)),
    }
}

/// 410 with a token to go on inconsistently (`storage/continue.go`, `handleErrorInconsistent`).
fn expired(token: &Token) -> Status {
    let fresh = Token { v: token.v.clone(), rv: -1, start: token.start.clone(), id: 0, offset: 0 };
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.metadata = Some(json!({ "continue": fresh.text() }));
    status
}
