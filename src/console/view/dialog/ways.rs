//! Why a budget blocks, and the ways out, the safest first.

use super::sheet::{Sheet, room};
use crate::console::dialog::Ways;
use crate::console::model::Model;
use crate::console::rows::block_note;
use crate::console::view::look::Look;
use crate::console::view::text::{cut, width, wrap};
use crate::console::view::theme::Tone;
use crate::domain::remedy::{Analysis, Offer, Waiting};
use crate::domain::time::brief;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// How many lines of evidence are shown.
const EVIDENCE: usize = 5;

/// Draws the page.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, shown: &Ways) {
    let room = room(area, 110);
    let mut body = Vec::new();
    let mut at_line = 0;
    match model.analyses.get(&shown.budget) {
        None => {
            let known = model.known.budgets.get(&shown.budget);
            let note = known.and_then(|row| block_note(model, row)).unwrap_or_default();
            body.extend(said(look, Tone::Text, &note, room));
            body.push(look.line(Tone::Busy, "looking into its pods, their owners and the nodes"));
        }
        Some(Err(report)) => body.extend(said(look, Tone::Bad, &report.line(), room)),
        Some(Ok(analysis)) => {
            body.extend(why(look, analysis, room));
            at_line = body.len() + shown.at;
            for (number, offer) in analysis.offers.iter().enumerate() {
                body.push(way(look, offer, number, number == shown.at, room));
            }
            body.extend(chosen(look, analysis.offers.get(shown.at), room));
            for note in &analysis.notes {
                body.extend(said(look, Tone::Muted, &format!("note: {note}"), room));
            }
            let age = brief(model.now.since(analysis.at));
            body.push(look.line(Tone::Muted, format!("as of {age} ago")));
        }
    }
    let keys = if room >= 70 {
        "1-9 or j k and Enter: ask about a way, or explain it · Tab next block · Esc closes"
    } else {
        "1-9 or Enter: ask about a way · Esc closes"
    };
    let bottom = vec![look.line(Tone::Muted, keys)];
    // the chosen way stays in sight
    let tall = usize::from(area.height).saturating_sub(6).max(1);
    let scroll = shown.scroll.max((at_line + 2).saturating_sub(tall));
    let title = format!("{}: why it blocks, and the ways out", shown.budget);
    Sheet { title, tone: Tone::Accent, body, asks: false, scroll: Some(scroll), bottom, room }
        .draw(look, buf, area);
}

fn said<'a>(look: &Look, tone: Tone, text: &str, room: usize) -> Vec<Line<'a>> {
    wrap(text, room).into_iter().map(|part| look.line(tone, part)).collect()
}

/// The classes with their evidence, and what is to move.
fn why<'a>(look: &Look, analysis: &Analysis, room: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    if analysis.findings.is_empty() {
        lines.extend(said(look, Tone::Good, &analysis.summary, room));
    }
    let mut left = EVIDENCE;
    for finding in &analysis.findings {
        let tone = if finding.waiting == Waiting::Never { Tone::Bad } else { Tone::Warn };
        let head = format!("{} {}: {}", finding.class.code(), finding.class.name(), finding.waiting);
        lines.push(look.line(tone, cut(&head, room, look.glyphs.ellipsis).into_owned()));
        for words in finding.evidence.iter().take(left.min(2)) {
            let words = format!("   {words}");
            lines.push(look.line(Tone::Text, cut(&words, room, look.glyphs.ellipsis).into_owned()));
            left = left.saturating_sub(1);
        }
    }
    if let Some(first) = analysis.targets.first() {
        let more = match analysis.targets.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        let words = format!("to move: {} on {}{more}", first.pod, first.node);
        lines.push(look.line(Tone::Muted, cut(&words, room, look.glyphs.ellipsis).into_owned()));
    }
    lines
}

/// `▸ 2 surge +1         none: there is one pod more …`; a way that cannot be taken is dimmed and says why.
fn way<'a>(look: &Look, offer: &Offer, number: usize, is_chosen: bool, room: usize) -> Line<'a> {
    let key = if number < 9 { (number + 1).to_string() } else { " ".to_owned() };
    let cursor = if is_chosen { look.glyphs.selected } else { " " };
    let size = offer.surge.map(|delta| format!(" +{delta}")).unwrap_or_default();
    let name = format!("{}{size}", offer.remedy);
    let (tone, words) = match (offer.remedy.is_carried_out(), offer.missing()) {
        (false, _) => (Tone::Muted, format!("explained only: {}", offer.title)),
        (true, Some(missing)) => {
            let why = if missing.why.is_empty() { &missing.what } else { &missing.why };
            (Tone::Muted, format!("not now: {why}"))
        }
        (true, None) => (Tone::Text, offer.title.clone()),
    };
    let head = format!("{cursor} {key} {name:<17}");
    let rest = room.saturating_sub(width(&head) + 1);
    let head_tone = if is_chosen { Tone::Strong } else { tone };
    Line::from(vec![
        look.say(head_tone, head),
        Span::raw(" "),
        look.say(tone, cut(&words, rest, look.glyphs.ellipsis).into_owned()),
    ])
}

/// What the chosen way costs and puts back.
fn chosen<'a>(look: &Look, offer: Option<&Offer>, room: usize) -> Vec<Line<'a>> {
    let Some(offer) = offer else { return Vec::new() };
    let mut lines = vec![Line::default()];
    lines.extend(said(look, Tone::Text, &format!("effect: {}", offer.effect), room));
    lines.extend(said(look, Tone::Text, &format!("puts back: {}", offer.restores), room));
    let unknown = offer.conditions.iter().filter(|one| one.met == crate::domain::remedy::Met::Unknown);
    for condition in unknown {
        let words = format!("not known: {}: {}", condition.what, condition.why);
        lines.extend(said(look, Tone::Warn, &words, room));
    }
    lines
}
