//! A list in a pane: what is selected (by key, so that it stays when rows move), filtered, sorted and marked.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;

/// What a list is sorted by. Which ones a pane offers: [`columns`](super::rows::columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Name (budgets: namespace/name; the log: time).
    Name,
    /// Worst state first.
    State,
    /// Control planes first.
    Roles,
    /// Number of pods.
    Pods,
    /// Kubelet or etcd version.
    Version,
    /// Youngest first.
    Age,
    /// Latest boot first.
    Boot,
    /// Entries behind.
    Lag,
    /// Size of the database.
    Size,
    /// Time to answer.
    Latency,
    /// Disruptions allowed.
    Allowed,
}

impl Column {
    /// The word in headings and in `:sort`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Roles => "roles",
            Self::Pods => "pods",
            Self::Version => "version",
            Self::Age => "age",
            Self::Boot => "boot",
            Self::Lag => "lag",
            Self::Size => "size",
            Self::Latency => "latency",
            Self::Allowed => "allowed",
        }
    }
}

/// One list's state. Keys are of the rows in the pane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListState<K: Ord> {
    /// The selected row; `None` = the first one, in the log = follow the end.
    pub selected: Option<K>,
    /// Where the selected row was when it was last moved to: if it goes away, the row that is there now is selected.
    pub place: usize,
    /// Filter as typed; empty = all rows.
    pub filter: String,
    /// Sorted by.
    pub sort: Column,
    /// Last first.
    pub descending: bool,
    /// Rows marked with Space.
    pub marked: BTreeSet<K>,
}

impl<K: Ord> Default for ListState<K> {
    fn default() -> Self {
        Self {
            selected: None,
            place: 0,
            filter: String::new(),
            sort: Column::Name,
            descending: false,
            marked: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> ListState<K> {
    /// The place of the selected row among the visible keys; the nearest one when it has gone; `None` without rows.
    pub fn position(&self, keys: &[K]) -> Option<usize> {
        let last = keys.len().checked_sub(1)?;
        let Some(selected) = &self.selected else { return Some(0) };
        Some(keys.iter().position(|key| key == selected).unwrap_or_else(|| self.place.min(last)))
    }

    /// The key of the selected row.
    pub fn current<'k>(&self, keys: &'k [K]) -> Option<&'k K> {
        keys.get(self.position(keys)?)
    }

    /// Selects the row at a place.
    pub fn select(&mut self, keys: &[K], place: usize) {
        if let Some(last) = keys.len().checked_sub(1) {
            self.place = place.min(last);
            self.selected = keys.get(self.place).cloned();
        }
    }

    /// Moves the selection by rows, down when positive.
    pub fn step(&mut self, keys: &[K], by: isize) {
        if let Some(place) = self.position(keys) {
            self.select(keys, place.saturating_add_signed(by));
        }
    }

    /// Marks a row, or takes the mark away.
    pub fn toggle_mark(&mut self, key: K) {
        if !self.marked.remove(&key) {
            self.marked.insert(key);
        }
    }
}

/// Which of `len` rows to draw in `height` lines: the selected one is kept in the middle as far as the ends allow;
/// without a selection the last rows (a log that follows).
pub fn window(selected: Option<usize>, len: usize, height: usize) -> Range<usize> {
    let spare = len.saturating_sub(height);
    let start = selected.map_or(spare, |place| place.saturating_sub(height / 2).min(spare));
    start..len.min(start + height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_keeps_the_selected_row_inside_and_stays_full() {
        assert_eq!(window(Some(0), 100, 10), 0..10);
        assert_eq!(window(Some(50), 100, 10), 45..55);
        assert_eq!(window(Some(99), 100, 10), 90..100);
        assert_eq!(window(None, 100, 10), 90..100);
        assert_eq!(window(Some(2), 3, 10), 0..3);
        assert_eq!(window(Some(0), 0, 10), 0..0);
        assert_eq!(window(Some(5), 10, 0), 5..5);
    }

    #[test]
    fn a_vanished_row_hands_its_selection_to_the_one_in_its_place() {
        let mut list = ListState::default();
        list.select(&["a", "b", "c"], 1);
        assert_eq!(list.current(&["x", "a", "b", "c"]), Some(&"b"), "it follows its key");
        assert_eq!(list.current(&["a", "c"]), Some(&"c"));
        assert_eq!(list.current(&["a"]), Some(&"a"));
        assert_eq!(list.current(&[]), None);
    }

    #[test]
    fn steps_stop_at_the_ends() {
        let mut list = ListState::default();
        list.step(&[1, 2, 3], -5);
        assert_eq!(list.selected, Some(1));
        list.step(&[1, 2, 3], 50);
        assert_eq!(list.selected, Some(3));
    }
}
