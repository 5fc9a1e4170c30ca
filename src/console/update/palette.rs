//! The command line.

use super::keys::{execute, focus};
use super::{flash, lists, resolve};
use crate::console::dialog::Dialog;
use crate::console::keymap::{Code, Key};
use crate::console::model::{Model, Pane, Theme};
use crate::console::msg::Effect;
use crate::console::palette::{Line, parse, suggestions};
use crate::domain::ids::OpId;
use crate::domain::log::Level;

/// A key for the command line.
pub(super) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let offered = match model.dialogs.last() {
        Some(Dialog::Palette(palette)) => suggestions(model, &palette.text),
        _ => Vec::new(),
    };
    let Some(Dialog::Palette(palette)) = model.dialogs.last_mut() else { return Vec::new() };
    palette.notice = None;
    match key.code {
        Code::Esc => {
            model.dialogs.pop();
        }
        Code::Enter if key.repeat => {}
        Code::Enter => return submit(model),
        Code::Tab | Code::Right => {
            let chosen = palette.at.unwrap_or(0);
            if let Some(offer) = offered.get(chosen) {
                palette.text.clone_from(&offer.text);
                palette.at = None;
            }
        }
        Code::Down => {
            palette.at = Some(palette.at.map_or(0, |at| at + 1).min(offered.len().saturating_sub(1)));
        }
        Code::Up => palette.at = palette.at.and_then(|at| at.checked_sub(1)),
        Code::Backspace => {
            palette.at = None;
            if palette.text.pop().is_none() {
                model.dialogs.pop();
            }
        }
        Code::Char('u') if key.ctrl => palette.text.clear(),
        Code::Char(ch) if !key.ctrl => {
            palette.at = None;
            palette.text.push(ch);
        }
        _ => {}
    }
    Vec::new()
}

/// Enter: the chosen suggestion if one was chosen with the arrows, else the line as it stands. What changes something
/// still asks in its own dialog.
fn submit(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Palette(mut palette)) = model.dialogs.pop() else { return Vec::new() };
    if let Some(offer) = palette.at.and_then(|at| suggestions(model, &palette.text).into_iter().nth(at)) {
        palette.text = offer.text;
        palette.at = None;
        if offer.wants_more {
            model.dialogs.push(Dialog::Palette(palette));
            return Vec::new();
        }
    }
    if palette.text.trim().is_empty() {
        return Vec::new();
    }
    match parse(model, &palette.text) {
        Ok(line) => perform(model, line),
        Err(notice) => {
            palette.notice = Some(notice);
            model.dialogs.push(Dialog::Palette(palette));
            Vec::new()
        }
    }
}

fn perform(model: &mut Model, line: Line) -> Vec<Effect> {
    match line {
        Line::Command(command) => return execute(model, command, None),
        Line::On(command, node) => return execute(model, command, Some(node)),
        Line::Block(key) => return resolve::open(model, key),
        Line::Filter(text) => match lists::filter(model, model.focus) {
            Some(filter) => *filter = text,
            None => flash(model, Level::Warn, "this pane has no filter"),
        },
        Line::Sort(word) => {
            if !lists::sort_by(model, &word) {
                flash(model, Level::Warn, format!("this pane cannot be sorted by {word}"));
            }
        }
        Line::Theme(theme) => set_theme(model, theme),
        Line::Ascii => model.setup.look.ascii ^= true,
        Line::Open(op) => open(model, op),
    }
    Vec::new()
}

fn set_theme(model: &mut Model, theme: Theme) {
    model.setup.look.theme = theme;
}

fn open(model: &mut Model, op: OpId) {
    if model.run(op).is_some() {
        model.open = Some(op);
        model.lists.run.selected = None;
        focus(model, Pane::Run);
    } else {
        flash(model, Level::Warn, format!("there is no run {op}"));
    }
}
