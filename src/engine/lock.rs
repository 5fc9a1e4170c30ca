//! Keeps the maintenance lease alive while a run holds it.

use crate::backend::error::Error;
use crate::backend::kube::{Cluster, LeaseHeld, LeaseRefused};
use crate::domain::guard::Permit;
use crate::domain::report::Report;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Renews the lease in the background until it is dropped or the lease is given back.
pub struct Keeper {
    cluster: Cluster,
    permit: Permit,
    held: Arc<Mutex<LeaseHeld>>,
    step: watch::Sender<String>,
    lost: watch::Receiver<Option<String>>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Keeper {
    /// Starts to renew, three times within the time that a renewal counts.
    pub fn start(cluster: Cluster, held: LeaseHeld, permit: Permit) -> Self {
        let every = held.claim.lasts / 3;
        let (step, news) = watch::channel(held.claim.step.clone());
        let (told, lost) = watch::channel(None);
        let token = CancellationToken::new();
        let held = Arc::new(Mutex::new(held));
        let renewal = Renewal { cluster: cluster.clone(), permit: permit.clone(), held: held.clone(), every };
        tokio::spawn(renewal.run(news, told, token.clone()));
        let guard = token.clone().drop_guard();
        Self { cluster, permit, held, step, lost, stop: token, _guard: guard }
    }

    /// Notes the step that the run is in; written with the next renewal, which it brings forward.
    pub fn enter(&self, step: &str) {
        self.step.send_if_modified(|known| {
            let is_new = known != step;
            step.clone_into(known);
            is_new
        });
    }

    /// Who took the lock from us, in words; `None` = it is ours as far as we know.
    pub fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Gives the lease back, or leaves it with a tombstone.
    ///
    /// # Errors
    /// It is not ours any more, or the API does not answer.
    pub async fn give_back(&self, tombstone: Option<&str>) -> Result<(), Error> {
        self.stop.cancel();
        let held = self.held.lock().await;
        match self.cluster.lease_release(&held, tombstone, &self.permit).await {
            Ok(()) => Ok(()),
            Err(refused) => Err(refusal(refused)),
        }
    }
}

/// A refusal of the lease as an error of its own words.
pub(super) fn refusal(refused: LeaseRefused) -> Error {
    match refused {
        LeaseRefused::Failed(error) => error,
        LeaseRefused::Held(row) => {
            let words = row.words(crate::backend::clock::now());
            let report = Report::new(
                crate::domain::report::FailureKind::Denied,
                format!("the maintenance lock is held by {words}"),
            );
            Error::from(report)
        }
    }
}

struct Renewal {
    cluster: Cluster,
    permit: Permit,
    held: Arc<Mutex<LeaseHeld>>,
    every: Duration,
}

impl Renewal {
    async fn run(
        self,
        mut news: watch::Receiver<String>,
        told: watch::Sender<Option<String>>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.every) => {}
            }
            let current = news.borrow_and_update().clone();
            let mut held = self.held.lock().await;
            let renewed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                renewed = self.cluster.lease_renew(&mut held, &current, &self.permit) => renewed,
            };
            match renewed {
                Ok(()) => {}
                Err(LeaseRefused::Held(row)) => {
                    let words = row.words(crate::backend::clock::now());
                    tracing::error!("the maintenance lock was taken by {words}");
                    told.send_replace(Some(words));
                    return;
                }
                // the API may be away while a control plane reboots: the next renewal follows
                Err(LeaseRefused::Failed(error)) => {
                    tracing::warn!("the maintenance lock was not renewed: {error}");
                }
            }
        }
    }
}
