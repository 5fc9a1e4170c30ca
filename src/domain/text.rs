//! Texts from outside and texts for people: cleaning, matching, sizes, counts.

/// Removes what could steer a terminal or forge a log line: control characters (C0, DEL, C1), line and paragraph
/// separators, and bidirectional overrides. Tabs and line breaks become one blank. Cut at 4,096 characters.
pub fn clean(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len().min(4096));
    for (taken, ch) in raw.chars().enumerate() {
        if taken >= 4096 {
            out.push('…');
            break;
        }
        match ch {
            '\t' | '\n' | '\r' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200b}'..='\u{200f}'
            | '\u{feff}' => {}
            ch if ch.is_control() => {}
            ch => out.push(ch),
        }
    }
    out
}

/// Whether `text` matches a pattern in which `*` stands for any run of characters and `?` for one.
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star, mut mark) = (0, 0, None, 0);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some(p);
                mark = t;
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some(at) => {
                    p = at + 1;
                    mark += 1;
                    t = mark;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The order in which people read names: runs of digits by their number, so that `worker-2` comes before `worker-10`.
pub fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (a_digits, b_digits) = (leading_digits(a_rest), leading_digits(b_rest));
        if !a_digits.is_empty() && !b_digits.is_empty() {
            let (one, other) = (a_digits.trim_start_matches('0'), b_digits.trim_start_matches('0'));
            let order = one.len().cmp(&other.len()).then_with(|| one.cmp(other));
            if order.is_ne() {
                return order;
            }
            (a_rest, b_rest) = (&a_rest[a_digits.len()..], &b_rest[b_digits.len()..]);
            continue;
        }
        let (mut a_chars, mut b_chars) = (a_rest.chars(), b_rest.chars());
        match (a_chars.next(), b_chars.next()) {
            (Some(one), Some(other)) if one == other => {
                (a_rest, b_rest) = (a_chars.as_str(), b_chars.as_str());
            }
            (None, None) => return a.cmp(b),
            (one, other) => return one.cmp(&other),
        }
    }
}

fn leading_digits(text: &str) -> &str {
    &text[..text.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(text.len())]
}

/// Bytes in binary units with one decimal: `20.4 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut scaled, mut unit) = (count, 0);
    let mut rest = 0;
    while scaled >= 1024 && unit < UNITS.len() - 1 {
        rest = scaled % 1024;
        scaled /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{scaled}.{} {}", rest * 10 / 1024, UNITS[unit]) }
}

/// `1 pod`, `2 pods`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_lose_their_power() {
        assert_eq!(clean("a\x1b[31mb\x07\u{9b}2Jc\nd\r\n e\u{202e}f"), "a[31mb2Jc d  ef");
    }

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let mut names = ["worker-10", "worker-2", "cp-1", "worker-02", "worker", "worker-2a"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["cp-1", "worker", "worker-02", "worker-2", "worker-2a", "worker-10"]);
    }

    #[test]
    fn globs() {
        assert!(matches_glob("*prod*", "eu-prod-1") && matches_glob("a?c", "abc") && matches_glob("*", ""));
        assert!(!matches_glob("prod*", "eu-prod") && !matches_glob("a?c", "ac"));
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(21_390_000), "20.3 MiB");
    }
}
