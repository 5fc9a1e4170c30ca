//! Copying through the terminal itself (OSC 52): works over SSH and inside most multiplexers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Write};

/// Asks the terminal to take a text into the clipboard.
pub(super) fn osc52(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(sequence(text).as_bytes())?;
    out.flush()
}

fn sequence(text: &str) -> String {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_encoded_and_cannot_steer_the_terminal() {
        assert_eq!(sequence("cp-1"), "\x1b]52;c;Y3AtMQ==\x07");
        let hostile = sequence("\x1b[2J\x07");
        assert_eq!(hostile.matches('\x07').count(), 1, "{hostile:?}");
    }
}
