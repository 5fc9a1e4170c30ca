//! Rows and permits that tests of the back ends hand in.

#[path = "permits.rs"]
mod permits;

pub use permits::permit;
use pitstop::domain::ids::NodeName;
use pitstop::domain::node::{NodeRow, Readiness};

/// A control-plane node with an address.
pub fn node(name: &str, address: &str) -> NodeRow {
    NodeRow {
        name: NodeName::from(name),
        uid: format!("uid-{name}"),
        roles: vec!["control-plane".to_owned()],
        readiness: Readiness::Ready,
        ready_since: None,
        heartbeat: None,
        cordoned: false,
        cordon: None,
        pressure: Vec::new(),
        version: String::new(),
        kernel: String::new(),
        os_image: String::new(),
        boot_id: String::new(),
        machine_id: String::new(),
        address: Some(address.to_owned()),
        addresses: Vec::new(),
        created: None,
        booted: None,
        pod_capacity: None,
        allocatable: None,
        taints: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        foreign_locks: Vec::new(),
    }
}
