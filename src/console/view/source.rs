//! How alive each source is, in signs and words: for the header and for panes whose source fails.

use super::look::Look;
use super::theme::Tone;
use crate::console::model::Model;
use crate::console::phase::{Pulse, pulse};
use crate::domain::feed::{Liveness, Source};
use crate::domain::node::NodeRow;
use crate::domain::time::brief;
use ratatui::text::Span;
use std::time::Duration;

/// The kubelet renews its lease every 10 s; after 40 s the node controller calls the node Unknown
/// (`--node-monitor-grace-period`, 50 s since v1.32).
const SILENT_AFTER: Duration = Duration::from_secs(25);

/// The name of a source in the header.
fn name(source: Source) -> &'static str {
    match source {
        Source::Api => "api",
        Source::Etcd => "etcd",
        Source::Ssh => "ssh",
    }
}

/// `api ● 1s`: name, sign and the age of the last answer.
pub fn badge<'a>(look: &Look, model: &Model, source: Source) -> Vec<Span<'a>> {
    let glyphs = look.glyphs;
    // whole seconds: nothing that flickers
    let aged = |glyph: &str, age: Duration| format!("{glyph} {}", brief(Duration::from_secs(age.as_secs())));
    let (tone, sign) = match pulse(model, source) {
        Pulse::Absent => (Tone::Muted, glyphs.none.to_owned()),
        Pulse::Connecting => (Tone::Unknown, format!("{} connecting", glyphs.unknown)),
        Pulse::Live(age) => (Tone::Good, aged(glyphs.good, age)),
        Pulse::Delayed(age) => (Tone::Warn, aged(glyphs.delayed, age)),
        Pulse::Lost(Some(age)) => (Tone::Bad, aged(glyphs.bad, age)),
        Pulse::Lost(None) => (Tone::Bad, format!("{} no answer", glyphs.bad)),
    };
    let mut spans = vec![look.say(Tone::Muted, format!("{} ", name(source))), look.say(tone, sign)];
    let away = model.known.away.len();
    if source == Source::Ssh && away > 0 && tone == Tone::Good {
        // one answers; that says nothing of the others
        spans.push(look.say(Tone::Warn, format!(" {away} away")));
    }
    spans
}

/// How old what is shown is, when its source does not answer any more: `as of 37s ago`.
pub fn as_of(model: &Model, source: Source) -> Option<String> {
    match pulse(model, source) {
        Pulse::Lost(Some(age)) => Some(format!("as of {} ago", brief(age))),
        Pulse::Lost(None) => Some("no answer yet".to_owned()),
        _ => None,
    }
}

/// Why there is nothing to show from a source, in words; `None` when it answers (then there is nothing).
pub fn why_empty(model: &Model, source: Source) -> Option<(Tone, String)> {
    match model.known.sources.get(&source)? {
        Liveness::Absent(why) => Some((Tone::Muted, format!("not available: {why}"))),
        Liveness::Connecting => Some((Tone::Unknown, "connecting, nothing known yet".to_owned())),
        Liveness::Live(_) => None,
        Liveness::Failing { report, .. } => Some((Tone::Bad, report.line())),
    }
}

/// How long a node has given no sign of life, when the API itself answers and the node is still called Ready.
pub fn late(model: &Model, row: &NodeRow) -> Option<Duration> {
    let Pulse::Live(_) = pulse(model, Source::Api) else { return None };
    let age = model.now.since(row.heartbeat?);
    (row.is_ready() && age >= SILENT_AFTER).then_some(age)
}
