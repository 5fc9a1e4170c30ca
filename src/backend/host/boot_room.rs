//! Whether there is room in `/boot`: a kernel that was installed into a full one does not start.

use super::Output;
use crate::domain::host::HostFinding;
use crate::domain::text::bytes;

/// Less than this and the last kernel or its initramfs may be cut off.
const LEAST: u64 = 4 * 1024 * 1024;
/// Less than this is worth a look before the next upgrade.
const LITTLE: u64 = 64 * 1024 * 1024;

/// What `df -Pk /boot` says.
pub(super) fn judge(output: &Output) -> Option<HostFinding> {
    let finding = |blocks, text: String| Some(HostFinding { check: "boot-room".to_owned(), blocks, text });
    if output.status != Some(0) {
        return finding(false, "how much room is in /boot is not known".to_owned());
    }
    let fields: Vec<&str> = output.stdout.lines().nth(1)?.split_whitespace().collect();
    let Some(left) = fields.get(3).and_then(|left| left.parse::<u64>().ok()) else {
        return finding(false, "how much room is in /boot is not known".to_owned());
    };
    let left = left.saturating_mul(1024);
    match left {
        left if left < LEAST => {
            finding(true, format!("/boot is full ({} left): a kernel in it may be cut off", bytes(left)))
        }
        left if left < LITTLE => finding(false, format!("/boot has only {} left", bytes(left))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_boot_blocks() {
        let said = |left: &str| Output {
            stdout: format!(
                "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda2 1992552 9 {left} 9% /boot\n"
            ),
            stderr: String::new(),
            status: Some(0),
            signal: None,
        };
        assert_eq!(judge(&said("1679712")), None);
        assert!(judge(&said("0")).is_some_and(|finding| finding.blocks));
        assert!(judge(&said("20000")).is_some_and(|finding| !finding.blocks));
        assert!(
            judge(&Output { status: Some(1), ..said("1") })
                .is_some_and(|finding| finding.text.contains("not known"))
        );
    }
}
