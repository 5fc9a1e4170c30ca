//! Why the API server refused an eviction: told from code, reason and causes.
//!
//! Two answers carry neither reason nor cause and can only be told by their text as well: the 500 about more than one
//! budget (`eviction.go`) and a webhook's denial (`webhook/errors/statuserror.go`).

use super::fault::{Cause, Status};
use crate::backend::error::Error;
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::report::FailureKind;
use crate::domain::text::clean;

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
    /// Also what a 409 is called before it is known whether the pod was replaced.
    Conflict,
    /// Not allowed by the server's authorisation (403); the missing rule in words.
    Forbidden(String),
    /// Anything else.
    Other,
}

/// Adds to an error of an eviction or a deletion why it was refused, and corrects kind and hint accordingly. `right` = what it
/// takes, in words.
pub(super) fn refused(pod: &PodKey, right: &str, status: &Status, mut error: Error) -> Error {
    let refusal = classify(pod, right, status, &error);
    let (kind, hint) = match &refusal {
        Refusal::BudgetFull { .. } => (FailureKind::Refused, None),
        Refusal::BudgetBroken { .. } => (FailureKind::Refused, Some("the budget needs its owner")),
        Refusal::TwoBudgets => {
            (FailureKind::Refused, Some("its owner must remove or narrow one of the budgets"))
        }
        Refusal::BudgetStale { .. } | Refusal::Throttled => (FailureKind::Throttled, None),
        Refusal::NamespaceTerminating => (FailureKind::Refused, Some("the pod goes with its namespace")),
        Refusal::Webhook(_) if status.code >= 500 => {
            (FailureKind::Unreachable, Some("the webhook did not answer"))
        }
        Refusal::Webhook(_) => {
            (FailureKind::Refused, Some("its operator may move the pod by itself: wait, or ask its owner"))
        }
        Refusal::Replaced | Refusal::Conflict => (FailureKind::Conflict, None),
        Refusal::Forbidden(_) | Refusal::Other => (error.kind, None),
    };
    error.kind = kind;
    if let Some(hint) = hint {
        error.hint = Some(hint.to_owned());
    } else if kind != FailureKind::Forbidden {
        error.hint = None;
    }
    error.refusal = Some(refusal);
    error
}

fn classify(pod: &PodKey, right: &str, status: &Status, error: &Error) -> Refusal {
    let cause = |reason: &str| status.causes().iter().find(|cause| cause.reason == reason);
    let about_budget =
        status.details.as_ref().is_some_and(|details| details.kind.starts_with("poddisruptionbudget"));
    if let Some(name) = webhook(&status.message) {
        return Refusal::Webhook(name);
    }
    match status.code {
        429 => match cause("DisruptionBudget") {
            Some(cause) => of_budget(pod, cause, error.retry_after.is_some()),
            None => Refusal::Throttled,
        },
        403 if cause("NamespaceTerminating").is_some() => Refusal::NamespaceTerminating,
        403 if about_budget => Refusal::BudgetBroken {
            budget: status.details.as_ref().map(|details| key(pod, &details.name)),
            why: clean(&status.message),
        },
        403 => Refusal::Forbidden(format!("{right} in namespace {}", pod.namespace)),
        409 => Refusal::Conflict,
        500 if status.reason.is_empty() && status.message.contains("more than one PodDisruptionBudget") => {
            Refusal::TwoBudgets
        }
        _ => Refusal::Other,
    }
}

/// A refusal with a `DisruptionBudget` cause. Only a status that lags is answered with a time to come back.
fn of_budget(pod: &PodKey, cause: &Cause, has_retry_after: bool) -> Refusal {
    let words: Vec<&str> = cause.message.split_ascii_whitespace().collect();
    let budget = words.strip_prefix(&["The", "disruption", "budget"]).and_then(|rest| rest.first());
    let budget = budget.map(|name| key(pod, name));
    if has_retry_after {
        return Refusal::BudgetStale { budget };
    }
    let after = |word: &str| {
        let at = words.iter().position(|known| *known == word)?;
        words.get(at + 1)?.parse::<i32>().ok()
    };
    let (needs, has) = (after("needs"), after("has"));
    if needs.is_none() && has.is_none() && words.contains(&"sync:") {
        return Refusal::BudgetBroken { budget, why: clean(&cause.message) };
    }
    Refusal::BudgetFull { budget, needs, has }
}

fn key(pod: &PodKey, name: &str) -> BudgetKey {
    BudgetKey { namespace: pod.namespace.clone(), name: clean(name) }
}

/// The name out of `admission webhook "NAME" denied the request` and `failed calling webhook "NAME"`.
fn webhook(message: &str) -> Option<String> {
    let rest = ["admission webhook \"", "failed calling webhook \""]
        .iter()
        .find_map(|opening| message.split_once(opening).map(|(_, rest)| rest))?;
    rest.split_once('"').map(|(name, _)| clean(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::kube::fault::{self, Who};
    use crate::backend::kube::request::Ask;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn answer(code: u16, retry_after: Option<u64>, body: &Value) -> Error {
        let pod = PodKey { namespace: "shop".into(), name: "web-1".into(), uid: "u".into() };
        let mut ask = Ask::post("evict", "shop/web-1", "/".into(), &json!({}));
        ask.eviction = Some(pod);
        let wait = retry_after.map(Duration::from_secs);
        fault::status(&ask, code, wait, &serde_json::to_vec(body).unwrap(), &Who::default())
    }

    fn budget(text: &str, wait: Option<u64>) -> Value {
        json!({"kind": "Status", "status": "Failure", "reason": "TooManyRequests", "code": 429,
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": {"causes": [{"reason": "DisruptionBudget", "message": text}], "retryAfterSeconds": wait.unwrap_or(0)}})
    }

    #[test]
    fn a_full_budget_tells_its_figures() {
        let error = answer(
            429,
            None,
            &budget("The disruption budget web needs 2 healthy pods and has 2 currently", None),
        );
        let key = BudgetKey { namespace: "shop".into(), name: "web".into() };
        assert_eq!(
            error.refusal,
            Some(Refusal::BudgetFull { budget: Some(key), needs: Some(2), has: Some(2) })
        );
        assert_eq!((error.kind, error.retry_after), (FailureKind::Refused, None));
        assert!(error.to_string().contains("needs 2 healthy pods"), "{error}");
    }

    #[test]
    fn a_lagging_status_tells_when_to_come_back() {
        let text = "The disruption budget web is still being processed by the server.";
        let error = answer(429, Some(10), &budget(text, Some(10)));
        assert!(matches!(error.refusal, Some(Refusal::BudgetStale { budget: Some(_) })));
        assert_eq!(error.retry_after, Some(Duration::from_secs(10)));
        assert!(error.kind.is_passing());
        let sync = "The disruption budget web does not allow evicting pods currently because it failed sync: no scale";
        assert!(matches!(answer(429, None, &budget(sync, None)).refusal, Some(Refusal::BudgetBroken { .. })));
    }

    #[test]
    fn load_shedding_is_not_a_budget() {
        let error = answer(429, Some(1), &json!("Too many requests, please try again later."));
        assert_eq!((error.refusal, error.kind), (Some(Refusal::Throttled), FailureKind::Throttled));
        assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_other_refusals() {
        let status = |code: u16, reason: &str, message: &str, details: Value| json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": message, "details": details});
        let told = |code, reason: &str, message: &str, details| {
            answer(code, None, &status(code, reason, message, details)).refusal
        };
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        assert_eq!(told(500, "", two, Value::Null), Some(Refusal::TwoBudgets));
        assert_eq!(
            told(500, "InternalError", "etcdserver: request timed out", Value::Null),
            Some(Refusal::Other)
        );
        let ending = json!({"causes": [{"reason": "NamespaceTerminating", "message": "m", "field": "metadata.namespace"}]});
        assert_eq!(
            told(403, "Forbidden", "unable to create new content", ending),
            Some(Refusal::NamespaceTerminating)
        );
        let negative = json!({"name": "web", "group": "policy", "kind": "poddisruptionbudgets"});
        assert!(matches!(
            told(403, "Forbidden", "pdb disruptions allowed is negative", negative),
            Some(Refusal::BudgetBroken { budget: Some(key), .. }) if key.name == "web"
        ));
        assert!(
            matches!(told(403, "Forbidden", "no", Value::Null), Some(Refusal::Forbidden(rule)) if rule.contains("pods/eviction"))
        );
        let denied = "admission webhook \"drain.strimzi.io\" denied the request: later";
        assert_eq!(
            told(403, "Forbidden", denied, Value::Null),
            Some(Refusal::Webhook("drain.strimzi.io".into()))
        );
        let failed = "Internal error occurred: failed calling webhook \"w.x\": connection refused";
        let error = answer(500, None, &status(500, "InternalError", failed, Value::Null));
        assert_eq!(
            (error.refusal, error.kind),
            (Some(Refusal::Webhook("w.x".into())), FailureKind::Unreachable)
        );
        assert_eq!(told(409, "Conflict", "m", Value::Null), Some(Refusal::Conflict));
    }
}
