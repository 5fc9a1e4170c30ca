//! The keys, made from the same table that the keys are read by.

use super::sheet::{Sheet, room};
use crate::console::keymap::{self, Hint};
use crate::console::model::Model;
use crate::console::view::look::Look;
use crate::console::view::text::{width, wrap};
use crate::console::view::theme::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Draws it.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, scroll: usize) {
    let room = room(area, 96);
    let sections = keymap::help(model);
    let keys = sections.iter().flat_map(|(_, hints)| hints).map(|hint| width(&hint.keys)).max().unwrap_or(0);
    let mut body = Vec::new();
    for (at, (title, hints)) in sections.iter().enumerate() {
        if at > 0 {
            body.push(Line::default());
        }
        body.push(look.line(Tone::Strong, title.clone()));
        for hint in hints {
            body.extend(lines(look, hint, keys, room));
        }
    }
    let bottom = vec![look.line(Tone::Muted, "j k scroll, Esc closes")];
    Sheet {
        title: "Keys".to_owned(),
        tone: Tone::Accent,
        body,
        asks: false,
        scroll: Some(scroll),
        bottom,
        room,
    }
    .draw(look, buf, area);
}

/// A key with its sentence; when it is refused now, the reason.
fn lines<'a>(look: &Look, hint: &Hint, keys: usize, room: usize) -> Vec<Line<'a>> {
    let (tone, words) = match &hint.obstacle {
        None => (Tone::Text, hint.word.clone()),
        Some(why) => (Tone::Muted, format!("{} (not now: {why})", hint.word)),
    };
    let key_tone = if hint.obstacle.is_some() { Tone::Muted } else { Tone::Accent };
    let mut lines = Vec::new();
    for (at, part) in wrap(&words, room.saturating_sub(keys + 3)).into_iter().enumerate() {
        let key = if at == 0 { hint.keys.as_str() } else { "" };
        let padding = " ".repeat((keys + 2).saturating_sub(width(key)));
        lines.push(Line::from(vec![look.say(key_tone, format!(" {key}{padding}")), look.say(tone, part)]));
    }
    lines
}
