//! Keys in dialogs. What confirms: `y` or the exactly typed name with Enter, in an armed dialog, by a press that is
//! no repeat. Everything else cancels, scrolls, types or is ignored.

use super::{actions, entries, flash, hosts, palette, resolve, runs};
use crate::console::dialog::confirm::toggled;
use crate::console::dialog::{Confirm, Dialog, Page, Prompt, QuitAsk, Subject, Toggle};
use crate::console::keymap::{Code, Key};
use crate::console::model::Model;
use crate::console::msg::Effect;
use crate::console::page;
use crate::domain::guard::Rung;
use crate::domain::lock::LockChoice;
use crate::domain::log::Level;
use crate::domain::plan::Kind;
use crate::domain::time::Stamp;

/// Rows of a page that are not its text.
const FRAME: usize = 5;
/// Columns of the widest page, and those that are not its text.
const WIDEST: u16 = 106;
const MARGINS: usize = 16;

/// A key for the topmost dialog.
pub(super) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let now = model.now;
    if scroll_question(model, key) {
        return Vec::new();
    }
    match model.dialogs.last_mut() {
        None => Vec::new(),
        Some(Dialog::Confirm(_)) => confirm(model, key),
        Some(Dialog::Ask(ask)) => match simple(&mut ask.prompt, &mut ask.notice, key, now) {
            Answer::Yes => runs::submit(model),
            answer => close_on_no(model, &answer),
        },
        Some(Dialog::Quit(ask)) => match simple(&mut ask.prompt, &mut ask.notice, key, now) {
            Answer::Yes => quit_now(model),
            answer => close_on_no(model, &answer),
        },
        Some(Dialog::Entry(_)) => entries::press(model, key),
        Some(Dialog::Palette(_)) => palette::press(model, key),
        Some(Dialog::Passphrase(_)) => hosts::passphrase(model, key),
        Some(Dialog::Trust(_)) => hosts::trust(model, key),
        Some(Dialog::Help(scroll)) => {
            let is_close = matches!(key.code, Code::Char('?'));
            scroll_or_close(scroll, key, is_close).then(|| model.dialogs.pop());
            Vec::new()
        }
        Some(Dialog::Ways(_)) => resolve::press(model, key),
        Some(Dialog::Page(_)) if key.is(Key::char('y')) => copy_page(model),
        Some(Dialog::Page(Page { subject: Subject::Orphans, .. })) if is_for_orphan(key) => {
            match key.code {
                Code::Tab => model.orphan_at = (model.orphan_at + 1) % model.known.orphans.len().max(1),
                Code::Char('N') => actions::ask_earlier(model, false),
                _ => actions::ask_earlier(model, true),
            }
            Vec::new()
        }
        Some(Dialog::Page(Page { subject: Subject::Lock, .. })) if is_for_lock(key) => lock_page(model, key),
        Some(Dialog::Page(_)) => {
            scroll_page(model, key);
            Vec::new()
        }
        Some(Dialog::Message(_)) => {
            if matches!(key.code, Code::Esc | Code::Enter | Code::Char('q')) && !key.repeat {
                model.dialogs.pop();
            }
            Vec::new()
        }
    }
}

/// Scrolls a page; from its end back at once, however far a key had led behind it.
fn scroll_page(model: &mut Model, key: Key) {
    let Some(Dialog::Page(page)) = model.dialog() else { return };
    let wide = usize::from(model.size.0.min(WIDEST)).saturating_sub(MARGINS).max(1);
    let facts = page::facts(model, &page.subject);
    let lines: usize = facts.iter().map(|fact| fact.text.chars().count() / wide + 1).sum();
    let shown = usize::from(model.size.1).saturating_sub(FRAME);
    let Some(Dialog::Page(page)) = model.dialogs.last_mut() else { return };
    if page.scroll > lines.saturating_mul(4) {
        page.scroll = lines.saturating_sub(shown);
    }
    if scroll_or_close(&mut page.scroll, key, false) {
        model.dialogs.pop();
    }
}

/// Scrolls a question whose lines do not all fit; `true` = that was what the key was for.
fn scroll_question(model: &mut Model, key: Key) -> bool {
    // where nothing is typed or chosen with them, the keys of lists scroll too
    let lines = match model.dialogs.last() {
        Some(Dialog::Confirm(confirm)) => confirm.rung == Rung::Key && confirm.choices.is_empty(),
        Some(Dialog::Ask(_)) => !key.ctrl,
        _ => false,
    };
    let scroll = match model.dialogs.last_mut() {
        Some(Dialog::Confirm(confirm)) => &mut confirm.scroll,
        Some(Dialog::Ask(ask)) => &mut ask.scroll,
        Some(Dialog::Entry(entry)) => &mut entry.scroll,
        _ => return false,
    };
    match key.code {
        Code::Down | Code::Char('j') if lines => *scroll = scroll.saturating_add(1),
        Code::Up | Code::Char('k') if lines => *scroll = scroll.saturating_sub(1),
        Code::PageDown => *scroll = scroll.saturating_add(4),
        Code::PageUp => *scroll = scroll.saturating_sub(4),
        _ => return false,
    }
    true
}

/// The next of the earlier runs; go on with the one that is shown, or put back what it left.
fn is_for_orphan(key: Key) -> bool {
    !key.ctrl && !key.repeat && matches!(key.code, Code::Tab | Code::Char('N' | 'X'))
}

/// `A` and `C` on the page of the lock.
fn is_for_lock(key: Key) -> bool {
    key.is(Key::char('A')) || key.is(Key::char('C'))
}

/// Adopts a lock that was left, for the next run that needs it, or asks for clearing it. One that is kept alive is its
/// holder's.
fn lock_page(model: &mut Model, key: Key) -> Vec<Effect> {
    let is_left = model.known.lock.as_ref().is_some_and(|lock| {
        let is_ours = lock.run.as_ref().is_some_and(|id| model.live_runs().any(|run| run.id == *id));
        !is_ours && (lock.tombstone.is_some() || lock.is_expired(model.now))
    });
    if model.setup.policy.read_only {
        flash(model, Level::Warn, "this console is read-only");
    } else if !is_left {
        flash(model, Level::Warn, "there is no lock that was left: nothing to adopt or to clear");
    } else if key.is(Key::char('C')) {
        actions::ask(model, Kind::Unlock, None);
    } else if model.lock_choice == LockChoice::Adopt {
        model.lock_choice = LockChoice::Take;
    } else {
        model.lock_choice = LockChoice::Adopt;
        flash(model, Level::Info, "the next drain or reboot takes the lock over: R or D on a node");
    }
    Vec::new()
}

/// Copies a page: of a log line its text, else everything that is shown.
fn copy_page(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Page(Page { subject, .. })) = model.dialog() else { return Vec::new() };
    let text = match subject {
        Subject::Line(number) => model.log.get(*number).map(|line| line.text.clone()).unwrap_or_default(),
        subject => {
            let facts = page::facts(model, subject);
            let lines: Vec<String> =
                facts.iter().map(|fact| format!("{}\t{}", fact.label, fact.text)).collect();
            lines.join("\n")
        }
    };
    flash(model, Level::Info, "copied");
    vec![Effect::Copy(text)]
}

/// Scrolls; `true` = close.
fn scroll_or_close(scroll: &mut usize, key: Key, is_close: bool) -> bool {
    match key.code {
        Code::Esc | Code::Enter | Code::Char('q') if !key.ctrl => return true,
        Code::Down | Code::Char('j') => *scroll = scroll.saturating_add(1),
        Code::Up | Code::Char('k') => *scroll = scroll.saturating_sub(1),
        Code::PageDown | Code::Char('d' | 'f' | ' ') => *scroll = scroll.saturating_add(10),
        Code::PageUp | Code::Char('u' | 'b') => *scroll = scroll.saturating_sub(10),
        Code::Home | Code::Char('g') => *scroll = 0,
        Code::End | Code::Char('G') => *scroll = usize::MAX / 2,
        _ => return is_close,
    }
    false
}

pub(super) enum Answer {
    Yes,
    No,
    None,
}

/// A question that `y` answers.
pub(super) fn simple(prompt: &mut Prompt, notice: &mut Option<String>, key: Key, now: Stamp) -> Answer {
    match key.code {
        Code::Esc | Code::Enter | Code::Char('n' | 'q') if !key.ctrl => Answer::No,
        Code::Char('y') if !key.ctrl => {
            if may_confirm(prompt, notice, key, now) {
                Answer::Yes
            } else {
                Answer::None
            }
        }
        _ => Answer::None,
    }
}

/// Whether a confirming key counts. One that comes too early starts the time anew, so that a key that was meant for
/// something else (or is held down) does not confirm by lasting.
pub(super) fn may_confirm(prompt: &mut Prompt, notice: &mut Option<String>, key: Key, now: Stamp) -> bool {
    if key.repeat {
        return false;
    }
    if !prompt.is_armed(now) {
        prompt.shown = now;
        *notice = Some("that was too quick to have been read: once more".to_owned());
        return false;
    }
    true
}

fn close_on_no(model: &mut Model, answer: &Answer) -> Vec<Effect> {
    if matches!(answer, Answer::No) {
        model.dialogs.pop();
    }
    Vec::new()
}

fn confirm(model: &mut Model, key: Key) -> Vec<Effect> {
    let now = model.now;
    let Some(Dialog::Confirm(confirm)) = model.dialogs.last_mut() else { return Vec::new() };
    if key.ctrl || (key.repeat && key.code != Code::Backspace) {
        return Vec::new();
    }
    let is_typed = confirm.rung != Rung::Key;
    let is_no = key.code == Code::Esc || (!is_typed && matches!(key.code, Code::Char('n' | 'q')));
    match key.code {
        _ if is_no => {
            model.dialogs.pop();
        }
        Code::Tab | Code::Down => confirm.at = next(confirm.at, confirm.choices.len()),
        Code::BackTab | Code::Up => confirm.at = prior(confirm.at, confirm.choices.len()),
        Code::Char(' ') => {
            let toggle = confirm.at.and_then(|at| confirm.choices.get(at)).map(|choice| choice.toggle);
            turn(model, toggle);
        }
        Code::Enter => return enter(model),
        Code::Backspace => {
            confirm.prompt.typed.pop();
        }
        Code::Char(ch) if is_typed => {
            confirm.notice = None;
            confirm.prompt.typed.push(ch);
        }
        Code::Char('y') => {
            let Confirm { prompt, notice, .. } = &mut **confirm;
            if may_confirm(prompt, notice, key, now) {
                return actions::submit(model);
            }
        }
        Code::Char(letter) => {
            let toggle =
                confirm.choices.iter().find(|choice| choice.letter == letter).map(|choice| choice.toggle);
            turn(model, toggle);
        }
        _ => {}
    }
    Vec::new()
}

/// Enter: cancels while Cancel has the focus and no name is asked for; submits an exactly typed name; else says so.
fn enter(model: &mut Model) -> Vec<Effect> {
    let now = model.now;
    let Some(Dialog::Confirm(confirm)) = model.dialogs.last_mut() else { return Vec::new() };
    let Confirm { rung, prompt, notice, at, .. } = &mut **confirm;
    let wanted = match rung {
        Rung::Key => None,
        Rung::TypeName(name) | Rung::TypeContext(name) => Some(name.as_str()),
    };
    if wanted.is_some_and(|wanted| wanted == prompt.typed && !wanted.is_empty()) {
        return if may_confirm(prompt, notice, Key::of(Code::Enter), now) {
            actions::submit(model)
        } else {
            Vec::new()
        };
    }
    match (prompt.typed.is_empty(), at, wanted) {
        (true, None, None) => {
            model.dialogs.pop();
        }
        (true, _, Some(wanted)) => *notice = Some(format!("type the name, {wanted}; Esc cancels")),
        (_, _, Some(wanted)) => *notice = Some(format!("type {wanted} to the letter")),
        _ => *notice = Some("Enter does not confirm: y does; Space turns the option".to_owned()),
    }
    Vec::new()
}

fn next(at: Option<usize>, len: usize) -> Option<usize> {
    match at {
        None if len > 0 => Some(0),
        Some(at) if at + 1 < len => Some(at + 1),
        _ => None,
    }
}

fn prior(at: Option<usize>, len: usize) -> Option<usize> {
    match at {
        None => len.checked_sub(1),
        Some(at) => at.checked_sub(1),
    }
}

/// Turns a switch: the question is put anew, with its new figures and perhaps a higher rung.
fn turn(model: &mut Model, toggle: Option<Toggle>) {
    let Some(toggle) = toggle else { return };
    let Some(Dialog::Confirm(confirm)) = model.dialogs.pop() else { return };
    match toggled(model, &confirm, toggle) {
        Ok(fresh) => model.dialogs.push(Dialog::Confirm(Box::new(fresh))),
        Err(report) => actions::deny(model, &report),
    }
}

/// Quits, or asks first while an operation lives.
pub(super) fn quit(model: &mut Model) -> Vec<Effect> {
    let is_asked = matches!(model.dialogs.last(), Some(Dialog::Quit(_)));
    if model.live_runs().next().is_none() && model.starting.is_empty() {
        return quit_now(model);
    }
    if !is_asked {
        model.dialogs.push(Dialog::Quit(QuitAsk { prompt: Prompt::new(model.now), notice: None }));
    }
    Vec::new()
}

/// Quits.
pub(super) fn quit_now(model: &mut Model) -> Vec<Effect> {
    model.dialogs.clear();
    if std::mem::replace(&mut model.is_quitting, true) {
        return Vec::new();
    }
    if model.live_runs().next().is_some() {
        flash(model, Level::Warn, "quitting: the operation under way is being stopped");
    }
    vec![Effect::Quit]
}
