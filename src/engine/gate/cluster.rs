//! The API servers, our rights, and locks of others.

use super::{Scene, names, unknown, verdict};
use crate::domain::gate::{Gate, Verdict};
use crate::domain::ids::RunId;
use crate::domain::lock::LockChoice;
use crate::domain::report::FailureKind;
use crate::domain::text::count;
use crate::domain::time::brief;

/// Every API server that can be reached from here is ready, and at least one is.
///
/// A server that cannot be reached is not called broken: the machine that pitstop runs on need not reach every
/// address. Its static pod is judged by another gate.
pub(super) fn api(scene: &Scene) -> Gate {
    const ASKS: &str = "every API server that can be reached is ready";
    let endpoints = match &scene.endpoints {
        Ok(endpoints) => endpoints,
        Err(report) => return unknown(scene, names::API, ASKS, report),
    };
    let (mut ready, mut silent, mut offenders) = (Vec::new(), Vec::new(), Vec::new());
    for (address, answer) in endpoints {
        match answer {
            Ok(took) => ready.push(format!("{address} in {}", brief(*took))),
            Err(report) if matches!(report.kind, FailureKind::Unreachable | FailureKind::Timeout) => {
                silent.push(address.clone());
            }
            Err(report) => offenders.push(format!("{address} is not ready: {}", report.line())),
        }
    }
    if ready.is_empty() && offenders.is_empty() {
        let why = "no API server answers /readyz";
        return Gate::new(names::API, ASKS, Verdict::Unknown, why, scene.at);
    }
    let mut evidence = format!("ready: {}", ready.join(", "));
    if !silent.is_empty() {
        evidence.push_str(&format!("; not reachable from here: {}", silent.join(", ")));
    }
    verdict(scene, names::API, ASKS, &offenders, evidence)
}

/// The API server allows everything that the run will ask for.
pub(super) fn rights(scene: &Scene) -> Gate {
    const ASKS: &str = "the API server allows everything that the run will do";
    let mut offenders = Vec::new();
    for right in &scene.rights {
        match &right.answer {
            Ok(None) => {}
            Ok(Some(why)) => offenders.push(format!("may not {}: {why}", right.what)),
            Err(report) => return unknown(scene, names::RIGHTS, ASKS, report),
        }
    }
    if scene.rights.is_empty() {
        return Gate::new(names::RIGHTS, ASKS, Verdict::Unknown, "was not asked", scene.at);
    }
    let evidence = count(scene.rights.len(), "right") + " asked for and given";
    verdict(scene, names::RIGHTS, ASKS, &offenders, evidence)
}

/// Nobody else maintains the cluster: our own lock, and marks of other tools on the nodes that matter.
///
/// `is_locked` = the run took the lock, so that it must still be there, and the run's.
pub(super) fn locks(scene: &Scene, own: Option<&RunId>, is_locked: bool, choice: LockChoice) -> Gate {
    const ASKS: &str = "nobody else maintains this cluster";
    let lease = match &scene.lease {
        Ok(lease) => lease.as_ref(),
        // the engineer goes on without it: what cannot be read cannot be held against the run
        Err(_) if choice == LockChoice::Without => None,
        Err(report) => return unknown(scene, names::LOCKS, ASKS, report),
    };
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::LOCKS, ASKS, report),
    };
    let mut offenders = Vec::new();
    let of_another = lease.filter(|row| own.is_none() || row.run.as_ref() != own);
    if is_locked && lease.is_none() {
        offenders.push("this run took the maintenance lock, and it is not there any more".to_owned());
    } else if is_locked && let Some(row) = of_another {
        offenders.push(format!("the maintenance lock was lost to {}", row.words(scene.at)));
    } else if let Some(row) = of_another
        && let Some(words) = row.in_the_way(&scene.settings.holder, choice, scene.at)
    {
        offenders.push(format!("the maintenance lock is held by {words}"));
    }
    for row in nodes.values() {
        let matters = scene.node.as_ref().is_none_or(|node| *node == row.name) || row.is_control_plane();
        if matters {
            offenders.extend(row.foreign_locks.iter().map(|mark| format!("{}: {mark}", row.name)));
        }
    }
    verdict(scene, names::LOCKS, ASKS, &offenders, "no lock, and no mark of another tool".to_owned())
}
