//! Keeps asking the probes beside runs, and says when they are worse than before.
//!
//! A [`Watchman`] is one for a cluster, shared by all runs of this process: whoever needs it calls
//! [`stand`](Watchman::stand) and holds the [`Post`]; the first one has the baseline taken, the others find it. A run
//! over many nodes holds a post for its whole length, so that its parts are judged by one baseline. When the last post
//! is dropped, nothing is asked any more.

mod beside;
mod keep;

pub use beside::{Beside, baselines};

use crate::backend::clock::now;
use crate::backend::dial::Dialer;
use crate::backend::kube::Cluster;
use crate::backend::probe::Asker;
use crate::domain::probe::{Digest, Meter, ProbeSpec, Reading, Target, Verdict, compare, named_apart};
use crate::domain::report::Report;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Baselines by the probes' names.
pub type Baselines = BTreeMap<String, Digest>;

/// The probes of a cluster; without any by default. Cheap to copy.
#[derive(Clone, Default)]
pub struct Watchman {
    room: Arc<Room>,
}

#[derive(Default)]
struct Room {
    probes: Vec<(ProbeSpec, Asker)>,
    state: Mutex<State>,
    /// Why the error budget is spent; `None` = it is not.
    alarm: watch::Sender<Option<String>>,
    /// How many baselines are taken.
    settled: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    meters: Vec<Meter>,
    post: Weak<Held>,
}

struct Held {
    _stop: DropGuard,
}

/// As long as one of these is held, the probes are asked.
#[derive(Clone)]
pub struct Post {
    _held: Arc<Held>,
}

impl fmt::Debug for Watchman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.room.probes.iter().map(|(spec, _)| &spec.name)).finish()
    }
}

impl Watchman {
    /// Over the network. Nothing is contacted yet.
    ///
    /// # Errors
    /// A probe's address is none, or certificate authorities cannot be read.
    pub fn new(specs: Vec<ProbeSpec>, cluster: &Cluster, dialer: &Dialer) -> Result<Self, Report> {
        let probes = specs.into_iter().map(|spec| {
            let asker = Asker::new(&spec, cluster, dialer)?;
            Ok((spec, asker))
        });
        Ok(Self::over(probes.collect::<Result<Vec<_>, Report>>()?))
    }

    /// With askers of one's own.
    pub fn over(probes: Vec<(ProbeSpec, Asker)>) -> Self {
        Self { room: Arc::new(Room { probes, ..Room::default() }) }
    }

    /// Whether there is no probe at all.
    pub fn is_idle(&self) -> bool {
        self.room.probes.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.room.probes.iter().map(|(spec, _)| spec.name.clone()).collect()
    }

    /// The addresses that were given by hand, as far as they may stand in a journal.
    pub fn by_hand(&self) -> Vec<String> {
        let given = self.room.probes.iter().filter(|(spec, _)| spec.is_by_hand);
        given.filter_map(|(spec, _)| spec.target.plain()).collect()
    }

    /// The same probes, and the ones at these addresses that are not among them: as an earlier process of a run was given them.
    /// An address that cannot be used any more is left out.
    #[must_use]
    pub fn with(&self, addresses: &[String], cluster: &Cluster, dialer: &Dialer) -> Self {
        let is_known = |target: &Target| self.room.probes.iter().any(|(spec, _)| spec.target == *target);
        let targets = addresses.iter().filter_map(|text| Target::parse(text).ok());
        let more: Vec<ProbeSpec> = targets.filter(|target| !is_known(target)).map(ProbeSpec::new).collect();
        if more.is_empty() {
            return self.clone();
        }
        let own = self.room.probes.iter().map(|(spec, _)| spec.clone());
        let all = named_apart(own.chain(more).collect());
        let askers = self.room.probes.iter().map(|(_, asker)| Some(asker.clone()));
        let probes =
            all.into_iter().zip(askers.chain(std::iter::repeat(None))).filter_map(|(spec, asker)| {
                let asker = asker.or_else(|| Asker::new(&spec, cluster, dialer).ok())?;
                Some((spec, asker))
            });
        Self::over(probes.collect())
    }

    /// Asks the probes from now on, beginning with the baseline, unless that is done already. `known` = baselines that
    /// were taken earlier for the same run: these are not taken again.
    pub fn stand(&self, known: &Baselines) -> Post {
        let mut state = self.room.state();
        if let Some(held) = state.post.upgrade() {
            return Post { _held: held };
        }
        state.meters = self.room.probes.iter().map(|(spec, _)| Meter::new(spec.clone())).collect();
        for meter in &mut state.meters {
            if let Some(baseline) = known.get(&meter.spec().name) {
                meter.based_on(baseline.clone());
            }
        }
        let settled = state.meters.iter().filter(|meter| meter.baseline().is_some()).count();
        self.room.settled.send_replace(settled);
        self.room.alarm.send_replace(None);
        let stop = CancellationToken::new();
        for (at, (spec, asker)) in self.room.probes.iter().enumerate() {
            tokio::spawn(keep::keep(self.room.clone(), at, spec.clone(), asker.clone(), stop.clone()));
        }
        let held = Arc::new(Held { _stop: stop.drop_guard() });
        state.post = Arc::downgrade(&held);
        Post { _held: held }
    }

    /// Waits until every baseline is taken; that takes some seconds at most.
    pub async fn measured(&self) {
        let mut settled = self.room.settled.subscribe();
        let all = self.room.probes.len();
        // the sender lives as long as the room
        let _ = settled.wait_for(|count| *count >= all).await;
    }

    /// How the probes are doing now, in the order in which they are configured.
    pub fn readings(&self) -> Vec<Reading> {
        let now = now();
        self.room.state().meters.iter_mut().map(|meter| meter.reading(now)).collect()
    }

    /// How they did since the baseline.
    pub fn account(&self) -> Vec<Reading> {
        let now = now();
        self.room.state().meters.iter().map(|meter| meter.account(now)).collect()
    }

    /// Why the error budget is spent now, in one sentence; `None` = it is not.
    pub fn trouble(&self) -> Option<String> {
        self.room.alarm.borrow().clone()
    }

    /// Tells when the error budget is spent, and when it is not any more.
    pub fn alarms(&self) -> watch::Receiver<Option<String>> {
        self.room.alarm.subscribe()
    }

    /// Probes that failed before anything was touched, in a sentence: there is nothing to hold them against.
    pub fn unfit(&self) -> Option<String> {
        let state = self.room.state();
        let words = state.meters.iter().filter_map(|meter| {
            let baseline = meter.baseline().filter(|baseline| compare::is_unfit(baseline))?;
            Some(format!("probe {} fails already: {}", meter.spec().name, compare::figures(baseline)))
        });
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

impl Room {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges anew, and tells when the judgement is another one.
    fn judge(&self) {
        let now = now();
        let spent: Vec<String> = self
            .state()
            .meters
            .iter_mut()
            .map(|meter| meter.reading(now))
            .filter(|reading| reading.verdict == Verdict::Spent)
            .map(|reading| reading.line())
            .collect();
        let why = (!spent.is_empty()).then(|| spent.join("; "));
        self.alarm.send_if_modified(|known| {
            let is_news = known.is_some() != why.is_some();
            *known = why;
            is_news
        });
    }
}

#[cfg(test)]
mod tests;
