//! The probes beside a watch: asked as long as it lasts, told when they are judged otherwise, and at its end.

use super::Line;
use crate::domain::probe::{Moment, Reading};
use crate::domain::report::Report;
use crate::domain::time::Stamp;
use crate::engine::probe::{Baselines, Post, Watchman};
use crate::headless::watched::{Teller, measured};
use crate::headless::{Format, json, line};
use serde::Serialize;
use std::time::Duration;

/// They are looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What a watch has of the probes.
pub(super) struct Probes {
    watchman: Watchman,
    _post: Post,
    teller: Teller,
    has_baseline: bool,
    looked: Stamp,
}

#[derive(Serialize)]
struct Told<'a> {
    moment: &'a str,
    probes: &'a [Reading],
}

impl Probes {
    /// Begins to ask, with a baseline of now; `None` = there is no probe.
    pub(super) fn begin(watchman: &Watchman) -> Option<Self> {
        if watchman.is_idle() {
            return None;
        }
        let post = watchman.stand(&Baselines::new());
        let watchman = watchman.clone();
        Some(Self { watchman, _post: post, teller: Teller::default(), has_baseline: false, looked: Stamp(0) })
    }

    /// Tells what is news.
    ///
    /// # Errors
    /// Nobody reads what is written any more.
    pub(super) fn look(&mut self, at: Stamp, format: Format) -> Result<(), Report> {
        if at.since(self.looked) < LOOK {
            return Ok(());
        }
        self.looked = at;
        let probes = self.watchman.readings();
        if !self.has_baseline && probes.iter().all(|probe| probe.baseline.is_some()) {
            self.has_baseline = true;
            return tell(at, format, Moment::Baseline, "baseline", &probes);
        }
        let lines = self.teller.probed(at, &probes);
        match format {
            Format::Text => lines.iter().try_for_each(|text| line(text)),
            Format::Json if !lines.is_empty() || self.teller.is_due(at) => now(at, "now", &probes),
            Format::Json => Ok(()),
        }
    }

    /// How they did since the baseline.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(super) fn end(&self, at: Stamp, format: Format) -> Result<(), Report> {
        tell(at, format, Moment::End, "end", &self.watchman.account())
    }
}

fn tell(at: Stamp, format: Format, moment: Moment, name: &str, probes: &[Reading]) -> Result<(), Report> {
    match format {
        Format::Text => measured(at, moment, probes).iter().try_for_each(|text| line(text)),
        Format::Json => now(at, name, probes),
    }
}

fn now(at: Stamp, moment: &str, probes: &[Reading]) -> Result<(), Report> {
    json(&Line { event: "probes", at, rest: &Told { moment, probes } })
}
