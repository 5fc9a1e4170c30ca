//! The ledger of budgets: whose turn it is. Pure; instants come from outside.
//!
//! The API server decides each eviction (`registry/core/pod/storage/eviction.go`); the ledger only avoids questions whose
//! answer is known. Its own spending is counted until the budget's status has caught up. All nodes of a run share one.

use super::reserved::{Hold, Purpose, Reserved};
use crate::backend::error::{Error, Refusal};
use crate::domain::budget::{BudgetRow, UnhealthyPolicy};
use crate::domain::feed::{Delta, Row, Table, apply};
use crate::domain::ids::BudgetKey;
use crate::domain::pod::{Phase, PodRow};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// A refused budget that does not change is asked again after this time.
const FLOOR: Duration = Duration::from_secs(5);
/// A budget whose status lags is asked again after this time, unless the server names another.
const STALE: Duration = Duration::from_secs(10);
/// The server may ask for any pause, and is given no longer one than this.
pub(super) const LONGEST: Duration = Duration::from_mins(1);
/// A status that has not shown an accepted eviction after this time is believed all the same.
const UNSEEN: Duration = Duration::from_secs(5);
/// How many of the last evictions of a budget tell its pace.
const PACE: usize = 6;

/// A pause, up to a quarter longer, so that several clients do not come back in step.
pub(super) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

/// Whether an eviction may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now; the budget it is counted against.
    Now(Option<BudgetKey>),
    /// Not now.
    Wait(Wait),
}

/// Why not now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wait {
    /// In words.
    pub(super) why: String,
    /// The budget that is waited for.
    pub(super) budget: Option<BudgetKey>,
    /// When it is asked again although nothing was seen to change.
    pub(super) again: Option<Instant>,
    /// Waiting does not help.
    pub(super) is_blocked: bool,
}

impl Wait {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    fn at(budget: &BudgetKey, why: impl Into<String>) -> Self {
        Self { why: why.into(), budget: Some(budget.clone()), ..Self::default() }
    }

    fn blocked(self) -> Self {
        Self { is_blocked: true, ..self }
    }
}

/// An eviction that its budget's status may not show yet.
#[derive(Debug)]
struct Spent {
    pod: String,
    /// The room that was left when it was sent.
    room: i32,
    at: Instant,
}

impl Spent {
    /// Whether a status has it: the server names the pod in `disruptedPods` in the same write in which it takes from the
    /// budget. One that came before that write shows neither.
    fn is_in(&self, row: &BudgetRow) -> bool {
        row.disrupted.contains(&self.pod) || row.allowed < self.room
    }
}

/// What we did to one budget since its status was last seen.
#[derive(Debug, Default)]
struct Account {
    /// The word at the budget and what it is for, while an eviction is on its way; and whether the status has it already.
    flight: Option<(Hold, Spent, bool)>,
    spent: Vec<Spent>,
    not_before: Option<(Instant, Wait)>,
    /// When the last evictions were accepted.
    grants: VecDeque<Instant>,
}

/// All budgets.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    table: Table<BudgetRow>,
    here: BTreeMap<String, BTreeSet<BudgetKey>>,
    accounts: BTreeMap<BudgetKey, Account>,
    is_known: bool,
    /// Shared with the other drains and the resolutions of this process.
    reserved: Reserved,
}

impl Ledger {
    /// An empty ledger.
    pub(super) fn new(reserved: Reserved) -> Self {
        Self { reserved, ..Self::default() }
    }

    /// Whether the budgets have been listed.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The status of budgets changed: what we counted ourselves is in it by now, and a refusal is outdated.
    pub(super) fn apply(&mut self, delta: Delta<BudgetRow>) {
        match &delta {
            Delta::Reset(_) => {
                self.is_known = true;
                for account in self.accounts.values_mut() {
                    account.not_before = None;
                    account.spent.clear();
                }
            }
            Delta::Upsert(row) | Delta::Remove(row) => {
                if let Some(account) = self.accounts.get_mut(&row.key()) {
                    account.caught_up(row);
                }
            }
        }
        apply(&mut self.table, delta);
        self.here.clear();
        for key in self.table.keys() {
            self.here.entry(key.namespace.clone()).or_default().insert(key.clone());
        }
    }

    /// The budgets that cover a pod.
    fn covering(&self, pod: &PodRow) -> Vec<&BudgetRow> {
        let here = self.here.get(&pod.key.namespace).into_iter().flatten();
        here.filter_map(|key| self.table.get(key)).filter(|budget| budget.covers(pod)).collect()
    }

    /// Whether a pod's eviction may be sent now.
    pub(super) fn turn(&self, pod: &PodRow, now: Instant) -> Turn {
        if pod.is_finished() || pod.phase == Phase::Pending || pod.deleting.is_some() {
            return Turn::Now(None);
        }
        let covering = self.covering(pod);
        let budget = match covering.as_slice() {
            [] => return Turn::Now(None),
            [budget] => *budget,
            [first, second, ..] => {
                let why = format!(
                    "blocked: budgets {} and {} both cover it, which the API server does not support",
                    first.key, second.key
                );
                return Turn::Wait(Wait::new(why).blocked());
            }
        };
        let is_met = budget.desired > 0 && budget.healthy >= budget.desired;
        if !pod.ready && (budget.unhealthy == UnhealthyPolicy::AlwaysAllow || is_met) {
            return Turn::Now(None);
        }
        match self.wait_at(budget, now) {
            None => Turn::Now(Some(budget.key.clone())),
            Some(wait) => Turn::Wait(wait),
        }
    }

    fn wait_at(&self, budget: &BudgetRow, now: Instant) -> Option<Wait> {
        let name = &budget.key;
        let account = self.accounts.get(name);
        if let Some((until, wait)) = account.and_then(|account| account.not_before.as_ref())
            && now < *until
        {
            return Some(Wait { again: Some(*until), ..wait.clone() });
        }
        if let Some(why) = budget.never_allows() {
            return Some(Wait::at(name, format!("blocked by budget {name}: {why}")).blocked());
        }
        if !budget.is_current() {
            return Some(Wait::at(
                name,
                format!("waiting for budget {name}: its status is older than its spec"),
            ));
        }
        match self.reserved.purpose(name) {
            None => {}
            Some(Purpose::Eviction) => return Some(Wait::at(name, format!("next in turn at budget {name}"))),
            Some(Purpose::Resolution) => {
                let why = format!("waiting for budget {name}: held for a resolution");
                return Some(Wait::at(name, why));
            }
        }
        if budget.allowed - account.map_or(0, |account| account.unseen(now)) <= 0 {
            let why = format!("waiting for budget {name} (needs {}, has {})", budget.desired, budget.healthy);
            return Some(Wait::at(name, why));
        }
        None
    }

    /// An eviction is to be sent on the account of a budget; `false` = another drain or a resolution was faster.
    #[must_use]
    pub(super) fn sent(&mut self, budget: &BudgetKey, pod: &str, now: Instant) -> bool {
        let Some(hold) = self.reserved.try_hold(budget, Purpose::Eviction) else { return false };
        let allowed = self.table.get(budget).map_or(0, |row| row.allowed);
        let account = self.accounts.entry(budget.clone()).or_default();
        let spent = Spent { pod: pod.to_owned(), room: allowed - account.unseen(now), at: now };
        account.flight = Some((hold, spent, false));
        true
    }

    /// It was accepted: counted until the status shows it.
    pub(super) fn accepted(&mut self, budget: &BudgetKey, now: Instant) {
        let account = self.accounts.entry(budget.clone()).or_default();
        if let Some((_, spent, false)) = account.flight.take() {
            account.spent.push(spent);
        }
        if account.grants.len() == PACE {
            account.grants.pop_front();
        }
        account.grants.push_back(now);
    }

    /// It came to nothing that the budget would count.
    pub(super) fn cleared(&mut self, budget: &BudgetKey) {
        self.accounts.entry(budget.clone()).or_default().flight = None;
    }

    /// It was refused on behalf of the budget: not asked again before the status changes, or some time has passed.
    /// Returns what its pods wait for.
    pub(super) fn refused(&mut self, budget: &BudgetKey, error: &Error, now: Instant) -> Wait {
        let asked = error.retry_after.map(|wait| wait.min(LONGEST));
        let (pause, wait) = match &error.refusal {
            Some(Refusal::BudgetStale { .. }) => {
                let why = format!("budget {budget} is still being processed");
                (asked.unwrap_or_else(|| jittered(STALE)), Wait::at(budget, why))
            }
            Some(Refusal::BudgetBroken { why, .. }) => {
                (jittered(STALE), Wait::at(budget, format!("blocked by budget {budget}: {why}")).blocked())
            }
            Some(Refusal::BudgetFull { needs: Some(needs), has: Some(has), .. }) => {
                let why = format!("waiting for budget {budget} (needs {needs}, has {has})");
                (jittered(FLOOR), Wait::at(budget, why))
            }
            _ => {
                let why = format!("waiting for budget {budget}: {}", error.message);
                (asked.unwrap_or_else(|| jittered(FLOOR)), Wait::at(budget, why))
            }
        };
        let account = self.accounts.entry(budget.clone()).or_default();
        account.flight = None;
        account.not_before = Some((now + pause, wait.clone()));
        Wait { again: Some(now + pause), ..wait }
    }

    /// When a refused budget may be asked again.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.accounts
            .values()
            .filter_map(|account| account.not_before.as_ref())
            .map(|(until, _)| *until)
            .min()
    }

    /// Forgets waits that are over.
    pub(super) fn settle(&mut self, now: Instant) {
        for account in self.accounts.values_mut() {
            if account.not_before.as_ref().is_some_and(|(until, _)| *until <= now) {
                account.not_before = None;
            }
        }
    }

    /// How far apart the last evictions of a budget were; `None` = fewer than two so far.
    pub(super) fn pace(&self, budget: &BudgetKey) -> Option<Duration> {
        let grants = &self.accounts.get(budget)?.grants;
        let steps = u32::try_from(grants.len().checked_sub(1)?).ok().filter(|steps| *steps > 0)?;
        Some(grants.back()?.saturating_duration_since(*grants.front()?) / steps)
    }
}

impl Account {
    fn caught_up(&mut self, row: &BudgetRow) {
        self.not_before = None;
        self.spent.retain(|spent| !spent.is_in(row));
        if let Some((_, spent, is_seen)) = &mut self.flight {
            *is_seen |= spent.is_in(row);
        }
    }

    /// Evictions that the status does not show. After some time it is believed anyway.
    fn unseen(&self, now: Instant) -> i32 {
        let unseen = self.spent.iter().filter(|spent| now.saturating_duration_since(spent.at) < UNSEEN);
        i32::try_from(unseen.count()).unwrap_or(i32::MAX)
    }
}
