//! Where everything stands: the regions of the screen for a size, an open run and a focus.
//!
//! Things keep their place between sizes. From 120x30 four panes: nodes across the top, etcd and budgets beside each
//! other, the log across the bottom; an open run takes the left half at full height and the others stack at its right. From
//! 80x24 the same, narrower. The rollout gets the whole room while it has the focus: it answers a question of its own. Below
//! 80x24, one pane with tabs; below 60x15 only a sentence. While a run is open (or one waits) a line
//! of its own across the whole width, the call, says what is waited for.

use super::look::{first_row, split_bottom, split_left, split_top};
use crate::console::model::Pane;
use ratatui::layout::Rect;

/// The smallest size that anything but a sentence is drawn at.
pub const LEAST: (u16, u16) = (60, 15);

/// How the panes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Not enough room for anything.
    TooSmall,
    /// One pane, chosen by tabs.
    One,
    /// Two columns with a header of two lines.
    Two,
    /// Four panes and room for details.
    Four,
}

/// The arrangement for a size.
pub fn shape(area: Rect) -> Shape {
    match (area.width, area.height) {
        (width, height) if width < LEAST.0 || height < LEAST.1 => Shape::TooSmall,
        (120.., 30..) => Shape::Four,
        (80.., 24..) => Shape::Two,
        _ => Shape::One,
    }
}

/// What the layout has to know of the model.
#[derive(Debug, Clone, Copy)]
pub struct Wants {
    /// Rows of the nodes pane.
    pub nodes: usize,
    /// Rows of the etcd pane.
    pub members: usize,
    /// Rows of the budgets pane.
    pub budgets: usize,
    /// The run pane is open.
    pub run: bool,
    /// The line that says what is waited for is shown.
    pub call: bool,
    /// The header does not fit into one line.
    pub tall_header: bool,
    /// Which pane has the focus.
    pub focus: Pane,
}

/// The regions of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    /// One or two lines at the top.
    pub header: Rect,
    /// The line across the screen that says what is waited for.
    pub call: Option<Rect>,
    /// The tabs, where only one pane fits.
    pub tabs: Option<Rect>,
    /// Panes and their places, each with its title row.
    pub panes: Vec<(Pane, Rect)>,
    /// Vertical rules between columns.
    pub bars: Vec<Rect>,
    /// The last line.
    pub footer: Rect,
}

/// Computes the regions.
pub fn regions(area: Rect, wants: &Wants) -> Regions {
    let shape = shape(area);
    let header_height = if shape == Shape::Four && !wants.tall_header { 1 } else { 2 };
    let (header, rest) = split_top(area, header_height);
    let (body, footer) = split_bottom(rest, 1);
    let (call, body) = split_top(body, u16::from(wants.call));
    let call = wants.call.then_some(call);
    let mut regions = Regions { header, call, tabs: None, panes: Vec::new(), bars: Vec::new(), footer };
    match (shape, wants.run) {
        (Shape::TooSmall, _) => {}
        (Shape::One, _) => {
            let (tabs, pane) = first_row(body);
            regions.tabs = Some(tabs);
            let shown = if wants.focus == Pane::Run && !wants.run { Pane::Nodes } else { wants.focus };
            regions.panes.push((shown, pane));
        }
        (Shape::Two | Shape::Four, _) if wants.focus == Pane::Rollout => {
            regions.panes.push((Pane::Rollout, body));
        }
        (Shape::Two, _) if wants.focus == Pane::Budgets => wide_budgets(&mut regions, body, wants),
        (Shape::Two | Shape::Four, false) => grid(&mut regions, body, wants),
        (Shape::Two | Shape::Four, true) => beside_run(&mut regions, body, wants, shape),
    }
    regions
}

/// Rows for a pane with that many rows, its title and its heading, between bounds.
fn height(count: usize, least: u16, most: u16) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).saturating_add(2).clamp(least, most.max(least))
}

/// Nodes across the top, etcd and budgets beside each other, the log across the bottom.
fn grid(regions: &mut Regions, body: Rect, wants: &Wants) {
    let tall = body.height;
    // a blank row above a title lets the panes breathe where there is room
    let air = u16::from(tall >= 30);
    let (nodes, rest) = split_top(body, height(wants.nodes, 6, tall / 2) + air);
    let pair = height(wants.members.max(wants.budgets), 5, tall * 3 / 10) + air;
    let (pair, log) = split_top(rest, pair);
    let (etcd, right) = split_left(pair, body.width / 2 - 1);
    let (bar, budgets) = split_left(right, 3);
    let shorter = |area: Rect| Rect { height: area.height.saturating_sub(air), ..area };
    regions.bars.push(Rect { x: bar.x + 1, width: 1, ..shorter(bar) });
    regions.panes.extend([
        (Pane::Nodes, shorter(nodes)),
        (Pane::Etcd, shorter(etcd)),
        (Pane::Budgets, shorter(budgets)),
        (Pane::Log, log),
    ]);
}

/// With the focus, the budgets get the whole width where half of it is too little for their reasons: what is above
/// them is the run or the nodes.
fn wide_budgets(regions: &mut Regions, body: Rect, wants: &Wants) {
    let tall = body.height;
    let lower = height(wants.budgets, 6, tall * 3 / 5);
    if wants.run {
        let (rest, budgets) = split_bottom(body, lower);
        let (run, right) = split_left(rest, 45 + (body.width - 80) / 2);
        let (bar, nodes) = split_left(right, 3);
        regions.bars.push(Rect { x: bar.x + 1, width: 1, ..bar });
        regions.panes.extend([(Pane::Run, run), (Pane::Nodes, nodes), (Pane::Budgets, budgets)]);
        return;
    }
    let (nodes, rest) = split_top(body, height(wants.nodes, 5, tall * 2 / 5));
    regions.panes.push((Pane::Nodes, nodes));
    // the log gets what is left, where that shows a line or two
    let spare = rest.height.saturating_sub(lower);
    let (budgets, log) = split_bottom(rest, if spare >= 4 { spare } else { 0 });
    regions.panes.push((Pane::Budgets, budgets));
    if log.height >= 4 {
        regions.panes.push((Pane::Log, log));
    }
}

/// The run at the left at full height, the others stacked at its right.
fn beside_run(regions: &mut Regions, body: Rect, wants: &Wants, shape: Shape) {
    let columns =
        if shape == Shape::Four { (body.width * 11 / 20).max(66) } else { 45 + (body.width - 80) / 2 };
    let (run, right) = split_left(body, columns);
    let (bar, stack) = split_left(right, 3);
    regions.bars.push(Rect { x: bar.x + 1, width: 1, ..bar });
    regions.panes.push((Pane::Run, run));
    let tall = stack.height;
    let (nodes, rest) = split_top(stack, height(wants.nodes, 5, tall * 2 / 5));
    regions.panes.push((Pane::Nodes, nodes));
    // where three do not fit below the nodes, the budgets are shown in etcd's place while they have the focus
    if shape == Shape::Four {
        let (etcd, rest) = split_top(rest, height(wants.members, 4, tall / 5));
        let (budgets, log) = split_top(rest, height(wants.budgets, 5, tall / 4));
        regions.panes.extend([(Pane::Etcd, etcd), (Pane::Budgets, budgets), (Pane::Log, log)]);
    } else {
        let (second, count) = match wants.focus {
            Pane::Budgets => (Pane::Budgets, wants.budgets),
            _ => (Pane::Etcd, wants.members),
        };
        let (middle, log) = split_top(rest, height(count, 4, tall * 3 / 10));
        regions.panes.extend([(second, middle), (Pane::Log, log)]);
    }
}

#[cfg(test)]
mod tests {
    use super::Shape::{Four, One, TooSmall, Two};
    use super::*;
    use proptest::prelude::*;

    fn wants(run: bool, focus: Pane) -> Wants {
        Wants { nodes: 6, members: 3, budgets: 8, run, call: run, tall_header: false, focus }
    }

    fn at(width: u16, height: u16, run: bool) -> Regions {
        regions(Rect::new(0, 0, width, height), &wants(run, Pane::Nodes))
    }

    #[test]
    fn breakpoints() {
        let shapes =
            [(59, 40), (200, 14), (60, 15), (79, 50), (80, 23), (80, 24), (119, 40), (120, 29), (120, 30)]
                .map(|(width, height)| shape(Rect::new(0, 0, width, height)));
        assert_eq!(shapes, [TooSmall, TooSmall, One, One, One, Two, Two, Two, Four]);
    }

    #[test]
    fn sixteen_steps_fit_beside_the_others_at_80x24() {
        let regions = at(80, 24, true);
        let (_, run) = regions.panes.iter().find(|(pane, _)| *pane == Pane::Run).copied().unwrap();
        assert!(run.height > 16 && run.width >= 45, "{run:?}");
        let shown: Vec<Pane> = regions.panes.iter().map(|(pane, _)| *pane).collect();
        assert_eq!(shown, [Pane::Run, Pane::Nodes, Pane::Etcd, Pane::Log]);
        assert_eq!(regions.call.map(|call| call.width), Some(80));
    }

    #[test]
    fn all_five_are_visible_from_120x30() {
        assert_eq!(at(120, 30, true).panes.len(), 5);
        assert_eq!(at(120, 30, false).panes.len(), 4);
    }

    proptest! {
        #[test]
        fn regions_stay_on_the_screen_and_do_not_overlap(
            width in 0u16..260, height in 0u16..90, run: bool, call: bool, tall: bool, focus in 0usize..6,
            nodes in 0usize..600, members in 0usize..9, budgets in 0usize..90,
        ) {
            let area = Rect::new(0, 0, width, height);
            let wants = Wants { nodes, members, budgets, run, call, tall_header: tall, focus: Pane::ALL[focus] };
            let regions = regions(area, &wants);
            let mut all: Vec<Rect> = regions.panes.iter().map(|(_, place)| *place).collect();
            all.extend(regions.bars);
            all.extend(regions.call);
            all.extend(regions.tabs);
            all.extend([regions.header, regions.footer]);
            for (at, one) in all.iter().enumerate() {
                prop_assert_eq!(one.intersection(area), *one);
                for other in &all[at + 1..] {
                    prop_assert!(one.intersection(*other).is_empty(), "{:?} {:?}", one, other);
                }
            }
            if shape(area) != Shape::TooSmall {
                prop_assert!(regions.panes.iter().all(|(_, place)| place.height >= 2 && place.width >= 20));
            }
        }
    }
}
