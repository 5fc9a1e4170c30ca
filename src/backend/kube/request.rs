//! One request to the API server: built by hand, bounded by a deadline, sent once, its failure put in words.
//!
//! Nothing here repeats a request that a server may have seen. Only an attempt that did not even get a connection is
//! made again, on another endpoint.

use super::endpoints::Route;
use super::{Inner, fault};
use crate::backend::error::Error;
use crate::domain::ids::PodKey;
use crate::domain::report::FailureKind;
use crate::domain::time::Stamp;
use ::kube::Client;
use ::kube::client::Body;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// Deadline of a read that asks for one object.
const READ: Duration = Duration::from_secs(15);
/// Deadline of one page of a list.
const LIST: Duration = Duration::from_secs(30);
/// Deadline of a change: the server gives itself 34 s for a create (`handlers/rest.go`).
const CHANGE: Duration = Duration::from_secs(40);
/// A server may ask for any pause, and is given no longer one than this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// No answer of interest is larger.
const LARGEST: usize = 512 << 20;

/// What is asked, and in which words it is reported.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// A verb phrase: `list nodes`.
    pub op: &'static str,
    /// The object's name; may be empty.
    pub target: String,
    /// The pod and its namespace, when this asks for an eviction or a deletion: its refusals are classified.
    pub eviction: Option<PodKey>,
    method: Method,
    path: String,
    body: Option<(&'static str, Vec<u8>)>,
    limit: Duration,
    limit_is_fixed: bool,
}

impl Ask {
    fn new(
        op: &'static str,
        target: impl Into<String>,
        method: Method,
        path: String,
        limit: Duration,
    ) -> Self {
        Self {
            op,
            target: target.into(),
            eviction: None,
            method,
            path,
            body: None,
            limit,
            limit_is_fixed: false,
        }
    }

    pub(super) fn get(op: &'static str, target: impl Into<String>, path: String) -> Self {
        Self::new(op, target, Method::GET, path, READ)
    }

    pub(super) fn list(op: &'static str, path: String) -> Self {
        Self::new(op, "", Method::GET, path, LIST)
    }

    /// POST of a JSON object.
    pub(super) fn post(
        op: &'static str,
        target: impl Into<String>,
        path: String,
        body: &impl serde::Serialize,
    ) -> Self {
        Self::new(op, target, Method::POST, path, CHANGE).json("application/json", body)
    }

    /// PUT of a JSON object.
    pub(super) fn put(
        op: &'static str,
        target: impl Into<String>,
        path: String,
        body: &impl serde::Serialize,
    ) -> Self {
        Self::new(op, target, Method::PUT, path, CHANGE).json("application/json", body)
    }

    /// JSON merge patch.
    pub(super) fn merge(
        op: &'static str,
        target: impl Into<String>,
        path: String,
        body: &impl serde::Serialize,
    ) -> Self {
        Self::new(op, target, Method::PATCH, path, CHANGE).json("application/merge-patch+json", body)
    }

    /// DELETE with options.
    pub(super) fn delete(
        op: &'static str,
        target: impl Into<String>,
        path: String,
        body: &impl serde::Serialize,
    ) -> Self {
        Self::new(op, target, Method::DELETE, path, CHANGE).json("application/json", body)
    }

    fn json(mut self, kind: &'static str, body: &impl serde::Serialize) -> Self {
        // plain maps and strings only: cannot fail
        self.body = Some((kind, serde_json::to_vec(body).unwrap_or_default()));
        self
    }

    /// Adds a query parameter.
    pub(super) fn query(mut self, key: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(key);
        self.path.push('=');
        encode_into(&mut self.path, value);
        self
    }

    /// Sets a deadline that `--request-timeout` does not change.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self.limit_is_fixed = true;
        self
    }

    /// Whether it changes something. A question about one's own rights is written as one that creates, and creates nothing.
    fn changes(&self) -> bool {
        self.method != Method::GET && !self.path.starts_with("/apis/authorization.k8s.io/")
    }

    /// What a pod's removal takes, in words.
    pub(super) fn right(&self) -> &'static str {
        if self.method == Method::DELETE { "delete pods" } else { "create pods/eviction" }
    }

    /// The rule of a role that allows it, as it stands in a manifest; `None` = no object is asked for.
    pub(super) fn rule(&self) -> Option<String> {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let group = match segments.next()? {
            "api" => "",
            "apis" => segments.next()?,
            _ => return None,
        };
        let rest: Vec<&str> = segments.skip(1).collect();
        let place = match rest.as_slice() {
            ["namespaces", _, object @ ..] if !object.is_empty() => object,
            object => object,
        };
        let (resource, has_name) = match place {
            [] => return None,
            [kind] => ((*kind).to_owned(), false),
            [kind, _] => ((*kind).to_owned(), true),
            [kind, _, part, ..] => (format!("{kind}/{part}"), true),
        };
        let verb = match self.method.as_str() {
            "GET" if query.split('&').any(|pair| pair == "watch=true") => "watch",
            "GET" if has_name => "get",
            "GET" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            _ => "delete",
        };
        Some(format!("apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]"))
    }

    fn request(&self) -> Result<Request<Body>, Error> {
        let mut builder = Request::builder().method(self.method.clone()).uri(&self.path);
        builder = builder.header(http::header::ACCEPT, "application/json");
        let body = match &self.body {
            Some((kind, bytes)) => {
                builder = builder.header(http::header::CONTENT_TYPE, *kind);
                Body::from(bytes.clone())
            }
            None => Body::empty(),
        };
        builder.body(body).map_err(|error| {
            Error::new(FailureKind::Local, self.op, &self.target, "the request cannot be built")
                .because(error.to_string())
        })
    }
}

/// A path out of segments, each percent-encoded.
pub(super) fn path(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        encode_into(&mut path, segment);
    }
    path
}

fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // writing to a string cannot fail
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A good answer (2xx), read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub body: Vec<u8>,
    /// The server's clock when it answered.
    pub date: Option<Stamp>,
}

impl Inner {
    /// Sends a request and waits for the answer's head, whatever its status.
    pub(super) async fn open(&self, ask: &Ask) -> Result<Response<Body>, Error> {
        if self.read_only && ask.changes() {
            let why = "this pitstop is read-only";
            return Err(Error::new(FailureKind::Denied, ask.op, &ask.target, why)
                .hint("start pitstop without --read-only"));
        }
        let first = match open_on(ask, &self.routes.current()).await {
            Ok(response) => return Ok(response),
            Err((error, false)) => return Err(error),
            Err((error, true)) => error,
        };
        for route in self.routes.reachable().await {
            match open_on(ask, &route).await {
                Ok(response) => {
                    self.routes.prefer(&route);
                    return Ok(response);
                }
                // a sibling with a wrong certificate is not one
                Err((error, is_unconnected)) if is_unconnected || error.kind == FailureKind::Identity => {}
                Err((error, _)) => return Err(error),
            }
        }
        Err(first)
    }

    /// Sends a request and reads the whole answer within its deadline; a status of 400 and above is an error.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, Error> {
        self.in_time(ask, async { self.finish(ask, self.open(ask).await?).await }).await
    }

    /// The same on one given endpoint only.
    pub(super) async fn ask_on(&self, ask: &Ask, route: &Route) -> Result<Answer, Error> {
        let opened = async { open_on(ask, route).await.map_err(|(error, _)| error) };
        self.in_time(ask, async { self.finish(ask, opened.await?).await }).await
    }

    /// The same, and the answer as a value.
    pub(super) async fn fetch<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, Error> {
        let answer = self.ask(ask).await?;
        decode(ask, &answer.body)
    }

    /// Status and text of an answer, also of a bad one.
    pub(super) async fn raw(&self, ask: &Ask) -> Result<(u16, Vec<u8>), Error> {
        let whole = async {
            let (parts, body) = self.open(ask).await?.into_parts();
            Ok((parts.status.as_u16(), read(ask, body).await?))
        };
        self.in_time(ask, whole).await
    }

    /// Turns a bad status into an error.
    pub(super) async fn finish(&self, ask: &Ask, response: Response<Body>) -> Result<Answer, Error> {
        let (parts, body) = response.into_parts();
        let body = read(ask, body).await?;
        if parts.status.is_success() {
            return Ok(Answer { body, date: date(&parts.headers) });
        }
        Err(fault::status(ask, parts.status.as_u16(), retry_after(&parts.headers), &body, &self.who))
    }

    /// Bounds a call: `--request-timeout` when given (zero = none), else the call's own deadline.
    pub(super) async fn in_time<T>(
        &self,
        ask: &Ask,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = match self.request_timeout {
            Some(given) if !ask.limit_is_fixed => given,
            _ => ask.limit,
        };
        if limit.is_zero() {
            return call.await;
        }
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(self.late(ask, limit)))
    }

    fn late(&self, ask: &Ask, limit: Duration) -> Error {
        let server = self.routes.current().address().to_owned();
        let mut error = Error::new(
            FailureKind::Timeout,
            ask.op,
            &ask.target,
            format!("{server} did not answer within {}", crate::domain::time::brief(limit)),
        );
        if ask.method != Method::GET {
            error = error.because("it is not known whether the request took effect");
        }
        error
    }
}

/// One attempt on one endpoint; `true` beside an error = no connection came about.
async fn open_on(ask: &Ask, route: &Route) -> Result<Response<Body>, (Error, bool)> {
    let plain = |error: Error| (error, false);
    let (client, turn) = route.client().await.map_err(plain)?;
    let send = async |client: Client| {
        let request = ask.request().map_err(plain)?;
        client.send(request).await.map_err(|error| fault::transport(ask, route.address(), &error))
    };
    let answer = send(client).await?;
    // who asks is judged before anything else: what was refused so has changed nothing and may be sent again
    if answer.status() == http::StatusCode::UNAUTHORIZED
        && let Some(client) = route.renewed(turn).await.map_err(plain)?
    {
        return send(client).await;
    }
    Ok(answer)
}

/// Reads an object out of an answer.
pub(super) fn decode<T: DeserializeOwned>(ask: &Ask, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        Error::new(FailureKind::Unexpected, ask.op, &ask.target, "the answer cannot be read")
            .because(error.to_string())
            .hint("is this address a Kubernetes API server?")
    })
}

async fn read(ask: &Ask, mut body: Body) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(&mut body).await {
        let chunk = chunk.map_err(|error| lost(ask, &error))?;
        if bytes.len() + chunk.len() > LARGEST {
            return Err(Error::new(FailureKind::Unexpected, ask.op, &ask.target, "the answer is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The connection broke while an answer was read.
pub(super) fn lost(ask: &Ask, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(FailureKind::Unreachable, ask.op, &ask.target, "the connection was lost")
        .because(fault::chain(error))
}

/// The next piece of a body's data; `None` at its end.
pub(super) async fn next_chunk(body: &mut Body) -> Option<Result<bytes::Bytes, ::kube::Error>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(::kube::Error::Service(error.into()))),
        }
    }
}

/// `Retry-After` in seconds (the API server writes no dates).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    pause(value.trim().parse().ok()?)
}

/// A pause that a server asks for: none is no word, so that whoever asks again keeps to a pause of its own; and no server makes
/// anybody wait for longer than [`LONGEST_PAUSE`].
pub(super) fn pause(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// `Date` (RFC 9110, section 5.6.7): whole seconds.
fn date(headers: &HeaderMap) -> Option<Stamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Stamp(time.as_millisecond()))
}

/// How long a call took.
pub(super) async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> Result<Duration, Error> {
    let begun = Instant::now();
    call.await.map(|_| begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_rule_that_allows_it() {
        let rule = |ask: Ask| ask.rule().unwrap_or_default();
        let body = serde_json::json!({});
        let evict = path(&["api", "v1", "namespaces", "shop", "pods", "web-1", "eviction"]);
        assert_eq!(
            rule(Ask::post("evict", "", evict, &body)),
            "apiGroups: [\"\"], resources: [\"pods/eviction\"], verbs: [\"create\"]"
        );
        let budgets = || Ask::list("list", "/apis/policy/v1/poddisruptionbudgets".into());
        assert!(rule(budgets().query("limit", "500")).ends_with("verbs: [\"list\"]"));
        assert_eq!(
            rule(budgets().query("watch", "true")),
            "apiGroups: [\"policy\"], resources: [\"poddisruptionbudgets\"], verbs: [\"watch\"]"
        );
        assert!(
            rule(Ask::get("get", "", "/api/v1/nodes/n".into())).contains("[\"nodes\"], verbs: [\"get\"]")
        );
        assert!(rule(Ask::get("get", "", "/api/v1/namespaces/n".into())).contains("[\"namespaces\"]"));
        assert_eq!(Ask::get("get", "", "/readyz".into()).rule(), None);
    }

    #[test]
    fn a_pause_of_nothing_is_no_word_and_none_is_endless() {
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, value.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(asked("0"), None);
        assert_eq!(asked(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(asked("3600"), Some(Duration::from_mins(1)));
        assert_eq!(asked("Fri, 20 Nov 2026 18:00:00 GMT"), None);
    }

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(path(&["api", "v1", "nodes", "a/../b?x"]), "/api/v1/nodes/a%2F..%2Fb%3Fx");
        let ask = Ask::list("list pods", path(&["api", "v1", "pods"]))
            .query("fieldSelector", "spec.nodeName=a b")
            .query("limit", "500");
        assert_eq!(ask.path, "/api/v1/pods?fieldSelector=spec.nodeName%3Da%20b&limit=500");
    }
}
