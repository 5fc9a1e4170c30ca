//! The ledger of budgets: whose turn it is. Pure; instants come from outside.
//!
//! The API server decides each eviction (`registry/core/pod/storage/eviction.go`); the ledger only avoids questions whose
//! answer is known. Its own spending is counted until the budget's status has caught up.

use super::reserved::{Hold, Purpose, Reserved};
use crate::backend::error::{Error, Refusal};
use crate::domain::budget::{BudgetRow, UnhealthyPolicy};
use crate::domain::feed::{Delta, Row, Table, apply};
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::pod::{Phase, PodRow};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A refused budget that does not change is asked again after this time.
const FLOOR: Duration = Duration::from_secs(5);
/// A budget whose status lags is asked again after this time, unless the server names another.
const STALE: Duration = Duration::from_secs(10);
/// The server may ask for any pause, and is given no longer one than this.
pub(super) const LONGEST: Duration = Duration::from_mins(1);

/// Whether an eviction may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now; the budget it is counted against.
    Now(Option<BudgetKey>),
    /// Not now, and why; the budget that is waited for.
    Wait(String),
}

/// What we did to one budget since its status was last seen.
#[derive(Debug, Default)]
struct Account {
    /// The word at the budget, while an eviction is on its way.
    flight: Option<Hold>,
    spent: i32,
    not_before: Option<(Instant, String)>,
}

/// All budgets.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    table: Table<BudgetRow>,
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

    /// Whether a pod is to be left where it is.
    pub(super) fn is_excused(&self, pod: &PodKey) -> bool {
        self.reserved.is_excused(pod)
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
                self.accounts.values_mut().for_each(Account::caught_up);
            }
            Delta::Upsert(row) | Delta::Remove(row) => {
                if let Some(account) = self.accounts.get_mut(&row.key()) {
                    account.caught_up();
                }
            }
        }
        apply(&mut self.table, delta);
    }

    /// The budgets that cover a pod.
    fn covering(&self, pod: &PodRow) -> Vec<&BudgetRow> {
        self.table.values().filter(|budget| budget.covers(pod)).collect()
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
                return Turn::Wait(format!(
                    "blocked: budgets {} and {} both cover it, which the API server does not support",
                    first.key.name, second.key.name
                ));
            }
        };
        let is_met = budget.desired > 0 && budget.healthy >= budget.desired;
        if !pod.ready && (budget.unhealthy == UnhealthyPolicy::AlwaysAllow || is_met) {
            return Turn::Now(None);
        }
        self.turn_at(budget, now)
    }

    fn turn_at(&self, budget: &BudgetRow, now: Instant) -> Turn {
        let idle = Account::default();
        let account = self.accounts.get(&budget.key).unwrap_or(&idle);
        let name = &budget.key;
        if let Some((until, why)) = &account.not_before
            && now < *until
        {
            return Turn::Wait(why.clone());
        }
        if let Some(why) = budget.never_allows() {
            return Turn::Wait(format!("blocked by budget {name}: {why}"));
        }
        if !budget.is_current() {
            return Turn::Wait(format!("waiting for budget {name}: its status is older than its spec"));
        }
        match self.reserved.purpose(name) {
            None => {}
            Some(Purpose::Eviction) => return Turn::Wait(format!("next in turn at budget {name}")),
            Some(Purpose::Resolution) => {
                return Turn::Wait(format!("waiting for budget {name}: held for a resolution"));
            }
        }
        if budget.allowed - account.spent <= 0 {
            return Turn::Wait(format!(
                "waiting for budget {name} (needs {}, has {})",
                budget.desired, budget.healthy
            ));
        }
        Turn::Now(Some(name.clone()))
    }

    /// An eviction is to be sent on the account of a budget; `false` = another drain or a resolution was faster.
    #[must_use]
    pub(super) fn sent(&mut self, budget: &BudgetKey) -> bool {
        let flight = self.reserved.try_hold(budget, Purpose::Eviction);
        let is_ours = flight.is_some();
        if is_ours {
            self.accounts.entry(budget.clone()).or_default().flight = flight;
        }
        is_ours
    }

    /// It was accepted: counted until the status shows it.
    pub(super) fn accepted(&mut self, budget: &BudgetKey) {
        let account = self.accounts.entry(budget.clone()).or_default();
        account.flight = None;
        account.spent += 1;
    }

    /// It came to nothing that the budget would count.
    pub(super) fn cleared(&mut self, budget: &BudgetKey) {
        self.accounts.entry(budget.clone()).or_default().flight = None;
    }

    /// It was refused on behalf of the budget: not asked again before the status changes, or some time has passed.
    pub(super) fn refused(&mut self, budget: &BudgetKey, error: &Error, now: Instant) {
        let asked = error.retry_after.map(|wait| wait.min(LONGEST));
        let (wait, why) = match &error.refusal {
            Some(Refusal::BudgetStale { .. }) => {
                (asked.unwrap_or(STALE), format!("budget {budget} is still being processed"))
            }
            Some(Refusal::BudgetBroken { why, .. }) => (STALE, format!("blocked by budget {budget}: {why}")),
            Some(Refusal::BudgetFull { needs: Some(needs), has: Some(has), .. }) => {
                (FLOOR, format!("waiting for budget {budget} (needs {needs}, has {has})"))
            }
            _ => (asked.unwrap_or(FLOOR), format!("waiting for budget {budget}: {}", error.message)),
        };
        let account = self.accounts.entry(budget.clone()).or_default();
        account.flight = None;
        account.not_before = Some((now + wait, why));
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
}

impl Account {
    fn caught_up(&mut self) {
        self.spent = 0;
        self.not_before = None;
    }
}
