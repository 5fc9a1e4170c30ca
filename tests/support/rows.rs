//! Rows and permits that tests of the back ends hand in.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::guard::{Assent, Permit, Request, World, grant};
use pitstop::domain::ids::NodeName;
use pitstop::domain::lock::LockChoice;
use pitstop::domain::node::{NodeRow, Readiness};
use pitstop::domain::plan::Kind;

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
        created: None,
        booted: None,
        pod_capacity: None,
        allocatable: None,
        taints: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        foreign_locks: Vec::new(),
    }
}

/// Leave for a run on nodes, as `--yes` gives it.
pub fn permit(kind: Kind, nodes: &[&str]) -> Permit {
    let request = Request {
        kind,
        nodes: nodes.iter().map(|name| NodeName::from(*name)).collect(),
        drain: DrainOptions::default(),
        blocked: false,
        lock: LockChoice::Take,
    };
    let world = World { nodes: None, etcd: None, lock: None };
    grant(&Policy::default(), &request, world, Assent::Flag { context: None }).expect("granted")
}
