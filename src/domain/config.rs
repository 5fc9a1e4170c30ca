//! Choices that rules need, as plain data (the file that they are read from is not this room's matter).

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which contexts are protected, and whether anything may be changed at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Nothing may be changed.
    pub read_only: bool,
    /// Globs of context names that need the context's name typed.
    pub protected: Vec<String>,
    /// The context in use.
    pub context: String,
}

impl Policy {
    /// Whether the context in use is protected.
    pub fn is_protected(&self) -> bool {
        self.protected.iter().any(|glob| super::text::matches_glob(glob, &self.context))
    }
}

/// How kubectl's drain flags are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOptions {
    /// Leave DaemonSet pods where they are (`--ignore-daemonsets`).
    pub ignore_daemonsets: bool,
    /// Move pods whose `emptyDir` data is lost (`--delete-emptydir-data`).
    pub delete_emptydir_data: bool,
    /// Move pods that nothing will create again (`--force`).
    pub force: bool,
    /// Grace in seconds instead of the pod's own (`--grace-period`; -1 = own).
    pub grace_period: i64,
    /// One deadline over the whole drain of a node (`--timeout`; zero = none, which is kubectl's
    /// default; ours is 30 minutes, so that nothing hangs unnoticed).
    #[serde(rename = "timeout_seconds", alias = "timeout", with = "super::time::seconds")]
    pub timeout: Duration,
    /// Only pods that match (`--pod-selector`, as typed).
    pub pod_selector: String,
    /// DELETE instead of eviction (`--disable-eviction`): budgets are bypassed.
    pub disable_eviction: bool,
    /// Do not wait for pods deleted longer ago than this (`--skip-wait-for-delete-timeout`; zero = wait for all).
    #[serde(
        rename = "skip_wait_for_delete_seconds",
        alias = "skip_wait_for_delete",
        with = "super::time::seconds"
    )]
    pub skip_wait_for_delete: Duration,
    /// How many of several nodes are drained at the same time (`--parallel`).
    #[serde(default = "one")]
    pub parallel: usize,
}

fn one() -> usize {
    1
}

impl DrainOptions {
    /// As kubectl's flags, each with a blank before it.
    pub fn flags(&self) -> String {
        let mut text = String::new();
        for (is_on, flag) in [
            (self.ignore_daemonsets, " --ignore-daemonsets"),
            (self.delete_emptydir_data, " --delete-emptydir-data"),
            (self.force, " --force"),
            (self.disable_eviction, " --disable-eviction"),
        ] {
            if is_on {
                text.push_str(flag);
            }
        }
        if self.grace_period >= 0 {
            text.push_str(&format!(" --grace-period={}", self.grace_period));
        }
        if !self.timeout.is_zero() {
            text.push_str(&format!(" --timeout={}s", self.timeout.as_secs()));
        }
        if !self.pod_selector.is_empty() {
            text.push_str(&format!(" --pod-selector='{}'", self.pod_selector));
        }
        if !self.skip_wait_for_delete.is_zero() {
            text.push_str(&format!(
                " --skip-wait-for-delete-timeout={}",
                self.skip_wait_for_delete.as_secs()
            ));
        }
        text
    }
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            ignore_daemonsets: true,
            delete_emptydir_data: false,
            force: false,
            grace_period: -1,
            timeout: Duration::from_mins(30),
            pod_selector: String::new(),
            disable_eviction: false,
            skip_wait_for_delete: Duration::ZERO,
            parallel: 1,
        }
    }
}
