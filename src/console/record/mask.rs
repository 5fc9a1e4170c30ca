//! What was typed or pasted, without what may be a secret.
//!
//! The rule: typed text is kept only as far as it names something that the recording holds anyway (a command's word, a
//! node, a word of a row); every other character becomes [`DOT`]. Of a typed confirmation only is kept whether each
//! character was the right one. Lengths stay, so that Backspace does the same when it is played.

use crate::console::dialog::entry::Purpose;
use crate::console::dialog::{Confirm, Dialog};
use crate::console::keymap::{Code, Key};
use crate::console::model::{Model, Pane};
use crate::console::msg::Msg;
use crate::console::palette::{parse, suggestions};
use crate::console::record::What;
use crate::console::rows;
use crate::domain::guard::Rung;
use crate::domain::time::Stamp;

/// Stands for a character that is not kept.
const DOT: char = '•';

/// Where a character goes.
enum Field<'m> {
    /// The name that a question asks for.
    Name(&'m Confirm, &'m str),
    /// The command line.
    Line(&'m str),
    /// Free text for a run: a reason, or a time.
    Free(bool),
    /// The filter of a pane.
    Filter(Pane, &'m str),
}

fn field(model: &Model) -> Option<Field<'_>> {
    match model.dialog() {
        Some(Dialog::Confirm(confirm)) => Some(Field::Name(confirm, wanted(&confirm.rung)?)),
        Some(Dialog::Palette(palette)) => Some(Field::Line(&palette.text)),
        Some(Dialog::Entry(entry)) => Some(Field::Free(entry.purpose == Purpose::Settle)),
        Some(_) => None,
        None => model.editing.map(|pane| Field::Filter(pane, filter(model, pane))),
    }
}

fn wanted(rung: &Rung) -> Option<&str> {
    match rung {
        Rung::Key => None,
        Rung::TypeName(name) | Rung::TypeContext(name) => Some(name),
    }
}

fn filter(model: &Model, pane: Pane) -> &str {
    match pane {
        Pane::Nodes => &model.lists.nodes.filter,
        Pane::Etcd => &model.lists.etcd.filter,
        Pane::Budgets => &model.lists.budgets.filter,
        Pane::Log => &model.lists.log.filter,
        Pane::Run => &model.lists.run.filter,
        Pane::Rollout => &model.lists.rollout.filter,
    }
}

/// A message as it is kept.
pub(super) fn mask(model: &Model, msg: &Msg) -> What {
    match msg {
        Msg::Key(key, at) => mask_key(model, *key, *at),
        Msg::Paste(text) => What::Msg(Msg::Paste(mask_paste(model, text))),
        msg => What::Msg(msg.clone()),
    }
}

fn mask_key(model: &Model, key: Key, at: Stamp) -> What {
    let plain = What::Msg(Msg::Key(key, at));
    let (Code::Char(ch), false) = (key.code, key.ctrl) else { return plain };
    let hidden = || What::Msg(Msg::Key(Key { code: Code::Char(DOT), ..key }, at));
    match field(model) {
        None => plain,
        // there Space turns a switch, and a key that repeats types nothing
        Some(Field::Name(..)) if ch == ' ' || key.repeat => plain,
        Some(Field::Name(confirm, wanted)) => What::Typed { is_right: next(confirm, wanted) == Some(ch), at },
        // a time is made of digits and its units
        Some(Field::Free(is_time)) => {
            if is_time && (ch.is_ascii_digit() || "hmsd".contains(ch)) {
                plain
            } else {
                hidden()
            }
        }
        Some(Field::Line(text)) => {
            if names(model, &format!("{text}{ch}")) {
                plain
            } else {
                hidden()
            }
        }
        Some(Field::Filter(pane, text)) => {
            if ch == ' ' || finds(model, pane, &format!("{text}{ch}")) {
                plain
            } else {
                hidden()
            }
        }
    }
}

/// The character that a question waits for; `None` when what is typed is wrong already.
fn next(confirm: &Confirm, wanted: &str) -> Option<char> {
    wanted.strip_prefix(confirm.prompt.typed.as_str())?.chars().next()
}

/// The key that stands for a typed character when it is played.
pub(super) fn typed(model: &Model, is_right: bool, at: Stamp) -> Msg {
    let right = match field(model) {
        Some(Field::Name(confirm, wanted)) if is_right => next(confirm, wanted),
        _ => None,
    };
    Msg::Key(Key::char(right.unwrap_or(DOT)), at)
}

fn mask_paste(model: &Model, text: &str) -> String {
    let line = crate::domain::text::clean(text);
    let line = line.trim();
    let is_known = match field(model) {
        Some(Field::Line(typed)) => names(model, &format!("{typed}{line}")),
        Some(Field::Filter(pane, typed)) => finds(model, pane, &format!("{typed}{line}")),
        _ => false,
    };
    if is_known { line.to_owned() } else { dots(line) }
}

/// Free text that is about to be sent off, in full: wherever it comes back, it is not written.
pub(super) fn free_text(model: &Model, msg: &Msg) -> Option<String> {
    let Msg::Key(Key { code: Code::Enter, .. }, _) = msg else { return None };
    match model.dialog() {
        Some(Dialog::Entry(entry)) if entry.purpose != Purpose::Settle => {
            Some(entry.prompt.typed.trim().to_owned())
        }
        _ => None,
    }
}

/// Hides what is being typed in a state.
pub(super) fn hide_typed(model: &mut Model) {
    for pane in Pane::ALL {
        let text = filter(model, pane).to_owned();
        if !text.is_empty() && !finds(model, pane, &text) {
            let hidden = hidden_filter(model, pane, &text);
            *filter_mut(model, pane) = hidden;
        }
    }
    let mut dialogs = std::mem::take(&mut model.dialogs);
    for dialog in &mut dialogs {
        match dialog {
            Dialog::Confirm(confirm) => {
                let is_right = wanted(&confirm.rung)
                    .is_none_or(|wanted| wanted.starts_with(confirm.prompt.typed.as_str()));
                if !is_right {
                    confirm.prompt.typed = dots(&confirm.prompt.typed);
                }
            }
            Dialog::Entry(entry) if entry.purpose != Purpose::Settle => {
                entry.prompt.typed = dots(&entry.prompt.typed);
            }
            Dialog::Palette(palette) if !names(model, &palette.text) => palette.text = dots(&palette.text),
            _ => {}
        }
    }
    model.dialogs = dialogs;
}

fn filter_mut(model: &mut Model, pane: Pane) -> &mut String {
    match pane {
        Pane::Nodes => &mut model.lists.nodes.filter,
        Pane::Etcd => &mut model.lists.etcd.filter,
        Pane::Budgets => &mut model.lists.budgets.filter,
        Pane::Log => &mut model.lists.log.filter,
        Pane::Run => &mut model.lists.run.filter,
        Pane::Rollout => &mut model.lists.rollout.filter,
    }
}

/// The words that are found stay, the others are hidden.
fn hidden_filter(model: &Model, pane: Pane, text: &str) -> String {
    let parts = text.split_inclusive(char::is_whitespace);
    parts.map(|part| if finds(model, pane, part) { part.to_owned() } else { dots(part) }).collect()
}

fn dots(text: &str) -> String {
    text.chars().map(|ch| if ch.is_whitespace() { ch } else { DOT }).collect()
}

/// Whether a command line is made of words that are known.
fn names(model: &Model, line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(':');
    match text.split_once(char::is_whitespace) {
        Some(("filter", words)) => finds(model, model.focus, words),
        _ => text.trim().is_empty() || !suggestions(model, text).is_empty() || parse(model, text).is_ok(),
    }
}

/// Whether each word of a filter is found in some row of the pane, or is the beginning of a filter's own word.
fn finds(model: &Model, pane: Pane, text: &str) -> bool {
    const OWN: [&str; 11] = [
        "node:",
        "op:",
        "level:",
        "from:",
        "level:info",
        "level:warn",
        "level:error",
        "from:operation",
        "from:event",
        "from:system",
        "!",
    ];
    text.split_whitespace().all(|term| {
        let word = term.trim_start_matches('!').to_lowercase();
        let value =
            word.split_once(':').filter(|(key, _)| matches!(*key, "node" | "op")).map(|(_, value)| value);
        let word = value.unwrap_or(&word);
        word.is_empty() || OWN.iter().any(|own| own.starts_with(word)) || rows::mentions(model, pane, word)
    })
}
