//! Failures of requests, told apart by code, reason and the chain of sources, and put in words for people.

use super::refusal;
use super::request::{Ask, pause};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use serde::Deserialize;
use std::error::Error as StdError;
use std::time::Duration;

/// A `Status` object as the API server sends it with a failure.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub message: String,
    pub reason: String,
    pub code: u16,
    pub details: Option<Details>,
}

/// `status.details`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Details {
    pub name: String,
    pub kind: String,
    pub causes: Option<Vec<Cause>>,
    pub retry_after_seconds: u64,
}

/// One of `status.details.causes`; its type is serialised as `reason`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cause {
    pub reason: String,
    pub message: String,
}

impl Status {
    /// Reads a failure's body; a body that is no `Status` (a proxy's page, the load shedder's line) becomes the message.
    pub(super) fn read(body: &[u8]) -> Self {
        let parsed: Option<Self> = serde_json::from_slice(body).ok();
        parsed.filter(|status| status.code != 0 || !status.message.is_empty()).unwrap_or_else(|| {
            let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
            Self { message: text.trim().to_owned(), ..Self::default() }
        })
    }

    /// The causes.
    pub(super) fn causes(&self) -> &[Cause] {
        self.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default()
    }
}

/// Who we are to a server, for words about refused credentials.
#[derive(Debug, Clone, Default)]
pub(super) struct Who {
    /// The kubeconfig's user entry; empty = none.
    pub user: String,
    /// The context.
    pub context: String,
    /// What the credentials are: `token`, `client certificate`, …
    pub credentials: &'static str,
    /// `--as`.
    pub acting_as: Option<String>,
}

/// An answer of 400 and above.
pub(super) fn status(ask: &Ask, code: u16, retry_after: Option<Duration>, body: &[u8], who: &Who) -> Error {
    let status = Status { code, ..Status::read(body) };
    let error = said(ask, &status, retry_after, who);
    match &ask.eviction {
        Some(pod) => refusal::refused(pod, ask.right(), &status, error),
        None => error,
    }
}

/// A failure `Status` in words.
pub(super) fn said(ask: &Ask, status: &Status, retry_after: Option<Duration>, who: &Who) -> Error {
    let asked = status.details.as_ref().and_then(|details| pause(details.retry_after_seconds));
    let code = status.code;
    let mut error = Error::new(kind(status), ask.op, &ask.target, words(code, status)).with_code(code);
    error.retry_after = retry_after.or(asked);
    for cause in status.causes() {
        if !cause.message.is_empty() && !status.message.contains(&cause.message) {
            error = error.because(&cause.message);
        }
    }
    match error.kind {
        FailureKind::Unauthorized => unauthorized(error, who),
        FailureKind::Forbidden => {
            let rule = ask.rule().map_or_else(String::new, |rule| format!(": {rule}"));
            match &who.acting_as {
                Some(name) => error
                    .hint(format!("pitstop acts as {name} (--as); a role of that user must allow it{rule}")),
                None => error.hint(format!("a role bound to this user must allow it{rule}")),
            }
        }
        _ => error,
    }
}

fn unauthorized(error: Error, who: &Who) -> Error {
    if who.user.is_empty() && who.credentials.is_empty() {
        return error.hint(format!("context {} names no user with credentials", who.context));
    }
    let what = if who.credentials.is_empty() { "credentials" } else { who.credentials };
    let user = if who.user.is_empty() { String::new() } else { format!(" of user \"{}\"", who.user) };
    let mut error = error;
    error.message = format!("the server refused the {what}{user} (401)");
    error.hint(format!("log in again for context {}, then retry", who.context))
}

fn words(code: u16, status: &Status) -> String {
    if status.message.is_empty() { format!("the server answered {code}") } else { status.message.clone() }
}

fn kind(status: &Status) -> FailureKind {
    match (status.code, status.reason.as_str()) {
        // etcd without a leader or a majority: the server passes its words on with neither reason nor cause
        (500, _) if status.message.contains("etcdserver: ") => FailureKind::Timeout,
        (410, _) | (_, "Expired") => FailureKind::Gone,
        (401, _) => FailureKind::Unauthorized,
        (403, _) => FailureKind::Forbidden,
        (404, _) => FailureKind::NotFound,
        (409, _) => FailureKind::Conflict,
        (429, _) => FailureKind::Throttled,
        (408 | 504, _) | (_, "Timeout" | "ServerTimeout") => FailureKind::Timeout,
        // a proxy before a dead server says 502 or 503
        (502 | 503, _) => FailureKind::Unreachable,
        (400..=499, _) => FailureKind::Refused,
        _ => FailureKind::Unexpected,
    }
}

/// A failure before any answer. `true` = no connection came about, so that another endpoint may be tried.
pub(super) fn transport(ask: &Ask, server: &str, error: &::kube::Error) -> (Error, bool) {
    if let Some(auth) = find::<::kube::client::AuthError>(error) {
        return (credentials(ask.op, auth), false);
    }
    if let Some(tls) = find_tls(error) {
        return (untrusted(ask, server, tls), false);
    }
    let is_connect = find::<hyper_util::client::legacy::Error>(error)
        .is_some_and(hyper_util::client::legacy::Error::is_connect);
    let error_kind = find::<std::io::Error>(error).map(std::io::Error::kind);
    let base = |kind, message: String| Error::new(kind, ask.op, &ask.target, message);
    if is_connect {
        let (kind, why) = match error_kind {
            Some(std::io::ErrorKind::ConnectionRefused) => (FailureKind::Unreachable, "refuses connections"),
            Some(std::io::ErrorKind::TimedOut) => (FailureKind::Unreachable, "does not answer"),
            _ => (FailureKind::Unreachable, "cannot be reached"),
        };
        let failure = base(kind, format!("{server} {why}"))
            .because(innermost(error))
            .hint("is the API server up, and is this the right address (kubectl config view)?");
        return (failure, true);
    }
    let mut failure = base(FailureKind::Unreachable, format!("the connection to {server} was lost"));
    failure = failure.because(innermost(error));
    (failure, false)
}

/// Credentials that could not be obtained. Says nothing of a plugin's standard output, which may hold a token.
pub(super) fn credentials(op: &'static str, error: &::kube::client::AuthError) -> Error {
    use ::kube::client::AuthError;
    let failure = |message: String| Error::new(FailureKind::Unauthorized, op, "", message);
    match error {
        AuthError::AuthExecStart(cause) => failure("the credential plugin cannot be started".into())
            .because(cause.to_string())
            .hint("install the command that the kubeconfig's user names under exec"),
        AuthError::AuthExecRun { out, .. } => {
            let said = clean(String::from_utf8_lossy(&out.stderr).trim());
            let failure = failure(format!("the credential plugin failed ({})", out.status));
            let failure = if said.is_empty() { failure } else { failure.because(said) };
            failure.hint("pitstop runs it without a terminal: log in with kubectl first, then retry")
        }
        AuthError::AuthExecParse(_) => failure("the credential plugin's answer cannot be read".into()),
        AuthError::ReadTokenFile(cause, path) => {
            failure(format!("the token file {} cannot be read", path.display())).because(cause.to_string())
        }
        other => failure("the credentials could not be obtained".into()).because(other.to_string()),
    }
}

fn untrusted(ask: &Ask, server: &str, error: &rustls::Error) -> Error {
    use rustls::CertificateError as Bad;
    let failure =
        |kind, message: String| Error::new(kind, ask.op, &ask.target, message).because(error.to_string());
    match error {
        rustls::Error::InvalidCertificate(bad) => {
            let (why, hint) = match bad {
                Bad::Expired | Bad::ExpiredContext { .. } => {
                    ("has expired", "renew it on that control-plane node")
                }
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                    ("is not valid yet", "compare the clocks")
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => (
                    "is for another name",
                    "set tls-server-name in the kubeconfig's cluster to a name that it holds",
                ),
                Bad::UnknownIssuer => (
                    "is not signed by the authority of the kubeconfig",
                    "is certificate-authority of this cluster entry the right one?",
                ),
                _ => ("is not accepted", "is this the right cluster?"),
            };
            failure(FailureKind::Identity, format!("the certificate of {server} {why}")).hint(hint)
        }
        rustls::Error::AlertReceived(_) => {
            failure(FailureKind::Unauthorized, format!("{server} refused the TLS connection"))
                .hint("is the client certificate of the kubeconfig still valid?")
        }
        _ => failure(FailureKind::Identity, format!("no TLS connection to {server} came about"))
            .hint("is this address an API server's HTTPS port?"),
    }
}

/// Finds an error of a type in a chain of sources; looks into `io::Error`, which hides what it wraps from `source`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    for _ in 0..16 {
        let this = next?;
        if let Some(found) = this.downcast_ref::<T>() {
            return Some(found);
        }
        next = match this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    None
}

fn find_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    find(error)
}

/// The deepest message of a chain.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    for _ in 0..16 {
        match last.source() {
            Some(source) => last = source,
            None => break,
        }
    }
    last.to_string()
}

/// All messages of a chain, outermost first, without repetition.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words = vec![error.to_string()];
    let mut next = error.source();
    for _ in 0..16 {
        let Some(source) = next else { break };
        let text = source.to_string();
        if !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
        next = source.source();
    }
    words.join(": ")
}
