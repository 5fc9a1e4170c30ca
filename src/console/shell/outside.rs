//! What goes to the terminal beside the cells of the screen: texts for the clipboard, and the marks around a frame.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Write};

/// The terminal beside its cells.
pub trait Outside {
    /// Puts a text into the clipboard.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    fn copy(&mut self, text: &str) -> io::Result<()>;

    /// Sends the terminal what is no text: its bell, its title, a notification.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    fn say(&mut self, escapes: &str) -> io::Result<()>;

    /// A frame begins, or has ended.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    fn frame(&mut self, mark: Mark) -> io::Result<()>;
}

/// Where in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Before its first byte.
    Begin,
    /// After its last byte.
    End,
}

/// The terminal on standard output. The clipboard is reached through the terminal itself (OSC 52), which works over
/// SSH; the marks (mode 2026) let it show each frame as a whole. Terminals that know neither ignore them.
pub(super) struct Stdout;

impl Outside for Stdout {
    fn copy(&mut self, text: &str) -> io::Result<()> {
        write(&osc52(text))
    }

    fn say(&mut self, escapes: &str) -> io::Result<()> {
        write(escapes)
    }

    fn frame(&mut self, mark: Mark) -> io::Result<()> {
        write(match mark {
            Mark::Begin => "\x1b[?2026h",
            Mark::End => "\x1b[?2026l",
        })
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn osc52(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_encoded_and_cannot_steer_the_terminal() {
        assert_eq!(osc52("cp-1"), "\x1b]52;c;Y3AtMQ==\x07");
        let hostile = osc52("\x1b[2J\x07");
        assert_eq!(hostile.matches('\x07').count(), 1, "{hostile:?}");
    }
}
