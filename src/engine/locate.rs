//! Tells etcd's back end which nodes there are and, once, where etcd lives by what the API says of the control plane.

use super::settings::Backends;
use crate::domain::etcd::place::{Discovery, discover};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;

/// Tells both. When the API does not answer, the next call asks again; until then the usual places are tried.
pub async fn locate(backends: &Backends, nodes: &[NodeRow]) {
    let Some(etcd) = &backends.etcd else { return };
    if etcd.wants_place() && !nodes.is_empty() {
        match backends.cluster.control_pods().await {
            Ok(pods) => etcd.set_place(discover(nodes, &pods)),
            // who may not read these pods goes by the nodes alone
            Err(error) if error.kind == FailureKind::Forbidden => etcd.set_place(discover(nodes, &[])),
            Err(error) => tracing::debug!(%error, "where etcd lives was not found out"),
        }
    }
    etcd.set_nodes(nodes);
    if let Some(Discovery::NotAvailable { why, .. }) = etcd.place() {
        tracing::info!(why, "etcd is not available");
    }
}
