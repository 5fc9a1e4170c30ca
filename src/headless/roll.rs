//! What is foreseen of a roll, as lines: its groups, what blocks, and how long it takes.

use super::text::wrapped;
use crate::backend::clock::now;
use crate::domain::drain::Class;
use crate::domain::forecast::Expectation;
use crate::domain::plan::Plan;
use crate::domain::roll::{Group, RollAction, Turn};
use crate::domain::text::count;
use crate::engine::Backends;
use crate::engine::foretell::line;
use crate::engine::roll::{Outlook, estimate};

/// So many lines about pods.
const MOST: usize = 20;
const WIDTH: usize = 80;

/// The lines before the steps.
pub(super) fn lines(plan: &Plan, outlook: &Outlook) -> Vec<String> {
    let Some(roll) = &plan.roll else { return Vec::new() };
    let mut lines = Vec::new();
    for group in [Group::ControlPlane, Group::Canary, Group::Workers] {
        let turns: Vec<&Turn> = roll.turns.iter().filter(|turn| turn.group == group).collect();
        if turns.is_empty() {
            continue;
        }
        let names: Vec<&str> = turns.iter().map(|turn| turn.node.as_str()).collect();
        lines.extend(wrapped(&format!("  {:<14} ", group.name()), &names.join(" "), WIDTH));
    }
    let estimate = &outlook.estimate;
    lines.extend(wrapped("  takes          ", &estimate.words, WIDTH));
    if let Some(window) = &estimate.window {
        lines.extend(wrapped("  window         ", window, WIDTH));
    }
    let pods: Vec<(&str, String)> = outlook
        .foretold
        .nodes
        .iter()
        .flat_map(|node| node.pods.iter().map(move |pod| (node, pod)))
        .filter(|(_, pod)| {
            matches!(pod.class, Class::Refuse(_))
                || matches!(pod.expectation, Expectation::Blocked { .. } | Expectation::Unclear { .. })
        })
        .map(|(node, pod)| (node.node.as_str(), line(pod)))
        .collect();
    for (node, words) in pods.iter().take(MOST) {
        lines.extend(wrapped(&format!("  {node}: "), words, WIDTH));
    }
    if pods.len() > MOST {
        lines.push(format!("  and {} more", count(pods.len() - MOST, "pod")));
    }
    lines.extend(outlook.foretold.notes.iter().map(|note| format!("  {note}")));
    let back = match &roll.options.action {
        RollAction::Reboot => "there is none: a reboot cannot be undone",
        RollAction::DrainOnly => "pitstop runs abort ID, or kubectl uncordon: pods stay where they went",
        RollAction::Command(_) => "there is none: what the command did stays",
    };
    lines.extend(wrapped("  way back       ", back, WIDTH));
    lines
}

/// Says how long a roll takes, before it is confirmed.
pub(super) fn announce(backends: &Backends, plan: &Plan) {
    let Some(roll) = &plan.roll else { return };
    let estimate = estimate(&backends.settings, roll, now());
    super::notice(&format!("takes {}", estimate.words));
    if let Some(window) = &estimate.window {
        super::notice(window);
    }
}
