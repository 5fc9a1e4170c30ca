//! The board of one node: every pod that has to go, what it waits for, and what the answers mean. Pure but for instants.

use super::answer::{Next, ask, at_budget, clear, complaint, is_final, next, settle};
use super::entry::{Entry, Host, State};
use super::ledger::{Ledger, Turn, Wait};
use super::reserved::Reserved;
use super::successor::{Gone, Successors};
use crate::backend::clock::now as wall;
use crate::backend::error::Error;
use crate::backend::kube::Eviction;
use crate::domain::config::DrainOptions;
use crate::domain::drain::{Class, classify};
use crate::domain::feed::Delta;
use crate::domain::ids::{BudgetKey, NodeName, PodKey};
use crate::domain::pod::PodRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::text::count;
use crate::domain::wave::{Admission, Wave};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Pods that only wait hold the next wave back no longer than this.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether DaemonSets exist, by namespace and name.
pub(super) type Daemonsets = BTreeMap<(String, String), bool>;

/// What an answer means for the drain.
#[derive(Debug)]
pub(super) enum Answer {
    GoOn,
    /// Nothing more is sent before that time.
    Quiet(Instant),
    Stop(Report),
}

/// A line for the log; `true` = a warning.
pub(super) type News = (String, bool);

/// The board.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) node: NodeName,
    options: DrainOptions,
    pub(super) host: Host,
    pub(super) pods: BTreeMap<PodKey, Entry>,
    is_listed: bool,
    /// Names and owners of pods that were here, so that one that comes back is known.
    names: BTreeSet<(String, String)>,
    owners: BTreeSet<String>,
    /// Pods that are left alone although they are here, and why.
    strangers: BTreeMap<PodKey, String>,
    /// Pods that stay by the engineer's word.
    excused: BTreeSet<PodKey>,
    /// Evictions on their way, each on the account of a budget: an answer settles it, also when the pod has vanished before.
    sent: BTreeMap<PodKey, BudgetKey>,
    /// Pods (uid) that an earlier attempt moved, and that are not here any more.
    earlier: BTreeSet<String>,
    /// Pods (uid) that were let go, or went, since that was last asked.
    fresh: Vec<String>,
    pub(super) gone: Vec<Gone>,
    /// How long the pods that went took to stop.
    pub(super) stops: Vec<Duration>,
    /// The open wave, and when it last made progress.
    wave: Option<(Wave, Instant)>,
    /// Which pods serve admission webhooks: set before the first pod is seen.
    pub(super) admission: Admission,
    news: Vec<News>,
}

fn exists(row: &PodRow, daemonsets: &Daemonsets) -> bool {
    let Some(owner) = row.owner.as_ref().filter(|_| row.is_daemon()) else { return true };
    daemonsets.get(&(row.key.namespace.clone(), owner.name.clone())).copied().unwrap_or(true)
}

fn excused() -> Class {
    Class::Skip(vec!["left by the engineer's word".to_owned()])
}

impl Board {
    /// An empty board; `earlier` = pods (uid) that an earlier attempt moved.
    pub(super) fn new(node: NodeName, options: DrainOptions, earlier: BTreeSet<String>) -> Self {
        Self {
            host: Host { name: node.0.clone(), ..Host::default() },
            node,
            options,
            pods: BTreeMap::new(),
            is_listed: false,
            names: BTreeSet::new(),
            owners: BTreeSet::new(),
            strangers: BTreeMap::new(),
            excused: BTreeSet::new(),
            sent: BTreeMap::new(),
            earlier,
            fresh: Vec::new(),
            gone: Vec::new(),
            stops: Vec::new(),
            wave: None,
            admission: Admission::default(),
            news: Vec::new(),
        }
    }

    /// Whether its pods have been listed once.
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// What is done to a pod.
    pub(super) fn verb(&self) -> &'static str {
        if self.options.disable_eviction { "delete" } else { "evict" }
    }

    /// Pods changed, here or elsewhere; only those of this node count.
    pub(super) fn pods_changed(&mut self, delta: &Delta<PodRow>, daemonsets: &Daemonsets, now: Instant) {
        match delta {
            Delta::Reset(rows) => {
                let here: BTreeMap<&PodKey, &PodRow> = rows
                    .iter()
                    .filter(|row| row.node.as_ref() == Some(&self.node))
                    .map(|row| (&row.key, row))
                    .collect();
                let known = self.pods.keys().chain(self.strangers.keys());
                let missing: Vec<PodKey> = known.filter(|key| !here.contains_key(key)).cloned().collect();
                for key in &missing {
                    self.vanished(key, now);
                }
                for row in here.into_values() {
                    self.seen(row, daemonsets, now);
                }
                self.is_listed = true;
            }
            Delta::Upsert(row) if row.node.as_ref() == Some(&self.node) => self.seen(row, daemonsets, now),
            Delta::Upsert(_) => {}
            Delta::Remove(row) => self.vanished(&row.key, now),
        }
    }

    fn seen(&mut self, row: &PodRow, daemonsets: &Daemonsets, now: Instant) {
        let class = if self.excused.contains(&row.key) && row.deleting.is_none() {
            excused()
        } else {
            classify(row, &self.options, exists(row, daemonsets), wall())
        };
        if let Some(entry) = self.pods.get_mut(&row.key) {
            if row.deleting.is_some() && !matches!(entry.state, State::Sent | State::Going(_)) {
                entry.state = State::Going(now);
            }
            entry.row = row.clone();
            entry.class = class;
            return;
        }
        if self.strangers.contains_key(&row.key) {
            return;
        }
        if self.is_listed && !matches!(class, Class::Skip(_)) {
            if let Some(why) = self.stranger(row, &class) {
                self.news.push((format!("{} {why}", row.key), true));
                self.strangers.insert(row.key.clone(), why);
                return;
            }
            self.news.push((format!("{} came to {} after the drain began", row.key, self.node), false));
        }
        if !matches!(class, Class::Skip(_)) {
            self.names.insert((row.key.namespace.clone(), row.key.name.clone()));
            self.owners.extend(row.owner.as_ref().map(|owner| owner.uid.clone()));
        }
        let wave = Wave::of(row, &self.admission);
        self.pods.insert(row.key.clone(), Entry::new(row.clone(), class, wave, now));
    }

    /// Why a pod that came after the drain began is left alone. A pod that was moved and came back would be moved for
    /// ever; one of another uid is another pod, which nobody has decided about.
    fn stranger(&self, row: &PodRow, class: &Class) -> Option<String> {
        let node = &self.node;
        if self.names.contains(&(row.key.namespace.clone(), row.key.name.clone())) {
            return Some(format!("came back on {node} as another pod (new uid): it is not touched"));
        }
        if row.tolerates_cordon && row.owner.as_ref().is_some_and(|owner| self.owners.contains(&owner.uid)) {
            return Some(format!(
                "came back on {node}, as its owner's pods tolerate the cordon: it is not touched"
            ));
        }
        match class {
            Class::Refuse(why) => {
                Some(format!("came to {node} after the drain began and is not touched: {}", why.join("; ")))
            }
            _ => None,
        }
    }

    fn vanished(&mut self, key: &PodKey, now: Instant) {
        self.strangers.remove(key);
        let Some(entry) = self.pods.remove(key) else { return };
        if !entry.is_target() {
            return;
        }
        if let State::Going(since) = entry.state {
            self.stops.push(now.saturating_duration_since(since));
        }
        let done = if self.options.disable_eviction { "deleted" } else { "evicted" };
        self.news.push((format!("pod/{} {done} (namespace {})", key.name, key.namespace), false));
        self.moved_on(now);
        self.fresh.push(key.uid.clone());
        let is_for_good = entry.class == Class::Finished;
        self.gone.push(Gone { key: key.clone(), owner: entry.row.owner, is_for_good });
    }

    /// Pods that are to be left where they are by a word that the engineer has just given, unless they are on their way
    /// already.
    pub(super) fn asked_to_leave(&self, reserved: &Reserved) -> Vec<PodKey> {
        let waiting = self.targets().filter(|(_, entry)| entry.wait().is_some());
        waiting.map(|(key, _)| key).filter(|key| reserved.is_excused(key)).cloned().collect()
    }

    /// Leaves a pod where it is from here on, by the engineer's word.
    pub(super) fn leave(&mut self, key: &PodKey) {
        if let Some(entry) = self.pods.get_mut(key) {
            entry.class = excused();
            self.news.push((format!("{key} is left where it is, by the engineer's word"), true));
        }
        self.excused.insert(key.clone());
    }

    /// The open wave made progress: its patience begins anew.
    fn moved_on(&mut self, now: Instant) {
        if let Some((_, since)) = &mut self.wave {
            *since = now;
        }
    }

    /// Time has passed: a pod that was deleted long ago may count as left alone by now; one may be stuck.
    pub(super) fn reclassify(&mut self, daemonsets: &Daemonsets) {
        let now = wall();
        for (key, entry) in self.pods.iter_mut().filter(|(_, entry)| entry.is_target() && entry.is_going()) {
            if !self.options.skip_wait_for_delete.is_zero() {
                entry.class = classify(&entry.row, &self.options, exists(&entry.row, daemonsets), now);
            }
            if !entry.is_told
                && let Some(why) = entry.stuck(&self.host, now)
            {
                entry.is_told = true;
                self.news.push((format!("{key} is stuck: {why}"), true));
            }
        }
    }

    /// The pods that may not be moved, each with the option that allows it.
    pub(super) fn refusal(&self) -> Option<Report> {
        let refused: Vec<String> = self
            .pods
            .iter()
            .filter_map(|(key, entry)| match &entry.class {
                Class::Refuse(why) => Some(format!("{key} {}", why.join("; "))),
                _ => None,
            })
            .collect();
        let few = if refused.len() == 1 { "stands" } else { "stand" };
        let words = format!("{} {few} in the way of the drain of {}", count(refused.len(), "pod"), self.node);
        let report = Report::new(FailureKind::Denied, words);
        (!refused.is_empty()).then(|| {
            refused
                .into_iter()
                .fold(report, Report::because)
                .hint("nothing was sent; start again with the options that you want")
        })
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = (&PodKey, &Entry)> {
        self.pods.iter().filter(|(_, entry)| entry.is_target())
    }

    /// Nothing is left that has to go.
    pub(super) fn is_done(&self) -> bool {
        self.targets().next().is_none()
    }

    /// Pods that went, in earlier attempts too.
    pub(super) fn gone(&self) -> usize {
        self.earlier.len() + self.gone.len()
    }

    /// A pod is seen: one that an earlier attempt let go is not gone yet.
    pub(super) fn is_here(&mut self, uid: &str) {
        self.earlier.remove(uid);
    }

    /// Pods (uid) that were let go, or went, since this was last asked.
    pub(super) fn take_moved(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fresh)
    }

    /// Pods that stay by their class.
    pub(super) fn staying(&self) -> usize {
        self.pods.len() - self.targets().count() - self.left().count()
    }

    /// Pods that are left where they are by the engineer's word.
    pub(super) fn left(&self) -> impl Iterator<Item = &PodKey> {
        self.pods
            .iter()
            .filter(|(key, entry)| !entry.is_target() && self.excused.contains(key))
            .map(|(key, _)| key)
    }

    /// Pods of which the server was asked, and has not answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &PodKey> {
        self.pods.iter().filter(|(_, entry)| matches!(entry.state, State::Sent)).map(|(key, _)| key)
    }

    /// Pods that are here and are left alone, with the reason.
    pub(super) fn strangers(&self) -> impl Iterator<Item = String> {
        self.strangers.iter().map(|(key, why)| format!("{key} {why}"))
    }

    /// Takes up to `room` pods whose turn it is, in the order of waves and names, and marks them as sent.
    pub(super) fn take_ready(
        &mut self,
        room: usize,
        ledger: &mut Ledger,
        elsewhere: &Successors,
        now: Instant,
    ) -> Vec<PodKey> {
        ledger.settle(now);
        self.ask_turns(ledger, now);
        self.open_wave(now);
        let open = self.wave.map(|(wave, _)| wave);
        // webhooks and DNS that run elsewhere too need not wait until the others are gone
        let unsent = self.targets().filter(|(_, entry)| !entry.is_passed && !entry.is_going());
        let first_unsent = unsent.map(|(_, entry)| entry.wave).min();
        let mut ready = Vec::new();
        for (key, entry) in &mut self.pods {
            if !entry.is_sendable() || !matches!(&entry.state, State::Waiting(wait) if wait.why.is_empty()) {
                continue;
            }
            let is_spare = entry.wave.may_be_spared()
                && first_unsent.is_none_or(|first| first >= entry.wave)
                && elsewhere.has_ready_sibling(&entry.row);
            if let Some(open) = open.filter(|open| entry.wave > *open && !is_spare) {
                entry.state = State::Waiting(Wait::new(format!("its turn comes after {}", open.words())));
                continue;
            }
            if ready.len() >= room {
                entry.state = State::Waiting(Wait::new("next in turn"));
                continue;
            }
            let budget = match ask(&self.options, ledger, &entry.row, now) {
                Turn::Now(budget) => budget,
                Turn::Wait(wait) => {
                    entry.state = State::Waiting(wait);
                    continue;
                }
            };
            if let Some(budget) = budget {
                if !ledger.sent(&budget, &key.name, now) {
                    entry.state = State::Waiting(Wait::new("next in turn"));
                    continue;
                }
                self.sent.insert(key.clone(), budget);
            }
            entry.state = State::Sent;
            ready.push(key.clone());
        }
        let verb = if self.options.disable_eviction { "deleting" } else { "evicting" };
        self.news.extend(ready.iter().map(|key| (format!("{verb} pod {key}"), false)));
        ready
    }

    /// Asks anew for each pod that is not sent; those that could go have no words left.
    fn ask_turns(&mut self, ledger: &Ledger, now: Instant) {
        for entry in self.pods.values_mut().filter(|entry| entry.is_sendable()) {
            match &entry.state {
                State::Waiting(_) => {}
                State::Held(until, _) if *until <= now => {}
                State::Held(..) | State::Sent | State::Going(_) => continue,
            }
            entry.state = State::Waiting(match ask(&self.options, ledger, &entry.row, now) {
                Turn::Now(_) => Wait::default(),
                Turn::Wait(wait) => wait,
            });
        }
    }

    /// The wave that is open: the first with a pod that is to be waited for. What cannot go, and what only waits for too
    /// long, is waited for no longer, and that is said.
    fn open_wave(&mut self, now: Instant) {
        let began = self.wave.map_or(now, |(_, at)| at);
        let is_late = now.saturating_duration_since(began) > PATIENCE;
        let last = self.targets().map(|(_, entry)| entry.wave).max();
        let open = self.wave.map(|(wave, _)| wave);
        let at = wall();
        let mut passed = Vec::new();
        for (key, entry) in self.pods.iter_mut().filter(|(_, entry)| entry.is_target() && !entry.is_passed) {
            let is_open = open.is_some_and(|open| entry.wave <= open);
            let why = match entry.wait() {
                Some(wait) if wait.is_blocked => wait.why.clone(),
                Some(wait) if is_late && is_open => wait.why.clone(),
                Some(_) => continue,
                None => match entry.stuck(&self.host, at) {
                    Some(why) => why,
                    None => continue,
                },
            };
            entry.is_passed = true;
            if Some(entry.wave) < last {
                passed.push(format!("{key} ({why})"));
            }
        }
        let next = self.targets().filter(|(_, entry)| !entry.is_passed).map(|(_, entry)| entry.wave).min();
        if next != open {
            self.wave = next.map(|wave| (wave, now));
        }
        for words in passed {
            self.news.push((format!("the pods after it do not wait for {words}"), true));
        }
    }

    /// What an answer means.
    pub(super) fn answered(
        &mut self,
        key: &PodKey,
        answer: &Result<Eviction, Error>,
        ledger: &mut Ledger,
        now: Instant,
    ) -> Answer {
        let budget = self.sent.remove(key);
        let Some(entry) = self.pods.get_mut(key) else {
            // it vanished before its answer came: what its budget was held for is over all the same
            settle(ledger, budget.as_ref(), answer, now);
            return Answer::GoOn;
        };
        let Err(error) = answer else {
            entry.state = State::Going(now);
            self.fresh.push(key.uid.clone());
            self.wave = self.wave.map(|(wave, _)| (wave, now));
            settle(ledger, budget.as_ref(), answer, now);
            return Answer::GoOn;
        };
        if is_final(error) {
            return Answer::Stop(error.report());
        }
        if entry.row.deleting.is_some() {
            // it goes anyway, whatever became of the question
            entry.state = State::Going(now);
            clear(ledger, budget.as_ref());
            return Answer::GoOn;
        }
        let tries = entry.tries;
        entry.tries += 1;
        let mut answer = Answer::GoOn;
        entry.state = match next(error, tries, now) {
            Next::AtBudget => at_budget(error, budget.as_ref(), ledger, now),
            Next::Going => {
                clear(ledger, budget.as_ref());
                State::Going(now)
            }
            Next::Later(until, wait) => {
                clear(ledger, budget.as_ref());
                State::Held(until, wait)
            }
            Next::Quiet(until, wait) => {
                clear(ledger, budget.as_ref());
                answer = Answer::Quiet(until);
                State::Held(until, wait)
            }
        };
        if tries == 0 {
            let verb = if self.options.disable_eviction { "deleting" } else { "evicting" };
            self.news.push((complaint(verb, key, error, &entry.state, now), true));
        }
        answer
    }

    /// Lines for the log, each once.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// When a refused pod is to be asked for again.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let held = self.pods.values().filter_map(|entry| match &entry.state {
            State::Held(until, _) if entry.is_sendable() => Some(*until),
            _ => None,
        });
        held.min()
    }
}
