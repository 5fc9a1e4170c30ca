//! The changes that a way out of a block makes for a while, and takes back: each holds only for the object as it was
//! read (uid and resourceVersion), and each answer is checked.

use super::Cluster;
use super::owners::{BudgetDetail, budget_path, detail, object_path};
use super::request::{Ask, decode};
use super::rows::MANAGER;
use crate::backend::error::Error;
use crate::domain::debt::{BudgetSpec, ObjectKey};
use crate::domain::guard::{Change, Permit};
use crate::domain::report::FailureKind;
use serde_json::{Value, json};

/// An object's size as its `/scale` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: i32,
    /// `metadata.uid`.
    pub uid: String,
    version: String,
}

/// An autoscaler's lower bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// `spec.minReplicas`; `None` = not set, which the server reads as 1.
    pub min: Option<i32>,
    /// `metadata.uid`.
    pub uid: String,
    version: String,
}

fn no_kind(op: &'static str, key: &ObjectKey) -> Error {
    Error::new(FailureKind::Unexpected, op, key.to_string(), "it is of no built-in kind")
}

fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|count| i32::try_from(count).ok())
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The server said yes, and its answer says otherwise.
fn undone(ask: &Ask) -> Error {
    let message = "the server accepted the change, but its answer does not show it";
    Error::new(FailureKind::Unexpected, ask.op, &ask.target, message)
        .hint("an admission webhook may have undone it")
}

impl Cluster {
    /// Changes a budget's fields. It must still be the one that was read, in its whole state: else a conflict (409).
    pub async fn patch_budget(
        &self,
        was: &BudgetDetail,
        to: &BudgetSpec,
        change: &Change<'_>,
        permit: &Permit,
    ) -> Result<BudgetDetail, Error> {
        permit.check(change)?;
        let key = &was.row.key;
        let body = json!({
            "metadata": {"uid": was.row.uid, "resourceVersion": was.version},
            "spec": to.patch_from(&was.spec),
        });
        let ask = Ask::merge("change budget", key.to_string(), budget_path(key), &body)
            .query("fieldManager", MANAGER);
        let answer: Value = decode(&ask, &self.inner.ask(&ask).await?.body)?;
        detail(&answer).filter(|after| after.spec == *to).ok_or_else(|| undone(&ask))
    }

    /// The size of a workload.
    pub async fn scale(&self, key: &ObjectKey) -> Result<Scale, Error> {
        let op = "read the scale of";
        let to = object_path(key, &["scale"]).ok_or_else(|| no_kind(op, key))?;
        let object: Value = self.inner.fetch(&Ask::get(op, key.to_string(), to)).await?;
        scale_of(&object)
            .ok_or_else(|| Error::new(FailureKind::Unexpected, op, key.to_string(), "the answer is no scale"))
    }

    /// Changes the size of a workload that still is as it was read.
    pub async fn set_scale(
        &self,
        key: &ObjectKey,
        was: &Scale,
        replicas: i32,
        change: &Change<'_>,
        permit: &Permit,
    ) -> Result<Scale, Error> {
        permit.check(change)?;
        let op = "scale";
        let to = object_path(key, &["scale"]).ok_or_else(|| no_kind(op, key))?;
        let body = json!({
            "metadata": {"uid": was.uid, "resourceVersion": was.version},
            "spec": {"replicas": replicas},
        });
        let ask = Ask::merge(op, key.to_string(), to, &body).query("fieldManager", MANAGER);
        let answer: Value = decode(&ask, &self.inner.ask(&ask).await?.body)?;
        scale_of(&answer).filter(|after| after.replicas == replicas).ok_or_else(|| undone(&ask))
    }

    /// The lower bound of an autoscaler.
    pub async fn bound(&self, key: &ObjectKey) -> Result<Bound, Error> {
        let op = "read autoscaler";
        let to = object_path(key, &[]).ok_or_else(|| no_kind(op, key))?;
        Ok(bound_of(&self.inner.fetch(&Ask::get(op, key.to_string(), to)).await?))
    }

    /// Changes the lower bound of an autoscaler that still is as it was read.
    pub async fn set_bound(
        &self,
        key: &ObjectKey,
        was: &Bound,
        min: Option<i32>,
        change: &Change<'_>,
        permit: &Permit,
    ) -> Result<Bound, Error> {
        permit.check(change)?;
        let op = "change autoscaler";
        let to = object_path(key, &[]).ok_or_else(|| no_kind(op, key))?;
        let body = json!({
            "metadata": {"uid": was.uid, "resourceVersion": was.version},
            "spec": {"minReplicas": min},
        });
        let ask = Ask::merge(op, key.to_string(), to, &body).query("fieldManager", MANAGER);
        let after = bound_of(&decode(&ask, &self.inner.ask(&ask).await?.body)?);
        // a server that has a default writes it where a field was taken away
        let is_set = after.min == min || (min.is_none() && after.min == Some(1));
        if is_set { Ok(after) } else { Err(undone(&ask)) }
    }

    /// Restarts a Deployment's rollout, as `kubectl rollout restart` does.
    pub async fn restart_rollout(
        &self,
        key: &ObjectKey,
        stamp: &str,
        change: &Change<'_>,
        permit: &Permit,
    ) -> Result<(), Error> {
        permit.check(change)?;
        let op = "restart the rollout of";
        let to = object_path(key, &[]).ok_or_else(|| no_kind(op, key))?;
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": stamp});
        let body = json!({
            "metadata": {"uid": key.uid},
            "spec": {"template": {"metadata": {"annotations": annotations}}},
        });
        let ask = Ask::merge(op, key.to_string(), to, &body).query("fieldManager", MANAGER);
        self.inner.ask(&ask).await.map(drop)
    }
}

fn scale_of(object: &Value) -> Option<Scale> {
    let metadata = &object["metadata"];
    Some(Scale {
        // a replica count of zero is left out of the answer
        replicas: object["spec"]
            .as_object()
            .map(|spec| spec.get("replicas").and_then(number).unwrap_or(0))?,
        uid: word(&metadata["uid"]),
        version: word(&metadata["resourceVersion"]),
    })
}

fn bound_of(object: &Value) -> Bound {
    let metadata = &object["metadata"];
    Bound {
        min: number(&object["spec"]["minReplicas"]),
        uid: word(&metadata["uid"]),
        version: word(&metadata["resourceVersion"]),
    }
}

#[cfg(test)]
#[path = "borrow_tests.rs"]
mod tests;
