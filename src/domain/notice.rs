//! What an engineer who looks elsewhere is told of a run: when it needs a person, fails or ends. And how a terminal is
//! told: the bell, its title, its notification. All texts are plain, so that they cannot steer a terminal.

use super::plan::Kind;
use super::run::{RunChange, RunState, RunView, StepState};
use super::secret::scrub;
use super::text::clean;
use serde::{Deserialize, Serialize};

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The run waits for a decision.
    NeedsYou,
    /// A step, or the run, failed.
    Failed,
    /// The run is over.
    Ended,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Why.
    pub cause: Cause,
    /// One line: cluster, run, what it is about.
    pub text: String,
}

/// Which desktop notification a terminal understands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desktop {
    /// None.
    Off,
    /// OSC 9 (iTerm2, kitty, WezTerm, Ghostty, Windows Terminal).
    #[default]
    Osc9,
    /// OSC 777 (urxvt, foot, Ghostty, VTE).
    Osc777,
}

/// How a run stands, in a few words: `reboot cp-1 7/16 drain waits for you`.
pub fn headline(run: &RunView) -> String {
    let node = run.nodes.first().map(|node| format!(" {node}")).unwrap_or_default();
    let more = if run.nodes.len() > 1 { format!(" and {} more", run.nodes.len() - 1) } else { String::new() };
    let what = format!("{}{node}{more}", run.kind);
    let step = run.current().filter(|_| !is_ended(run));
    let place = step.and_then(|at| Some((at, run.steps.get(at)?)));
    let at = place.map(|(at, view)| format!(" {}/{} {}", at + 1, run.steps.len(), view.step.kind.name()));
    let state = match run.state {
        RunState::Waiting => " waits for you",
        RunState::Running => "",
        RunState::Paused => " paused",
        RunState::Failed => " failed",
        RunState::Interrupted => " interrupted",
        RunState::Done => " done",
        RunState::Aborted => " aborted",
    };
    format!("{what}{}{state}", at.unwrap_or_default())
}

fn is_ended(run: &RunView) -> bool {
    run.ended.is_some() || run.state.is_over()
}

/// What is to be told of a run after an event; `run` is its view with the event in it.
///
/// A step that waits is told too: whoever tells may wait some time for the engineer to answer it before
/// ([`is_urgent`] says when not). Single actions are told only when they fail.
pub fn notice(run: &RunView, context: &str, change: &RunChange) -> Option<Notice> {
    let is_small = matches!(run.kind, Kind::Cordon | Kind::Uncordon | Kind::Snapshot);
    let cause = match change {
        RunChange::State { state: RunState::Waiting, .. } => Cause::NeedsYou,
        RunChange::State { state: RunState::Paused, .. } if run.held.is_some() => Cause::NeedsYou,
        RunChange::State { state: RunState::Failed, .. }
        | RunChange::Finished { state: RunState::Failed | RunState::Interrupted, .. } => Cause::Failed,
        RunChange::Finished { .. } if !is_small => Cause::Ended,
        _ => return None,
    };
    let mut text = format!("{context}: {}", headline(run));
    if let Some(why) = why(run, change) {
        text.push_str(": ");
        text.push_str(&why);
    }
    text.push_str(&format!(" (run {})", run.id));
    Some(Notice { cause, text: scrub(&clean(&text)) })
}

fn why(run: &RunView, change: &RunChange) -> Option<String> {
    match change {
        RunChange::Finished { left, .. } if left.is_empty() => {
            Some("nothing is left changed beyond its purpose".to_owned())
        }
        RunChange::Finished { left, .. } => Some(format!("left changed: {}", left.join("; "))),
        _ if run.held.is_some() => run.held.clone(),
        _ => match &run.steps.get(run.current()?)?.state {
            StepState::Ended(super::run::Outcome::Failed(report), _) => Some(report.line()),
            _ => None,
        },
    }
}

/// Whether to tell at once: not when a step waits in a run that somebody confirms step by step, as they are there.
pub fn is_urgent(notice: &Notice, run: &RunView) -> bool {
    notice.cause != Cause::NeedsYou || run.held.is_some()
}

/// The bytes that ring a terminal's bell and show a notification.
pub fn escapes(notice: &Notice, bell: bool, desktop: Desktop) -> String {
    let text = plain(&notice.text);
    let mut out = match desktop {
        Desktop::Off => String::new(),
        // ConEmu reads a text that begins with a digit as another request
        Desktop::Osc9 => format!("\x1b]9;pitstop: {text}\x1b\\"),
        Desktop::Osc777 => format!("\x1b]777;notify;pitstop;{}\x1b\\", text.replace(';', ",")),
    };
    if bell {
        out.push('\x07');
    }
    out
}

/// The bytes that set a terminal's title.
pub fn title(text: &str) -> String {
    format!("\x1b]2;{}\x1b\\", plain(text))
}

/// Without anything that could end the sequence; at most 240 characters.
fn plain(text: &str) -> String {
    clean(text).chars().filter(|ch| !ch.is_control()).take(240).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_sequence() {
        let notice = Notice { cause: Cause::Failed, text: "a\x1b\\\x07\u{9c}b;c\n".to_owned() };
        assert_eq!(escapes(&notice, true, Desktop::Osc9), "\x1b]9;pitstop: a\\b;c \x1b\\\x07");
        assert_eq!(escapes(&notice, false, Desktop::Osc777), "\x1b]777;notify;pitstop;a\\b,c \x1b\\");
        assert_eq!(escapes(&notice, false, Desktop::Off), "");
        assert_eq!(title("x\x1b[2J\x07y"), "\x1b]2;x[2Jy\x1b\\");
        let long = Notice { cause: Cause::Ended, text: "x".repeat(5000) };
        assert!(escapes(&long, false, Desktop::Osc9).len() < 300);
    }
}
