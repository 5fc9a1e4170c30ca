//! Whether a directory lies on the very machine that is to be rebooted: a backup there is none.

use std::path::Path;

/// File systems whose data is on another machine, by the magic number that `statfs(2)` gives.
#[cfg(target_os = "linux")]
const REMOTE: [(i64, &str); 7] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
];

/// The boot id of the machine that this program runs on; `None` where there is none to read.
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Whether a directory (which may not exist yet) is on the machine with this boot id, and not on a file system that
/// lives elsewhere. The boot id is the kernel's, so a container on the node is found out too.
pub fn is_on_machine(dir: &Path, machine: &str) -> bool {
    !machine.is_empty() && boot_id().as_deref() == Some(machine) && !is_remote(dir)
}

#[cfg(target_os = "linux")]
fn is_remote(dir: &Path) -> bool {
    let existing = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(found) = rustix::fs::statfs(existing) else { return false };
    let kind = found.f_type & 0xFFFF_FFFF;
    REMOTE.iter().any(|(magic, _)| *magic == kind)
}

#[cfg(not(target_os = "linux"))]
fn is_remote(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_this_machine_is_on_it() {
        let dir = tempfile::tempdir().expect("dir");
        let Some(here) = boot_id() else { return };
        assert!(is_on_machine(dir.path(), &here));
        assert!(is_on_machine(&dir.path().join("not/there/yet"), &here));
        assert!(!is_on_machine(dir.path(), "another-boot"));
        assert!(!is_on_machine(dir.path(), ""), "a node that does not tell its boot id");
    }
}
