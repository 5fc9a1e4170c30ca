//! Whether a host needs a reboot: the markers that distributions leave, and a kernel on the disk that is newer than the one that
//! runs. Read-only, and only when asked.
//!
//! Sources: kured's default sentinel (`/var/run/reboot-required`), needs-restarting(1) (dnf-utils: status 1 = needed), zypper(8)
//! (`needs-rebooting`: status 102 = needed).

use super::{Hosts, Output};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::host::{Need, RebootNeed};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use crate::domain::text::{clean, count};
use std::cmp::Ordering;

impl Hosts {
    /// Whether the host needs a reboot. What cannot be told is [`Need::Unknown`], never "no".
    pub async fn reboot_need(&self, node: &NodeRow) -> Result<RebootNeed, Error> {
        let target = self.target(node)?;
        let ask = |argv: &'static [&'static str]| self.run_on(&target, argv);
        let (marker, packages, suse, dnf, running, on_disk) = tokio::join!(
            ask(&["test", "-e", "/run/reboot-required"]),
            ask(&["cat", "/run/reboot-required.pkgs"]),
            ask(&["test", "-e", "/run/reboot-needed"]),
            ask(&["needs-restarting", "-r"]),
            ask(&["uname", "-r"]),
            ask(&["ls", "-1", "/lib/modules"]),
        );
        let (marker, packages, suse, dnf) = (ended(marker?)?, packages?, ended(suse?)?, ended(dnf?)?);
        let (running, on_disk) = (running?, on_disk?);
        let mut reasons = Vec::new();
        if marker.status == Some(0) {
            let packages = packages.stdout.lines().map(str::trim).filter(|line| !line.is_empty()).count();
            let by =
                if packages > 0 { format!(", by {}", count(packages, "package")) } else { String::new() };
            reasons.push(format!("/run/reboot-required is there{by}"));
        }
        if suse.status == Some(0) {
            reasons.push("/run/reboot-needed is there".to_owned());
        }
        if dnf.status == Some(1) {
            reasons.push("needs-restarting says so".to_owned());
        }
        let kernel = newer_kernel(&running, &on_disk);
        if let Ok(Some(words)) = &kernel {
            reasons.push(words.clone());
        }
        let need = match kernel {
            _ if !reasons.is_empty() => Need::Needed(reasons),
            Ok(_) => Need::NotNeeded,
            Err(why) => Need::Unknown(why),
        };
        Ok(RebootNeed { at: clock::now(), need })
    }
}

/// A check that found something, found nothing, or has no program here.
fn ended(output: Output) -> Result<Output, Error> {
    match output.status {
        Some(_) => Ok(output),
        None => Err(Error::new(FailureKind::Unreachable, "check the host", "", clean(&output.why()))),
    }
}

/// The newest kernel on the disk, when it is newer than the running one; an error = one of them is not known.
fn newer_kernel(running: &Output, on_disk: &Output) -> Result<Option<String>, String> {
    let running = clean(running.stdout.trim());
    if running.is_empty() {
        return Err("the running kernel is not known".to_owned());
    }
    if on_disk.status != Some(0) {
        return Err("the kernels on the disk are not known (/lib/modules cannot be listed)".to_owned());
    }
    // kernels of another flavour are no successors
    let names = on_disk.stdout.lines().map(|line| clean(line.trim())).filter(|name| !name.is_empty());
    let newest = names.filter(|name| flavour(name) == flavour(&running)).max_by(|a, b| compare(a, b));
    match newest {
        // in a container, or with a kernel from elsewhere
        None => Err(format!("no kernel like the running one ({running}) is on the disk")),
        Some(newest) if compare(&newest, &running) == Ordering::Greater => {
            Ok(Some(format!("kernel {newest} is on the disk, {running} runs")))
        }
        Some(_) => Ok(None),
    }
}

/// What follows the numbers: `amd64`, `generic`, `el9.x86_64`.
fn flavour(name: &str) -> &str {
    let at = name.find(|c: char| c.is_ascii_alphabetic());
    at.map_or("", |at| &name[at..])
}

/// Numbers as numbers, the rest as text.
fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Output {
        Output { stdout: text.to_owned(), stderr: String::new(), status: Some(0), signal: None }
    }

    #[test]
    fn kernels_are_compared_by_their_numbers_and_within_their_flavour() {
        let newer = |running: &str, disk: &str| newer_kernel(&said(running), &said(disk));
        assert_eq!(
            newer("6.1.0-9-amd64\n", "6.1.0-9-amd64\n6.1.0-10-amd64\n"),
            Ok(Some("kernel 6.1.0-10-amd64 is on the disk, 6.1.0-9-amd64 runs".to_owned()))
        );
        assert_eq!(newer("6.1.0-10-amd64", "6.1.0-9-amd64\n6.1.0-10-amd64\n6.9.0-1-cloud-amd64\n"), Ok(None));
        assert!(newer("6.1.0-10-amd64", "").is_err());
        assert!(newer("", "6.1.0-10-amd64").is_err());
        let failed = Output { status: Some(2), ..said("") };
        assert!(newer_kernel(&said("6.1.0-10-amd64"), &failed).is_err());
    }
}
