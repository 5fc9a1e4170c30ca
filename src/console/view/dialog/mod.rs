//! Dialogs over the panes: the topmost one of the stack, in a box that says which keys it takes.

mod confirm;
mod entry;
mod facts;
mod help;
mod host;
mod page;
mod palette;
mod sheet;
mod ways;

use super::look::Look;
use super::theme::Tone;
use crate::console::dialog::Dialog;
use crate::console::model::Model;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the topmost dialog.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let Some(dialog) = model.dialog() else { return };
    match dialog {
        Dialog::Confirm(confirm) => confirm::confirm(look, model, buf, area, confirm),
        Dialog::Ask(ask) => confirm::ask(look, model, buf, area, ask),
        Dialog::Entry(entry) => entry::draw(look, model, buf, area, entry),
        Dialog::Quit(quit) => confirm::quit(look, model, buf, area, quit),
        Dialog::Help(scroll) => help::draw(look, model, buf, area, *scroll),
        Dialog::Palette(palette) => palette::draw(look, model, buf, area, palette),
        Dialog::Page(page) => page::page(look, model, buf, area, page),
        Dialog::Passphrase(asked) => host::passphrase(look, buf, area, asked),
        Dialog::Trust(asked) => host::trust(look, model, buf, area, asked),
        Dialog::Ways(shown) => ways::draw(look, model, buf, area, shown),
        Dialog::Message(message) => page::message(look, buf, area, message),
    }
}

/// The tone of a fact.
fn tone(tone: crate::console::dialog::Tone) -> Tone {
    use crate::console::dialog::Tone as Fact;
    match tone {
        Fact::Plain => Tone::Text,
        Fact::Good => Tone::Good,
        Fact::Attention => Tone::Warn,
        Fact::Bad => Tone::Bad,
        Fact::Dim => Tone::Muted,
    }
}
