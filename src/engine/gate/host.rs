//! The host behind the node: is it the one we think, may it reboot, did it.

use super::scene::absent;
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::gate::{Gate, Offender};
use crate::domain::host::Privilege;
use crate::engine::memory::Memory;
use crate::engine::service::Executor;

const NO_SSH: &str = "the host cannot be asked: SSH is not configured";

/// The host that answers over SSH is the node: same boot id, same machine id.
pub(super) fn identity(scene: &Scene) -> Gate {
    const ASKS: &str = "the host that answers over SSH is this node";
    let facts = match &scene.host {
        Some(Ok(facts)) => facts,
        Some(Err(report)) => return unknown(scene, names::HOST_IDENTITY, ASKS, report),
        None => return without_ssh(scene, names::HOST_IDENTITY, ASKS),
    };
    let Some(row) = scene.target() else {
        return unknown(scene, names::HOST_IDENTITY, ASKS, &absent("there is no such node"));
    };
    if row.boot_id.is_empty() || facts.boot_id.is_empty() {
        let why = absent("a boot id is missing, so that the two cannot be compared");
        return unknown(scene, names::HOST_IDENTITY, ASKS, &why);
    }
    let mut offenders = Vec::new();
    if facts.boot_id != row.boot_id {
        offenders.push(format!(
            "the host says boot {}, the node says {}: another host, or a reboot that the kubelet has not reported",
            facts.boot_id, row.boot_id
        ));
    }
    if !facts.machine_id.is_empty() && !row.machine_id.is_empty() && facts.machine_id != row.machine_id {
        offenders
            .push(format!("the host says machine {}, the node says {}", facts.machine_id, row.machine_id));
    }
    verdict(
        scene,
        names::HOST_IDENTITY,
        ASKS,
        of_host(scene, offenders),
        format!("both say boot {}", facts.boot_id),
    )
}

/// We may ask for a reboot, and nothing on the host speaks against it.
pub(super) fn ready(scene: &Scene) -> Gate {
    const ASKS: &str = "the host may be asked to reboot, and nothing on it speaks against it";
    let readiness = match &scene.readiness {
        Some(Ok(readiness)) => readiness,
        Some(Err(report)) => return unknown(scene, names::HOST_READY, ASKS, report),
        None => return without_ssh(scene, names::HOST_READY, ASKS),
    };
    let offenders: Vec<String> = readiness.blocking().map(|finding| finding.text.clone()).collect();
    let mut evidence = match &readiness.privilege {
        Privilege::Root => "the login is root".to_owned(),
        Privilege::Sudo | Privilege::RebootOnly => "sudo allows the reboot".to_owned(),
        // what blocks is known, and tells more
        Privilege::Doubtful(why) if offenders.is_empty() => {
            let why = absent(&format!("it is not known whether the login may reboot: {why}"));
            return unknown(scene, names::HOST_READY, ASKS, &why);
        }
        Privilege::Doubtful(_) => String::new(),
    };
    for finding in readiness.findings.iter().filter(|finding| !finding.blocks) {
        evidence.push_str(&format!("; {}", finding.text));
    }
    verdict(scene, names::HOST_READY, ASKS, of_host(scene, offenders), evidence)
}

/// The boot is another one than before, and the kubelet of that boot has reported.
pub(super) fn boot(scene: &Scene, memory: &Memory) -> Gate {
    const ASKS: &str = "the node runs another boot than before, by its own word and its host's";
    if let (Some(name), None) = (&memory.serviced, &memory.boot_before) {
        let why = format!("the command {name} was run for it: whether it booted is not asked");
        return not_applicable(scene, names::BOOT, ASKS, &why);
    }
    let (Some(before), Some(row)) = (&memory.boot_before, scene.target()) else {
        return unknown(scene, names::BOOT, ASKS, &absent("the boot before is not known"));
    };
    let mut offenders = Vec::new();
    if row.boot_id == *before {
        offenders.push(format!("the node still reports boot {before}"));
    }
    match &scene.host {
        Some(Ok(facts)) if facts.boot_id != row.boot_id => {
            offenders.push(format!("the host says boot {}, the node says {}", facts.boot_id, row.boot_id));
        }
        Some(Err(report)) => return unknown(scene, names::BOOT, ASKS, report),
        None if scene.settings.service.executor == Executor::Ssh => {
            return unknown(scene, names::BOOT, ASKS, &absent(NO_SSH));
        }
        // the same word from both, or the kubelet's alone
        Some(Ok(_)) | None => {}
    }
    verdict(
        scene,
        names::BOOT,
        ASKS,
        of_host(scene, offenders),
        format!("boot {} instead of {before}", row.boot_id),
    )
}

/// Where somebody else reboots the node, its host need not be reached; then it is not looked at either, and that is said.
fn without_ssh(scene: &Scene, name: &str, asks: &str) -> Gate {
    match &scene.settings.service.executor {
        Executor::Ssh => unknown(scene, name, asks, &absent(NO_SSH)),
        Executor::Command(_) | Executor::Manual => {
            not_applicable(scene, name, asks, "hosts are not reached here, and something else reboots them")
        }
    }
}

fn of_host(scene: &Scene, offenders: Vec<String>) -> Vec<Offender> {
    let name = scene.node.as_ref().map_or("", |node| node.as_str());
    offenders
        .into_iter()
        .map(|what| Offender::new("Host", name, format!("({what})")).on(scene.node.as_ref()))
        .collect()
}
