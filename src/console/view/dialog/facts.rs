//! Labelled lines: the label in a column of its own, the text wrapped beside it.

use super::tone;
use crate::console::dialog::Fact;
use crate::console::view::look::Look;
use crate::console::view::text::{width, wrap};
use crate::console::view::theme::Tone;
use ratatui::text::Line;

/// A label column is not wider than this.
const LABEL: usize = 16;

/// The facts within `room` columns.
pub fn lines<'a>(look: &Look, facts: &[Fact], room: usize) -> Vec<Line<'a>> {
    let labels = facts.iter().map(|fact| width(&fact.label)).max().unwrap_or(0).min(LABEL);
    let indent = if labels == 0 { 0 } else { labels + 2 };
    let mut lines = Vec::new();
    for fact in facts {
        let text = wrap(&fact.text, room.saturating_sub(indent).max(1));
        for (at, part) in text.into_iter().enumerate() {
            let label = if at == 0 { fact.label.as_str() } else { "" };
            let label = super::super::text::cut(label, labels, look.glyphs.ellipsis);
            let padding = " ".repeat(indent.saturating_sub(width(&label)));
            lines.push(Line::from(vec![
                look.say(Tone::Muted, format!("{label}{padding}")),
                look.say(tone(fact.tone), part),
            ]));
        }
    }
    lines
}

/// The facts, without the less important ones when there is no room for all.
pub fn fitting<'a>(look: &Look, facts: &[Fact], room: usize, height: usize) -> Vec<Line<'a>> {
    let all = lines(look, facts, room);
    if all.len() <= height {
        return all;
    }
    let kept: Vec<Fact> =
        facts.iter().filter(|fact| fact.tone != crate::console::dialog::Tone::Dim).cloned().collect();
    lines(look, &kept, room)
}
