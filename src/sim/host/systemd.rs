//! `systemctl` and `systemd-inhibit`, as far as a reboot needs them.

use super::Host;
use super::commands::{self, Caller, Output};

/// Units of the upgrade jobs.
const UPGRADES: &[&str] = &["apt-daily", "apt-daily-upgrade", "unattended-upgrades"];
/// Units that run on every node.
const RUNNING: &[&str] = &["kubelet", "containerd", "ssh", "sshd", "systemd-logind", "dbus", "cron"];

/// Runs `systemctl` with `arguments`.
pub fn systemctl(host: &Host, arguments: &[&str], caller: &Caller) -> Output {
    let words: Vec<&str> = arguments.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let is_stopping = host.machine().power().borrow().stopping;
    match words.split_first() {
        Some((&"reboot", [])) => reboot(host, caller),
        Some((&"is-system-running", _)) if is_stopping => Output { status: 1, ..Output::line("stopping") },
        Some((&"is-system-running", _)) => Output::line("running"),
        Some((&"is-active", units)) => is_active(host, units, arguments),
        Some((&"list-jobs", _)) if is_stopping => {
            Output::text("JOB UNIT          TYPE  STATE\n912 reboot.target start waiting\n\n1 jobs listed.\n")
        }
        Some((&"list-jobs", _)) if arguments.contains(&"--no-legend") => Output::default(),
        Some((&"list-jobs", _)) => Output::line("No jobs running."),
        Some((verb, _)) => Output::failure(1, format!("Unknown command verb '{verb}'.")),
        None => Output::failure(1, "systemctl: a verb is needed"),
    }
}

/// Asks the machine to reboot; returns before it goes down.
pub fn reboot(host: &Host, caller: &Caller) -> Output {
    let faults = host.faults();
    if !caller.is_root {
        return Output::failure(
            1,
            "Call to Reboot failed: Interactive authentication required.\n\
             Failed to start reboot.target: Interactive authentication required.\n\
             See system logs and 'systemctl status reboot.target' for details.",
        );
    }
    if faults.reboot_inhibited {
        return Output::failure(
            1,
            "Operation inhibited by \"unattended-upgr\" (PID 4121 \"unattended-upgr\", user root), reason is \
             \"Unattended upgrade is running\".\nPlease retry operation after closing inhibitors and logging out \
             other users.\nAlternatively, ignore inhibitors and users with 'systemctl reboot -i'.",
        );
    }
    host.machine().reboot();
    if faults.reboot_denied_in_vain {
        return Output::failure(1, "Failed to start reboot.target: Connection timed out");
    }
    Output { cut: faults.reboot_cuts, ..Output::default() }
}

fn is_active(host: &Host, units: &[&str], arguments: &[&str]) -> Output {
    let state = |unit: &str| {
        let name = unit.trim_end_matches(".service");
        if UPGRADES.contains(&name) && host.faults().upgrading {
            "activating"
        } else if RUNNING.contains(&name) || unit.ends_with(".target") {
            "active"
        } else {
            "inactive"
        }
    };
    let states: Vec<&str> = units.iter().map(|unit| state(unit)).collect();
    let code = if states.contains(&"active") { 0 } else { 3 };
    if arguments.iter().any(|argument| matches!(*argument, "-q" | "--quiet")) {
        return Output::status(code);
    }
    Output { status: code, ..Output::text(commands::lines(states)) }
}

/// Runs `systemd-inhibit`, which only lists here.
pub fn inhibit(host: &Host, arguments: &[&str]) -> Output {
    if !arguments.contains(&"--list") {
        return Output::failure(1, "systemd-inhibit: only --list is simulated");
    }
    let wants_legend = !arguments.contains(&"--no-legend");
    if !host.faults().reboot_inhibited {
        return if wants_legend { Output::line("No inhibitors.") } else { Output::default() };
    }
    let header =
        "WHO             UID USER PID  COMM            WHAT     WHY                           MODE\n";
    let row = "unattended-upgr 0   root 4121 unattended-upgr shutdown Unattended upgrade is running block\n";
    let footer = "\n1 inhibitors listed.\n";
    if wants_legend { Output::text(format!("{header}{row}{footer}")) } else { Output::text(row) }
}
