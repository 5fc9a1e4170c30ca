//! The board of a drain: every pod of the node, what it waits for, and what the answers mean. Pure but for instants.

use super::TICK;
use super::ledger::{LONGEST, Ledger, Turn};
use super::reserved::Reserved;
use crate::backend::clock::now as wall;
use crate::backend::error::{Error, Refusal};
use crate::backend::kube::Eviction;
use crate::domain::config::DrainOptions;
use crate::domain::drain::{Class, classify};
use crate::domain::feed::Delta;
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::pod::PodRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Progress;
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use crate::engine::job::pause;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Whether DaemonSets exist, by namespace and name.
type Daemonsets = BTreeMap<(String, String), bool>;

/// What an answer means for the drain.
#[derive(Debug)]
pub(super) enum Answer {
    GoOn,
    Stop(Report),
}

#[derive(Debug)]
enum State {
    /// Not sent, and why not yet.
    Waiting(String),
    /// On its way, on the account of a budget.
    Sent(Option<BudgetKey>),
    /// Refused; not sent again before.
    Held(Instant, String),
    /// Accepted, or being deleted anyway: only waited for.
    Going,
}

#[derive(Debug)]
struct Entry {
    row: PodRow,
    class: Class,
    state: State,
    tries: u32,
}

/// The board.
#[derive(Debug)]
pub(super) struct Board {
    options: DrainOptions,
    pods: BTreeMap<PodKey, Entry>,
    is_listed: bool,
    gone: usize,
    news: Vec<(String, bool)>,
    /// The budgets.
    pub(super) ledger: Ledger,
}

fn exists(row: &PodRow, daemonsets: &Daemonsets) -> bool {
    let Some(owner) = row.owner.as_ref().filter(|_| row.is_daemon()) else { return true };
    daemonsets.get(&(row.key.namespace.clone(), owner.name.clone())).copied().unwrap_or(true)
}

impl Board {
    /// An empty board; `gone` = pods that an earlier attempt moved.
    pub(super) fn new(options: DrainOptions, gone: u64, reserved: Reserved) -> Self {
        Self {
            options,
            pods: BTreeMap::new(),
            is_listed: false,
            gone: usize::try_from(gone).unwrap_or(0),
            news: Vec::new(),
            ledger: Ledger::new(reserved),
        }
    }

    /// Whether pods and budgets have been listed once.
    pub(super) fn is_known(&self) -> bool {
        self.is_listed && self.ledger.is_known()
    }

    /// What is done to a pod.
    pub(super) fn verb(&self) -> &'static str {
        if self.options.disable_eviction { "delete" } else { "evict" }
    }

    pub(super) fn pods_changed(&mut self, delta: Delta<PodRow>, daemonsets: &Daemonsets) {
        match delta {
            Delta::Reset(rows) => {
                self.is_listed = true;
                let missing: Vec<PodKey> = self
                    .pods
                    .keys()
                    .filter(|key| !rows.iter().any(|row| row.key == **key))
                    .cloned()
                    .collect();
                for key in &missing {
                    self.vanished(key);
                }
                for row in rows {
                    self.seen(row, daemonsets);
                }
            }
            Delta::Upsert(row) => self.seen(row, daemonsets),
            Delta::Remove(row) => self.vanished(&row.key),
        }
    }

    fn seen(&mut self, row: PodRow, daemonsets: &Daemonsets) {
        let class = if self.ledger.is_excused(&row.key) && row.deleting.is_none() {
            Class::Skip(vec!["left by the engineer's word".to_owned()])
        } else {
            classify(&row, &self.options, exists(&row, daemonsets), wall())
        };
        if let Some(entry) = self.pods.get_mut(&row.key) {
            if row.deleting.is_some() && !matches!(entry.state, State::Sent(_)) {
                entry.state = State::Going;
            }
            entry.row = row;
            entry.class = class;
            return;
        }
        let state = if row.deleting.is_some() { State::Going } else { State::Waiting(String::new()) };
        self.pods.insert(row.key.clone(), Entry { row, class, state, tries: 0 });
    }

    fn vanished(&mut self, key: &PodKey) {
        let Some(entry) = self.pods.remove(key) else { return };
        if let State::Sent(Some(budget)) = &entry.state {
            self.ledger.cleared(budget);
        }
        if !matches!(entry.class, Class::Skip(_)) {
            self.gone += 1;
            self.news.push((format!("{key} is gone"), false));
        }
    }

    /// Pods that the engineer has the drain leave where they are, unless they are on their way already.
    pub(super) fn leave_excused(&mut self) {
        for (key, entry) in &mut self.pods {
            let is_here = matches!(entry.state, State::Waiting(_) | State::Held(..));
            if is_here && !matches!(entry.class, Class::Skip(_)) && self.ledger.is_excused(key) {
                entry.class = Class::Skip(vec!["left by the engineer's word".to_owned()]);
                self.news.push((format!("{key} is left where it is, by the engineer's word"), true));
            }
        }
    }

    /// Time has passed: a pod that was deleted long ago may count as left alone by now.
    pub(super) fn reclassify(&mut self, daemonsets: &Daemonsets) {
        if self.options.skip_wait_for_delete.is_zero() {
            return;
        }
        let now = wall();
        for entry in self.pods.values_mut().filter(|entry| matches!(entry.state, State::Going)) {
            entry.class = classify(&entry.row, &self.options, exists(&entry.row, daemonsets), now);
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
        let words = format!("{} {few} in the way of the drain", count(refused.len(), "pod"));
        let report = Report::new(FailureKind::Denied, words);
        (!refused.is_empty()).then(|| {
            refused
                .into_iter()
                .fold(report, Report::because)
                .hint("nothing more was sent; start again with the options that you want")
        })
    }

    fn targets(&self) -> impl Iterator<Item = (&PodKey, &Entry)> {
        self.pods.iter().filter(|(_, entry)| !matches!(entry.class, Class::Skip(_)))
    }

    /// Nothing is left that has to go.
    pub(super) fn is_done(&self) -> bool {
        self.targets().next().is_none()
    }

    /// Pods that went.
    pub(super) fn gone(&self) -> usize {
        self.gone
    }

    /// Pods that stay by their class.
    pub(super) fn staying(&self) -> usize {
        self.pods.len() - self.targets().count()
    }

    /// Takes up to `room` pods whose turn it is, in the order of their names, and marks them as sent.
    pub(super) fn take_ready(&mut self, room: usize, now: Instant) -> Vec<PodKey> {
        self.ledger.settle(now);
        let mut ready = Vec::new();
        for (key, entry) in &mut self.pods {
            match &entry.state {
                State::Waiting(_) => {}
                State::Held(until, _) if *until <= now => {}
                State::Held(..) | State::Sent(_) | State::Going => continue,
            }
            if !matches!(entry.class, Class::Evict | Class::Finished) {
                continue;
            }
            let turn = if self.options.disable_eviction {
                Turn::Now(None)
            } else {
                self.ledger.turn(&entry.row, now)
            };
            match turn {
                Turn::Wait(why) => entry.state = State::Waiting(why),
                Turn::Now(_) if ready.len() >= room => {
                    entry.state = State::Waiting("next in turn".to_owned());
                }
                Turn::Now(budget) => {
                    if budget.as_ref().is_some_and(|budget| !self.ledger.sent(budget)) {
                        entry.state = State::Waiting("next in turn".to_owned());
                        continue;
                    }
                    entry.state = State::Sent(budget);
                    ready.push(key.clone());
                }
            }
        }
        ready
    }

    /// What an answer means.
    pub(super) fn answered(
        &mut self,
        key: &PodKey,
        answer: &Result<Eviction, Error>,
        now: Instant,
    ) -> Answer {
        let Some(entry) = self.pods.get_mut(key) else { return Answer::GoOn };
        let budget = match &entry.state {
            State::Sent(budget) => budget.clone(),
            _ => None,
        };
        let error = match answer {
            Ok(Eviction::Accepted) => {
                entry.state = State::Going;
                if let Some(budget) = &budget {
                    self.ledger.accepted(budget);
                }
                return Answer::GoOn;
            }
            Ok(Eviction::Gone) => {
                entry.state = State::Going;
                if let Some(budget) = &budget {
                    self.ledger.cleared(budget);
                }
                return Answer::GoOn;
            }
            Err(error) => error,
        };
        if matches!(error.kind, FailureKind::Denied | FailureKind::Unauthorized)
            || matches!(error.refusal, Some(Refusal::Forbidden(_)))
        {
            return Answer::Stop(error.report());
        }
        if entry.row.deleting.is_some() {
            // it goes anyway, whatever became of the question
            entry.state = State::Going;
            if let Some(budget) = &budget {
                self.ledger.cleared(budget);
            }
            return Answer::GoOn;
        }
        let tries = entry.tries;
        entry.tries += 1;
        entry.state = after(error, tries, now);
        if tries == 0 {
            self.news.push((format!("{key}: {error}"), true));
        }
        if let Some(budget) = &budget {
            match &error.refusal {
                Some(
                    Refusal::BudgetFull { .. } | Refusal::BudgetStale { .. } | Refusal::BudgetBroken { .. },
                ) => self.ledger.refused(budget, error, now),
                _ => self.ledger.cleared(budget),
            }
        }
        Answer::GoOn
    }

    /// Lines for the log, each once; `true` = a warning.
    pub(super) fn take_news(&mut self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.news)
    }

    /// When something is to be looked at again although nothing was seen.
    pub(super) fn next_wake(&self, now: Instant) -> Instant {
        let held = self.pods.values().filter_map(|entry| match &entry.state {
            State::Held(until, _) if matches!(entry.class, Class::Evict | Class::Finished) => Some(*until),
            _ => None,
        });
        let next = held.chain(self.ledger.next_wake()).min();
        next.map_or(now + TICK, |next| next.clamp(now, now + TICK))
    }

    /// How far it is, with one line per pod that is not gone.
    pub(super) fn progress(&self) -> Progress {
        let now = wall();
        let left = self.targets().count();
        let going = self.targets().filter(|(_, entry)| matches!(entry.state, State::Going)).count();
        let total = self.gone + left;
        let items = self.targets().map(|(key, entry)| format!("{key}: {}", entry.words(now))).collect();
        Progress {
            text: format!(
                "{} of {} gone, {going} terminating, {} waiting",
                self.gone,
                count(total, "pod"),
                left - going
            ),
            done: u64::try_from(self.gone).ok(),
            total: u64::try_from(total).ok(),
            deadline: None,
            items,
        }
    }
}

impl Entry {
    fn words(&self, now: Stamp) -> String {
        match &self.state {
            State::Waiting(why) if why.is_empty() => "waiting".to_owned(),
            State::Waiting(why) | State::Held(_, why) => why.clone(),
            State::Sent(_) => "evicting".to_owned(),
            State::Going => match self.row.deleting {
                None => "terminating".to_owned(),
                Some(end) if end >= now => {
                    format!("terminating, {} of grace left", brief(whole(end.since(now))))
                }
                Some(end) if self.row.finalizers.is_empty() => {
                    format!("terminating, its grace ended {} ago", brief(whole(now.since(end))))
                }
                Some(_) => format!("will not go by itself: finalizers {}", self.row.finalizers.join(", ")),
            },
        }
    }
}

fn whole(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

/// What a refused pod does next.
fn after(error: &Error, tries: u32, now: Instant) -> State {
    let again = |least: Duration, why: String| {
        let asked = error.retry_after.map(|wait| wait.min(LONGEST));
        let wait = asked.unwrap_or_else(|| pause(tries).max(least));
        State::Held(now + wait, why)
    };
    match &error.refusal {
        // its budget says when
        Some(Refusal::BudgetFull { .. } | Refusal::BudgetStale { .. } | Refusal::BudgetBroken { .. }) => {
            State::Waiting(error.message.clone())
        }
        // the pod of that uid is not there any more: its removal will be seen
        Some(Refusal::Replaced) => State::Going,
        Some(Refusal::TwoBudgets) => {
            again(Duration::from_secs(10), "blocked: more than one budget covers it".to_owned())
        }
        Some(Refusal::NamespaceTerminating) => {
            again(Duration::from_secs(5), "its namespace is being deleted".to_owned())
        }
        Some(Refusal::Webhook(name)) => {
            again(Duration::from_secs(5), format!("webhook {name} refuses: {}", error.message))
        }
        Some(Refusal::Throttled) => {
            again(Duration::ZERO, "the API server asks to come back later".to_owned())
        }
        Some(Refusal::Conflict) => {
            again(Duration::ZERO, "changed at the same moment, trying again".to_owned())
        }
        _ => again(Duration::ZERO, error.to_string()),
    }
}
