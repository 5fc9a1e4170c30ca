//! Probes in one line each: how they are doing, the last minute in bars, and the judgement in words. The worst comes first.

use super::look::Look;
use super::text::{columns, cut, width};
use super::theme::Tone;
use crate::domain::probe::{Bar, Shown, Verdict};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Columns of the longest name.
const NAME: usize = 20;
/// Columns of the bars where there is little room.
const LEAST_BARS: usize = 5;
/// Columns of the bars where there is much room.
const MOST_BARS: usize = 40;
/// The bars reach their full height at so many times the baseline's 95th percentile, or at the slowest answer.
const FULL: u64 = 4;

/// Rows that the probes take of an area so tall.
pub fn rows(probes: &[Shown], tall: usize) -> u16 {
    let most = match tall {
        ..8 => 0,
        8..20 => 1,
        20..32 => 2,
        _ => 4,
    };
    columns(probes.len().min(most))
}

/// Draws as many as fit.
pub fn draw(look: &Look, buf: &mut Buffer, area: Rect, probes: &[Shown]) {
    let mut order: Vec<&Shown> = probes.iter().collect();
    order.sort_by_key(|shown| std::cmp::Reverse(shown.reading.verdict.urgency()));
    let room = usize::from(area.width);
    let name = order.iter().map(|shown| width(&shown.reading.name)).max().unwrap_or(0).min(NAME);
    let lines = order.iter().map(|shown| line(look, shown, name, room));
    look.put_all(buf, area, lines);
    let hidden = order.len().saturating_sub(usize::from(area.height));
    if hidden > 0 && area.height > 0 {
        let last = Rect { y: area.bottom() - 1, height: 1, ..area };
        look.put_right(buf, last, look.line(Tone::Muted, format!(" +{hidden}")));
    }
}

/// Sign and tone of a judgement.
pub fn sign(look: &Look, verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::AsBaseline => (look.glyphs.good, Tone::Good),
        Verdict::Measuring | Verdict::Early => (look.glyphs.pending, Tone::Muted),
        Verdict::Slower | Verdict::Failing => (look.glyphs.warn, Tone::Warn),
        Verdict::FailedBefore => (look.glyphs.unknown, Tone::Unknown),
        Verdict::Spent => (look.glyphs.bad, Tone::Bad),
    }
}

fn line<'a>(look: &Look, shown: &Shown, name: usize, room: usize) -> Line<'a> {
    let (glyph, tone) = sign(look, shown.reading.verdict);
    let label = cut(&shown.reading.name, name, look.glyphs.ellipsis).into_owned();
    let padding = " ".repeat(name.saturating_sub(width(&label)));
    let mut spans = vec![look.say(tone, glyph), look.say(Tone::Strong, format!(" {label}{padding} "))];
    // the words come first: the bars take what they leave
    let left = room.saturating_sub(name + 4 + width(&shown.reading.words));
    spans.extend(bars(look, shown, left.clamp(LEAST_BARS, MOST_BARS)));
    spans.push(
        look.say(if tone == Tone::Good { Tone::Text } else { tone }, format!(" {}", shown.reading.words)),
    );
    Line::from(spans)
}

/// The last bars: as high as the slowest answer, a cross where something failed.
fn bars<'a>(look: &Look, shown: &Shown, room: usize) -> Vec<Span<'a>> {
    let skip = shown.bars.len().saturating_sub(room);
    let bars = &shown.bars[skip..];
    let usual = shown.reading.baseline.as_ref().and_then(|baseline| baseline.p95_us).unwrap_or(0);
    let slowest = bars.iter().filter_map(|bar| bar.slowest_us).max().unwrap_or(0);
    let full = (usual * FULL).max(slowest).max(1);
    bars.iter().map(|bar| one(look, *bar, full)).collect()
}

fn one<'a>(look: &Look, bar: Bar, full: u64) -> Span<'a> {
    let levels = look.glyphs.spark;
    if bar.failed > 0 {
        return look.say(Tone::Bad, look.glyphs.bad);
    }
    let height = bar.slowest_us.unwrap_or(0).min(full) * (levels.len() as u64 - 1) / full;
    look.say(Tone::Accent, levels[usize::try_from(height).unwrap_or(0)])
}
