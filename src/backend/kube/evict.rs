//! Evictions and deletions: each sent once, for this very pod, with everything that the server says about it kept.

use super::request::{Ask, path};
use super::{Cluster, Eviction, Refusal};
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::report::FailureKind;
use serde::{Deserialize, Serialize};

/// The body of `POST …/pods/NAME/eviction` (`policy/v1`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EvictionBody<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Named<'a>,
    delete_options: DeleteOptions<'a>,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// `DeleteOptions`. The uid is a precondition always; the resource version, which changes with every status, only where
/// the very state matters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteOptions<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_period_seconds: Option<i64>,
    preconditions: Preconditions<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<&'a str>,
}

impl<'a> DeleteOptions<'a> {
    /// A negative grace is kubectl's word for the pod's own.
    fn new(pod: &'a PodKey, grace: Option<i64>) -> Self {
        Self {
            api_version: "v1",
            kind: "DeleteOptions",
            grace_period_seconds: grace.filter(|seconds| *seconds >= 0),
            preconditions: Preconditions { uid: &pod.uid, resource_version: None },
        }
    }
}

impl<'a> EvictionBody<'a> {
    fn new(pod: &'a PodKey, grace: Option<i64>) -> Self {
        Self {
            api_version: "policy/v1",
            kind: "Eviction",
            metadata: Named { name: &pod.name, namespace: &pod.namespace },
            delete_options: DeleteOptions::new(pod, grace),
        }
    }
}

impl Cluster {
    /// Asks for the eviction of this very pod (uid). One request, no repetition.
    ///
    /// # Errors
    /// A refusal says why in [`Error::refusal`]; when the server wants to be asked again later, that time is in
    /// [`Error::retry_after`].
    pub async fn evict(
        &self,
        pod: &PodKey,
        node: &NodeName,
        grace: Option<i64>,
        permit: &Permit,
    ) -> Result<Eviction, Error> {
        permit.check(&Change::Evict(node))?;
        let to = path(&["api", "v1", "namespaces", &pod.namespace, "pods", &pod.name, "eviction"]);
        let mut ask = Ask::post("evict", pod.to_string(), to, &EvictionBody::new(pod, grace));
        ask.eviction = Some(pod.clone());
        self.removed(pod, self.inner.ask(&ask).await.map(drop)).await
    }

    /// Deletes this very pod (uid) past its budget (`--disable-eviction`). One request, no repetition.
    pub async fn delete_pod(
        &self,
        pod: &PodKey,
        node: &NodeName,
        grace: Option<i64>,
        permit: &Permit,
    ) -> Result<Eviction, Error> {
        permit.check(&Change::Evict(node))?;
        let to = path(&["api", "v1", "namespaces", &pod.namespace, "pods", &pod.name]);
        let mut ask = Ask::delete("delete pod", pod.to_string(), to, &DeleteOptions::new(pod, grace));
        ask.eviction = Some(pod.clone());
        self.removed(pod, self.inner.ask(&ask).await.map(drop)).await
    }

    /// Deletes a pod in exactly the state in which it was read (uid and resourceVersion): one that has become Ready
    /// meanwhile is not hit.
    ///
    /// # Errors
    /// [`FailureKind::Conflict`] when it is in another state by now.
    pub async fn delete_pod_as_seen(
        &self,
        pod: &PodKey,
        version: &str,
        node: &NodeName,
        permit: &Permit,
    ) -> Result<Eviction, Error> {
        permit.check(&Change::Evict(node))?;
        let mut options = DeleteOptions::new(pod, None);
        options.preconditions.resource_version = Some(version);
        let to = path(&["api", "v1", "namespaces", &pod.namespace, "pods", &pod.name]);
        let mut ask = Ask::delete("delete pod", pod.to_string(), to, &options);
        ask.eviction = Some(pod.clone());
        self.removed(pod, self.inner.ask(&ask).await.map(drop)).await
    }

    /// What a request for removal came to: 404 for this pod and 409 need a second look.
    async fn removed(&self, pod: &PodKey, answer: Result<(), Error>) -> Result<Eviction, Error> {
        let error = match answer {
            Ok(()) => return Ok(Eviction::Accepted),
            Err(error) if matches!(error.kind, FailureKind::NotFound | FailureKind::Conflict) => error,
            Err(error) => return Err(error),
        };
        match (error.kind, self.uid_of(pod).await) {
            (_, Ok(None)) => Ok(Eviction::Gone),
            (FailureKind::Conflict, Ok(Some(uid))) if uid != pod.uid => {
                let mut error = error.because("another pod has that name now");
                error.refusal = Some(Refusal::Replaced);
                Err(error)
            }
            _ => Err(error),
        }
    }

    /// The uid of the pod of that name; `None` = there is none.
    async fn uid_of(&self, pod: &PodKey) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Only {
            metadata: Uid,
        }
        #[derive(Deserialize)]
        struct Uid {
            uid: String,
        }
        let to = path(&["api", "v1", "namespaces", &pod.namespace, "pods", &pod.name]);
        let ask = Ask::get("read pod", pod.to_string(), to);
        match self.inner.fetch::<Only>(&ask).await {
            Ok(only) => Ok(Some(only.metadata.uid)),
            Err(error) if error.kind == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[path = "evict_tests.rs"]
mod tests;
