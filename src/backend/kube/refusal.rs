//! Why the API server refused an eviction: told from code, reason and causes, never from the message alone.

use crate::domain::ids::BudgetKey;

/// The classes of refusal that call for different answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The budget allows no disruption now (429 with a `DisruptionBudget` cause). Waiting for the budget may help.
    BudgetFull {
        /// The budget, as far as the cause names it.
        budget: Option<BudgetKey>,
        /// Healthy pods that it needs.
        needs: Option<i32>,
        /// Healthy pods that there are.
        has: Option<i32>,
    },
    /// The budget's status is older than its spec (429, `Retry-After: 10`): the disruption controller lags.
    BudgetStale {
        /// The budget, as far as the cause names it.
        budget: Option<BudgetKey>,
    },
    /// The budget's status cannot be computed (condition `SyncFailed`), or holds figures that never allow.
    BudgetBroken {
        /// The budget, as far as the cause names it.
        budget: Option<BudgetKey>,
        /// The server's words.
        why: String,
    },
    /// More than one budget covers the pod (500): never allowed while both are there.
    TwoBudgets,
    /// The server sheds load (429 without a budget's cause).
    Throttled,
    /// The namespace is being deleted (403 with cause `NamespaceTerminating`): the pod goes by itself.
    NamespaceTerminating,
    /// An admission webhook said no; its name.
    Webhook(String),
    /// The pod of that name is another one by now (409 on the uid precondition).
    Replaced,
    /// Somebody else changed the pod or the budget at the same moment (409): try again.
    Conflict,
    /// Not allowed by the server's authorisation (403); the missing rule in words.
    Forbidden(String),
    /// Anything else.
    Other,
}
