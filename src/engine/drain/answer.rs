//! What the API server's answer to an eviction means, told by code, reason and cause (`eviction.go`).

use super::TICK;
use super::entry::State;
use super::ledger::{LONGEST, Ledger, Turn, Wait, jittered};
use crate::backend::error::{Error, Refusal};
use crate::backend::kube::Eviction;
use crate::domain::config::DrainOptions;
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::pod::PodRow;
use crate::domain::report::FailureKind;
use crate::engine::job::pause;
use std::time::Duration;
use tokio::time::Instant;

/// A webhook that denied so often will deny again.
const DENIALS: u32 = 3;

/// What becomes of a refused pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Asked again at that time.
    Later(Instant, Wait),
    /// Its budget says when; without one at hand, later.
    AtBudget,
    /// The pod of that uid is not there any more: its removal will be seen.
    Going,
    /// Nobody is to be asked anything before that time: the server sheds load.
    Quiet(Instant, Wait),
}

/// Whether no further eviction can be expected to do better: the drain ends.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(error.kind, FailureKind::Denied | FailureKind::Unauthorized | FailureKind::Identity)
        || matches!(error.refusal, Some(Refusal::Forbidden(_)))
}

/// What a refused pod does next; `tries` = refusals before this one.
pub(super) fn next(error: &Error, tries: u32, now: Instant) -> Next {
    let after = |least: Duration| {
        let asked = error.retry_after.map(|wait| wait.min(LONGEST));
        now + asked.unwrap_or_else(|| pause(tries).max(jittered(least)))
    };
    let later = |least: u64, wait: Wait| Next::Later(after(Duration::from_secs(least)), wait);
    match &error.refusal {
        Some(Refusal::BudgetFull { .. } | Refusal::BudgetStale { .. } | Refusal::BudgetBroken { .. }) => {
            Next::AtBudget
        }
        Some(Refusal::Replaced) => Next::Going,
        Some(Refusal::TwoBudgets) => {
            let why = "blocked: more than one budget covers it, which the API server does not support";
            later(10, Wait { is_blocked: true, ..Wait::new(why) })
        }
        Some(Refusal::NamespaceTerminating) => {
            later(5, Wait::new("its namespace is being deleted, and it goes with it"))
        }
        Some(Refusal::Webhook(name)) => {
            let why = format!("webhook {name} refuses: {}", error.message);
            later(5, Wait { is_blocked: tries + 1 >= DENIALS, ..Wait::new(why) })
        }
        Some(Refusal::Throttled) => {
            Next::Quiet(after(TICK), Wait::new("the API server sheds load and asks to come back later"))
        }
        Some(Refusal::Conflict) => later(0, Wait::new("it was changed at the same moment")),
        _ => later(0, Wait::new(error.to_string())),
    }
}

/// A refusal in kubectl's words, with the causes that kubectl leaves out.
pub(super) fn complaint(verb: &str, key: &PodKey, error: &Error, state: &State, now: Instant) -> String {
    let again = match state {
        State::Held(until, _) | State::Waiting(Wait { again: Some(until), .. }) => {
            format!(" (will retry after {}s)", until.saturating_duration_since(now).as_secs().max(1))
        }
        _ => String::new(),
    };
    let causes = error.causes.join(": ");
    let why = if causes.is_empty() { error.message.clone() } else { format!("{} {causes}", error.message) };
    format!("error when {verb} pods/\"{}\" -n \"{}\"{again}: {why}", key.name, key.namespace)
}

pub(super) fn clear(ledger: &mut Ledger, budget: Option<&BudgetKey>) {
    if let Some(budget) = budget {
        ledger.cleared(budget);
    }
}

pub(super) fn ask(options: &DrainOptions, ledger: &Ledger, row: &PodRow, now: Instant) -> Turn {
    if options.disable_eviction { Turn::Now(None) } else { ledger.turn(row, now) }
}

/// Refused on behalf of a budget: its status says when; where the pod was not counted against it, some time does.
pub(super) fn at_budget(error: &Error, sent: Option<&BudgetKey>, ledger: &mut Ledger, now: Instant) -> State {
    use Refusal::{BudgetBroken, BudgetFull, BudgetStale};
    if let Some(budget) = sent {
        return State::Waiting(ledger.refused(budget, error, now));
    }
    let named = match &error.refusal {
        Some(BudgetFull { budget, .. } | BudgetStale { budget } | BudgetBroken { budget, .. }) => {
            budget.clone()
        }
        _ => None,
    };
    let wait = match named {
        Some(budget) => ledger.refused(&budget, error, now),
        None => Wait::new(error.message.clone()),
    };
    let until = wait.again.unwrap_or(now + jittered(Duration::from_secs(5)));
    State::Held(until, wait)
}

/// The account of a budget after an eviction that is over: it was let go, or came to nothing.
pub(super) fn settle(
    ledger: &mut Ledger,
    budget: Option<&BudgetKey>,
    answer: &Result<Eviction, Error>,
    now: Instant,
) {
    match (answer, budget) {
        (Ok(Eviction::Accepted), Some(budget)) => ledger.accepted(budget, now),
        (_, budget) => clear(ledger, budget),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(refusal: Refusal) -> Error {
        let mut error = Error::new(FailureKind::Refused, "evict", "shop/a", "no");
        error.refusal = Some(refusal);
        error
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_has_its_own_consequence() {
        let now = Instant::now();
        let full = refused(Refusal::BudgetFull { budget: None, needs: Some(2), has: Some(2) });
        assert_eq!(next(&full, 0, now), Next::AtBudget);
        assert_eq!(next(&refused(Refusal::BudgetStale { budget: None }), 0, now), Next::AtBudget);
        assert_eq!(next(&refused(Refusal::Replaced), 0, now), Next::Going);
        let later = |error: &Error, tries| match next(error, tries, now) {
            Next::Later(at, wait) => (at - now, wait),
            other => panic!("{other:?}"),
        };
        let (pause, wait) = later(&refused(Refusal::TwoBudgets), 0);
        assert!(pause >= Duration::from_secs(10) && wait.is_blocked, "{wait:?}");
        let webhook = refused(Refusal::Webhook("deny.example".into()));
        assert!(!later(&webhook, 0).1.is_blocked, "the operator may move the pod by itself");
        assert!(later(&webhook, 2).1.is_blocked, "it says no again and again");
        assert!(later(&refused(Refusal::NamespaceTerminating), 0).0 >= Duration::from_secs(5));
        assert!(later(&refused(Refusal::Conflict), 0).0 <= Duration::from_secs(2));
        let away = Error::new(FailureKind::Unreachable, "evict", "shop/a", "connection refused");
        assert!(later(&away, 0).1.why.contains("connection refused"));
        assert!(!is_final(&away) && !is_final(&full));
        assert!(is_final(&refused(Refusal::Forbidden("create pods/eviction".into()))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_asks_for_is_waited_for_within_reason() {
        let now = Instant::now();
        let asked = |seconds| {
            let error =
                Error { retry_after: Some(Duration::from_secs(seconds)), ..refused(Refusal::Throttled) };
            match next(&error, 0, now) {
                Next::Quiet(at, _) => at - now,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(18_000), LONGEST);
    }
}
