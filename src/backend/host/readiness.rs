//! Whether a host may be asked to reboot: the login's privilege, and what stands in the way. Read-only.
//!
//! Sources: systemctl(1) (a reboot silently becomes a kexec or a soft reboot), systemd-inhibit(1), sudo(8).

use super::{Hosts, Output, Target};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::host::{HostFinding, HostReadiness, Privilege};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use crate::domain::text::{clean, matches_glob};

/// The command that a reboot is, without sudo. A narrow sudoers rule names exactly this.
pub(super) const REBOOT: [&str; 2] = ["/usr/bin/systemctl", "reboot"];
/// Programs that change packages; a reboot in the middle of them breaks the host. The kernel keeps 15 characters of a name.
const PACKAGE_PROGRAMS: &str =
    "apt|apt-get|aptitude|dpkg|unattended-upgr|dnf|yum|rpm|zypper|rpm-ostree|transactional-u";
/// Waits for a shutdown all the time on Ubuntu, and changes nothing; by its name it is the same program as the upgrade.
const UPGRADE_WATCHER: &str = "unattended-upgrade-shutdown";

impl Hosts {
    /// Whether the host may be asked to reboot, and what stands in the way. Checks that the host has no program for are
    /// left out.
    pub async fn readiness(&self, node: &NodeRow) -> Result<HostReadiness, Error> {
        let target = self.target(node)?;
        let privilege = self.privilege(&target).await?;
        let ask = |argv: &'static [&'static str]| self.run_on(&target, argv);
        let (kexec, next_root, scheduled, inhibitors, packages, watchers) = tokio::join!(
            ask(&["cat", "/sys/kernel/kexec_loaded"]),
            ask(&["test", "-e", "/run/nextroot"]),
            ask(&["cat", "/run/systemd/shutdown/scheduled"]),
            ask(&["systemd-inhibit", "--list", "--no-pager", "--mode=block"]),
            ask(&["pgrep", "-x", "-l", PACKAGE_PROGRAMS]),
            ask(&["pgrep", "-f", UPGRADE_WATCHER]),
        );
        let mut findings = Vec::new();
        if let Privilege::Doubtful(why) = &privilege {
            findings.push(finding(
                "privilege",
                false,
                format!("the login may not be allowed to reboot: {why}"),
            ));
        }
        if said(&kexec?)?.is_some_and(|text| text.trim() == "1") {
            findings.push(finding("kexec", false, "a kernel is loaded: the reboot becomes a kexec"));
        }
        let next_root = next_root?;
        ended(&next_root)?;
        if next_root.status == Some(0) {
            let text =
                "/run/nextroot exists: the reboot becomes a soft reboot, and the boot id will not change";
            findings.push(finding("soft-reboot", true, text));
        }
        if let Some(text) = said(&scheduled?)? {
            let text = format!("a shutdown is scheduled already: {}", clean(text.trim()));
            findings.push(finding("scheduled-shutdown", true, text));
        }
        findings.extend(inhibited(&inhibitors?)?);
        findings.extend(changing_packages(&packages?, &watchers?)?);
        for more in self.more(&target, privilege.may_read_as_root()).await? {
            // the program that was seen at work is the daily upgrade's own
            let is_told =
                more.check == "package-manager" && findings.iter().any(|one| one.check == more.check);
            if !is_told {
                findings.push(more);
            }
        }
        Ok(HostReadiness { at: clock::now(), privilege, findings })
    }

    /// Jobs of the system, room in `/boot`, certificates.
    async fn more(&self, target: &Target, as_root: bool) -> Result<Vec<HostFinding>, Error> {
        let ask = |argv: &'static [&'static str]| self.run_on(target, argv);
        let (state, jobs, upgrades, room) = tokio::join!(
            ask(&["systemctl", "is-system-running"]),
            ask(&["systemctl", "list-jobs", "--no-legend", "--no-pager"]),
            ask(&["systemctl", "is-active", "apt-daily.service", "apt-daily-upgrade.service"]),
            ask(&["df", "-Pk", "/boot"]),
        );
        let mut findings = Vec::new();
        match known(&state?)?.trim() {
            "stopping" => findings.push(finding("system", true, "the system is going down already")),
            "degraded" | "maintenance" => {
                findings.push(finding("system", false, "the system is degraded: systemctl --failed"));
            }
            _ => {}
        }
        for line in known(&jobs?)?.lines().filter(|line| goes_down(line)) {
            findings.push(finding(
                "shutdown-job",
                true,
                format!("a job takes it down already: {}", words(line)),
            ));
        }
        let is_busy = |line: &&str| matches!(line.trim(), "active" | "activating" | "reloading");
        if known(&upgrades?)?.lines().any(|line| is_busy(&line)) {
            findings.push(finding("package-manager", true, "the daily upgrade of packages is under way"));
        }
        findings.extend(super::boot_room::judge(&room?));
        findings.extend(self.expiry(target, as_root, clock::now()).await?);
        Ok(findings)
    }

    /// Whether the login may ask for a reboot.
    ///
    /// Neither `sudo -n true` nor `sudo -n -l COMMAND` tells alone: the first denies a rule for the command only, the
    /// second grants a rule that still asks for a password.
    async fn privilege(&self, target: &Target) -> Result<Privilege, Error> {
        if self.uid(target).await? == 0 {
            return Ok(Privilege::Root);
        }
        if self.run_on(target, &["sudo", "-n", "true"]).await?.status == Some(0) {
            return Ok(Privilege::Sudo);
        }
        let listed = self.run_on(target, &["sudo", "-n", "-l", "-l"]).await?;
        if listed.status == Some(0) && allows_without_password(&listed.stdout, &REBOOT.join(" ")) {
            return Ok(Privilege::RebootOnly);
        }
        let why = match listed.status {
            Some(127) => "sudo is not there".to_owned(),
            Some(0) => "no sudo rule without a password covers the reboot".to_owned(),
            _ if listed.stderr.contains("have a tty") => {
                "sudo wants a terminal here (requiretty); allow it without: Defaults:USER !requiretty"
                    .to_owned()
            }
            _ => clean(&listed.why()),
        };
        Ok(Privilege::Doubtful(why))
    }
}

/// What keeps the system from going down; a `systemd-inhibit` that fails has found out nothing.
fn inhibited(output: &Output) -> Result<Vec<HostFinding>, Error> {
    let lines = said(output)?.unwrap_or_default().lines().filter(|line| blocks_shutdown(line));
    let text = |line| format!("shutdown is inhibited: {}", words(line));
    let mut findings: Vec<HostFinding> = lines.map(|line| finding("inhibitor", true, text(line))).collect();
    if output.status == Some(1) {
        let text = format!("whether shutdown is inhibited is not known: {}", clean(&output.why()));
        findings.push(finding("inhibitor", false, text));
    }
    Ok(findings)
}

/// Programs at work on packages, without those that only wait.
fn changing_packages(programs: &Output, watchers: &Output) -> Result<Vec<HostFinding>, Error> {
    let watchers = said(watchers)?.unwrap_or_default();
    let at_work = said(programs)?.unwrap_or_default().lines().filter(|line| is_at_work(line, watchers));
    let text = |line| format!("packages are being changed: {}", words(line));
    Ok(at_work.map(|line| finding("package-manager", true, text(line))).collect())
}

/// What a command printed, whatever its status; an error = the connection was lost before it ended.
fn known(output: &Output) -> Result<&str, Error> {
    match output.status {
        Some(_) => Ok(output.stdout.as_str()),
        None => Err(Error::new(FailureKind::Unreachable, "check the host", "", clean(&output.why()))),
    }
}

/// Whether a line of `systemctl list-jobs` takes the system down.
fn goes_down(line: &str) -> bool {
    let targets = [
        "reboot.target",
        "poweroff.target",
        "halt.target",
        "kexec.target",
        "soft-reboot.target",
        "shutdown.target",
    ];
    line.split_whitespace().nth(1).is_some_and(|unit| targets.contains(&unit))
}

fn finding(check: &str, blocks: bool, text: impl Into<String>) -> HostFinding {
    HostFinding { check: check.to_owned(), blocks, text: text.into() }
}

/// What a command printed, when it succeeded and printed something.
///
/// # Errors
/// As [`ended`].
fn said(output: &Output) -> Result<Option<&str>, Error> {
    ended(output)?;
    Ok((output.status == Some(0) && !output.stdout.trim().is_empty()).then_some(output.stdout.as_str()))
}

/// A check that found something (0), found nothing (1), or has no program here (127).
///
/// # Errors
/// It ended in another way, or the connection was lost before it did: nothing is known then.
fn ended(output: &Output) -> Result<(), Error> {
    match output.status {
        Some(0 | 1 | 127) => Ok(()),
        Some(_) => Err(Error::new(FailureKind::Unexpected, "check the host", "", clean(&output.why()))),
        None => Err(Error::new(FailureKind::Unreachable, "check the host", "", clean(&output.why()))),
    }
}

fn words(line: &str) -> String {
    clean(&line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether a line of `pgrep -l` (process id, name) is of none of these processes, one id a line.
fn is_at_work(line: &str, watchers: &str) -> bool {
    let id = line.split_whitespace().next();
    !watchers.lines().any(|watcher| Some(watcher.trim()) == id)
}

/// Whether a line of `systemd-inhibit --list` blocks shutdowns: one of its columns is a list like `shutdown:sleep`.
fn blocks_shutdown(line: &str) -> bool {
    let has = |name: &str| line.split_whitespace().any(|word| word.split(':').any(|part| part == name));
    has("shutdown") && has("block")
}

/// Whether the long list of `sudo -l -l` has an entry that needs no password and covers a command, and none that forbids it.
fn allows_without_password(listed: &str, command: &str) -> bool {
    let entries: Vec<&str> = listed.split("Sudoers entry:").skip(1).collect();
    let commands = |entry: &str| -> Vec<String> {
        let text = entry.split_once("Commands:").map_or("", |(_, rest)| rest);
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let is_forbidden = entries
        .iter()
        .flat_map(|entry| commands(entry))
        .any(|rule| rule.strip_prefix('!').is_some_and(|rule| covers(rule.trim(), command)));
    let is_allowed = entries.iter().any(|entry| {
        let options = entry.lines().find_map(|line| line.trim().strip_prefix("Options:"));
        let is_free = options.is_some_and(|text| text.split(',').any(|word| word.trim() == "!authenticate"));
        let as_whom = entry.lines().find_map(|line| line.trim().strip_prefix("RunAsUsers:"));
        let is_root = as_whom
            .is_none_or(|text| text.split(',').map(str::trim).any(|user| user == "root" || user == "ALL"));
        is_free && is_root && commands(entry).iter().any(|rule| covers(rule, command))
    });
    is_allowed && !is_forbidden
}

/// Whether a rule's command covers one (sudoers(5)): `ALL`, the program alone (with any words), or the same words, with
/// wildcards.
fn covers(rule: &str, command: &str) -> bool {
    let program = command.split(' ').next().unwrap_or(command);
    rule == "ALL" || rule == program || matches_glob(rule, command)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: &str = "User ops may run the following commands on cp-1:\n\nSudoers entry: /etc/sudoers.d/ops\n    \
        RunAsUsers: root\n    Options: !authenticate\n    Commands:\n\t/usr/bin/systemctl reboot\n";
    const MIXED: &str = "User ops may run the following commands on cp-1:\n\nSudoers entry:\n    RunAsUsers: ALL\n    \
        Commands:\n\tALL\n\nSudoers entry:\n    RunAsUsers: root\n    Options: !authenticate\n    Commands:\n\t/usr/bin/id\n";

    #[test]
    fn only_a_rule_without_a_password_for_the_command_counts() {
        let allows = |text: &str| allows_without_password(text, "/usr/bin/systemctl reboot");
        assert!(allows(NARROW));
        assert!(!allows(MIXED));
        assert!(!allows(&NARROW.replace("RunAsUsers: root", "RunAsUsers: backup")));
        assert!(!allows(&NARROW.replace("reboot", "reboot --force")));
        assert!(!allows(""));
        assert!(allows(&NARROW.replace("systemctl reboot", "systemctl")));
        assert!(allows(&NARROW.replace("systemctl reboot", "systemctl re*")));
        assert!(!allows(&NARROW.replace("systemctl reboot", "systemctl \"\"")));
        assert!(!allows(&format!(
            "{NARROW}\nSudoers entry:\n    RunAsUsers: root\n    Commands:\n\t!/usr/bin/systemctl reboot\n"
        )));
    }

    #[test]
    fn a_check_that_did_not_end_well_found_out_nothing() {
        let output = |status| Output { stdout: "1".into(), stderr: String::new(), status, signal: None };
        assert_eq!(said(&output(Some(0))).unwrap(), Some("1"));
        assert_eq!(said(&output(Some(1))).unwrap(), None);
        assert_eq!(said(&output(Some(127))).unwrap(), None);
        for lost in [None, Some(2), Some(255)] {
            assert!(said(&output(lost)).is_err(), "{lost:?}");
        }
    }

    #[test]
    fn the_watcher_for_shutdowns_changes_no_packages() {
        let at_work = |line: &str| is_at_work(line, "612\n4130\n");
        assert!(!at_work("612 unattended-upgr"));
        assert!(at_work("6120 unattended-upgr") && at_work("4121 unattended-upgr") && at_work("61 dpkg"));
    }

    #[test]
    fn inhibitors_of_other_things_do_not_count() {
        let line = "Unattended Upgrades Shutdown 0 root 512 unattended-upgr shutdown:sleep Stop ongoing upgrades block";
        assert!(blocks_shutdown(line));
        assert!(!blocks_shutdown(&line.replace("block", "delay")));
        assert!(!blocks_shutdown("UPower 0 root 812 upowerd sleep Pause device polling block"));
        assert!(!blocks_shutdown("No inhibitors."));
    }
}
