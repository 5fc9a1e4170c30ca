//! Going on without: the pod, or the node.

use super::{Case, Offer};
use crate::domain::remedy::Remedy;

pub(super) fn skips(case: &Case<'_>) -> Vec<Offer> {
    let Some(pod) = case.targets().next() else { return Vec::new() };
    let Some(node) = &pod.row.node else { return Vec::new() };
    let name = &pod.row.key.name;
    let pod_offer = Offer::new(Remedy::SkipPod, "none now; the pod is stopped when the node goes down")
        .needs(case.needs_target())
        .types(format!("kubectl drain {node} --ignore-daemonsets --pod-selector 'LABEL!=VALUE of {name}'"))
        .beware("the node is not empty afterwards: a reboot ends the pod without asking its budget")
        .restores("nothing is changed: the drain that waits for the pod leaves it where it is");
    let node_offer = Offer::new(Remedy::SkipNode, "none; the node stays as it is")
        .needs(case.needs_target())
        .types(format!("kubectl uncordon {node}"))
        .beware("the node keeps its old version and kernel, and has to be serviced later")
        .restores("the cordon is taken back; the run that waits is aborted with its undo plan");
    vec![pod_offer, node_offer]
}
