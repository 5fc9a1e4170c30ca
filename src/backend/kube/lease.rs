//! The maintenance lock: a `coordination.k8s.io` Lease named `pitstop`, every write of which holds only for the version
//! that was read.
//!
//! Whether another holder is still alive is not told by clocks, as those of two machines may differ: whoever takes over or
//! clears a lease that no failed run left marked has watched its `renewTime` stay the same for as long as a renewal
//! counts, as client-go's leader election does. And it is never taken over silently: only when the claim says so.

use super::request::{Ask, decode, path};
use super::rows::{LeaseWire, MANAGER, lease_step};
use super::{Cluster, LeaseClaim, LeaseHeld, LeaseRefused};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::lock::LeaseRow;
use crate::domain::report::FailureKind;
use crate::domain::time::Stamp;
use serde_json::{Value, json};

/// The lease's name.
pub(super) const NAME: &str = "pitstop";

/// The namespace of the kubelets' leases.
pub(super) const BEATS: &str = "kube-node-lease";

/// The collection of leases of a namespace.
pub(super) fn leases(namespace: &str) -> String {
    path(&["apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases"])
}

impl From<Error> for LeaseRefused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Cluster {
    /// Takes the maintenance lease when it is free or ours already (same run); one that is not kept alive any more, or
    /// that a failed run left behind, only when the claim adopts.
    ///
    /// # Errors
    /// [`LeaseRefused::Held`] names the holder.
    pub async fn lease_take(&self, claim: &LeaseClaim, permit: &Permit) -> Result<LeaseHeld, LeaseRefused> {
        permit.check(&Change::Lock).map_err(Error::from)?;
        let now = clock::now();
        let Some(found) = self.lease(&claim.namespace).await? else {
            return self.create(claim, now).await;
        };
        let present = found.lock();
        let is_ours = present.as_ref().is_some_and(|row| {
            row.run.as_ref() == Some(&claim.run) && row.holder == claim.holder && row.tombstone.is_none()
        });
        if let Some(row) = &present
            && !is_ours
            && !(claim.adopt && may_be_adopted(row, claim))
        {
            return Err(LeaseRefused::Held(Box::new(row.clone())));
        }
        let since = present.as_ref().filter(|_| is_ours).and_then(|row| row.since).unwrap_or(now);
        let transitions = found.spec.lease_transitions + i64::from(!is_ours);
        let body = body(claim, &found.metadata.resource_version, since, now, transitions);
        let adopted = present.filter(|_| !is_ours);
        self.write(claim.clone(), &body, Ask::put, adopted).await
    }

    async fn create(&self, claim: &LeaseClaim, now: Stamp) -> Result<LeaseHeld, LeaseRefused> {
        let mut body = body(claim, "", now, now, 0);
        if let Some(metadata) = body["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        self.write(claim.clone(), &body, Ask::post, None).await
    }

    /// Writes the lease; a lost race is answered with who won it.
    async fn write(
        &self,
        claim: LeaseClaim,
        body: &Value,
        verb: fn(&'static str, &'static str, String, &Value) -> Ask,
        adopted: Option<LeaseRow>,
    ) -> Result<LeaseHeld, LeaseRefused> {
        let is_new = body["metadata"].get("resourceVersion").is_none();
        let mut to = leases(&claim.namespace);
        if !is_new {
            to.push_str("/pitstop");
        }
        let ask = verb("take the maintenance lease", NAME, to, body).query("fieldManager", MANAGER);
        match self.inner.ask(&ask).await {
            Ok(answer) => {
                let wire: LeaseWire = decode(&ask, &answer.body)?;
                let (uid, version) = (wire.metadata.uid, wire.metadata.resource_version);
                Ok(LeaseHeld { claim, adopted, uid, version })
            }
            // 409 is "changed meanwhile" as well as "exists already"
            Err(error) if error.kind == FailureKind::Conflict => {
                match self.lease_read(&claim.namespace).await? {
                    Some(row) => Err(LeaseRefused::Held(Box::new(row))),
                    None => Err(LeaseRefused::Failed(error)),
                }
            }
            Err(error) => Err(LeaseRefused::Failed(error)),
        }
    }

    /// Keeps the lease alive and notes the step.
    ///
    /// # Errors
    /// [`LeaseRefused::Held`] = somebody else took it; the run must stop changing things.
    pub async fn lease_renew(
        &self,
        held: &mut LeaseHeld,
        step: &str,
        permit: &Permit,
    ) -> Result<(), LeaseRefused> {
        permit.check(&Change::Lock).map_err(Error::from)?;
        step.clone_into(&mut held.claim.step);
        let body = json!({
            "metadata": {
                "uid": held.uid, "resourceVersion": held.version,
                "annotations": {lease_step::STEP: step, lease_step::TOMBSTONE: null},
            },
            "spec": {"renewTime": clock::rfc3339_micro(clock::now())},
        });
        self.change(held, "renew the maintenance lease", &body).await
    }

    /// Gives the lease back; with a tombstone it stays, marked as left behind by a failed run. One that nobody holds, or that
    /// is not there any more, is given back: the answer to an earlier request may have been lost.
    ///
    /// # Errors
    /// [`LeaseRefused::Held`] = it is somebody else's by now, and was left alone.
    pub async fn lease_release(
        &self,
        held: &LeaseHeld,
        tombstone: Option<&str>,
        permit: &Permit,
    ) -> Result<(), LeaseRefused> {
        permit.check(&Change::Lock).map_err(Error::from)?;
        let body = match tombstone {
            Some(words) => json!({
                "metadata": {
                    "uid": held.uid, "resourceVersion": held.version, "annotations": {lease_step::TOMBSTONE: words},
                },
                "spec": {"renewTime": clock::rfc3339_micro(clock::now())},
            }),
            None => given_back(&held.uid, &held.version),
        };
        match self.change(&mut held.clone(), "release the maintenance lease", &body).await {
            Err(LeaseRefused::Failed(error))
                if error.kind == FailureKind::NotFound && tombstone.is_none() =>
            {
                match self.lease_read(&held.claim.namespace).await? {
                    None => Ok(()),
                    Some(_) => Err(LeaseRefused::Failed(error)),
                }
            }
            changed => changed,
        }
    }

    /// Clears a lease that another run left behind, while it still is as it was `seen`. The caller has made sure that
    /// nobody keeps it alive.
    ///
    /// # Errors
    /// [`LeaseRefused::Held`] = it is another one by now, or was renewed, and was left alone.
    pub async fn lease_clear(
        &self,
        namespace: &str,
        seen: &LeaseRow,
        permit: &Permit,
    ) -> Result<(), LeaseRefused> {
        permit.check(&Change::Lock).map_err(Error::from)?;
        let Some(found) = self.lease(namespace).await? else { return Ok(()) };
        match found.lock() {
            None => return Ok(()),
            Some(row) if !row.is_still(seen) => return Err(LeaseRefused::Held(Box::new(row))),
            Some(_) => {}
        }
        let body = given_back(&found.metadata.uid, &found.metadata.resource_version);
        let to = format!("{}/pitstop", leases(namespace));
        let ask = Ask::merge("clear the maintenance lease", NAME, to, &body).query("fieldManager", MANAGER);
        self.inner.ask(&ask).await?;
        Ok(())
    }

    /// Patches the lease as it was written last. When something else about it changed meanwhile (409), the change is made
    /// once more if it is still ours.
    async fn change(&self, held: &mut LeaseHeld, op: &'static str, body: &Value) -> Result<(), LeaseRefused> {
        let to = format!("{}/pitstop", leases(&held.claim.namespace));
        let mut body = body.clone();
        let mut is_second = false;
        loop {
            let ask = Ask::merge(op, NAME, to.clone(), &body).query("fieldManager", MANAGER);
            let error = match self.inner.ask(&ask).await {
                Ok(answer) => {
                    let wire: LeaseWire = decode(&ask, &answer.body)?;
                    held.version = wire.metadata.resource_version;
                    return Ok(());
                }
                Err(error) => error,
            };
            // 422: the uid is another one
            if !matches!(error.kind, FailureKind::Conflict | FailureKind::Refused) || is_second {
                return Err(LeaseRefused::Failed(error));
            }
            let found = self.lease(&held.claim.namespace).await?;
            let row = found.as_ref().and_then(LeaseWire::lock);
            match (found, row) {
                (_, Some(row)) if row.run.as_ref() != Some(&held.claim.run) => {
                    return Err(LeaseRefused::Held(Box::new(row)));
                }
                (Some(found), Some(_)) if found.metadata.uid == held.uid => {
                    body["metadata"]["resourceVersion"] = Value::String(found.metadata.resource_version);
                    is_second = true;
                }
                _ => {
                    let error = Error { kind: FailureKind::NotFound, ..error };
                    return Err(LeaseRefused::Failed(
                        error.because("the lease was removed or given back meanwhile"),
                    ));
                }
            }
        }
    }

    /// Who holds the maintenance lease; `None` = nobody.
    pub async fn lease_read(&self, namespace: &str) -> Result<Option<LeaseRow>, Error> {
        Ok(self.lease(namespace).await?.and_then(|wire| wire.lock()))
    }

    async fn lease(&self, namespace: &str) -> Result<Option<LeaseWire>, Error> {
        let ask = Ask::get("read the maintenance lease", NAME, format!("{}/pitstop", leases(namespace)));
        match self.inner.fetch(&ask).await {
            Ok(wire) => Ok(Some(wire)),
            Err(error) if error.kind == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Left behind, or watched and not renewed since.
fn may_be_adopted(row: &LeaseRow, claim: &LeaseClaim) -> bool {
    row.tombstone.is_some() || claim.watched.as_ref().is_some_and(|seen| row.is_still(seen))
}

/// The patch that leaves a lease without a holder.
fn given_back(uid: &str, version: &str) -> Value {
    let notes = json!({
        lease_step::RUN: null, lease_step::STEP: null, lease_step::NODE: null, lease_step::TOMBSTONE: null,
    });
    json!({
        "metadata": {"uid": uid, "resourceVersion": version, "annotations": notes},
        "spec": {"holderIdentity": null, "acquireTime": null, "renewTime": null},
    })
}

fn body(claim: &LeaseClaim, version: &str, since: Stamp, now: Stamp, transitions: i64) -> Value {
    let mut annotations = json!({lease_step::RUN: claim.run.0, lease_step::STEP: claim.step});
    if let Some(node) = &claim.node {
        annotations[lease_step::NODE] = json!(node.0);
    }
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": NAME, "namespace": claim.namespace, "resourceVersion": version, "annotations": annotations,
        },
        "spec": {
            "holderIdentity": claim.holder,
            "leaseDurationSeconds": claim.lasts.as_secs().max(1),
            "acquireTime": clock::rfc3339_micro(since),
            "renewTime": clock::rfc3339_micro(now),
            "leaseTransitions": transitions,
        },
    })
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
