//! Lease objects: the kubelets' signs of life, and the maintenance lock.

use super::node::Managed;
use super::{Meta, Wire, nullable, tidy, time};
use crate::domain::actor::Leader;
use crate::domain::feed::Row;
use crate::domain::ids::NodeName;
use crate::domain::lock::LeaseRow;
use crate::domain::time::Stamp;
use serde::Deserialize;
use std::time::Duration;

/// Annotations of the maintenance lease: what its spec has no field for.
pub(in crate::backend::kube) mod step {
    /// The run.
    pub(in crate::backend::kube) const RUN: &str = "pitstop.dev/run";
    /// The step it is in.
    pub(in crate::backend::kube) const STEP: &str = "pitstop.dev/step";
    /// The node in work.
    pub(in crate::backend::kube) const NODE: &str = "pitstop.dev/node";
    /// Left behind by a run that failed, in its words.
    pub(in crate::backend::kube) const TOMBSTONE: &str = "pitstop.dev/tombstone";
}

/// What is read of a Lease.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct LeaseWire {
    pub(in crate::backend::kube) metadata: Meta<String, Option<Vec<Managed>>>,
    #[serde(deserialize_with = "nullable")]
    pub(in crate::backend::kube) spec: Spec,
}

/// `spec` of a Lease.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::backend::kube) struct Spec {
    #[serde(deserialize_with = "nullable")]
    holder_identity: String,
    lease_duration_seconds: Option<u64>,
    #[serde(deserialize_with = "time")]
    acquire_time: Option<Stamp>,
    #[serde(deserialize_with = "time")]
    renew_time: Option<Stamp>,
    #[serde(deserialize_with = "nullable")]
    pub(in crate::backend::kube) lease_transitions: i64,
}

impl LeaseWire {
    /// The lock that it stands for; `None` = nobody holds it.
    pub(in crate::backend::kube) fn lock(&self) -> Option<LeaseRow> {
        if self.spec.holder_identity.is_empty() {
            return None;
        }
        let note =
            |key: &str| self.metadata.annotations.get(key).cloned().map(tidy).filter(|text| !text.is_empty());
        Some(LeaseRow {
            holder: tidy(self.spec.holder_identity.clone()),
            run: note(step::RUN).map(Into::into),
            step: note(step::STEP),
            node: note(step::NODE).map(Into::into),
            since: self.spec.acquire_time,
            renewed: self.spec.renew_time,
            lasts: Duration::from_secs(self.spec.lease_duration_seconds.unwrap_or(0)),
            tombstone: note(step::TOMBSTONE),
        })
    }
}

impl LeaseWire {
    /// The last renewal: by the API server's clock where it noted who wrote the field, else by the holder's.
    fn renewed(&self) -> Option<Stamp> {
        let noted = self
            .metadata
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| entry.fields["f:spec"].get("f:renewTime").is_some())
            .filter_map(|entry| entry.time)
            .max();
        self.spec.renew_time.map(|by_holder| noted.unwrap_or(by_holder))
    }

    /// Who leads a component by it.
    pub(in crate::backend::kube) fn leader(&self, component: &str) -> Leader {
        Leader {
            component: component.to_owned(),
            holder: tidy(self.spec.holder_identity.clone()),
            renewed: self.renewed(),
            lasts: Duration::from_secs(self.spec.lease_duration_seconds.unwrap_or(15)),
        }
    }
}

/// A kubelet's sign of life.
#[derive(Debug, Clone)]
pub(in crate::backend::kube) struct Beat {
    pub(in crate::backend::kube) node: NodeName,
    pub(in crate::backend::kube) at: Stamp,
}

impl Row for Beat {
    type Key = NodeName;
    fn key(&self) -> NodeName {
        self.node.clone()
    }
}

/// A Lease of `kube-node-lease`, named like its node.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::backend::kube) struct BeatWire(LeaseWire);

impl Wire for BeatWire {
    type Row = Beat;

    fn version(&self) -> &str {
        &self.0.metadata.resource_version
    }

    fn row(self) -> Option<Beat> {
        let at = self.0.renewed()?;
        Some(Beat { node: tidy(self.0.metadata.name).into(), at })
    }
}

/// The maintenance lease as a table of at most one row.
#[derive(Debug, Clone)]
pub(in crate::backend::kube) struct Lock(pub(in crate::backend::kube) Option<LeaseRow>);

impl Row for Lock {
    type Key = ();
    fn key(&self) {}
}

/// The Lease `pitstop`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::backend::kube) struct LockWire(LeaseWire);

impl Wire for LockWire {
    type Row = Lock;

    fn version(&self) -> &str {
        &self.0.metadata.resource_version
    }

    fn row(self) -> Option<Lock> {
        Some(Lock(self.0.lock()))
    }
}
