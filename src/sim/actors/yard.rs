//! An actor's levers on machines: what a cloud, or somebody at the rack, can do and the API server cannot.

use crate::sim::etcd::Ensemble;
use crate::sim::machine::{Machine, RebootOutcome};
use crate::sim::scenario::Action;
use crate::sim::store::clock::Clock;
use crate::sim::trouble::Trouble;
use crate::sim::world::World;

/// The levers; clones are the same.
#[derive(Clone)]
pub struct Yard {
    machines: Vec<Machine>,
    ensemble: Ensemble,
    world: World,
    trouble: Trouble,
    clock: Clock,
}

impl Yard {
    /// Levers on these.
    pub fn new(
        machines: &[Machine],
        ensemble: &Ensemble,
        world: &World,
        trouble: &Trouble,
        clock: Clock,
    ) -> Self {
        let (ensemble, world, trouble) = (ensemble.clone(), world.clone(), trouble.clone());
        Self { machines: machines.to_vec(), ensemble, world, trouble, clock }
    }

    /// The time of this world.
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.timestamp()
    }

    fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name() == name)
    }

    /// Lets something happen, as an event of a scenario would.
    pub async fn act(&self, action: Action) {
        if !self.trouble.act(&action) {
            self.world.act(action).await;
        }
    }

    /// The kernel's id of a machine's present boot.
    pub fn boot_id(&self, name: &str) -> String {
        self.machine(name).map(Machine::boot_id).unwrap_or_default()
    }

    /// Asks a machine to reboot.
    pub fn reboot(&self, name: &str) {
        if let Some(machine) = self.machine(name) {
            machine.reboot();
        }
    }

    /// Ends a machine for good, with an orderly shutdown; returns when it is off.
    pub async fn terminate(&self, name: &str) {
        let Some(machine) = self.machine(name) else { return };
        machine.set_reboot_outcome(RebootOutcome::NeverReturns);
        machine.reboot();
        let _ = machine.power().wait_for(|power| !power.on).await;
    }

    /// Switches a machine on.
    pub fn launch(&self, name: &str) {
        if let Some(machine) = self.machine(name) {
            machine.power_on();
        }
    }

    /// Hands the volume with the etcd member of `old` to `new`.
    pub fn carry_member_over(&self, old: &str, new: &str) {
        if let Some(machine) = self.machine(new) {
            self.ensemble.carry_over(old, machine);
        }
    }

    /// Whether a reboot is asked for on a host (`/run/reboot-required`), and which kernel runs there when that is not the
    /// one that it had at first.
    pub fn mark_host(&self, name: &str, reboot_required: bool, kernel: Option<&str>) {
        self.trouble.change_host(name, |host| {
            host.reboot_required = reboot_required;
            if let Some(kernel) = kernel {
                host.kernel = Some(kernel.to_owned());
            }
        });
    }
}
