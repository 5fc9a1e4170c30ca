//! Pods of the whole cluster by state: what a roll left behind is seen by comparing before and now.

use crate::domain::feed::Table;
use crate::domain::pod::{Phase, PodRow};
use serde::{Deserialize, Serialize};

/// So many pods in trouble are named.
const NAMED: usize = 5;

/// Pods by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Running and Ready.
    pub running: u64,
    /// Running and not Ready.
    pub not_ready: u64,
    /// Pending: not placed, or not started.
    pub pending: u64,
    /// Failed.
    pub failed: u64,
    /// In an unknown phase.
    pub unknown: u64,
    /// Being deleted (they are counted in no other state).
    pub leaving: u64,
    /// Restarts of all containers of all pods.
    pub restarts: u64,
    /// Pods that are Pending, failed, or wait for a reason (`CrashLoopBackOff`): the first few, with the reason.
    pub troubled: Vec<String>,
}

impl Tally {
    /// Counts.
    pub fn of(pods: &Table<PodRow>) -> Self {
        let mut tally = Self::default();
        for pod in pods.values() {
            tally.restarts += u64::from(pod.restarts);
            if pod.deleting.is_some() {
                tally.leaving += 1;
                continue;
            }
            let state = match pod.phase {
                Phase::Running if pod.ready => &mut tally.running,
                Phase::Running => &mut tally.not_ready,
                Phase::Pending => &mut tally.pending,
                Phase::Failed => &mut tally.failed,
                Phase::Unknown => &mut tally.unknown,
                Phase::Succeeded => continue,
            };
            *state += 1;
            let is_waiting = pod.waiting.is_some() && !pod.ready;
            if tally.troubled.len() < NAMED && (is_waiting || matches!(pod.phase, Phase::Failed)) {
                let why = pod.waiting.as_deref().unwrap_or("failed");
                tally.troubled.push(format!("{} ({why})", pod.key));
            }
        }
        tally
    }

    /// `Running 40 → 38, Pending 0 → 2, restarts 3 → 5`: what differs, and always these three.
    pub fn words(&self, now: &Self) -> String {
        let all = [
            ("Running", self.running, now.running, true),
            ("not Ready", self.not_ready, now.not_ready, false),
            ("Pending", self.pending, now.pending, true),
            ("failed", self.failed, now.failed, false),
            ("unknown", self.unknown, now.unknown, false),
            ("leaving", self.leaving, now.leaving, false),
            ("restarts", self.restarts, now.restarts, true),
        ];
        let shown = all.iter().filter(|(_, before, after, always)| *always || before != after);
        let words = shown.map(|(word, before, after, _)| {
            if before == after { format!("{word} {after}") } else { format!("{word} {before} → {after}") }
        });
        words.collect::<Vec<_>>().join(", ")
    }
}
