//! Who a host is: boot, machine, uptime, kernel, system.

use super::{Hosts, Target};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::host::HostFacts;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use std::time::Duration;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Hosts {
    /// The boot that the host is in (`/proc/sys/kernel/random/boot_id`): the kernel's own id, new with each start of
    /// the kernel. Uptime and lost connections prove nothing; this does.
    pub async fn boot_id(&self, node: &NodeRow) -> Result<String, Error> {
        self.boot_id_of(&self.target(node)?).await
    }

    pub(super) async fn boot_id_of(&self, target: &Target) -> Result<String, Error> {
        let text = self.read(target, &["cat", BOOT_ID]).await?;
        let id = clean(text.trim());
        if id.is_empty() {
            return Err(Error::new(
                FailureKind::Unexpected,
                "read the boot id of",
                target.label(),
                format!("{BOOT_ID} is empty"),
            ));
        }
        Ok(id)
    }

    /// Who the host is and how long it is up. What cannot be read besides boot id and uptime is left empty.
    pub async fn facts(&self, node: &NodeRow) -> Result<HostFacts, Error> {
        let target = self.target(node)?;
        let boot_id = self.boot_id_of(&target).await?;
        let (uptime, machine_id, kernel, os) = tokio::join!(
            self.read(&target, &["cat", "/proc/uptime"]),
            self.read(&target, &["cat", "/etc/machine-id"]),
            self.read(&target, &["uname", "-r"]),
            self.read(&target, &["cat", "/etc/os-release"]),
        );
        let uptime = uptime?;
        let Some(uptime) = parse_uptime(&uptime) else {
            let said = format!("/proc/uptime says {uptime:?}");
            return Err(Error::new(FailureKind::Unexpected, "read the uptime of", target.label(), said));
        };
        Ok(HostFacts {
            at: clock::now(),
            boot_id,
            machine_id: machine_id.map(|text| clean(text.trim())).unwrap_or_default(),
            uptime,
            kernel: kernel.map(|text| clean(text.trim())).unwrap_or_default(),
            os: os.ok().and_then(|text| pretty_name(&text)).unwrap_or_default(),
        })
    }
}

/// The first number of `/proc/uptime`: seconds with a fraction.
fn parse_uptime(text: &str) -> Option<Duration> {
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// `PRETTY_NAME` of an os-release file, without its quotes.
fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
    Some(clean(value.trim().trim_matches(['"', '\''])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        assert_eq!(parse_uptime("12345.67 98765.43\n"), Some(Duration::from_millis(12_345_670)));
        assert_eq!(parse_uptime("soon"), None);
        assert_eq!(parse_uptime("-1"), None);
        let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(pretty_name(text).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    }
}
