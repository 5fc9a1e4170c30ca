//! Leader leases of the controller manager and the scheduler: renewed by one control plane, taken over by another when
//! the leader's machine is lost.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::desk::{Desk, is_serving};
use super::read::{Key, fingerprint, int, text};
use super::{Change, Controller};
use crate::sim::machine::Machine;
use crate::sim::store::resources::LEASES;
use crate::sim::store::{Object, clock};

/// Namespace of the leases.
const HOME: &str = "kube-system";
/// Both leases.
const LEASE_NAMES: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
/// How often a leader renews (`leader-elect-retry-period`).
const RENEW: Duration = Duration::from_secs(2);

/// The electors. A key names a lease.
#[derive(Default)]
pub struct Leadership {
    renewed: HashMap<String, Instant>,
}

impl Controller for Leadership {
    fn name(&self) -> &'static str {
        "leadership"
    }

    fn begin(&mut self, desk: &mut Desk) {
        for lease in LEASE_NAMES {
            desk.mark(Key::new(HOME, lease));
        }
    }

    fn observe(&mut self, _change: &Change, _desk: &mut Desk) {}

    /// While nobody could renew, nobody could take over either: the holder has its whole time again.
    fn resume(&mut self, desk: &mut Desk) {
        self.renewed.clear();
        self.begin(desk);
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        if desk.stalled_leaders.contains(&key.name) && desk.get(&LEASES, key).is_some() {
            return;
        }
        let lease = desk.get(&LEASES, key);
        let holder = lease.as_ref().map_or("", |lease| text(lease, "/spec/holderIdentity"));
        let node = holder.split('_').next().unwrap_or_default().to_owned();
        let lives = desk.machines.get(&node).is_some_and(|m| m.is_control_plane() && is_working(desk, m));
        if lives {
            renew(desk, key);
            self.renewed.insert(key.name.clone(), Instant::now());
        } else {
            let since = *self.renewed.entry(key.name.clone()).or_insert_with(Instant::now);
            let is_over = lease.is_none() || since + desk.delay(desk.timings.leader_lease) <= Instant::now();
            if is_over && let Some(next) = successor(desk, &key.name) {
                take_over(desk, key, lease.as_ref(), &next);
                self.renewed.insert(key.name.clone(), Instant::now());
            }
        }
        desk.mark_every(key.clone(), RENEW);
    }
}

/// A leader runs where a kubelet runs its static pod.
fn is_working(desk: &Desk, machine: &Machine) -> bool {
    is_serving(machine) && desk.kubelets.contains(machine.name())
}

/// A control plane that works; not the same one for every lease.
fn successor(desk: &Desk, lease: &str) -> Option<String> {
    let able: Vec<&str> = desk.api_servers().filter(|m| is_working(desk, m)).map(Machine::name).collect();
    if able.is_empty() {
        return None;
    }
    let place = LEASE_NAMES.iter().position(|name| *name == lease).unwrap_or_default();
    Some(able[place % able.len()].to_owned())
}

fn identity(node: &str, lease: &str, transitions: i64) -> String {
    let part = |salt: &str| fingerprint(&format!("{node}{lease}{transitions}{salt}"));
    let (a, b, c, d) = (part("a"), part("b"), part("c"), part("d"));
    format!("{node}_{a:08x}-{:04x}-4{:03x}-a{:03x}-{d:08x}{:04x}", b >> 16, b & 0xfff, c & 0xfff, c >> 16)
}

fn renew(desk: &Desk, key: &Key) {
    let now = clock::micros(desk.store.clock().timestamp());
    desk.modify(&LEASES, key, |lease| lease["spec"]["renewTime"] = now.into());
}

fn take_over(desk: &mut Desk, key: &Key, old: Option<&Object>, node: &str) {
    let now = clock::micros(desk.store.clock().timestamp());
    let transitions = old.map_or(0, |lease| int(lease, "/spec/leaseTransitions").unwrap_or_default() + 1);
    let holder = identity(node, &key.name, transitions);
    let spec = json!({
        "holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": now, "renewTime": now,
        "leaseTransitions": transitions,
    });
    let written = desk.modify(&LEASES, key, |lease| lease["spec"] = spec.clone());
    let lease = match written {
        Some(lease) => Some(lease),
        None => {
            desk.create(&LEASES, json!({ "metadata": { "name": key.name, "namespace": HOME }, "spec": spec }))
        }
    };
    if let Some(lease) = lease {
        desk.tell(&lease, "LeaderElection", &format!("{holder} became leader"), &key.name);
    }
}
