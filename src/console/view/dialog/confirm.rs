//! Dialogs that ask. Cancel has the focus; what confirms is said in words and drawn dimmed until it is armed.

use super::facts;
use super::sheet::{Sheet, room};
use crate::console::dialog::Tone::Attention;
use crate::console::dialog::{Ask, Choice, Confirm, Fact, Prompt, QuitAsk};
use crate::console::keymap::Command;
use crate::console::model::Model;
use crate::console::view::look::Look;
use crate::console::view::text::{cut, width, wrap};
use crate::console::view::theme::Tone;
use crate::console::view::words;
use crate::domain::guard::Rung;
use crate::domain::plan::Kind;
use crate::domain::undo::brief;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Columns of the text of a dialog that asks.
pub(super) const WIDTH: u16 = 78;
/// With fewer lines than this the switches stand in pairs, without their words.
const TIGHT: u16 = 22;

/// Asks before a run starts.
pub fn confirm(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, confirm: &Confirm) {
    let room = room(area, WIDTH);
    let armed = confirm.prompt.is_armed(model.now);
    let tight = area.height < TIGHT;
    let mut bottom = notice(look, confirm.notice.as_deref(), room);
    let choices = if tight { choices_in_pairs(look, confirm, room) } else { choices(look, confirm, room) };
    bottom.extend(choices);
    let cancelled = confirm.at.is_none();
    let does = verb(confirm.request.kind);
    let field = match &confirm.rung {
        Rung::Key => None,
        Rung::TypeName(name) if confirm.request.resolve.is_some() => Some(("name", name)),
        Rung::TypeName(name) => Some(("node's name", name)),
        Rung::TypeContext(name) => Some(("context's name", name)),
    };
    match field {
        None => bottom.push(buttons(look, armed, cancelled, "y", does)),
        Some((what, name)) => {
            bottom.extend(typed(look, &confirm.prompt, what, name, room));
            if !tight {
                bottom.push(Line::default());
            }
            bottom.push(buttons(look, armed, cancelled, "Enter", &format!("{does}, once typed")));
        }
    }
    asking(look, buf, area, &confirm.title, &confirm.facts, bottom, confirm.scroll);
}

/// Asks before a run's own command.
pub fn ask(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, ask: &Ask) {
    let room = room(area, WIDTH);
    let armed = ask.prompt.is_armed(model.now);
    let mut bottom = notice(look, ask.notice.as_deref(), room);
    let does = match ask.command {
        Command::Automatic => "goes on by itself",
        Command::Retry => "tries it again",
        Command::Skip => "leaves it out",
        Command::Abort => "stops the run",
        _ => "runs it",
    };
    bottom.push(buttons(look, armed, true, "y", does));
    asking(look, buf, area, &ask.title, &ask.facts, bottom, ask.scroll);
}

/// Asks before quitting while operations live.
pub fn quit(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, quit: &QuitAsk) {
    let room = room(area, WIDTH);
    let mut facts = Vec::new();
    for run in model.live_runs() {
        let state = words::run(look, run.state);
        let words = format!("{} {}, step {}", state.glyph, state.word, words::place(run));
        facts.push(Fact::plain(&words::title(run), words));
        let changed = brief(run);
        facts.push(if changed.is_empty() {
            Fact::plain("changed now", "nothing")
        } else {
            Fact::toned(Attention, "changed now", changed)
        });
    }
    facts
        .extend(model.starting.values().map(|request| Fact::plain(&request.kind.to_string(), "is starting")));
    facts.push(Fact::plain(
        "quitting",
        "stops them where they are; what is changed now stays so: abort first to undo it",
    ));
    let mut bottom = notice(look, quit.notice.as_deref(), room);
    bottom.push(buttons(look, quit.prompt.is_armed(model.now), true, "y", "quits"));
    asking(look, buf, area, "Quit while work is under way?", &facts, bottom, 0);
}

pub(super) fn asking(
    look: &Look,
    buf: &mut Buffer,
    area: Rect,
    title: &str,
    list: &[Fact],
    bottom: Vec<Line<'_>>,
    scroll: usize,
) {
    let room = room(area, WIDTH);
    let height = usize::from(area.height).saturating_sub(bottom.len() + 3);
    let body = facts::fitting(look, list, room, height);
    Sheet {
        title: title.to_owned(),
        tone: Tone::Accent,
        body,
        scroll: Some(scroll),
        asks: true,
        bottom,
        room,
    }
    .draw(look, buf, area);
}

/// Why the question is put again, or why the last key did nothing.
pub(super) fn notice<'a>(look: &Look, notice: Option<&str>, room: usize) -> Vec<Line<'a>> {
    let Some(notice) = notice else { return Vec::new() };
    wrap(&format!("{} {notice}", look.glyphs.warn), room)
        .into_iter()
        .map(|line| look.line(Tone::Warn, line))
        .chain([Line::default()])
        .collect()
}

/// The switches of a drain, each with its letter.
fn choices<'a>(look: &Look, confirm: &Confirm, room: usize) -> Vec<Line<'a>> {
    let flags = confirm.choices.iter().map(|choice| width(&choice.flag)).max().unwrap_or(0);
    // letters would be taken for the name
    let lettered = confirm.rung == Rung::Key;
    let line = |(at, choice): (usize, &Choice)| {
        let chosen = confirm.at == Some(at);
        let cursor = if chosen { look.glyphs.selected } else { " " };
        let switch = if choice.on { "[x]" } else { "[ ]" };
        let letter = if lettered { format!("{} ", choice.letter) } else { String::new() };
        let padding = " ".repeat(flags - width(&choice.flag));
        let words = cut(&choice.words, room.saturating_sub(flags + 10), look.glyphs.ellipsis).into_owned();
        Line::from(vec![
            look.say(Tone::Accent, format!("{cursor} {letter}")),
            look.say(if choice.on { Tone::Warn } else { Tone::Text }, format!("{switch} ")),
            look.say(if chosen { Tone::Strong } else { Tone::Text }, choice.flag.clone()),
            look.say(Tone::Muted, format!("{padding}  {words}")),
        ])
    };
    let mut lines: Vec<Line<'a>> = confirm.choices.iter().enumerate().map(line).collect();
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    lines
}

/// The same where lines are few: two beside each other.
fn choices_in_pairs<'a>(look: &Look, confirm: &Confirm, room: usize) -> Vec<Line<'a>> {
    let lettered = confirm.rung == Rung::Key;
    let pair = |(pair, chunk): (usize, &[Choice])| {
        let mut spans = Vec::new();
        for (at, choice) in chunk.iter().enumerate() {
            let chosen = confirm.at == Some(pair * 2 + at);
            let cursor = if chosen { look.glyphs.selected } else { " " };
            let letter = if lettered { format!("{} ", choice.letter) } else { String::new() };
            let switch = if choice.on { "[x]" } else { "[ ]" };
            let text = format!("{letter}{switch} {}", choice.flag);
            let padding = " ".repeat((room / 2).saturating_sub(width(&text) + 1));
            spans.push(look.say(Tone::Accent, cursor));
            spans.push(look.say(if choice.on { Tone::Warn } else { Tone::Text }, format!("{text}{padding}")));
        }
        Line::from(spans)
    };
    confirm.choices.chunks(2).enumerate().map(pair).collect()
}

/// The field to type a name into.
pub(super) fn typed<'a>(look: &Look, prompt: &Prompt, what: &str, name: &str, room: usize) -> Vec<Line<'a>> {
    let wide = (width(name) + 4).max(24).min(room);
    let typed = cut(&prompt.typed, wide.saturating_sub(2), look.glyphs.ellipsis).into_owned();
    let padding = " ".repeat(wide.saturating_sub(width(&typed) + 1));
    let tone = if name.starts_with(&prompt.typed) { Tone::Strong } else { Tone::Bad };
    let field = look.theme.field();
    let mut spans = vec![
        Span::styled(typed, look.theme.of(tone).patch(field)),
        Span::styled(" ", look.theme.of(Tone::Call)),
        Span::styled(padding, field),
    ];
    if !name.starts_with(&prompt.typed) {
        spans.push(look.say(Tone::Bad, format!("  {} does not match", look.glyphs.bad)));
    } else if name == prompt.typed {
        spans.push(look.say(Tone::Good, format!("  {} matches", look.glyphs.good)));
    }
    vec![
        Line::from(vec![
            look.say(Tone::Text, format!("Type the {what} to go on: ")),
            look.say(Tone::Strong, name.to_owned()),
        ]),
        Line::from(spans),
    ]
}

/// What the key does, in a word.
fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Cordon => "cordons",
        Kind::Uncordon => "uncordons",
        Kind::Drain => "drains",
        Kind::Reboot | Kind::Roll => "begins the run",
        Kind::PowerCycle => "cuts the power",
        Kind::Snapshot => "takes it",
        Kind::Unlock => "clears it",
        Kind::Resolve => "carries it out",
    }
}

/// `[Cancel] Esc` with the focus, and what confirms.
pub(super) fn buttons<'a>(look: &Look, armed: bool, cancelled: bool, key: &str, does: &str) -> Line<'a> {
    let cancel = if cancelled {
        Span::styled("[ Cancel ]", look.theme.of(Tone::Strong).patch(look.theme.selection(true)))
    } else {
        look.say(Tone::Text, "  Cancel  ")
    };
    let mut spans = vec![cancel, look.say(Tone::Muted, " Esc    ")];
    if armed {
        spans.push(look.say(Tone::Accent, key.to_owned()));
        spans.push(look.say(Tone::Text, format!(" {does}")));
    } else {
        spans.push(look.say(Tone::Faint, format!("{key} {does}, in a moment")));
    }
    Line::from(spans)
}
