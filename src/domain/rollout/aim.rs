//! What a roll makes of the nodes: named by hand, or read off what it has changed so far.

use super::Rollout;
use super::identity::{Change, Identity};
use super::track::Track;
use crate::domain::text::natural;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was named by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The kubelet version that every node shall have.
    pub to_version: Option<String>,
    /// When the roll began: nodes that were created or became Ready since then have had their turn.
    pub since: Option<Stamp>,
}

/// What every node is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "to")]
pub enum Aim {
    /// No node has had its turn, and nothing differs between nodes.
    #[default]
    Unknown,
    /// Of this kubelet version.
    Version(String),
    /// Of this OS image.
    Image(String),
    /// Of this kernel.
    Kernel(String),
    /// Another Node object.
    Replaced,
    /// Booted anew.
    Rebooted,
    /// Drained and put back: the turns so far changed nothing that the API shows.
    Turned,
}

impl Aim {
    /// `to v1.35.1`, `a reboot of each node`.
    pub fn words(&self) -> String {
        match self {
            Self::Unknown => "target not known yet".to_owned(),
            Self::Version(to) | Self::Image(to) => format!("to {to}"),
            Self::Kernel(to) => format!("to kernel {to}"),
            Self::Replaced => "new nodes".to_owned(),
            Self::Rebooted => "a reboot each".to_owned(),
            Self::Turned => "a drain each".to_owned(),
        }
    }

    /// Whether it says by itself which nodes are still to come. (That every node is to be rebooted is an assumption.)
    pub fn names_the_rest(&self) -> bool {
        matches!(self, Self::Version(_) | Self::Image(_) | Self::Kernel(_))
    }

    /// Reads it off the nodes.
    pub(super) fn of<'a>(
        wish: &Wish,
        tracks: impl Iterator<Item = &'a Track> + Clone,
        is_rolling: bool,
    ) -> Self {
        if let Some(version) = &wish.to_version {
            return Self::Version(version.clone());
        }
        let turned = tracks.clone().filter(|track| track.turns > 0 || track.just_ended);
        let made = |change: Change| {
            turned
                .clone()
                .filter(|track| track.changed.contains(&change))
                .max_by_key(|track| track.done_at)
                .map(|track| &track.now)
        };
        if let Some(now) = made(Change::Version) {
            return Self::Version(now.version.clone());
        }
        if let Some(now) = made(Change::Image) {
            return Self::Image(now.os_image.clone());
        }
        if let Some(now) = made(Change::Kernel) {
            return Self::Kernel(now.kernel.clone());
        }
        if made(Change::Node).is_some() {
            return Self::Replaced;
        }
        if made(Change::Boot).is_some() {
            return Self::Rebooted;
        }
        // what a turn changed that was under way at the first look, nobody has seen
        let has_turned = turned.clone().any(|track| !track.midway || track.turns > 1);
        match Self::by_difference(wish, tracks, is_rolling) {
            Self::Version(version) => Self::Version(version),
            _ if has_turned => Self::Turned,
            other => other,
        }
    }

    /// No turn was seen: what differs between nodes tells, the newest being what is wanted.
    fn by_difference<'a>(
        wish: &Wish,
        tracks: impl Iterator<Item = &'a Track> + Clone,
        is_rolling: bool,
    ) -> Self {
        let newest = |of: fn(&Identity) -> &str| {
            let all: BTreeSet<&str> =
                tracks.clone().map(|track| of(&track.now)).filter(|text| !text.is_empty()).collect();
            let newest = all.iter().max_by(|one, other| natural(one, other)).map(|text| (*text).to_owned());
            newest.filter(|_| all.len() > 1)
        };
        if let Some(version) = newest(|identity| &identity.version) {
            return Self::Version(version);
        }
        if wish.since.is_some() {
            return Self::Rebooted;
        }
        if !is_rolling {
            return Self::Unknown;
        }
        // pools may differ for ever in these, so they count only while somebody is at work
        if let Some(image) = newest(|identity| &identity.os_image) {
            return Self::Image(image);
        }
        newest(|identity| &identity.kernel).map_or(Self::Unknown, Self::Kernel)
    }

    /// Whether a node is as it is to be.
    pub(super) fn is_met(&self, track: &Track) -> bool {
        if track.marks.to_come.is_some() {
            return false;
        }
        let (start, now) = (&track.start, &track.now);
        let has = |change: Change| start.changes(now).contains(&change);
        let had_turn = track.had_turn || (track.midway && track.turns > 0);
        let is_new = has(Change::Node) || track.replaces.is_some();
        match self {
            Self::Version(to) => same_version(&now.version, to),
            // pools may be of several images: one that was changed has had its turn
            Self::Image(to) => now.os_image == *to || has(Change::Image),
            Self::Kernel(to) => now.kernel == *to || has(Change::Kernel),
            Self::Replaced => is_new || had_turn,
            Self::Rebooted => is_new || has(Change::Boot) || had_turn,
            Self::Turned | Self::Unknown => track.turns > 0 || track.had_turn,
        }
    }
}

impl Rollout {
    /// Whether it is known which nodes are still to come: the target says so, or its driver has marked them.
    pub fn names_the_rest(&self) -> bool {
        self.aim.names_the_rest()
            || self.is_listed
            || self.counted_nodes().any(|track| track.marks.to_come.is_some())
    }
}

/// Versions are the same with and without the leading `v`.
fn same_version(one: &str, other: &str) -> bool {
    one.trim_start_matches('v') == other.trim_start_matches('v')
}
