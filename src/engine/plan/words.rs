//! One function per step: its words, its command, its gates and its deadline.

mod roll;

pub(super) use roll::{between, command, components, mark, predict_all, take_marks};

use super::{Facts, gate_time};
use crate::domain::config::DrainOptions;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Step, StepKind};
use crate::domain::time::brief;
use crate::engine::gate::names;
use crate::engine::service::Executor;
use crate::engine::settings::{Settings, Timing};
use std::time::Duration;

/// Deadline of a step that is a request or two.
const SHORT: Duration = Duration::from_mins(2);

fn step(kind: StepKind, node: &NodeName, what: String, command: String) -> Step {
    Step {
        kind,
        node: Some(node.clone()),
        what,
        command,
        gates: Vec::new(),
        timeout: SHORT,
        may_skip: false,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn gates(is_master: bool) -> Vec<String> {
    let mut list = owned(&names::COMMON);
    if is_master {
        list.extend(owned(&names::ETCD));
    }
    list
}

pub(super) fn preflight(node: &NodeName, is_master: bool, timing: &Timing) -> Step {
    let etcd = if is_master { "; etcdctl endpoint status --cluster -w table" } else { "" };
    Step {
        gates: gates(is_master),
        timeout: gate_time(timing),
        unchecked: owned(&["room for the pods on the other nodes", "age of earlier backups"]),
        ..step(
            StepKind::Preflight,
            node,
            format!("read every gate before {node} is touched"),
            format!(
                "kubectl get --raw '/readyz?verbose'; kubectl get nodes{etcd}; ssh {node} cat /proc/sys/kernel/random/boot_id"
            ),
        )
    }
}

pub(super) fn lock(node: &NodeName, settings: &Settings) -> Step {
    let namespace = &settings.lease_namespace;
    Step {
        undo: Some("give the lock back".to_owned()),
        ..step(
            StepKind::Lock,
            node,
            format!("take the maintenance lock (Lease {namespace}/pitstop) as {}", settings.holder),
            format!(
                "kubectl create -f -  # Lease {namespace}/pitstop with holderIdentity {}",
                settings.holder
            ),
        )
    }
}

pub(super) fn snapshot(node: Option<&NodeName>, facts: &Facts, with_files: bool) -> Step {
    let dir = facts.settings.snapshot_dir.display();
    let away = node.map_or_else(String::new, |node| format!(" from a member that is not on {node}"));
    let mut what = format!("take an etcd snapshot{away}, verify it, and store it in {dir}");
    let mut command = format!("etcdctl snapshot save {dir}/etcd.db");
    let mut unchecked = vec!["whether the snapshot can be restored (only its checksum is)".to_owned()];
    if let (true, Some(node)) = (with_files, node) {
        if facts.has_ssh {
            what.push_str(&format!("; archive /etc/kubernetes of {node} beside it"));
            command.push_str(&format!("; ssh {node} sudo tar -C / -cf - etc/kubernetes > {dir}/{node}.tar"));
        } else {
            unchecked.push(format!(
                "/etc/kubernetes of {node} (certificates, kubeadm files) is not saved: no SSH"
            ));
        }
    }
    Step {
        kind: StepKind::Backup,
        node: node.cloned(),
        what,
        command,
        gates: Vec::new(),
        timeout: Duration::from_mins(30),
        may_skip: false,
        undo: None,
        unchecked,
        not_applicable: None,
        debt: None,
    }
}

pub(super) fn predict(node: &NodeName, drain: &DrainOptions) -> Step {
    Step {
        unchecked: vec!["whether the other nodes have room for the pods".to_owned()],
        ..step(
            StepKind::Predict,
            node,
            format!("predict for each pod of {node} whether it moves, stays or is blocked"),
            format!("kubectl drain {node}{} --dry-run=server; kubectl get pdb -A", drain.flags()),
        )
    }
}

pub(super) fn cordon(node: &NodeName) -> Step {
    Step {
        undo: Some(format!("make {node} schedulable again, if it was before")),
        ..step(
            StepKind::Cordon,
            node,
            format!("make {node} unschedulable, and note on it who did and what it was before"),
            format!("kubectl cordon {node}"),
        )
    }
}

pub(super) fn move_leader(node: &NodeName, facts: &Facts) -> Step {
    let leads = facts.etcd.as_ref().and_then(|etcd| etcd.leader()).map(|leader| leader.node.as_ref());
    let now = match leads {
        Some(Some(on)) if on == node => format!(" ({node} leads now)"),
        Some(Some(on)) => format!(" ({on} leads now)"),
        _ => String::new(),
    };
    Step {
        may_skip: true,
        undo: Some("not undone: the leadership stays where it goes".to_owned()),
        ..step(
            StepKind::MoveLeader,
            node,
            format!("move the etcd leadership away from {node}, if it leads{now}"),
            "etcdctl move-leader MEMBER-ID  # asked of the leader".to_owned(),
        )
    }
}

pub(super) fn drain(node: &NodeName, drain: &DrainOptions) -> Step {
    let how = if drain.disable_eviction { "delete the pods of" } else { "evict the pods of" };
    let bypass = if drain.disable_eviction { ", past their budgets" } else { ", as fast as budgets allow" };
    Step {
        timeout: drain.timeout,
        undo: Some(format!(
            "cannot be undone: the pods stay where they went, until something moves them to {node}"
        )),
        ..step(
            StepKind::Drain,
            node,
            format!("{how} {node}{bypass}, and wait until they are gone"),
            format!("kubectl drain {node}{}", drain.flags()),
        )
    }
}

/// Several nodes in one step.
pub(super) fn drain_together(nodes: &[NodeName], options: &DrainOptions) -> Step {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    let first = nodes.first().cloned().unwrap_or_else(|| NodeName::from(""));
    let one = drain(&first, options);
    let rounds = nodes.len().div_ceil(options.parallel.max(1));
    let how = if options.disable_eviction { "delete the pods of" } else { "evict the pods of" };
    let bypass =
        if options.disable_eviction { ", past their budgets" } else { ", one eviction per budget at a time" };
    Step {
        node: None,
        timeout: options.timeout * u32::try_from(rounds).unwrap_or(u32::MAX),
        what: format!(
            "{how} {}, up to {} nodes at the same time{bypass}, and wait until they are gone",
            names.join(", "),
            options.parallel
        ),
        command: format!("kubectl drain {}{}", names.join(" "), options.flags()),
        undo: Some(
            "cannot be undone: the pods stay where they went, until something moves them back".to_owned(),
        ),
        ..one
    }
}

pub(super) fn residual(node: &NodeName) -> Step {
    Step {
        timeout: Duration::from_mins(5),
        may_skip: true,
        ..step(
            StepKind::Residual,
            node,
            format!("only DaemonSet and mirror pods are left on {node}, and its volumes are detached"),
            format!(
                "kubectl get pods -A --field-selector spec.nodeName={node}; kubectl get volumeattachments"
            ),
        )
    }
}

pub(super) fn recheck(node: &NodeName, is_master: bool, timing: &Timing) -> Step {
    let first = preflight(node, is_master, timing);
    Step {
        kind: StepKind::Recheck,
        what: format!("read every gate again, fresh, before {node} is rebooted"),
        ..first
    }
}

pub(super) fn reboot(node: &NodeName, settings: &Settings) -> Step {
    let service = &settings.service;
    let what = match &service.executor {
        Executor::Ssh => format!("ask the host of {node} to reboot, once"),
        Executor::Command(argv) => {
            format!("have {node} rebooted by {}, once", argv.first().map_or("", String::as_str))
        }
        Executor::Manual => {
            format!("reboot {node} by hand, now or after the confirmation; its boot id proves it")
        }
    };
    // a request whose fate is not known is waited for before another
    let timeout = SHORT
        + settings.timing.gone
        + if service.executor == Executor::Ssh { Duration::ZERO } else { service.command_limit };
    Step {
        timeout,
        undo: Some("cannot be undone".to_owned()),
        ..step(StepKind::Reboot, node, what, service.executor.words(node))
    }
}

/// The configured command on the host; `None` = none is configured.
pub(super) fn patch(node: &NodeName, settings: &Settings) -> Option<Step> {
    let patch = settings.service.patch.as_ref()?;
    Some(Step {
        // its own deadline comes first, so that it is told apart
        timeout: patch.limit + SHORT,
        may_skip: true,
        undo: Some("cannot be undone: what it changed on the host stays".to_owned()),
        unchecked: vec!["whether the command may be repeated: a second try runs it anew".to_owned()],
        ..step(
            StepKind::Patch,
            node,
            format!("run the patch command on the host of {node}, within {}", brief(patch.limit)),
            format!("ssh {node} {}", patch.argv.join(" ")),
        )
    })
}

pub(super) fn power_cycle(node: &NodeName, is_locked: bool) -> Step {
    let others = "whether somebody else works on the node: the maintenance lock is not taken";
    let boots = "whether the node boots: its boot id tells, in the reboot run that waits for it";
    let unchecked = if is_locked { owned(&[boots]) } else { owned(&[others, boots]) };
    Step {
        timeout: Duration::from_mins(4),
        undo: Some("cannot be undone".to_owned()),
        unchecked,
        ..step(
            StepKind::Power,
            node,
            format!(
                "take the power of {node}'s machine away and give it back, at once and without a shutdown"
            ),
            format!("ipmitool -I lanplus -H BMC-OF-{node} -U USER -E chassis power cycle"),
        )
    }
}

pub(super) fn down(node: &NodeName, settings: &Settings) -> Step {
    let timing = &settings.timing;
    // a person has to walk to it first
    let by_hand = settings.service.executor == Executor::Manual;
    let timeout = if by_hand { timing.gone + timing.back } else { timing.gone };
    Step {
        timeout,
        may_skip: true,
        ..step(
            StepKind::Down,
            node,
            format!("{node} stops answering within {} (or has a new boot id already)", brief(timeout)),
            format!("ssh {node} cat /proc/sys/kernel/random/boot_id"),
        )
    }
}

pub(super) fn back(node: &NodeName, timing: &Timing) -> Step {
    Step {
        timeout: timing.back + timing.ready,
        ..step(
            StepKind::Back,
            node,
            format!(
                "{node} answers with a new boot id within {}, and is Ready with that boot id within another {}",
                brief(timing.back),
                brief(timing.ready)
            ),
            format!("kubectl get node {node} -o jsonpath='{{.status.nodeInfo.bootID}}' -w"),
        )
    }
}

pub(super) fn verify(node: &NodeName, is_master: bool, timing: &Timing) -> Step {
    let mut list = owned(&names::RETURN);
    let mut unchecked = owned(&["traffic through the node's own load balancer entry"]);
    if is_master {
        list.extend(owned(&names::ETCD_RETURN));
    } else {
        unchecked.push("workloads other than system-critical pods".to_owned());
    }
    Step {
        gates: list,
        timeout: timing.verify + timing.verify_interval,
        unchecked,
        ..step(
            StepKind::Verify,
            node,
            format!("the gates of the return pass twice, {} apart", brief(timing.verify_interval)),
            format!("kubectl get pods -n kube-system --field-selector spec.nodeName={node}"),
        )
    }
}

pub(super) fn uncordon(node: &NodeName) -> Step {
    Step {
        may_skip: true,
        undo: None,
        ..step(
            StepKind::Uncordon,
            node,
            format!("make {node} schedulable again, only if this run cordoned it"),
            format!("kubectl uncordon {node}"),
        )
    }
}

/// The action of its own: whoever cordoned the node.
pub(super) fn uncordon_now(node: &NodeName) -> Step {
    Step {
        may_skip: false,
        undo: None,
        ..step(
            StepKind::Uncordon,
            node,
            format!("make {node} schedulable, whoever cordoned it"),
            format!("kubectl uncordon {node}"),
        )
    }
}

pub(super) fn settle(node: &NodeName, is_master: bool, timing: &Timing) -> Step {
    let quiet = timing.quiet(is_master);
    Step {
        timeout: quiet + gate_time(timing),
        may_skip: true,
        ..step(
            StepKind::Settle,
            node,
            format!("wait {}, then look at {node} and the control plane once more", brief(quiet)),
            "kubectl get nodes; kubectl get pods -A".to_owned(),
        )
    }
}

pub(super) fn unlock(node: &NodeName, settings: &Settings) -> Step {
    step(
        StepKind::Unlock,
        node,
        "give the maintenance lock back".to_owned(),
        format!("kubectl -n {} delete lease pitstop", settings.lease_namespace),
    )
}

/// Not about the node that the lease names: that one may be gone.
pub(super) fn clear(node: Option<&NodeName>, settings: &Settings) -> Step {
    let namespace = &settings.lease_namespace;
    Step {
        kind: StepKind::Clear,
        node: node.cloned(),
        what: format!(
            "clear the maintenance lock (Lease {namespace}/pitstop) if a run left it behind, or nobody renews it any more"
        ),
        command: format!("kubectl -n {namespace} delete lease pitstop"),
        gates: Vec::new(),
        timeout: SHORT,
        may_skip: false,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}
