//! Models in realistic states, for tests that look at screens; built through the console's own messages.

pub mod cluster;
pub mod others;
pub mod picture;
pub mod probes;
pub mod rollout;
pub mod runs;

use pitstop::console::keymap::{Code, Key};
use pitstop::console::model::{Look, Model, Theme};
use pitstop::console::msg::{Effect, Msg};
use pitstop::console::update::update;
use pitstop::console::view::draw;
use pitstop::domain::time::Stamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;
use std::time::Duration;

/// When the screens are: 2026-11-20 03:12:44 UTC.
pub const NOW: Stamp = Stamp(1_795_144_364_000);

/// So many seconds before [`NOW`].
pub fn ago(secs: i64) -> Stamp {
    Stamp(NOW.0 - secs * 1000)
}

/// Sends a message.
pub fn send(model: &mut Model, msg: Msg) -> Vec<Effect> {
    update(model, msg)
}

/// Presses keys, half a second apart, and then lets a second pass.
pub fn press(model: &mut Model, keys: &[Key]) {
    for key in keys {
        let at = model.now.plus(Duration::from_millis(500));
        update(model, Msg::Key(*key, at));
    }
    let at = model.now.plus(Duration::from_secs(1));
    update(model, Msg::Tick(at));
}

/// Presses the keys of a text.
pub fn type_text(model: &mut Model, text: &str) {
    press(model, &text.chars().map(Key::char).collect::<Vec<_>>());
}

/// Enter.
pub const ENTER: Key = Key::of(Code::Enter);

/// One frame.
pub fn frame(model: &Model, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(model, &mut buffer, area);
    buffer
}

/// The same model in other colours or signs.
pub fn with_look(model: &Model, theme: Theme, ascii: bool) -> Model {
    let mut model = model.clone();
    model.setup.look = Look { theme, ascii };
    model
}

/// The text of a frame, a line a row, without blanks at the ends.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap().max(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The runs of cells that do not look plain: `row:column fg/bg+modifiers text`.
pub fn styles(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let style = look_of(buffer, x, y);
            let start = x;
            let mut run = String::new();
            while x < buffer.area.width && look_of(buffer, x, y) == style {
                run.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            if !style.is_empty() && !run.trim().is_empty() {
                writeln!(out, "{y:>2}:{start:<3} {style:<22} {}", run.trim_end()).unwrap();
            }
        }
    }
    out
}

fn look_of(buffer: &Buffer, x: u16, y: u16) -> String {
    let cell = &buffer[(x, y)];
    let colour = |colour: Color| match colour {
        Color::Reset => "-".to_owned(),
        Color::Indexed(index) => index.to_string(),
        other => format!("{other:?}"),
    };
    let mut look = match (cell.fg, cell.bg) {
        (Color::Reset, Color::Reset) => String::new(),
        (fg, bg) => format!("{}/{}", colour(fg), colour(bg)),
    };
    for (modifier, word) in [
        (Modifier::BOLD, " bold"),
        (Modifier::DIM, " dim"),
        (Modifier::ITALIC, " italic"),
        (Modifier::UNDERLINED, " underlined"),
        (Modifier::REVERSED, " reversed"),
    ] {
        if cell.modifier.contains(modifier) {
            look.push_str(word);
        }
    }
    look.trim().to_owned()
}
