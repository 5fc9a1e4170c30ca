//! The probes beside one run: its post, what it tells of them, and the alarm that it waits for.

use super::{Baselines, Post, Watchman};
use crate::domain::probe::{Moment, Reading};
use crate::domain::run::{RunChange, RunEvent};
use crate::engine::job::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often a run tells how its probes are doing.
const PACE: Duration = Duration::from_secs(1);

/// What a run has of the probes; dropped with it.
pub struct Beside {
    watchman: Watchman,
    alarms: watch::Receiver<Option<String>>,
    _post: Post,
    _stop: DropGuard,
}

impl Beside {
    /// Begins to ask and to tell; `None` = there is no probe.
    pub fn begin(shared: &Arc<Shared>, known: &Baselines) -> Option<Self> {
        let watchman = shared.backends.watchman.clone();
        if watchman.is_idle() {
            return None;
        }
        let post = watchman.stand(known);
        let stop = CancellationToken::new();
        // the run that this one is a part of tells of them
        if shared.plan.parent.is_none() {
            tokio::spawn(tell(shared.clone(), watchman.clone(), stop.clone()));
        }
        let alarms = watchman.alarms();
        Some(Self { watchman, alarms, _post: post, _stop: stop.drop_guard() })
    }

    /// Waits until the error budget becomes spent; says why.
    pub async fn alarm(&mut self) -> String {
        loop {
            if self.alarms.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(why) = self.alarms.borrow_and_update().clone() {
                return why;
            }
        }
    }

    /// Why the error budget is spent now.
    pub fn trouble(&self) -> Option<String> {
        self.watchman.trouble()
    }

    /// The probes' account at a moment.
    pub fn account(&self, moment: Moment) -> Vec<Reading> {
        match moment {
            Moment::End => self.watchman.account(),
            Moment::Baseline | Moment::Spent | Moment::Recovered => self.watchman.readings(),
        }
    }

    /// The watchman.
    pub fn watchman(&self) -> &Watchman {
        &self.watchman
    }
}

async fn tell(shared: Arc<Shared>, watchman: Watchman, stop: CancellationToken) {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let probes = watchman.readings();
        if probes != told {
            told.clone_from(&probes);
            shared.voice.pass(RunChange::Probed { probes });
        }
    }
}

/// The baselines that a run took before it was left.
pub fn baselines(events: &[RunEvent]) -> Baselines {
    let taken = events.iter().filter_map(|event| match &event.change {
        RunChange::Measured { moment: Moment::Baseline, probes } => Some(probes),
        _ => None,
    });
    let readings = taken.flatten();
    readings.filter_map(|reading| Some((reading.name.clone(), reading.baseline.clone()?))).collect()
}
