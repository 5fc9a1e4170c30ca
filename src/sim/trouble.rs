//! What befalls etcd members and hosts by a scenario's clock; what befalls objects and machines is the world's part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::etcd::Ensemble;
use super::host::HostFaults;
use super::pace::Pace;
use super::scenario::{Action, Event};

/// What differs on a host, shared with whoever changes it.
pub type SharedFaults = Arc<Mutex<HostFaults>>;

/// The levers of etcd members and hosts.
#[derive(Clone)]
pub struct Trouble {
    ensemble: Ensemble,
    hosts: BTreeMap<String, SharedFaults>,
}

impl Trouble {
    /// Levers over these.
    pub fn new(ensemble: Ensemble, hosts: BTreeMap<String, SharedFaults>) -> Self {
        Self { ensemble, hosts }
    }

    /// The lever of one host.
    pub fn of_host(&self, node: &str) -> SharedFaults {
        self.hosts.get(node).cloned().unwrap_or_default()
    }

    /// Changes what differs on one host.
    pub fn change_host(&self, node: &str, change: impl FnOnce(&mut HostFaults)) {
        if let Some(known) = self.hosts.get(node) {
            change(&mut known.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Lets `action` happen; false when it does not concern etcd or hosts.
    pub fn act(&self, action: &Action) -> bool {
        match action {
            Action::EtcdMember { node, faults } => {
                self.ensemble.change_faults(node, |known| known.clone_from(faults));
            }
            Action::Host { node, faults } => {
                self.change_host(node, |known| known.clone_from(faults));
            }
            _ => return false,
        }
        true
    }

    /// Lets those of `events` that concern etcd and hosts happen in their time, until `stop` is cancelled.
    pub fn schedule(&self, events: &[Event], pace: Pace, stop: &CancellationToken) {
        let is_ours =
            |event: &&Event| matches!(event.action, Action::EtcdMember { .. } | Action::Host { .. });
        let mut due: Vec<Event> = events.iter().filter(is_ours).cloned().collect();
        if due.is_empty() {
            return;
        }
        due.sort_by_key(|event| event.at.0);
        let (trouble, stop, began) = (self.clone(), stop.clone(), Instant::now());
        tokio::spawn(async move {
            let all = async {
                for event in due {
                    tokio::time::sleep_until(began + pace.of(event.at.0)).await;
                    trouble.act(&event.action);
                }
            };
            stop.run_until_cancelled(all).await;
        });
    }
}
