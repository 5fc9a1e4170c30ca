//! A frame as an SVG picture: one `<text>` for each run of equal cells, stretched to its columns.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;

/// Size of a cell in units of the picture.
const CELL: (u16, u16) = (9, 19);
/// Blank around the screen, and the height of the bar above it.
const MARGIN: u16 = 18;
const BAR: u16 = 30;
const PAPER: &str = "#12161c";
const INK: &str = "#d3d7de";

/// The picture.
pub fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (buffer.area.width, buffer.area.height);
    let (wide, tall) = (columns * CELL.0 + 2 * MARGIN, lines * CELL.1 + MARGIN + BAR + 10);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {tall}\" width=\"{wide}\" height=\"{tall}\">\n\
         <style>text{{font:15px 'JetBrains Mono','DejaVu Sans Mono',Menlo,Consolas,monospace}}.b{{font-weight:700}}</style>\n<g fill=\"{INK}\">\n\
         <rect width=\"{wide}\" height=\"{tall}\" rx=\"10\" fill=\"{PAPER}\"/>\n"
    );
    for (at, colour) in ["#3a424e"; 3].iter().enumerate() {
        writeln!(out, "<circle cx=\"{}\" cy=\"16\" r=\"5\" fill=\"{colour}\"/>", 22 + at * 18).unwrap();
    }
    for y in 0..lines {
        let mut x = 0;
        while x < columns {
            let start = x;
            let mut text = String::new();
            while x < columns && same(buffer, start, x, y) {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            run(&mut out, buffer, (start, x, y), &text);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn same(buffer: &Buffer, a: u16, b: u16, y: u16) -> bool {
    let (a, b) = (&buffer[(a, y)], &buffer[(b, y)]);
    (a.fg, a.bg, a.modifier) == (b.fg, b.bg, b.modifier)
}

/// Paper and ink of a run of cells.
fn run(out: &mut String, buffer: &Buffer, (start, end, y): (u16, u16, u16), text: &str) {
    let cell = &buffer[(start, y)];
    let (mut ink, mut paper) = (colour(cell.fg, INK), colour(cell.bg, PAPER));
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ink, &mut paper);
    }
    let (left, top) = (MARGIN + start * CELL.0, BAR + y * CELL.1);
    let wide = (end - start) * CELL.0;
    if paper != PAPER {
        writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{}\" fill=\"{paper}\"/>",
            CELL.1
        )
        .unwrap();
    }
    // pieces between wide gaps stand for themselves: blanks in a picture are not of equal width everywhere
    let mut at = 0;
    for piece in text.split_inclusive("  ") {
        let shown = piece.trim();
        if !shown.is_empty() {
            let before = columns(&piece[..piece.len() - piece.trim_start().len()]);
            let bold = if cell.modifier.contains(Modifier::BOLD) { " class=\"b\"" } else { "" };
            let fill = if ink == INK { String::new() } else { format!(" fill=\"{ink}\"") };
            let escaped = shown.replace('&', "&amp;").replace('<', "&lt;");
            writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" textLength=\"{}\"{bold}{fill}>{escaped}</text>",
                left + (at + before) * CELL.0,
                top + 14,
                columns(shown) * CELL.0
            )
            .unwrap();
        }
        at += columns(piece);
    }
}

fn columns(text: &str) -> u16 {
    u16::try_from(unicode_width::UnicodeWidthStr::width(text)).unwrap()
}

/// A colour of the 256-colour cube as `#rrggbb`.
fn colour(colour: Color, default: &str) -> String {
    let Color::Indexed(index) = colour else { return default.to_owned() };
    let (red, green, blue) = match index {
        16..=231 => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let cube = index - 16;
            (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
        _ => return default.to_owned(),
    };
    format!("#{red:02x}{green:02x}{blue:02x}")
}
