//! Fitting text into columns: everything is measured by display width and cut, never wrapped by accident.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Columns that a line takes.
pub fn line_width(line: &Line<'_>) -> usize {
    line.spans.iter().map(|span| span.content.width()).sum()
}

/// The longest head of `text` within `columns`, and the columns it takes.
fn head(text: &str, columns: usize) -> (&str, usize) {
    let (mut end, mut taken) = (0, 0);
    for (at, ch) in text.char_indices() {
        let wide = ch.width().unwrap_or(0);
        if taken + wide > columns {
            break;
        }
        taken += wide;
        end = at + ch.len_utf8();
    }
    (&text[..end], taken)
}

/// The longest tail of `text` within `columns`.
fn tail(text: &str, columns: usize) -> &str {
    let (mut start, mut taken) = (text.len(), 0);
    for (at, ch) in text.char_indices().rev() {
        let wide = ch.width().unwrap_or(0);
        if taken + wide > columns {
            break;
        }
        taken += wide;
        start = at;
    }
    &text[start..]
}

/// `text` within `columns`; what is cut at the end is marked.
pub fn cut<'a>(text: &'a str, columns: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(width(ellipsis));
    if room == 0 {
        return Cow::Borrowed(head(text, columns).0);
    }
    Cow::Owned(format!("{}{ellipsis}", head(text, room).0))
}

/// `text` within `columns`, cut in the middle: names of contexts, nodes and pods differ at both ends.
pub fn cut_middle<'a>(text: &'a str, columns: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(width(ellipsis));
    if room < 2 {
        return Cow::Borrowed(head(text, columns).0);
    }
    let (front, taken) = head(text, room / 2);
    Cow::Owned(format!("{front}{ellipsis}{}", tail(text, room - taken)))
}

/// A line within `columns`; what is cut at the end is marked.
pub fn cut_line<'a>(line: Line<'a>, columns: usize, ellipsis: &str) -> Line<'a> {
    if line_width(&line) <= columns {
        return line;
    }
    let style = line.style;
    let mut left = columns;
    let mut spans = Vec::new();
    let last = line.spans.len().saturating_sub(1);
    for (at, span) in line.spans.into_iter().enumerate() {
        let wide = width(&span.content);
        // the mark needs a column, unless this was the last piece
        let fits = if at == last { wide <= left } else { wide < left };
        if fits {
            left -= wide;
            spans.push(span);
            continue;
        }
        let mut text = head(&span.content, left.saturating_sub(width(ellipsis))).0.to_owned();
        if left > 0 {
            text.push_str(ellipsis);
        }
        spans.push(Span::styled(text, span.style));
        break;
    }
    Line::from(spans).style(style)
}

/// Draws a line on the first row of `area`, cut to it.
pub fn put(buf: &mut Buffer, area: Rect, line: Line<'_>, ellipsis: &str) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    let line = cut_line(line, usize::from(area.width), ellipsis);
    // what was there leaves no style behind
    let end = area.x + columns(line_width(&line)).min(area.width);
    for x in area.x..end {
        if let Some(cell) = buf.cell_mut((x, area.y)) {
            cell.reset();
        }
    }
    buf.set_line(area.x, area.y, &line, area.width);
}

/// Draws a line at the right end of the first row of `area`, and gives the columns that it took.
pub fn put_right(buf: &mut Buffer, area: Rect, line: Line<'_>, ellipsis: &str) -> u16 {
    let line = cut_line(line, usize::from(area.width), ellipsis);
    let wide = columns(line_width(&line)).min(area.width);
    put(buf, Rect { x: area.right() - wide, width: wide, ..area }, line, ellipsis);
    wide
}

/// A count as terminal columns.
pub fn columns(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Breaks a text at blanks into lines of at most `columns`; a longer word is broken. At least one line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in text.split(' ') {
        let wide = width(word);
        let blank = usize::from(taken > 0);
        if taken + blank + wide <= columns {
            if let Some(line) = lines.last_mut() {
                line.extend(std::iter::repeat_n(' ', blank));
                line.push_str(word);
            }
            taken += blank + wide;
            continue;
        }
        let mut rest = word;
        loop {
            let (front, front_wide) = head(rest, columns);
            // a sign wider than the line: nothing can be shown of it
            if front.is_empty() {
                break;
            }
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(front),
                _ => lines.push(front.to_owned()),
            }
            taken = front_wide;
            rest = &rest[front.len()..];
            if rest.is_empty() {
                break;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(cut("control-plane", 13, "…"), "control-plane");
        assert_eq!(cut("control-plane", 8, "…"), "control…");
        assert_eq!(cut("日本語ノード", 6, "…"), "日本…");
        assert_eq!(cut("abc", 0, "…"), "");
        assert_eq!(cut("abc", 1, "…"), "a");
    }

    #[test]
    fn the_middle_goes_first() {
        assert_eq!(cut_middle("gke_acme-prod_europe-west1_cluster-7", 15, "…"), "gke_acm…uster-7");
        assert!(width(&cut_middle("gke_acme-prod_europe-west1_cluster-7", 15, "…")) <= 15);
        assert_eq!(cut_middle("abcdef", 2, "…"), "ab");
    }

    #[test]
    fn a_line_is_cut_across_its_pieces() {
        let line = || Line::from(vec![Span::raw("abc"), Span::raw("def"), Span::raw("ghi")]);
        for (columns, text) in
            [(9, "abcdefghi"), (8, "abcdefg…"), (6, "abcde…"), (3, "ab…"), (1, "…"), (0, "")]
        {
            assert_eq!(cut_line(line(), columns, "…").to_string(), text, "{columns}");
        }
    }

    #[test]
    fn words_are_kept_together_while_they_fit() {
        assert_eq!(wrap("evicts 14 pods, 2 wait", 10), ["evicts 14", "pods, 2", "wait"]);
        assert_eq!(wrap("a verylongnodename b", 6), ["a", "verylo", "ngnode", "name b"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
