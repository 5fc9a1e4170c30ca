//! Scripted trouble: a server that is down or hangs, throttling, errors, delays, missing rights, denying webhooks.
//!
//! [`Faults`] is shared by the scenario that sets them and the server that meets them. A [`Rule`] applies to the
//! requests it matches, a number of times or for a while; [`Connection`] concerns the whole server and is also read by
//! whoever accepts its connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::access::Attributes;
use super::request::Call;
use super::{Refusal, answer};
use crate::sim::store::{Status, meta};

/// What happens to connections with the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Connection {
    /// They work.
    #[default]
    Open,
    /// New ones are refused, open ones break.
    Down,
    /// They are accepted and nothing comes back.
    Hanging,
}

/// Put into a response's extensions: the connection is to be closed without it.
#[derive(Debug, Clone, Copy)]
pub struct Dropped;

/// Which requests a rule concerns; what is not given matches everything. `*` in texts matches any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matching {
    /// Verbs, for example `get`, `list`, `watch`, `create`, `patch`, `delete`.
    pub verbs: Vec<String>,
    /// Plural of the kind, with a subresource after a slash: `nodes`, `pods/eviction`.
    pub resource: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// Who asks.
    pub user: Option<String>,
}

impl Matching {
    pub(super) fn accepts(&self, what: &Attributes) -> bool {
        let fits = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|p| glob(p, text));
        (self.verbs.is_empty() || self.verbs.iter().any(|verb| verb == "*" || *verb == what.verb))
            && fits(&self.resource, &what.resource())
            && fits(&self.namespace, &what.namespace)
            && fits(&self.name, &what.name)
            && fits(&self.user, &what.user)
    }
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// 429 of priority and fairness, with `Retry-After` in seconds and its headers.
    Throttle(u32),
    /// An error of this code.
    Fail(u16),
    /// The answer comes this many milliseconds later.
    DelayMs(u64),
    /// No answer ever comes.
    Hang,
    /// The connection breaks.
    Drop,
    /// 403: the right is missing. Access reviews say so too.
    Forbid,
}

/// Trouble for some requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which.
    pub matching: Matching,
    /// What.
    pub effect: Effect,
    /// How often; none is always.
    pub times: Option<u32>,
    /// For how long; none is for ever.
    pub lasts: Option<Duration>,
}

impl Rule {
    /// A rule for ever.
    pub fn always(matching: Matching, effect: Effect) -> Rule {
        Rule { matching, effect, times: None, lasts: None }
    }
}

/// An admission webhook that denies.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name in the message.
    pub name: String,
    /// Which requests it denies; by default evictions.
    #[serde(default)]
    pub matching: Matching,
    /// What it says.
    #[serde(default)]
    pub message: String,
    /// HTTP code, at least 400.
    #[serde(default = "forbidden_code")]
    pub code: u16,
    /// How many requests it denies before it lets them pass; none is every one.
    #[serde(default)]
    pub times: Option<u32>,
}

fn forbidden_code() -> u16 {
    403
}

/// What is wrong with a Service that answers through the API server's proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ailment {
    /// How long an answer takes longer.
    pub latency: Duration,
    /// How many of a hundred requests fail.
    pub failing: u32,
    /// The HTTP code with which they do.
    pub code: u16,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    left: Option<u32>,
    ends: Option<Instant>,
}

#[derive(Debug, Default)]
struct Script {
    rules: Vec<Active>,
    webhooks: Vec<Webhook>,
    /// By namespace and name of a Service, with the end.
    ailments: BTreeMap<(String, String), (Ailment, Option<Instant>)>,
    /// Counts connection changes, so that an old timer does not undo a newer one.
    turn: u64,
}

/// The shared script of faults; clones are the same.
#[derive(Debug, Clone)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
    connection: Arc<watch::Sender<Connection>>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { script: Arc::default(), connection: Arc::new(watch::Sender::new(Connection::Open)) }
    }
}

impl Faults {
    /// No faults.
    pub fn new() -> Faults {
        Faults::default()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of connections, for listeners.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.subscribe()
    }

    /// Sets the state of connections until further notice.
    pub fn set_connection(&self, state: Connection) {
        self.script().turn += 1;
        self.connection.send_replace(state);
    }

    /// Sets the state of connections for a while; needs a tokio runtime.
    pub fn set_connection_for(&self, state: Connection, lasts: Duration) {
        self.set_connection(state);
        let turn = self.script().turn;
        let faults = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            if faults.script().turn == turn {
                faults.set_connection(Connection::Open);
            }
        });
    }

    /// Adds a rule. The first effect of the rules that match a request decides; delays add up.
    pub fn add(&self, rule: Rule) {
        let ends = rule.lasts.map(|lasts| Instant::now() + lasts);
        let left = rule.times;
        self.script().rules.push(Active { rule, left, ends });
    }

    /// Takes a right away from everyone (or from the user of `matching`).
    pub fn forbid(&self, matching: Matching) {
        self.add(Rule::always(matching, Effect::Forbid));
    }

    /// Adds a webhook that denies.
    pub fn deny(&self, webhook: Webhook) {
        self.script().webhooks.push(webhook);
    }

    /// From now on, or for a while, something is wrong with a Service.
    pub fn ail(&self, namespace: &str, name: &str, ailment: Ailment, lasts: Option<Duration>) {
        let ends = lasts.map(|lasts| Instant::now() + lasts);
        self.script().ailments.insert((namespace.to_owned(), name.to_owned()), (ailment, ends));
    }

    /// What is wrong with a Service now.
    pub(super) fn ailment(&self, namespace: &str, name: &str) -> Ailment {
        let script = self.script();
        let found = script.ailments.get(&(namespace.to_owned(), name.to_owned()));
        let lasting = found.filter(|(_, ends)| ends.is_none_or(|ends| ends > Instant::now()));
        lasting.map(|(ailment, _)| ailment.clone()).unwrap_or_default()
    }

    /// Ends all rules, webhooks, ailments of Services and connection faults.
    pub fn clear(&self) {
        {
            let mut script = self.script();
            script.ailments.clear();
            script.rules.clear();
            script.webhooks.clear();
        }
        self.set_connection(Connection::Open);
    }

    /// Whether a right is missing.
    pub(super) fn forbids(&self, what: &Attributes) -> bool {
        self.take(what, |effect| *effect == Effect::Forbid).is_some()
    }

    /// The first live rule that matches and whose effect is wanted; counts its use.
    fn take(&self, what: &Attributes, wanted: impl Fn(&Effect) -> bool) -> Option<Effect> {
        let now = Instant::now();
        let mut script = self.script();
        script.rules.retain(|a| a.left != Some(0) && a.ends.is_none_or(|ends| now < ends));
        let found =
            script.rules.iter_mut().find(|a| wanted(&a.rule.effect) && a.rule.matching.accepts(what))?;
        if let Some(left) = &mut found.left {
            *left -= 1;
        }
        Some(found.rule.effect.clone())
    }

    fn delay(&self, what: &Attributes) -> Duration {
        let now = Instant::now();
        let mut script = self.script();
        let mut sum = 0;
        for active in &mut script.rules {
            let live = active.left != Some(0) && active.ends.is_none_or(|ends| now < ends);
            if let Effect::DelayMs(millis) = active.rule.effect
                && live
                && active.rule.matching.accepts(what)
            {
                sum += millis;
                if let Some(left) = &mut active.left {
                    *left -= 1;
                }
            }
        }
        Duration::from_millis(sum)
    }

    /// What a request meets before the server looks at it.
    pub(super) async fn meet(&self, call: &Call) -> Result<(), Refusal> {
        let mut connection = self.connection();
        let hung = *connection.borrow() == Connection::Hanging;
        if hung {
            let _ = connection.wait_for(|state| *state != Connection::Hanging).await;
        }
        if *connection.borrow() == Connection::Down {
            return Err(Refusal::Raw(dropped()));
        }
        let what = Attributes::of(call);
        let delay = self.delay(&what);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match self.take(&what, |effect| !matches!(effect, Effect::Forbid | Effect::DelayMs(_))) {
            None | Some(Effect::Forbid | Effect::DelayMs(_)) => Ok(()),
            Some(Effect::Throttle(seconds)) => Err(Refusal::Raw(throttled(seconds))),
            Some(Effect::Fail(code)) => Err(failure(code, &what).into()),
            Some(Effect::Drop) => Err(Refusal::Raw(dropped())),
            Some(Effect::Hang) => {
                std::future::pending::<()>().await;
                Ok(())
            }
        }
    }

    /// 403 when a rule takes the right away.
    pub(super) fn authorize(&self, call: &Call) -> Result<(), Status> {
        let what = Attributes::of(call);
        if super::roles::forbid(&what) || self.forbids(&what) { Err(what.forbidden()) } else { Ok(()) }
    }

    /// What the webhooks say to a change (wording: webhook `statuserror.go`).
    pub(super) fn review(&self, call: &Call) -> Result<(), Status> {
        let what = Attributes::of(call);
        let mut script = self.script();
        let default = Matching { resource: Some("pods/eviction".to_owned()), ..Matching::default() };
        let found = script.webhooks.iter_mut().find(|webhook| {
            let matching = if webhook.matching.resource.is_some() {
                webhook.matching.clone()
            } else {
                Matching { resource: default.resource.clone(), ..webhook.matching.clone() }
            };
            webhook.times != Some(0) && matching.accepts(&what)
        });
        let Some(webhook) = found else { return Ok(()) };
        if let Some(left) = &mut webhook.times {
            *left -= 1;
        }
        let denied = format!("admission webhook {:?} denied the request", webhook.name);
        let message = if webhook.message.is_empty() {
            format!("{denied} without explanation")
        } else {
            format!("{denied}: {}", webhook.message)
        };
        let reason = if webhook.code == 403 { "Forbidden" } else { "" };
        Err(Status::new(webhook.code.max(400), reason, message))
    }
}

/// 429 as priority and fairness gives it: plain text, not a Status.
fn throttled(seconds: u32) -> Response {
    let mut response = answer::text(429, "Too many requests, please try again later.\n");
    let headers = response.headers_mut();
    headers.insert("retry-after", HeaderValue::from(seconds));
    for name in ["x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"] {
        if let Ok(uid) = HeaderValue::from_str(&meta::new_uid()) {
            headers.insert(name, uid);
        }
    }
    response
}

fn dropped() -> Response {
    let mut response = answer::text(503, "connection lost\n");
    response.extensions_mut().insert(Dropped);
    response
}

fn failure(code: u16, what: &Attributes) -> Status {
    match code {
        401 => Status::new(401, "Unauthorized", "Unauthorized"),
        403 => what.forbidden(),
        409 => Status::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} {:?}: the object has been modified; please apply your changes to \
                 the latest version and try again",
                what.plural, what.name
            ),
        ),
        429 => Status::new(429, "TooManyRequests", "the server has received too many requests"),
        503 => Status::new(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => Status::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout"),
        500 => Status::internal("scripted failure"),
        other => Status::new(other, "", "scripted failure"),
    }
}

/// Whether a text fits a pattern in which `*` is any run of characters.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.len() >= last.len() && text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eviction() -> Attributes {
        Attributes {
            verb: "create".into(),
            plural: "pods".into(),
            subresource: "eviction".into(),
            namespace: "kafka".into(),
            name: "kafka-0".into(),
            user: "kubernetes-admin".into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abc"), ("*prod*", "x-prod-y"), ("a", "a"), ("a*b*c", "a1b2c")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "ab"), ("a", "ab"), ("ab*ba", "aba"), ("*x", "y")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rules_end_by_count_and_by_time() {
        let faults = Faults::new();
        let matching = Matching { resource: Some("pods/eviction".into()), ..Matching::default() };
        let always = |effect: &Effect| *effect == Effect::Hang;
        faults.add(Rule { times: Some(2), ..Rule::always(matching.clone(), Effect::Hang) });
        assert!(faults.take(&eviction(), always).is_some());
        assert!(faults.take(&eviction(), always).is_some());
        assert!(faults.take(&eviction(), always).is_none());
        let lasts = Some(Duration::from_secs(5));
        faults.add(Rule { lasts, ..Rule::always(matching, Effect::Hang) });
        assert!(faults.take(&eviction(), always).is_some());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(faults.take(&eviction(), always).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_fault_ends_unless_a_newer_one_came() {
        let faults = Faults::new();
        let mut connection = faults.connection();
        faults.set_connection_for(Connection::Down, Duration::from_secs(5));
        assert_eq!(*connection.borrow(), Connection::Down);
        connection.wait_for(|c| *c == Connection::Open).await.unwrap();
        faults.set_connection_for(Connection::Down, Duration::from_secs(5));
        faults.set_connection(Connection::Hanging);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(*connection.borrow(), Connection::Hanging);
    }
}
