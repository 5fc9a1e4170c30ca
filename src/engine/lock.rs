//! Keeps the maintenance lease alive while a run holds it, and knows when it cannot be relied on any more.
//!
//! The lock counts as lost when somebody else holds it, when it was removed, when the API server does not let us renew
//! it, and when no renewal succeeded for as long as one counts: others may take it from then on.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::{Cluster, LeaseHeld, LeaseRefused};
use crate::domain::guard::Permit;
use crate::domain::lock::LeaseRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::{Stamp, brief};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is known of the lock.
#[derive(Debug, Clone)]
struct Health {
    /// When the last renewal that succeeded was sent, by the clock of this machine that nobody sets, and by the wall
    /// clock, which goes on while the machine sleeps.
    good: (Instant, Stamp),
    /// Why it is not ours, or cannot be renewed.
    loss: Option<Loss>,
}

#[derive(Debug, Clone)]
struct Loss {
    words: String,
    /// It will not be ours again: another holds it, or it was removed.
    is_final: bool,
}

impl Health {
    fn renewed(at: (Instant, Stamp)) -> Self {
        Self { good: at, loss: None }
    }

    /// The time since the last renewal that succeeded.
    fn age(&self) -> Duration {
        self.good.0.elapsed().max(now().since(self.good.1))
    }
}

/// Renews the lease in the background until it is dropped or the lease is given back.
pub struct Keeper {
    renewal: Arc<Renewal>,
    lasts: Duration,
    step: watch::Sender<String>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Keeper {
    /// Starts to renew, three times within the time that a renewal counts.
    pub fn start(cluster: Cluster, held: LeaseHeld, permit: Permit) -> Self {
        let lasts = held.claim.lasts;
        let (step, news) = watch::channel(held.claim.step.clone());
        let (health, _) = watch::channel(Health::renewed((Instant::now(), now())));
        let token = CancellationToken::new();
        let renewal = Arc::new(Renewal { cluster, permit, held: Mutex::new(held), health });
        tokio::spawn(renewal.clone().run(lasts / 3, news, token.clone()));
        let guard = token.clone().drop_guard();
        Self { renewal, lasts, step, stop: token, _guard: guard }
    }

    /// Notes the step that the run is in; written with the next renewal, which it brings forward.
    pub fn enter(&self, step: &str) {
        self.step.send_if_modified(|known| {
            let is_new = known != step;
            step.clone_into(known);
            is_new
        });
    }

    /// Why the lock is not ours any more, or cannot be relied on, in words; `None` = it is ours as far as we know.
    pub fn lost(&self) -> Option<String> {
        let health = self.renewal.health.borrow();
        let stale = || format!("it was not renewed for {}", brief(health.age()));
        let loss = health.loss.as_ref().map(|loss| loss.words.clone());
        loss.or_else(|| (health.age() > self.lasts).then(stale))
    }

    /// Why there is nothing to give back: another holds the lock, or it was removed.
    pub fn gone(&self) -> Option<String> {
        let health = self.renewal.health.borrow();
        health.loss.as_ref().filter(|loss| loss.is_final).map(|loss| loss.words.clone())
    }

    /// Makes sure that the lock is ours: renews it at once when that is overdue.
    ///
    /// # Errors
    /// It is lost (`Denied`), or the API is away, so that it cannot be told (passes by itself).
    pub async fn assure(&self) -> Result<(), Error> {
        if self.lost().is_some() && self.gone().is_none() {
            let step = self.step.borrow().clone();
            let mut held = self.renewal.held.lock().await;
            // the renewal in the background may have come first
            if self.lost().is_some()
                && let Err(LeaseRefused::Failed(error)) = self.renewal.once(&mut held, &step).await
                && error.kind.is_passing()
            {
                return Err(error);
            }
        }
        self.lost().map_or(Ok(()), |words| Err(Error::from(lost(&words))))
    }

    /// Gives the lease back, or leaves it with a tombstone.
    ///
    /// # Errors
    /// It is not ours any more, or the API does not answer.
    pub async fn give_back(&self, tombstone: Option<&str>) -> Result<(), Error> {
        self.stop.cancel();
        let held = self.renewal.held.lock().await;
        match self.renewal.cluster.lease_release(&held, tombstone, &self.renewal.permit).await {
            Ok(()) => Ok(()),
            Err(refused) => Err(refusal(refused)),
        }
    }
}

/// The refusal to change anything without the lock.
pub(super) fn lost(words: &str) -> Report {
    Report::new(FailureKind::Denied, format!("the maintenance lock was lost: {words}"))
        .hint("abort this run; nothing more is changed")
}

/// A refusal of the lease as an error of its own words.
pub(super) fn refusal(refused: LeaseRefused) -> Error {
    match refused {
        LeaseRefused::Failed(error) => error,
        LeaseRefused::Held(row) => {
            let words = row.words(now());
            let report = Report::new(FailureKind::Denied, format!("the maintenance lock is held by {words}"));
            Error::from(report)
        }
    }
}

/// The longest time for which a lease that looks abandoned is watched.
pub(super) const WATCH_LIMIT: Duration = Duration::from_mins(1);

/// Watches a lease for as long as a renewal counts, by the clock of this machine that nobody sets: the wall clocks of two
/// machines may differ, and a holder that lives renews it meanwhile. One whose renewals count longer than we care to
/// watch must look expired by the wall clock too.
///
/// Returns the lease as it was seen last; `None` = given back meanwhile.
///
/// # Errors
/// It was renewed (`Denied`, with the holder), the watch was cancelled, or the API does not answer.
pub(super) async fn watch_idle(
    cluster: &Cluster,
    row: &LeaseRow,
    namespace: &str,
    poll: Duration,
    cancel: &CancellationToken,
) -> Result<Option<LeaseRow>, Error> {
    if row.lasts > WATCH_LIMIT && !row.is_expired(now()) {
        return Err(refusal(LeaseRefused::Held(Box::new(row.clone()))));
    }
    let end = Instant::now() + row.lasts.min(WATCH_LIMIT);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                return Err(Report::new(FailureKind::Cancelled, "stopped before taking the lock").into());
            }
            () = tokio::time::sleep_until(end.min(Instant::now() + poll)) => {}
        }
        let seen = match cluster.lease_read(namespace).await? {
            None => return Ok(None),
            Some(seen) if seen.is_still(row) => seen,
            Some(seen) => return Err(refusal(LeaseRefused::Held(Box::new(seen)))),
        };
        if Instant::now() >= end {
            return Ok(Some(seen));
        }
    }
}

struct Renewal {
    cluster: Cluster,
    permit: Permit,
    held: Mutex<LeaseHeld>,
    health: watch::Sender<Health>,
}

impl Renewal {
    async fn run(
        self: Arc<Self>,
        every: Duration,
        mut news: watch::Receiver<String>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(every) => {}
            }
            let current = news.borrow_and_update().clone();
            let mut held = self.held.lock().await;
            let renewed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                renewed = self.once(&mut held, &current) => renewed,
            };
            match renewed {
                Ok(()) => {}
                Err(LeaseRefused::Held(row)) => {
                    tracing::error!("the maintenance lock was taken by {}", row.words(now()));
                    return;
                }
                // the API may be away while a control plane reboots: the next renewal follows
                Err(LeaseRefused::Failed(error)) => {
                    tracing::warn!("the maintenance lock was not renewed: {error}");
                    if error.kind == FailureKind::NotFound {
                        return;
                    }
                }
            }
        }
    }

    /// One renewal, and what it tells about the lock.
    async fn once(&self, held: &mut LeaseHeld, step: &str) -> Result<(), LeaseRefused> {
        let sent = (Instant::now(), now());
        let renewed = self.cluster.lease_renew(held, step, &self.permit).await;
        let loss = match &renewed {
            Ok(()) => {
                self.health.send_replace(Health::renewed(sent));
                return renewed;
            }
            Err(LeaseRefused::Held(row)) => Some(Loss { words: row.words(now()), is_final: true }),
            Err(LeaseRefused::Failed(error)) => match error.kind {
                FailureKind::NotFound => Some(Loss { words: error.to_string(), is_final: true }),
                FailureKind::Forbidden | FailureKind::Unauthorized => {
                    Some(Loss { words: error.to_string(), is_final: false })
                }
                _ => None,
            },
        };
        if loss.is_some() {
            self.health.send_modify(|health| health.loss = loss);
        }
        renewed
    }
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
