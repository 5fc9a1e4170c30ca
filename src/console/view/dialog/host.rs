//! What SSH asks, drawn: a masked field for a passphrase, and a host's key with what to compare it with.

use super::confirm::{buttons, notice, typed};
use super::facts;
use super::sheet::{Sheet, room};
use crate::console::dialog::Fact;
use crate::console::dialog::host::{MOST_DOTS, Passphrase, Trust};
use crate::console::model::Model;
use crate::console::view::look::Look;
use crate::console::view::theme::Tone;
use crate::domain::guard::Rung;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const WIDTH: u16 = 78;

/// Asks for a passphrase. What is typed stands as dots.
pub fn passphrase(look: &Look, buf: &mut Buffer, area: Rect, asked: &Passphrase) {
    let room = room(area, WIDTH);
    let facts = [
        Fact::plain("key", &*asked.path),
        Fact::plain(
            "kept",
            "in memory only, until this console ends; the passphrase itself is forgotten at once",
        ),
    ];
    let mut bottom = notice(look, asked.notice.as_deref(), room);
    let dots = "*".repeat(usize::from(asked.dots));
    let more = if asked.dots >= MOST_DOTS { look.glyphs.ellipsis } else { "" };
    let field = look.theme.field();
    bottom.push(look.line(Tone::Text, "Type the passphrase:"));
    bottom.push(Line::from(vec![
        Span::styled(format!("{dots}{more}"), look.theme.of(Tone::Strong).patch(field)),
        Span::styled(" ", look.theme.of(Tone::Call)),
        Span::styled(" ".repeat(20), field),
    ]));
    bottom.push(Line::default());
    bottom.push(if asked.is_opening {
        look.line(Tone::Busy, "opening the key")
    } else {
        buttons(look, asked.dots > 0, true, "Enter", "opens the key")
    });
    let body = facts::lines(look, &facts, room);
    let title = "An SSH key needs its passphrase".to_owned();
    Sheet { title, tone: Tone::Accent, body, scroll: None, asks: true, bottom, room }.draw(look, buf, area);
}

/// Asks whether a host's key is the right one.
pub fn trust(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, asked: &Trust) {
    let room = room(area, WIDTH);
    let armed = asked.prompt.is_armed(model.now);
    let mut bottom = notice(look, asked.notice.as_deref(), room);
    match &asked.rung {
        Rung::Key => bottom.push(buttons(look, armed, true, "y", "records it")),
        Rung::TypeName(name) => {
            let what = if asked.host.node.is_some() { "node's name" } else { "host's name" };
            bottom.extend(typed(look, &asked.prompt, what, name, room));
            bottom.push(buttons(look, armed, true, "Enter", "records it, once typed"));
        }
        Rung::TypeContext(name) => {
            bottom.extend(typed(look, &asked.prompt, "context's name", name, room));
            bottom.push(buttons(look, armed, true, "Enter", "records it, once typed"));
        }
    }
    let height = usize::from(area.height).saturating_sub(bottom.len() + 3);
    let body = facts::fitting(look, &asked.facts, room, height);
    let title = format!("Is this the key of {}?", asked.host.name);
    Sheet { title, tone: Tone::Warn, body, scroll: Some(0), asks: true, bottom, room }.draw(look, buf, area);
}
