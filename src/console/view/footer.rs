//! The last line: what is being typed, what was just said, or which keys work here and now.

use super::look::Look;
use super::text::{columns, line_width};
use super::theme::Tone;
use crate::console::keymap::{self, Hint};
use crate::console::model::{Model, Pane};
use crate::domain::log::Level;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Draws the line.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    if let Some(pane) = model.editing {
        let filter = filter_of(model, pane);
        let line = Line::from(vec![
            look.say(Tone::Accent, " /"),
            Span::raw(filter),
            Span::styled(" ", look.theme.of(Tone::Call)),
            look.say(Tone::Muted, "  Enter keeps it, Esc clears it"),
        ]);
        look.put(buf, area, line);
        return;
    }
    if let Some(flash) = &model.flash {
        let (tone, glyph) = match flash.level {
            Level::Info => (Tone::Accent, look.glyphs.good),
            Level::Warn => (Tone::Warn, look.glyphs.warn),
            Level::Error => (Tone::Bad, look.glyphs.bad),
        };
        look.put(buf, area, look.line(tone, format!(" {glyph} {}", flash.text)));
        return;
    }
    // a dialog has the keys and says which
    if !model.dialogs.is_empty() {
        return;
    }
    draw_hints(look, buf, area, &keymap::footer(model));
}

/// What is typed as the filter of a pane.
pub fn filter_of(model: &Model, pane: Pane) -> &str {
    match pane {
        Pane::Nodes => &model.lists.nodes.filter,
        Pane::Etcd => &model.lists.etcd.filter,
        Pane::Budgets => &model.lists.budgets.filter,
        Pane::Log => &model.lists.log.filter,
        Pane::Run => &model.lists.run.filter,
        Pane::Rollout => &model.lists.rollout.filter,
    }
}

/// Key and word; refused keys stay, dimmed.
pub fn hint<'a>(look: &Look, hint: &Hint) -> Line<'a> {
    if hint.obstacle.is_some() {
        return look.line(Tone::Faint, format!("{} {}", hint.keys, hint.word));
    }
    Line::from(vec![
        look.say(Tone::Accent, hint.keys.clone()),
        look.say(Tone::Muted, format!(" {}", hint.word)),
    ])
}

fn draw_hints(look: &Look, buf: &mut Buffer, area: Rect, hints: &[Hint]) {
    // the way to all other keys is always there
    let (last, hints): (Vec<&Hint>, Vec<&Hint>) = hints.iter().partition(|hint| hint.word == "help");
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut end = Vec::new();
    for hint in last {
        let line = self::hint(look, hint);
        room = room.saturating_sub(line_width(&line) + 4);
        end.extend(line.spans);
        end.push(Span::raw(" "));
    }
    let mut spans = vec![Span::raw(" ")];
    for (at, hint) in hints.into_iter().enumerate() {
        let line = self::hint(look, hint);
        let wide = line_width(&line) + if at > 0 { 2 } else { 0 };
        if wide > room {
            break;
        }
        if at > 0 {
            spans.push(Span::raw("  "));
        }
        room -= wide;
        spans.extend(line.spans);
    }
    look.put(buf, area, Line::from(spans));
    let end = Line::from(end);
    let wide = columns(line_width(&end)).min(area.width);
    look.put(buf, Rect { x: area.right() - wide, width: wide, ..area }, end);
}
