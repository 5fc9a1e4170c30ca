//! One simulated computer per node: its power, its boots, and what goes wrong when it is told to reboot.
//!
//! Everything that runs on a node (kubelet, etcd member, API server endpoint, SSH) follows [`Machine::power`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;

/// From the request to reboot until the machine is off, at speed 1.
pub const SHUTDOWN: Duration = Duration::from_secs(6);
/// From off until the kernel runs again, at speed 1.
pub const BOOT: Duration = Duration::from_secs(20);

/// Whether a machine runs, and which of its boots this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Power {
    /// The kernel runs. Stays true while the machine shuts down.
    pub on: bool,
    /// A shutdown is under way: services stop one after the other.
    pub stopping: bool,
    /// The kernel's id of this boot (`/proc/sys/kernel/random/boot_id`); the last one while the machine is off.
    pub boot_id: String,
    /// Since when `on` has its value.
    pub since: Instant,
    /// How many times the machine has booted; 1 for one that has been on since the start.
    pub boots: u32,
}

impl Power {
    /// On and not shutting down: services answer.
    pub fn is_serving(&self) -> bool {
        self.on && !self.stopping
    }
}

/// What a request to reboot leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RebootOutcome {
    /// Down, up again, with a new boot id.
    #[default]
    Normal,
    /// The request is accepted, services go away and come back, but the kernel is the same (a soft reboot).
    KeepsBootId,
    /// Down, and down it stays until [`Machine::power_on`].
    NeverReturns,
    /// The request is accepted and nothing happens.
    Ignored,
}

/// What a machine is from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// Node name.
    pub name: String,
    /// Internal IP address.
    pub address: String,
    /// Runs an API server and an etcd member.
    pub control_plane: bool,
    /// Off from the start.
    pub off: bool,
    /// What a reboot leads to.
    pub reboot: RebootOutcome,
}

/// A handle on one computer; clones are the same computer.
#[derive(Clone)]
pub struct Machine {
    inner: Arc<Inner>,
}

struct Inner {
    spec: MachineSpec,
    pace: Pace,
    power: watch::Sender<Power>,
    outcome: Mutex<RebootOutcome>,
    stop: CancellationToken,
}

impl Machine {
    /// A machine that follows `pace`; a reboot under way ends (unfinished) when `stop` is cancelled.
    pub fn new(spec: MachineSpec, pace: Pace, stop: CancellationToken) -> Self {
        let power = Power {
            on: !spec.off,
            stopping: false,
            boot_id: boot_id(&spec.name, 1),
            since: Instant::now(),
            boots: 1,
        };
        let outcome = Mutex::new(spec.reboot);
        let inner = Inner { spec, pace, power: watch::Sender::new(power), outcome, stop };
        Self { inner: Arc::new(inner) }
    }

    /// Node name.
    pub fn name(&self) -> &str {
        &self.inner.spec.name
    }

    /// Internal IP address.
    pub fn address(&self) -> &str {
        &self.inner.spec.address
    }

    /// Whether it runs an API server and an etcd member.
    pub fn is_control_plane(&self) -> bool {
        self.inner.spec.control_plane
    }

    /// Content of `/etc/machine-id`: 32 hexadecimal digits, the same over all boots.
    pub fn machine_id(&self) -> String {
        hex(&digest(&["machine", self.name()])[..16])
    }

    /// The present power state and all later ones.
    pub fn power(&self) -> watch::Receiver<Power> {
        self.inner.power.subscribe()
    }

    /// Whether the kernel runs now.
    pub fn is_on(&self) -> bool {
        self.inner.power.borrow().on
    }

    /// The kernel's id of the present (or, while off, the last) boot.
    pub fn boot_id(&self) -> String {
        self.inner.power.borrow().boot_id.clone()
    }

    /// How many times the machine came up again since the start.
    pub fn reboots(&self) -> u32 {
        self.inner.power.borrow().boots - 1
    }

    /// Sets what later requests to reboot lead to.
    pub fn set_reboot_outcome(&self, outcome: RebootOutcome) {
        *self.inner.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    /// Asks for a graceful reboot and returns at once. Ignored while the machine is off or shutting down.
    pub fn reboot(&self) {
        let outcome = *self.inner.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome == RebootOutcome::Ignored || !self.begin_stopping() {
            return;
        }
        let machine = self.clone();
        let stop = self.inner.stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(machine.go_down_and_up(outcome)).await;
        });
    }

    /// Cuts the power: off at once, without a shutdown.
    pub fn power_off(&self) {
        self.inner.power.send_if_modified(|power| {
            let was_on = power.on;
            if was_on {
                *power = Power { on: false, stopping: false, since: Instant::now(), ..power.clone() };
            }
            was_on
        });
    }

    /// Switches the power on: a new boot at once, with a new boot id. Nothing when it is on already.
    pub fn power_on(&self) {
        self.come_up(None, true);
    }

    fn begin_stopping(&self) -> bool {
        self.inner.power.send_if_modified(|power| {
            let begins = power.is_serving();
            power.stopping |= begins;
            begins
        })
    }

    async fn go_down_and_up(&self, outcome: RebootOutcome) {
        let began = self.inner.power.borrow().boots;
        tokio::time::sleep(self.inner.pace.of(SHUTDOWN)).await;
        if self.inner.power.borrow().boots != began || !self.is_on() {
            return; // somebody cut the power meanwhile
        }
        self.power_off();
        if outcome == RebootOutcome::NeverReturns {
            return;
        }
        let off_since = self.inner.power.borrow().since;
        tokio::time::sleep(self.inner.pace.of(BOOT)).await;
        self.come_up(Some(off_since), outcome != RebootOutcome::KeepsBootId);
    }

    /// Off to on; `off_since` guards against a boot by somebody else in between.
    fn come_up(&self, off_since: Option<Instant>, new_kernel: bool) {
        let name = self.name();
        self.inner.power.send_if_modified(|power| {
            if power.on || off_since.is_some_and(|since| since != power.since) {
                return false;
            }
            let boots = if new_kernel { power.boots + 1 } else { power.boots };
            let since = Instant::now();
            *power = Power { on: true, stopping: false, boot_id: boot_id(name, boots), since, boots };
            true
        });
    }
}

/// A UUID (version 4 in form) that depends on the machine and the count of its boots only.
fn boot_id(name: &str, boots: u32) -> String {
    let mut bytes = digest(&["boot", name, &boots.to_string()]);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes[..16]);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

fn digest(parts: &[&str]) -> [u8; 32] {
    Sha256::digest(parts.join("/")).into()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(reboot: RebootOutcome) -> Machine {
        let spec = MachineSpec {
            name: "cp-1".into(),
            address: "10.0.0.11".into(),
            control_plane: true,
            off: false,
            reboot,
        };
        Machine::new(spec, Pace::new(1.0), CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_reboot_changes_the_boot_id_once() {
        let machine = machine(RebootOutcome::Normal);
        let mut power = machine.power();
        let before = machine.boot_id();
        machine.reboot();
        machine.reboot();
        let down = power.wait_for(|p| !p.on).await.unwrap().since;
        machine.reboot();
        let up = power.wait_for(|p| p.on).await.unwrap().clone();
        assert_eq!(up.since - down, BOOT);
        assert_ne!(up.boot_id, before);
        assert_eq!((up.boots, machine.reboots()), (2, 1));
        tokio::time::sleep(SHUTDOWN + BOOT).await;
        assert_eq!(machine.reboots(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_soft_reboot_keeps_the_boot_id() {
        let machine = machine(RebootOutcome::KeepsBootId);
        let before = machine.boot_id();
        machine.reboot();
        tokio::time::sleep(SHUTDOWN + BOOT + Duration::from_secs(1)).await;
        assert!(machine.is_on());
        assert_eq!(machine.boot_id(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_never_returns_comes_up_by_power_on() {
        let machine = machine(RebootOutcome::NeverReturns);
        machine.reboot();
        tokio::time::sleep(10 * BOOT).await;
        assert!(!machine.is_on());
        machine.power_on();
        assert!(machine.is_on());
        assert_eq!(machine.reboots(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn power_cut_in_mid_shutdown_is_not_followed_by_a_boot() {
        let machine = machine(RebootOutcome::Normal);
        machine.reboot();
        tokio::time::sleep(SHUTDOWN / 2).await;
        machine.power_off();
        tokio::time::sleep(10 * BOOT).await;
        assert!(!machine.is_on());
    }
}
