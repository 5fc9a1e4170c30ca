//! The budgets of a play: what the API server would answer to an eviction, and how room is spent and regained.
//!
//! The rules are those of `registry/core/pod/storage/eviction.go` and `pkg/controller/disruption/disruption.go`.

use super::play::Luck;
use crate::domain::budget::{BudgetRow, UnhealthyPolicy};
use crate::domain::ids::BudgetKey;
use crate::domain::pod::{Phase, PodRow};
use std::collections::BTreeMap;

/// Why an eviction is not allowed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// More than one budget covers the pod.
    Several(Vec<BudgetKey>),
    /// The budget can never allow it.
    Never(BudgetKey, String),
    /// The budget's status is of an older spec.
    Stale(BudgetKey),
    /// No room: needed and healthy.
    Full(BudgetKey, i32, i32),
}

impl Hold {
    /// The budget to be named.
    pub(super) fn budget(&self) -> Option<&BudgetKey> {
        match self {
            Self::Several(keys) => keys.first(),
            Self::Never(key, _) | Self::Stale(key) | Self::Full(key, ..) => Some(key),
        }
    }
}

/// A budget as the play goes on.
#[derive(Debug)]
struct Account<'a> {
    row: &'a BudgetRow,
    healthy: i32,
    allowed: i32,
}

/// All budgets, by namespace.
#[derive(Debug)]
pub(super) struct Purse<'a> {
    accounts: BTreeMap<&'a str, Vec<Account<'a>>>,
    luck: Luck,
}

impl<'a> Purse<'a> {
    pub(super) fn new(budgets: impl IntoIterator<Item = &'a BudgetRow>, luck: Luck) -> Self {
        let mut accounts: BTreeMap<&str, Vec<Account<'_>>> = BTreeMap::new();
        for row in budgets {
            let account = Account { row, healthy: row.healthy, allowed: row.allowed };
            accounts.entry(&row.key.namespace).or_default().push(account);
        }
        Self { accounts, luck }
    }

    fn covering(&mut self, pod: &PodRow) -> impl Iterator<Item = &mut Account<'a>> {
        let here = self.accounts.get_mut(pod.key.namespace.as_str());
        here.into_iter().flatten().filter(|account| account.row.covers(pod))
    }

    /// Whether any budget covers a pod.
    pub(super) fn covers(&mut self, pod: &PodRow) -> bool {
        self.covering(pod).next().is_some()
    }

    /// The server's answer to one eviction; a granted one is paid for.
    pub(super) fn ask(&mut self, pod: &PodRow, is_ready: bool) -> Result<(), Hold> {
        // one that has started in the meantime is not Pending any more
        let is_pending = pod.phase == Phase::Pending && (pod.ready || !is_ready);
        if pod.is_finished() || pod.deleting.is_some() || is_pending {
            return Ok(());
        }
        let luck = self.luck;
        let mut covering: Vec<&mut Account<'_>> = self.covering(pod).collect();
        match covering.as_mut_slice() {
            [] => Ok(()),
            [account] => account.ask(is_ready, luck),
            several => Err(Hold::Several(several.iter().map(|account| account.row.key.clone()).collect())),
        }
    }

    /// A Ready pod went without a budget being asked.
    pub(super) fn lost(&mut self, pod: &PodRow) {
        self.covering(pod).for_each(Account::lose);
    }

    /// Figures that disagree are computed anew by their controller; whether any were.
    pub(super) fn refresh(&mut self) -> bool {
        let mut has_changed = false;
        for account in self.accounts.values_mut().flatten() {
            if account.room() > account.allowed {
                account.allowed = account.room();
                has_changed = true;
            }
        }
        has_changed
    }

    /// So many pods of one budget are created and become Ready.
    pub(super) fn awaited(&mut self, key: &BudgetKey, count: i32) {
        let here = self.accounts.get_mut(key.namespace.as_str());
        for account in here.into_iter().flatten().filter(|account| account.row.key == *key) {
            (0..count).for_each(|_| account.regain());
        }
    }

    /// One more pod is Ready.
    pub(super) fn regained(&mut self, pod: &PodRow) {
        self.covering(pod).for_each(Account::regain);
    }
}

impl Account<'_> {
    fn ask(&mut self, is_ready: bool, luck: Luck) -> Result<(), Hold> {
        let row = self.row;
        let is_met = row.desired > 0 && self.healthy >= row.desired;
        if !is_ready && (row.unhealthy == UnhealthyPolicy::AlwaysAllow || is_met) {
            return Ok(());
        }
        if let Some(why) = row.never_allows() {
            return Err(Hold::Never(row.key.clone(), why));
        }
        if !row.is_current() && !luck.recovers {
            return Err(Hold::Stale(row.key.clone()));
        }
        if self.allowed <= 0 {
            return Err(Hold::Full(row.key.clone(), row.desired, self.healthy));
        }
        self.allowed -= 1;
        if is_ready {
            self.healthy -= 1;
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.healthy -= 1;
        self.allowed = self.room().min(self.allowed);
    }

    fn regain(&mut self) {
        self.healthy += 1;
        self.allowed = self.room();
    }

    fn room(&self) -> i32 {
        let is_counted = self.row.expected > 0 && self.row.sync_failed.is_none();
        if is_counted { (self.healthy - self.row.desired).max(0) } else { 0 }
    }
}
