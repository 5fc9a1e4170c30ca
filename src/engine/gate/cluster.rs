//! The API servers and their leaders, and our rights.

use super::scene::absent;
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::actor::Leader;
use crate::domain::gate::{Gate, Offender, Verdict};
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::text::count;
use crate::domain::time::brief;

/// Every API server says by its own endpoint that it is ready.
///
/// One that cannot be reached from here is named, and passes only by the word of another witness: its kubelet asks the
/// same `/readyz` of it every second (kubeadm's readiness probe of the static pod). A managed control plane names
/// servers that nobody but its provider can reach: there the one address that answers is all that can be asked.
pub(super) fn api(scene: &Scene) -> Gate {
    const ASKS: &str = "every API server says by its own /readyz that it is ready";
    let endpoints = match &scene.endpoints {
        Ok(endpoints) => endpoints,
        Err(report) => return unknown(scene, names::API, ASKS, report),
    };
    let (mut ready, mut offenders, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (address, answer) in endpoints {
        match answer {
            Ok(took) => ready.push(format!("{address} in {}", brief(*took))),
            Err(report) if matches!(report.kind, FailureKind::Unreachable | FailureKind::Timeout) => {
                silent.push(address.clone());
            }
            Err(report) => offenders.push(
                Offender::new("APIServer", address, format!("is not ready: {}", report.line()))
                    .on(host_of(scene, address).map(|row| &row.name)),
            ),
        }
    }
    if ready.is_empty() && offenders.is_empty() {
        return Gate::new(names::API, ASKS, Verdict::Unknown, "no API server answers /readyz", scene.at);
    }
    let listed = scene.listed.as_ref().map(Vec::as_slice).unwrap_or_default();
    let unasked = listed.iter().filter(|address| !endpoints.iter().any(|(known, _)| known == *address));
    silent.extend(unasked.cloned());
    let mut evidence = format!("ready: {}", ready.join(", "));
    let is_managed = scene.control_planes().is_some_and(|rows| rows.is_empty());
    if is_managed && !silent.is_empty() {
        evidence
            .push_str(&format!("; managed by others, and not to be asked one by one: {}", silent.join(", ")));
        silent.clear();
    }
    // where the one address that answers is one of those listed, that one has been asked
    if let ([_], [only]) = (listed, endpoints.as_slice())
        && only.1.is_ok()
    {
        silent.clear();
    }
    let (vouched, silent): (Vec<String>, Vec<String>) =
        silent.into_iter().partition(|address| is_vouched_for(scene, address));
    if !vouched.is_empty() {
        evidence.push_str(&format!(
            "; not reachable from here, ready by their kubelets' probes: {}",
            vouched.join(", ")
        ));
    }
    if offenders.is_empty() && !silent.is_empty() {
        let why = format!("no answer from {}, and no kubelet vouches for it; {evidence}", silent.join(", "));
        return Gate::new(names::API, ASKS, Verdict::Unknown, why, scene.at);
    }
    verdict(scene, names::API, ASKS, offenders, evidence)
}

fn host_of<'a>(scene: &'a Scene, address: &str) -> Option<&'a NodeRow> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    scene.nodes.as_ref().ok()?.values().find(|row| row.address.as_deref() == Some(host))
}

/// Its static pod is Ready on a node that reports.
fn is_vouched_for(scene: &Scene, address: &str) -> bool {
    let (Some(row), Ok(pods)) = (host_of(scene, address), &scene.pods) else { return false };
    scene.beats.is_ok()
        && super::nodes::complaint(row, scene).is_none()
        && pods.iter().any(|pod| {
            let is_server = pod.key.name.starts_with("kube-apiserver")
                || pod.labels.get("component").is_some_and(|component| component == "kube-apiserver");
            pod.mirror && is_server && pod.ready && pod.node.as_ref() == Some(&row.name)
        })
}

/// The Service `kubernetes` has exactly one address per control-plane node: a missing one takes no traffic, a stale one
/// takes traffic to nowhere.
pub(super) fn endpoints(scene: &Scene) -> Gate {
    const ASKS: &str = "the Service kubernetes has one address per control-plane node";
    let Some(masters) = scene.control_planes() else {
        return unknown(scene, names::ENDPOINTS, ASKS, &absent("the nodes are not known"));
    };
    if masters.is_empty() {
        return not_applicable(scene, names::ENDPOINTS, ASKS, "the control plane is managed by others");
    }
    let listed = match &scene.listed {
        Ok(listed) => listed,
        Err(report) => return unknown(scene, names::ENDPOINTS, ASKS, report),
    };
    if listed.len() == masters.len() {
        return verdict(scene, names::ENDPOINTS, ASKS, Vec::new(), listed.join(", "));
    }
    let hosts: Vec<&NodeRow> = listed.iter().filter_map(|address| host_of(scene, address)).collect();
    let missing = masters.iter().filter(|row| !hosts.iter().any(|host| host.name == row.name));
    let stale = listed.iter().filter(|address| host_of(scene, address).is_none());
    let mut offenders: Vec<Offender> = missing
        .map(|row| {
            Offender::new(
                "APIServer",
                row.name.as_str(),
                "is not among the addresses of the Service kubernetes",
            )
            .on(Some(&row.name))
        })
        .collect();
    offenders.extend(stale.map(|address| {
        Offender::new("APIServer", address, "is an address of the Service kubernetes and of no node")
            .hint("a server that was removed: its endpoint lease in etcd may be stale")
    }));
    if offenders.is_empty() {
        let what =
            format!("has {} for {}", count(listed.len(), "address"), count(masters.len(), "control plane"));
        offenders.push(Offender::new("Service", "kubernetes", what).within("default"));
    }
    verdict(scene, names::ENDPOINTS, ASKS, offenders, String::new())
}

/// The controller manager and the scheduler have leaders that renew their leases.
///
/// A leader renews every 2 s and gives up after 10 (`leader-elect-retry-period`, `-renew-deadline`); a lease that is
/// older than its own duration (15 s) is one that nobody keeps.
pub(super) fn leaders(scene: &Scene) -> Gate {
    const ASKS: &str = "controller manager and scheduler have leaders that renew their leases";
    let Some(masters) = scene.control_planes() else {
        return unknown(scene, names::LEADERS, ASKS, &absent("the nodes are not known"));
    };
    if masters.is_empty() {
        return not_applicable(scene, names::LEADERS, ASKS, "the control plane is managed by others");
    }
    let leaders = match &scene.leaders {
        Ok(leaders) => leaders,
        Err(report) => return unknown(scene, names::LEADERS, ASKS, report),
    };
    if leaders.is_empty() && masters.len() == 1 {
        let why = "one control plane, and no leader is elected";
        return not_applicable(scene, names::LEADERS, ASKS, why);
    }
    let missing: Vec<&str> = ["kube-controller-manager", "kube-scheduler"]
        .into_iter()
        .filter(|name| !leaders.iter().any(|leader| leader.component == *name))
        .collect();
    let offenders: Vec<Offender> = leaders.iter().filter_map(|leader| stale(scene, leader)).collect();
    if offenders.is_empty() && !missing.is_empty() && masters.len() > 1 {
        let why = format!("no lease of {} in kube-system", missing.join(" and "));
        return unknown(scene, names::LEADERS, ASKS, &Report::new(FailureKind::NotFound, why));
    }
    let led: Vec<String> =
        leaders.iter().map(|leader| format!("{} by {}", leader.component, short(&leader.holder))).collect();
    verdict(scene, names::LEADERS, ASKS, offenders, led.join(", "))
}

/// `cp-1_1c7f…` is `cp-1`.
fn short(holder: &str) -> &str {
    holder.split_once('_').map_or(holder, |(node, _)| node)
}

fn stale(scene: &Scene, leader: &Leader) -> Option<Offender> {
    let age = leader.renewed.map(|renewed| scene.clock.since(renewed));
    let what = match age {
        None => "was never renewed: nobody leads".to_owned(),
        Some(age) if age > leader.lasts => {
            format!("was not renewed for {} (it lasts {}): nobody leads", brief(age), brief(leader.lasts))
        }
        Some(_) => return None,
    };
    let hint = format!("kubectl -n kube-system get pods -l component={}", leader.component);
    let offender = Offender::new("Lease", &leader.component, what).within("kube-system").hint(hint);
    let offender = offender.since(leader.renewed);
    Some(if leader.holder.is_empty() { offender } else { offender.of(short(&leader.holder)) })
}

/// The API server allows everything that the run will ask for.
pub(super) fn rights(scene: &Scene) -> Gate {
    const ASKS: &str = "the API server allows everything that the run will do";
    let mut offenders = Vec::new();
    for right in &scene.rights {
        match &right.answer {
            Ok(None) => {}
            Ok(Some(why)) => {
                let hint = "bind the role pitstop-operator of the shipped rbac.yaml";
                offenders.push(Offender::new("Right", &right.what, format!("is missing: {why}")).hint(hint));
            }
            Err(report) => return unknown(scene, names::RIGHTS, ASKS, report),
        }
    }
    if scene.rights.is_empty() {
        return Gate::new(names::RIGHTS, ASKS, Verdict::Unknown, "was not asked", scene.at);
    }
    let evidence = count(scene.rights.len(), "right") + " asked for and given";
    verdict(scene, names::RIGHTS, ASKS, offenders, evidence)
}
