//! What is typed into a masked field. It lives here, never in the model, a message or a recording: those are told only how
//! many dots to draw.

use crate::console::dialog::Dialog;
use crate::console::dialog::host::MOST_DOTS;
use crate::console::keymap::{Code, Key};
use crate::console::model::Model;
use crate::console::msg::Msg;
use zeroize::{Zeroize, Zeroizing};

/// No passphrase is longer; more is not taken.
const MOST: usize = 1024;

/// The characters of a masked field.
#[derive(Default)]
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a key when the topmost dialog has a masked field. `None` = it was not for it.
    pub(super) fn press(&mut self, model: &Model, key: Key) -> Option<Msg> {
        let Some(Dialog::Passphrase(_)) = model.dialog() else {
            self.0.zeroize();
            return None;
        };
        match key.code {
            Code::Char('u') if key.ctrl => self.0.zeroize(),
            Code::Char(ch) if !key.ctrl => self.push(ch),
            Code::Backspace => drop(self.0.pop()),
            Code::Esc => {
                self.0.zeroize();
                return None;
            }
            _ => return None,
        }
        Some(self.told())
    }

    /// Takes pasted text when the topmost dialog has a masked field.
    pub(super) fn paste(&mut self, model: &Model, text: &str) -> Option<Msg> {
        let Some(Dialog::Passphrase(_)) = model.dialog() else { return None };
        text.trim_end_matches(['\r', '\n']).chars().for_each(|ch| self.push(ch));
        Some(self.told())
    }

    fn push(&mut self, ch: char) {
        // room beforehand: a string that grows leaves copies behind
        if self.0.capacity() == 0 {
            self.0.reserve(MOST);
        }
        if self.0.len() + ch.len_utf8() <= MOST {
            self.0.push(ch);
        }
    }

    fn told(&self) -> Msg {
        Msg::Masked(u8::try_from(self.0.chars().count()).unwrap_or(u8::MAX).min(MOST_DOTS))
    }

    /// Hands the text on and forgets it.
    pub(super) fn take(&mut self) -> Zeroizing<String> {
        std::mem::take(&mut self.0)
    }
}
