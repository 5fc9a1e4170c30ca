//! Keys and what they mean. The only room of the core that knows crossterm, and only its plain key data.
//!
//! Lower case looks, upper case changes (the preset `k9s` also has k9s's lower-case letters for cordon, uncordon and
//! drain; the dialog is the same). Footer and help are made from the same table as the keys.

mod bindings;
mod hints;

pub use bindings::{Binding, Scope, bindings};
pub use hints::{Hint, footer, help, obstacle};

use super::model::Pane;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A character, upper case when Shift is held.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift-Tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Any other: means nothing here.
    Other,
}

/// A key press.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Which.
    pub code: Code,
    /// Control is held (or Alt: such keys mean nothing but are not text either).
    pub ctrl: bool,
    /// The terminal says that the key is held down and repeats.
    pub repeat: bool,
}

impl Key {
    /// A key by its code.
    pub const fn of(code: Code) -> Self {
        Self { code, ctrl: false, repeat: false }
    }

    /// A character.
    pub const fn char(ch: char) -> Self {
        Self::of(Code::Char(ch))
    }

    /// Control and a character.
    pub const fn ctrl(ch: char) -> Self {
        Self { code: Code::Char(ch), ctrl: true, repeat: false }
    }

    /// The same key, repeating.
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeat = true;
        self
    }

    /// Whether two presses are of the same key, repeating or not.
    pub fn is(self, other: Self) -> bool {
        self.code == other.code && self.ctrl == other.ctrl
    }

    /// From the terminal's event; `None` for a release and for Alt with a character.
    pub fn from_event(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release || event.modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        let shift = event.modifiers.contains(KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::Char(ch) if shift && ch.is_ascii_lowercase() => Code::Char(ch.to_ascii_uppercase()),
            KeyCode::Char(ch) => Code::Char(ch),
            KeyCode::Enter => Code::Enter,
            KeyCode::Esc => Code::Esc,
            KeyCode::Tab if shift => Code::BackTab,
            KeyCode::Tab => Code::Tab,
            KeyCode::BackTab => Code::BackTab,
            KeyCode::Backspace => Code::Backspace,
            KeyCode::Up => Code::Up,
            KeyCode::Down => Code::Down,
            KeyCode::Left => Code::Left,
            KeyCode::Right => Code::Right,
            KeyCode::Home => Code::Home,
            KeyCode::End => Code::End,
            KeyCode::PageUp => Code::PageUp,
            KeyCode::PageDown => Code::PageDown,
            _ => Code::Other,
        };
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        Some(Self { code, ctrl, repeat: event.kind == KeyEventKind::Repeat })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ctrl {
            f.write_str("^")?;
        }
        match self.code {
            Code::Char(' ') => f.write_str("Space"),
            Code::Char(ch) => write!(f, "{ch}"),
            Code::BackTab => f.write_str("S-Tab"),
            Code::PageUp => f.write_str("PgUp"),
            Code::PageDown => f.write_str("PgDn"),
            code => write!(f, "{code:?}"),
        }
    }
}

/// What a key or a line of the palette asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Focus a pane.
    Focus(Pane),
    /// Focus the next pane.
    NextPane,
    /// Focus the pane before.
    PriorPane,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// The first row.
    Top,
    /// The last row; in the log: follow.
    Bottom,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Half a page up.
    HalfUp,
    /// Half a page down.
    HalfDown,
    /// Type a filter.
    Filter,
    /// Type a command.
    Palette,
    /// Show the keys.
    Help,
    /// Close, clear, go back.
    Back,
    /// Sort by the next column.
    Sort,
    /// The other direction.
    Reverse,
    /// Copy the selected row's name (of a log line: its text).
    Copy,
    /// Copy the report of the open run.
    Report,
    /// Mark the selected row.
    Mark,
    /// All that is known of the selected row.
    Details,
    /// Write what this console was told to a file.
    Record,
    /// All that is known of the maintenance lock.
    Lock,
    /// Read the kubeconfig again and connect anew.
    Reconnect,
    /// Show the next run.
    NextRun,
    /// Quit.
    Quit,
    /// Cordon.
    Cordon,
    /// Uncordon.
    Uncordon,
    /// Drain.
    Drain,
    /// Reboot.
    Reboot,
    /// Snapshot etcd.
    Snapshot,
    /// Why the selected budget blocks.
    Block,
    /// What happened in the rolling update.
    Story,
    /// What runs of earlier processes left.
    Orphans,
    /// Answer what SSH asks.
    Answer,
    /// Ask hosts whether they need a reboot.
    Needs,
    /// Let the step that is under way take longer.
    Extend,
    /// Ask the management controller whether a machine has power.
    Power,
    /// Take a machine's power away and give it back.
    PowerCycle,
    /// Confirm the step that waits.
    Confirm,
    /// Go on by itself until something is not green.
    Automatic,
    /// Pause.
    Pause,
    /// Try the failed step again.
    Retry,
    /// Skip the step.
    Skip,
    /// Put the node to the end of the queue.
    Last,
    /// Stop and undo.
    Abort,
    /// Take a gate for open, with a reason.
    Accept,
    /// Change the quiet time before the last look.
    Settle,
}

impl Command {
    /// Whether it speaks to the open run.
    pub fn is_for_run(self) -> bool {
        matches!(
            self,
            Self::Confirm
                | Self::Automatic
                | Self::Pause
                | Self::Retry
                | Self::Skip
                | Self::Last
                | Self::Abort
                | Self::Accept
                | Self::Settle
        )
    }

    /// Whether it changes something outside, after its dialog.
    pub fn changes(self) -> bool {
        self.is_for_run()
            || matches!(
                self,
                Self::Cordon
                    | Self::Uncordon
                    | Self::Drain
                    | Self::Reboot
                    | Self::PowerCycle
                    | Self::Snapshot
            )
    }
}

/// Which keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Lower case looks, upper case changes.
    #[default]
    Default,
    /// And `c`, `u`, `r` as in k9s.
    K9s,
}

/// What a key means in a pane.
pub fn command(preset: Preset, focus: Pane, key: Key) -> Option<Command> {
    bindings(preset)
        .find(|binding| binding.scope.holds(focus) && binding.keys.iter().any(|known| known.is(key)))
        .map(|binding| binding.command)
}
