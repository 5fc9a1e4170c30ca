//! Rows and settings that the engine's own tests share.

use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::plan::{Step, StepKind};
use crate::engine::settings::{Backup, Settings, Timing};
use std::path::PathBuf;
use std::time::Duration;

/// A Ready node.
pub(crate) fn node(name: &str, role: &str) -> NodeRow {
    NodeRow {
        name: name.into(),
        uid: format!("uid-{name}"),
        roles: vec![role.into()],
        boot_id: "boot-1".into(),
        machine_id: "machine-1".into(),
        address: Some("10.0.0.11".into()),
        ..crate::domain::node::sample()
    }
}

/// Settings with the usual times.
pub(crate) fn settings() -> Settings {
    Settings {
        context: "sim".into(),
        holder: "ann@desk".into(),
        lease_namespace: "kube-system".into(),
        snapshot_dir: PathBuf::from("/snaps"),
        backup: Backup::default(),
        state_dir: PathBuf::from("/state"),
        timing: Timing::default(),
        service: crate::engine::service::Service::default(),
        components: Vec::new(),
    }
}

/// A step of a kind.
pub(crate) fn step(kind: StepKind, node: &str) -> Step {
    Step {
        kind,
        node: Some(NodeName::from(node)),
        what: kind.name().to_owned(),
        command: String::new(),
        gates: Vec::new(),
        timeout: Duration::from_mins(1),
        may_skip: false,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}
