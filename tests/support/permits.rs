//! Leave to change things, for tests.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Permit, Request, World, grant};
use pitstop::domain::ids::NodeName;
use pitstop::domain::plan::Kind;

/// Leave for a run on nodes, as `--yes` gives it.
pub fn permit(kind: Kind, nodes: &[&str]) -> Permit {
    let request = Request::new(kind, nodes.iter().map(|name| NodeName::from(*name)).collect());
    let world = World { nodes: None, etcd: None, lock: None };
    grant(&Policy::default(), &request, world, Assent::Flag { context: None }).expect("granted")
}
