//! Flags about moving pods, named as kubectl names them, and what cannot be meant.

use crate::domain::config::DrainOptions;
use crate::domain::report::{FailureKind, Report};
use crate::domain::selector;
use clap::{ArgAction, Args, ValueEnum};
use std::time::Duration;

/// How pods are moved.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Drain (as kubectl)")]
pub struct DrainFlags {
    /// Leave pods of DaemonSets where they are
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub ignore_daemonsets: bool,
    /// Move pods whose emptyDir data is lost by that
    #[arg(long)]
    pub delete_emptydir_data: bool,
    /// Move pods that nothing will create again
    #[arg(long)]
    pub force: bool,
    /// Seconds of grace for each pod; -1 = the pod's own
    #[arg(long, default_value_t = -1, value_name = "SECONDS", allow_negative_numbers = true)]
    pub grace_period: i64,
    /// Deadline of one node's drain; 0 = none
    #[arg(long, default_value = "30m", value_name = "TIME", value_parser = super::seconds_or_span, allow_hyphen_values = true)]
    pub timeout: Duration,
    /// Only pods whose labels match
    #[arg(long, default_value = "", hide_default_value = true, value_name = "SELECTOR")]
    pub pod_selector: String,
    /// Delete pods instead of evicting them: budgets are bypassed
    #[arg(long)]
    pub disable_eviction: bool,
    /// Do not wait for pods that were deleted longer ago than this many seconds; 0 = wait for all
    #[arg(long, default_value_t = 0, value_name = "SECONDS", allow_negative_numbers = true)]
    pub skip_wait_for_delete_timeout: i64,
    /// Accepted for kubectl's sake and ignored: lists are read in pages of 500
    #[arg(long, value_name = "N", hide_default_value = true)]
    pub chunk_size: Option<i64>,
    /// Drain up to N of several nodes at the same time; they share one ledger of the budgets
    #[arg(long, default_value_t = 1, value_name = "N", allow_negative_numbers = true)]
    pub parallel: i64,
}

/// `--dry-run`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Carry it out
    #[default]
    None,
    /// Show the plan
    Client,
    /// The same: the plan is always made from what the server has
    Server,
}

fn wrong(words: String) -> Report {
    Report::new(FailureKind::Local, words)
}

impl DrainFlags {
    /// The options.
    ///
    /// # Errors
    /// A number that cannot be meant, or a selector that cannot be read.
    pub fn options(&self) -> Result<DrainOptions, Report> {
        if self.grace_period < -1 {
            let words = format!("--grace-period {} cannot be: it is a number of seconds", self.grace_period);
            return Err(wrong(words).hint("-1 leaves each pod its own"));
        }
        let skip = u64::try_from(self.skip_wait_for_delete_timeout).map_err(|_| {
            let given = self.skip_wait_for_delete_timeout;
            wrong(format!("--skip-wait-for-delete-timeout {given} cannot be: it is a number of seconds"))
        })?;
        let parallel = usize::try_from(self.parallel).ok().filter(|count| *count > 0).ok_or_else(|| {
            wrong(format!("--parallel {} cannot be: at least one node is drained at a time", self.parallel))
        })?;
        selector::parse(&self.pod_selector)
            .map_err(|why| wrong(format!("--pod-selector {:?} cannot be read: {why}", self.pod_selector)))?;
        Ok(DrainOptions {
            ignore_daemonsets: self.ignore_daemonsets,
            delete_emptydir_data: self.delete_emptydir_data,
            force: self.force,
            grace_period: self.grace_period,
            timeout: self.timeout,
            pod_selector: self.pod_selector.clone(),
            disable_eviction: self.disable_eviction,
            skip_wait_for_delete: Duration::from_secs(skip),
            parallel,
        })
    }
}
