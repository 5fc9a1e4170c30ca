//! Colours by meaning: every pane names a [`Tone`], and only this file knows what it looks like.
//!
//! A state is told by glyph and word first; the tone only repeats it. Good and bad are teal and vermilion, attention is
//! amber, so that no pair is told apart by red against green. Mono uses no colour at all and is complete: bold, dim,
//! underlined and reversed. Colours are of the 256-colour cube, which terminals behind old SSH hops know.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Text,
    /// Emphasised ordinary text: names, what the eye looks for.
    Strong,
    /// Labels and secondary facts.
    Muted,
    /// Rules and separators.
    Faint,
    /// The one accent: focus, keys, what is selected.
    Accent,
    /// As it should be.
    Good,
    /// Under way.
    Busy,
    /// Worth a look.
    Warn,
    /// Broken, failed.
    Bad,
    /// Not known, or too old.
    Unknown,
    /// Waits for the person.
    Call,
}

/// A complete set of styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    text: Style,
    strong: Style,
    muted: Style,
    faint: Style,
    accent: Style,
    good: Style,
    busy: Style,
    warn: Style,
    bad: Style,
    unknown: Style,
    call: Style,
    selected: Style,
    selected_away: Style,
    stale: Style,
    field: Style,
}

const fn ink(index: u8) -> Style {
    Style::new().fg(Color::Indexed(index))
}

impl Palette {
    /// For dark terminals.
    pub const fn dark() -> Self {
        Self {
            text: Style::new(),
            strong: Style::new().add_modifier(Modifier::BOLD),
            muted: ink(245),
            faint: ink(239),
            accent: ink(75),
            good: ink(79),
            busy: ink(117),
            warn: ink(221),
            bad: ink(209).add_modifier(Modifier::BOLD),
            unknown: ink(183),
            call: Style::new().fg(Color::Indexed(16)).bg(Color::Indexed(221)).add_modifier(Modifier::BOLD),
            selected: Style::new().bg(Color::Indexed(237)),
            selected_away: Style::new().bg(Color::Indexed(235)),
            stale: ink(245),
            field: Style::new().bg(Color::Indexed(237)),
        }
    }

    /// For light terminals.
    pub const fn light() -> Self {
        Self {
            text: Style::new(),
            strong: Style::new().add_modifier(Modifier::BOLD),
            muted: ink(242),
            faint: ink(250),
            accent: ink(25),
            good: ink(30),
            busy: ink(26),
            warn: ink(130),
            bad: ink(124).add_modifier(Modifier::BOLD),
            unknown: ink(90),
            call: Style::new().fg(Color::Indexed(16)).bg(Color::Indexed(215)).add_modifier(Modifier::BOLD),
            selected: Style::new().bg(Color::Indexed(253)),
            selected_away: Style::new().bg(Color::Indexed(255)),
            stale: ink(242),
            field: Style::new().bg(Color::Indexed(253)),
        }
    }

    /// Without any colour.
    pub const fn mono() -> Self {
        let plain = Style::new();
        let dim = plain.add_modifier(Modifier::DIM);
        let bold = plain.add_modifier(Modifier::BOLD);
        Self {
            text: plain,
            strong: bold,
            muted: dim,
            faint: dim,
            accent: bold,
            good: plain,
            busy: plain,
            warn: bold,
            bad: bold.add_modifier(Modifier::UNDERLINED),
            unknown: plain.add_modifier(Modifier::ITALIC),
            call: bold.add_modifier(Modifier::REVERSED),
            selected: plain.add_modifier(Modifier::REVERSED),
            selected_away: plain.add_modifier(Modifier::UNDERLINED),
            stale: dim,
            field: plain.add_modifier(Modifier::UNDERLINED),
        }
    }

    /// The style of a tone.
    pub const fn of(&self, tone: Tone) -> Style {
        match tone {
            Tone::Text => self.text,
            Tone::Strong => self.strong,
            Tone::Muted => self.muted,
            Tone::Faint => self.faint,
            Tone::Accent => self.accent,
            Tone::Good => self.good,
            Tone::Busy => self.busy,
            Tone::Warn => self.warn,
            Tone::Bad => self.bad,
            Tone::Unknown => self.unknown,
            Tone::Call => self.call,
        }
    }

    /// Laid over the selected row: of the pane with the focus, or of another.
    pub const fn selection(&self, focused: bool) -> Style {
        if focused { self.selected } else { self.selected_away }
    }

    /// Laid over everything in a pane whose source does not answer.
    pub const fn stale(&self) -> Style {
        self.stale
    }

    /// A field that is typed into.
    pub const fn field(&self) -> Style {
        self.field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TONES: [Tone; 11] = [
        Tone::Text,
        Tone::Strong,
        Tone::Muted,
        Tone::Faint,
        Tone::Accent,
        Tone::Good,
        Tone::Busy,
        Tone::Warn,
        Tone::Bad,
        Tone::Unknown,
        Tone::Call,
    ];

    #[test]
    fn mono_has_no_colour() {
        let theme = Palette::mono();
        for style in TONES.map(|tone| theme.of(tone)).into_iter().chain([
            theme.selection(true),
            theme.selection(false),
            theme.stale(),
            theme.field(),
        ]) {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }

    #[test]
    fn what_waits_for_the_person_has_a_style_of_its_own() {
        for theme in [Palette::dark(), Palette::light(), Palette::mono()] {
            for tone in TONES.into_iter().filter(|tone| *tone != Tone::Call) {
                assert_ne!(theme.of(tone), theme.of(Tone::Call), "{tone:?}");
            }
            assert_ne!(theme.selection(true), theme.of(Tone::Call));
        }
    }
}
