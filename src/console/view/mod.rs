//! Draws the model: one file per region of the screen, nothing kept from frame to frame, only visible rows.

mod budgets;
mod call;
mod dialog;
mod etcd;
mod footer;
pub mod glyph;
mod header;
pub mod layout;
mod listing;
mod log;
mod look;
mod nodes;
mod pane;
mod probes;
mod roll;
mod rollout;
mod run;
mod source;
mod steps;
mod table;
mod text;
pub mod theme;
mod words;

use self::layout::{LEAST, Regions, Shape, Wants};
use self::look::{Look, rows};
use self::theme::{Palette, Tone};
use crate::console::model::{Model, Pane, Theme};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Draws one frame.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    draw(model, frame.buffer_mut(), area);
}

/// Draws into a buffer.
pub fn draw(model: &Model, buf: &mut Buffer, area: Rect) {
    let area = area.intersection(buf.area);
    let look = look(model);
    let wants = wants(&look, model, area);
    let regions = layout::regions(area, &wants);
    if layout::shape(area) == Shape::TooSmall {
        too_small(&look, buf, area);
    } else {
        regions_of(&look, model, buf, &regions);
        if !model.dialogs.is_empty() {
            for (_, place) in &regions.panes {
                pane::veil(&look, buf, *place);
            }
            dialog::draw(&look, model, buf, area);
        }
    }
    if model.setup.look.ascii {
        only_ascii(buf, area);
    }
}

fn look(model: &Model) -> Look {
    let theme = match model.setup.look.theme {
        Theme::Dark => Palette::dark(),
        Theme::Light => Palette::light(),
        Theme::Mono => Palette::mono(),
    };
    Look { theme, glyphs: if model.setup.look.ascii { &glyph::ASCII } else { &glyph::UNICODE } }
}

fn wants(look: &Look, model: &Model, area: Rect) -> Wants {
    Wants {
        nodes: model.known.nodes.len(),
        members: model.known.etcd.as_ref().map_or(0, |view| view.all_members().count()),
        budgets: model.known.budgets.len(),
        run: model.open.is_some(),
        call: call::is_shown(model),
        tall_header: !header::fits_one_line(look, model, area),
        focus: model.focus,
    }
}

fn regions_of(look: &Look, model: &Model, buf: &mut Buffer, regions: &Regions) {
    header::draw(look, model, buf, regions.header);
    if let Some(area) = regions.call {
        call::draw(look, model, buf, area);
    }
    if let Some(area) = regions.tabs {
        tabs(look, model, buf, area);
    }
    for bar in &regions.bars {
        for row in rows(*bar) {
            look.put(buf, row, look.line(Tone::Faint, look.glyphs.bar));
        }
    }
    for (pane, area) in &regions.panes {
        match pane {
            Pane::Nodes => nodes::draw(look, model, buf, *area),
            Pane::Etcd => etcd::draw(look, model, buf, *area),
            Pane::Budgets => budgets::draw(look, model, buf, *area),
            Pane::Log => log::draw(look, model, buf, *area),
            Pane::Run => run::draw(look, model, buf, *area),
            Pane::Rollout => rollout::draw(look, model, buf, *area),
        }
    }
    footer::draw(look, model, buf, regions.footer);
}

/// The panes by their keys, where only one fits.
fn tabs(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let mut spans = vec![Span::raw(" ")];
    for pane in Pane::ALL {
        let shown = model.focus == pane;
        let is_there = match pane {
            Pane::Run => model.open.is_some(),
            Pane::Rollout => shown || model.watch.rollout.is_roll(),
            _ => true,
        };
        if !is_there {
            continue;
        }
        let word = format!("{} {}", pane::number(pane), pane.word());
        spans.push(if shown {
            look.say(Tone::Accent, format!("[{word}]"))
        } else {
            look.say(Tone::Muted, format!(" {word} "))
        });
        spans.push(Span::raw(" "));
    }
    look.put(buf, area, Line::from(spans));
}

/// The only thing that fits.
fn too_small(look: &Look, buf: &mut Buffer, area: Rect) {
    let words = format!(
        "pitstop needs {}x{} columns and lines, this terminal has {}x{}.",
        LEAST.0, LEAST.1, area.width, area.height
    );
    let lines = text::wrap(&words, usize::from(area.width));
    look.put_all(buf, area, lines.into_iter().map(|line| look.line(Tone::Text, line)));
}

/// Texts from elsewhere may hold what an ASCII terminal cannot show.
fn only_ascii(buf: &mut Buffer, area: Rect) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buf.cell_mut((x, y))
                && !cell.symbol().is_ascii()
            {
                let twin = glyph::twin(cell.symbol());
                cell.set_symbol(twin);
            }
        }
    }
}
