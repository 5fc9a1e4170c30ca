//! DaemonSet objects: only that they are there.

use super::{Meta, Wire, tidy};
use crate::domain::feed::Row;
use serde::Deserialize;

/// What is read of a DaemonSet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct DaemonSetWire {
    metadata: Meta,
}

/// Namespace and name.
#[derive(Debug, Clone)]
pub(in crate::backend::kube) struct DaemonSet(pub(in crate::backend::kube) (String, String));

impl Row for DaemonSet {
    type Key = (String, String);
    fn key(&self) -> (String, String) {
        self.0.clone()
    }
}

impl Wire for DaemonSetWire {
    type Row = DaemonSet;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<DaemonSet> {
        Some(DaemonSet((tidy(self.metadata.namespace), tidy(self.metadata.name))))
    }
}
