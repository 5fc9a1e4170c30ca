//! Signs, each with an ASCII twin. A sign never stands without its word.

/// A complete set of signs, each one column wide.
#[derive(Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// As it should be: ready, healthy, done, live.
    pub good: &'static str,
    /// Out of scheduling on purpose.
    pub cordoned: &'static str,
    /// Pods are leaving.
    pub draining: &'static str,
    /// On its way through a reboot.
    pub rebooting: &'static str,
    /// Broken, failed.
    pub bad: &'static str,
    /// Not known.
    pub unknown: &'static str,
    /// Not reached yet.
    pub pending: &'static str,
    /// Under way.
    pub running: &'static str,
    /// Waits for the person.
    pub waiting: &'static str,
    /// Done, with something to look at; attention.
    pub warn: &'static str,
    /// Left out.
    pub skipped: &'static str,
    /// Stopped by the person.
    pub stopped: &'static str,
    /// Delayed: an answer older than it should be.
    pub delayed: &'static str,
    /// Nothing there.
    pub none: &'static str,
    /// The selected row.
    pub selected: &'static str,
    /// A marked row.
    pub marked: &'static str,
    /// Something was cut.
    pub ellipsis: &'static str,
    /// A horizontal rule.
    pub rule: &'static str,
    /// A vertical rule.
    pub bar: &'static str,
    /// The filled part of a gauge.
    pub full: &'static str,
    /// The empty part of a gauge.
    pub empty: &'static str,
    /// Bars from the lowest to the highest.
    pub spark: [&'static str; 8],
    /// More above.
    pub up: &'static str,
    /// More below.
    pub down: &'static str,
    /// Between facts in one line.
    pub dot: &'static str,
    /// Corners of a dialog: top left, top right, bottom left, bottom right.
    pub corners: [&'static str; 4],
}

/// For terminals that show UTF-8.
pub const UNICODE: Glyphs = Glyphs {
    good: "●",
    cordoned: "◐",
    draining: "◑",
    rebooting: "↻",
    bad: "✗",
    unknown: "?",
    pending: "·",
    running: "▶",
    waiting: "◆",
    warn: "▲",
    skipped: "○",
    stopped: "■",
    delayed: "◐",
    none: "–",
    selected: "▸",
    marked: "✓",
    ellipsis: "…",
    rule: "─",
    bar: "│",
    full: "━",
    empty: "─",
    spark: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    up: "↑",
    down: "↓",
    dot: "·",
    corners: ["╭", "╮", "╰", "╯"],
};

/// For all others.
pub const ASCII: Glyphs = Glyphs {
    good: "o",
    cordoned: "c",
    draining: "d",
    rebooting: "r",
    bad: "x",
    unknown: "?",
    pending: ".",
    running: ">",
    waiting: "!",
    warn: "^",
    skipped: "-",
    stopped: "#",
    delayed: "~",
    none: "-",
    selected: ">",
    marked: "*",
    ellipsis: "~",
    rule: "-",
    bar: "|",
    full: "=",
    empty: ".",
    spark: ["_", ".", ":", "-", "=", "+", "*", "#"],
    up: "^",
    down: "v",
    dot: "-",
    corners: ["+", "+", "+", "+"],
};

/// The ASCII twin of a sign that came with a text from elsewhere.
pub fn twin(symbol: &str) -> &'static str {
    match symbol {
        "–" | "—" | "−" | "─" => "-",
        "…" => "~",
        "→" | "▸" => ">",
        "←" => "<",
        "×" => "x",
        "·" => ".",
        "≥" | "≤" => "=",
        "“" | "”" | "„" => "\"",
        "’" | "‘" => "'",
        "µ" | "μ" => "u",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    fn all(glyphs: &Glyphs) -> Vec<&'static str> {
        let mut all = vec![
            glyphs.good,
            glyphs.cordoned,
            glyphs.draining,
            glyphs.rebooting,
            glyphs.bad,
            glyphs.unknown,
            glyphs.pending,
            glyphs.running,
            glyphs.waiting,
            glyphs.warn,
            glyphs.skipped,
            glyphs.stopped,
            glyphs.delayed,
            glyphs.none,
            glyphs.selected,
            glyphs.marked,
            glyphs.ellipsis,
            glyphs.rule,
            glyphs.bar,
            glyphs.full,
            glyphs.empty,
            glyphs.up,
            glyphs.down,
            glyphs.dot,
        ];
        all.extend(glyphs.corners);
        all.extend(glyphs.spark);
        all
    }

    #[test]
    fn every_sign_is_one_column_wide() {
        for sign in all(&UNICODE).into_iter().chain(all(&ASCII)) {
            assert_eq!(sign.width(), 1, "{sign}");
        }
        assert!(all(&ASCII).iter().all(|sign| sign.is_ascii()));
    }

    #[test]
    fn states_of_a_node_differ_in_both_sets() {
        for glyphs in [&UNICODE, &ASCII] {
            let states =
                [glyphs.good, glyphs.cordoned, glyphs.draining, glyphs.rebooting, glyphs.bad, glyphs.unknown];
            for (at, sign) in states.iter().enumerate() {
                assert!(!states[at + 1..].contains(sign), "{sign}");
            }
        }
    }
}
