//! etcd: quorum without the node, health on two samples, a read through the others, the member's return.

use super::scene::{Samples, absent};
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::etcd::{Alarm, EtcdView, KeyspaceHash, LAG_LIMIT, MemberHealth, MemberRow};
use crate::domain::feed::Table;
use crate::domain::gate::{Gate, Offender, Verdict};
use crate::domain::node::NodeRow;
use crate::domain::report::Report;
use crate::domain::time::brief;
use crate::engine::memory::{MemberBefore, Memory};

fn view(scene: &Scene) -> Result<&EtcdView, Report> {
    let samples = scene.etcd.as_ref().ok_or_else(|| absent("etcd is not configured"))?;
    let view = samples.second.as_ref().map_err(Clone::clone)?;
    for cluster in view.clusters() {
        if let Some(unseen) = &cluster.unseen {
            return Err(absent(unseen));
        }
        if cluster.members.is_empty() {
            return Err(absent(&format!("no {} member is known", cluster.label())));
        }
    }
    Ok(view)
}

/// For the check of the whole cluster: etcd is not to be reached, and no node of the cluster could host it (a managed
/// control plane). Where there are control-plane nodes, an etcd that is not asked is unknown, never good.
fn is_left_out(scene: &Scene) -> bool {
    let has_masters = |nodes: &Table<NodeRow>| nodes.values().any(NodeRow::is_control_plane);
    scene.etcd.is_none()
        && matches!(scene.purpose, super::Purpose::Check | super::Purpose::Between { .. })
        && scene.nodes.as_ref().is_ok_and(|nodes| !has_masters(nodes))
}

/// Every member is on another node, or at an endpoint that the configuration names: the node hosts no etcd.
fn hosts_none(scene: &Scene, view: &EtcdView) -> bool {
    let Some(node) = &scene.node else { return false };
    let is_placed = |member: &MemberRow| member.node.is_some() && !is_adrift(scene, member);
    !view.is_host(node) && view.all_members().all(is_placed)
}

/// Known only by an address that no node answers to: it may be on a node that does not know this address of its own.
fn is_adrift(scene: &Scene, member: &MemberRow) -> bool {
    // the name of a node holds no colon, an address with its port does
    let is_node = |name| scene.nodes.as_ref().is_ok_and(|nodes| nodes.contains_key(name));
    member.node.as_ref().is_some_and(|name| name.as_str().contains(':') && !is_node(name))
}

/// The node may host any of the members that are adrift: all of them have to be safe to lose, one at a time. `None` = none is.
fn quorum_anyway(scene: &Scene, view: &EtcdView) -> Option<(Vec<Offender>, String)> {
    let adrift: Vec<String> =
        view.members.iter().filter(|member| is_adrift(scene, member)).map(MemberRow::label).collect();
    let quorum = view.quorum().filter(|_| !adrift.is_empty())?;
    let sum = format!(
        "{}it cannot be told whether the node hosts {}; {}",
        prefix(view),
        adrift.join(", "),
        quorum.words()
    );
    let may_lose_any = quorum.margin().is_some_and(|spare| spare > 0);
    let offenders = if may_lose_any { Vec::new() } else { lost(view, &sum) };
    let hint = "say where the members are in etcd.endpoints: by the name of a node, or by another name";
    Some((offenders.into_iter().map(|offender| offender.hint(hint)).collect(), sum))
}

/// Healthy voters without this node's member still make a quorum.
pub(super) fn quorum(scene: &Scene) -> Gate {
    const ASKS: &str = "etcd keeps its quorum without this node";
    if is_left_out(scene) {
        return not_applicable(scene, names::ETCD_QUORUM, ASKS, "etcd is not configured");
    }
    let view = match view(scene) {
        Ok(view) => view,
        Err(report) => return unknown(scene, names::ETCD_QUORUM, ASKS, &report),
    };
    let Some(node) = &scene.node else { return spare(scene, view) };
    if hosts_none(scene, view) {
        return not_applicable(scene, names::ETCD_QUORUM, ASKS, "the node hosts no etcd member");
    }
    let (mut offenders, mut sums) = (Vec::new(), Vec::new());
    for cluster in view.clusters() {
        let (Some(member), Some(quorum)) = (cluster.on_node(node), cluster.quorum()) else {
            if cluster.members.iter().all(|member| member.node.is_some()) {
                if let Some((found, sum)) = quorum_anyway(scene, cluster) {
                    offenders.extend(found);
                    sums.push(sum);
                }
                continue;
            }
            let why = format!("it cannot be told which {} member this node hosts", cluster.label());
            return unknown(scene, names::ETCD_QUORUM, ASKS, &absent(&why));
        };
        let (is_voter, is_healthy) = (!member.learner, member.health.is_healthy());
        let left = quorum.healthy.saturating_sub(usize::from(is_voter && is_healthy));
        let sum = format!(
            "{}{} of {} voters are healthy; without {node} {left}, quorum is {}",
            prefix(cluster),
            quorum.healthy,
            quorum.voters,
            quorum.needed()
        );
        if !quorum.may_lose(is_voter, is_healthy) {
            offenders.extend(lost(cluster, &sum));
        }
        sums.push(sum);
    }
    verdict(scene, names::ETCD_QUORUM, ASKS, offenders, sums.join("; "))
}

/// For the check of the whole cluster: each etcd can lose a member.
fn spare(scene: &Scene, view: &EtcdView) -> Gate {
    const ASKS: &str = "etcd can lose a member";
    let words = view.words().unwrap_or_default();
    let mut offenders = Vec::new();
    for cluster in view.clusters() {
        let Some(quorum) = cluster.quorum().filter(|_| !cluster.is_silent()) else {
            return unknown(scene, names::ETCD_QUORUM, ASKS, &absent(&words));
        };
        if quorum.margin().is_none_or(|spare| spare == 0 && quorum.voters != 1) {
            offenders.extend(lost(cluster, &words));
        }
    }
    verdict(scene, names::ETCD_QUORUM, ASKS, offenders, words)
}

/// `main: ` where there is more than one cluster.
fn prefix(view: &EtcdView) -> String {
    if view.name.is_empty() { String::new() } else { format!("{}: ", view.name) }
}

/// The voters that are missed, each with what that means; the cluster itself when none is ill.
fn lost(view: &EtcdView, sum: &str) -> Vec<Offender> {
    let ill = view.members.iter().filter(|member| !member.learner && !member.health.is_healthy());
    let list: Vec<Offender> =
        ill.map(|member| about(member, format!("is missed by the quorum: {sum}"))).collect();
    if list.is_empty() { vec![whole(view, sum.to_owned())] } else { list }
}

fn about(member: &MemberRow, what: String) -> Offender {
    let offender = Offender::new("EtcdMember", member.label(), what)
        .since(member.status.as_ref().filter(|_| !member.speaks()).map(|status| status.at))
        .hint("etcdctl endpoint status --cluster -w table");
    match &member.node {
        Some(node) => offender.of(format!("node {node}")),
        None => offender,
    }
}

fn whole(view: &EtcdView, what: String) -> Offender {
    Offender::new("EtcdCluster", view.label(), what).hint("etcdctl endpoint status --cluster -w table")
}

/// Before its reboot, what is wrong with the node's own member and concerns no other is no obstacle: it is the one that goes.
fn goes(scene: &Scene, view: &EtcdView, member: &MemberRow) -> bool {
    let is_its_own = member.node.is_some() && member.node == scene.node && !member.learner;
    is_its_own && view.alarms().is_empty() && matches!(scene.purpose, super::Purpose::Before { .. })
}

/// What is wrong with a member that concerns others too; all of it, unless it goes.
fn concerns(scene: &Scene, view: &EtcdView, member: &MemberRow) -> Vec<String> {
    if goes(scene, view, member) {
        MemberRow { health: MemberHealth::Healthy, lag: None, ..member.clone() }.concerns()
    } else {
        member.concerns()
    }
}

/// No member complains, one leader, and the same in the same term on two samples.
pub(super) fn healthy(scene: &Scene) -> Gate {
    const ASKS: &str = "etcd is healthy: no errors, one stable leader, nobody far behind";
    if is_left_out(scene) {
        return not_applicable(scene, names::ETCD_HEALTHY, ASKS, "etcd is not configured");
    }
    let view = match view(scene) {
        Ok(view) => view,
        Err(report) => return unknown(scene, names::ETCD_HEALTHY, ASKS, &report),
    };
    let mut offenders: Vec<Offender> = view.clusters().flat_map(|cluster| ailments(scene, cluster)).collect();
    if let Some(samples) = &scene.etcd {
        match stability(scene, samples) {
            Ok(found) => offenders.extend(found),
            Err(report) => return unknown(scene, names::ETCD_HEALTHY, ASKS, &report),
        }
    }
    let evidence: Vec<String> = view.clusters().map(|cluster| standing(scene, cluster)).collect();
    let evidence = format!("{}{}", evidence.join("; "), advice(view));
    verdict(scene, names::ETCD_HEALTHY, ASKS, offenders, evidence)
}

/// What is wrong with one cluster and its members now.
fn ailments(scene: &Scene, view: &EtcdView) -> Vec<Offender> {
    let mut offenders: Vec<Offender> =
        view.disagreement.iter().map(|words| whole(view, words.clone())).collect();
    for member in &view.members {
        let concerns = concerns(scene, view, member);
        if !concerns.is_empty() {
            offenders.push(about(member, concerns.join("; ")));
        }
    }
    offenders.extend(alarms_of_nobody(view));
    match view.leader() {
        Some(leader) => {
            let strays = view.strays(leader).into_iter().filter(|(member, _)| !goes(scene, view, member));
            offenders.extend(strays.map(|(member, words)| about(member, words)));
        }
        None if !view.is_silent() => {
            offenders.push(whole(view, "has no leader that a majority of the voters names".to_owned()));
        }
        None => {}
    }
    offenders
}

/// How it stands, with what is wrong with the member that goes.
fn standing(scene: &Scene, view: &EtcdView) -> String {
    let leader = view.leader().map_or_else(|| "none".to_owned(), MemberRow::label);
    let term = term(view).map_or_else(String::new, |term| format!(", term {term}"));
    let (gone, stay): (Vec<_>, Vec<_>) = view.members.iter().partition(|member| goes(scene, view, member));
    let lag = stay.iter().filter_map(|member| member.lag).max().unwrap_or(0);
    let words = format!("{}leader {leader}{term} on two samples, {lag} entries behind at most", prefix(view));
    gone.into_iter().fold(words, |words, member| {
        let others = concerns(scene, view, member);
        let own = member.concerns().into_iter().filter(|concern| !others.contains(concern));
        own.fold(words, |words, concern| format!("{words}; {}, which goes, {concern}", member.label()))
    })
}

/// Alarms of members that are listed no more: etcd keeps them, and refuses writes because of them.
fn alarms_of_nobody(view: &EtcdView) -> Vec<Offender> {
    let is_listed = |alarm: &Alarm| view.members.iter().any(|row| alarm.names(row.id));
    let orphans = view.alarms().into_iter().filter(|alarm| !is_listed(alarm));
    orphans
        .map(|alarm| whole(view, format!("alarm {} of a member that is not listed", alarm.trouble)))
        .collect()
}

/// What is no reason to stop, and yet worth a word: each once.
fn advice(view: &EtcdView) -> String {
    let mut words: Vec<String> = view.all_members().flat_map(MemberRow::advice).collect();
    words.sort();
    words.dedup();
    words.into_iter().fold(String::new(), |text, word| text + "; " + &word)
}

fn term(view: &EtcdView) -> Option<u64> {
    view.members.iter().filter_map(|member| member.status.as_ref()).map(|status| status.term).max()
}

fn stability(scene: &Scene, samples: &Samples) -> Result<Vec<Offender>, Report> {
    let first = samples.first.as_ref().map_err(Clone::clone)?;
    let second = samples.second.as_ref().map_err(Clone::clone)?;
    let pairs = second.clusters().filter_map(|second| {
        let first = first.clusters().find(|first| first.name == second.name)?;
        Some((first, second))
    });
    Ok(pairs.flat_map(|(first, second)| between(scene, first, second)).collect())
}

/// What one cluster did between two samples.
fn between(scene: &Scene, first: &EtcdView, second: &EtcdView) -> Vec<Offender> {
    let span = brief(second.at.since(first.at));
    let mut offenders = Vec::new();
    if term(first) != term(second) {
        let what = format!("changed its raft term within {span}: elections are going on");
        offenders.push(whole(second, what));
    } else if first.leader().map(|leader| leader.id) != second.leader().map(|leader| leader.id) {
        offenders.push(whole(second, format!("changed its leader within {span}")));
    }
    for member in &second.members {
        let earlier = first.members.iter().find(|known| known.id == member.id).and_then(|known| known.lag);
        if let (Some(then), Some(lag)) = (earlier, member.lag)
            && lag >= LAG_LIMIT
            && lag > then
            && !goes(scene, second, member)
        {
            offenders.push(about(member, format!("falls further behind: {then}, then {lag} entries")));
        }
    }
    offenders
}

/// A read with the consent of a quorum works through a member that stays.
pub(super) fn read(scene: &Scene) -> Gate {
    const ASKS: &str = "a read that needs a quorum works through another member";
    if view(scene).is_ok_and(|view| hosts_none(scene, view)) {
        return not_applicable(scene, names::ETCD_READ, ASKS, "the node hosts no etcd member");
    }
    match &scene.quorum_read {
        Some(Ok(took)) => Gate::new(
            names::ETCD_READ,
            ASKS,
            Verdict::Passed,
            format!("answered in {}", brief(*took)),
            scene.at,
        ),
        Some(Err(report)) => Gate::failed(
            names::ETCD_READ,
            ASKS,
            vec![
                Offender::new("EtcdCluster", "etcd", format!("read failed: {}", report.line()))
                    .hint("etcdctl endpoint health --cluster -w table"),
            ],
            scene.at,
        ),
        None => unknown(scene, names::ETCD_READ, ASKS, &absent("etcd is not configured")),
    }
}

/// The member of the node is back: the same one, healthy, and at least as far as the others were.
pub(super) fn member(scene: &Scene, memory: &Memory) -> Gate {
    const ASKS: &str = "the node's etcd member is back: the same id, healthy, caught up";
    let view = match view(scene) {
        Ok(view) => view,
        Err(report) => return unknown(scene, names::ETCD_MEMBER, ASKS, &report),
    };
    let all: Vec<&MemberBefore> = memory.member_before.iter().chain(&memory.members_beside).collect();
    if all.is_empty() {
        return not_applicable(scene, names::ETCD_MEMBER, ASKS, "the node hosted no etcd member before");
    }
    let (mut offenders, mut words) = (Vec::new(), Vec::new());
    for before in all {
        let Some(cluster) = view.clusters().find(|cluster| cluster.name == before.cluster) else {
            let why = format!("etcd {} was there before, and is not looked at now", before.cluster);
            return unknown(scene, names::ETCD_MEMBER, ASKS, &absent(&why));
        };
        let (found, evidence) = returned(scene, cluster, before);
        offenders.extend(found);
        words.push(evidence);
    }
    verdict(scene, names::ETCD_MEMBER, ASKS, offenders, words.join("; "))
}

/// What is wrong with the node's member of one cluster, and how far it is.
fn returned(scene: &Scene, view: &EtcdView, before: &MemberBefore) -> (Vec<Offender>, String) {
    let row = scene.node.as_ref().and_then(|node| view.on_node(node));
    let Some(row) = row else {
        let name = scene.node.as_ref().map_or("", |node| node.as_str());
        let what = "is not there: no member on this node answers";
        return (vec![Offender::new("EtcdMember", name, what)], String::new());
    };
    let mut offenders = Vec::new();
    if row.id != before.id {
        offenders.push(format!(
            "is {:x} now and was {:x}: its data directory was lost or replaced, stop here",
            row.id, before.id
        ));
    }
    if view.cluster_id.is_some() && before.cluster_id.is_some() && view.cluster_id != before.cluster_id {
        offenders.push("belongs to another etcd cluster now, stop here".to_owned());
    }
    offenders.extend(row.concerns());
    let (applied, revision) = row.status.as_ref().map_or((0, 0), |status| (status.applied, status.revision));
    let sample = scene.etcd.as_ref().and_then(|samples| samples.first.as_ref().ok());
    let first = sample.and_then(|view| view.clusters().find(|cluster| cluster.name == before.cluster));
    if let Some(behind) = first.and_then(|view| lag_of(view, row.id)).filter(|lag| *lag >= LAG_LIMIT) {
        offenders.push(format!("was {behind} entries behind at the sample before"));
    }
    // all that there was before the reboot, and all that the others had at the sample before
    let head = first.and_then(head).map_or(before.index, |head| head.max(before.index));
    if applied < head {
        offenders.push(format!("has applied {applied} of the {head} entries that there were"));
    } else if row.speaks() && revision < before.revision {
        // it has every entry, and yet fewer changes of keys than before
        offenders.push(format!(
            "its revision went back from {} to {revision}: its data was replaced, stop here",
            before.revision
        ));
    }
    let offenders = offenders.into_iter().map(|what| about(row, what)).collect();
    (offenders, format!("{}{:x}, applied {applied}", prefix(view), row.id))
}

/// How far the members that answer are.
fn head(view: &EtcdView) -> Option<u64> {
    let speaking = view.members.iter().filter(|member| member.speaks());
    speaking.filter_map(|member| Some(member.status.as_ref()?.index)).max()
}

fn lag_of(view: &EtcdView, id: u64) -> Option<u64> {
    view.members.iter().find(|member| member.id == id)?.lag
}

/// All voters hold the same keys.
pub(super) fn hash(scene: &Scene) -> Gate {
    const ASKS: &str = "all etcd members hold the same keys";
    if view(scene).is_ok_and(|view| view.clusters().all(|cluster| cluster.members.len() == 1)) {
        return not_applicable(scene, names::ETCD_HASH, ASKS, "there is one member only");
    }
    match &scene.hash {
        Some(Ok(all)) => compared(scene, all, ASKS),
        Some(Err(report)) => unknown(scene, names::ETCD_HASH, ASKS, report),
        None if scene.etcd.is_some() => {
            let why = absent("asked for once everything else is in order: each member reads all of its keys");
            unknown(scene, names::ETCD_HASH, ASKS, &why)
        }
        None => unknown(scene, names::ETCD_HASH, ASKS, &absent("etcd is not configured")),
    }
}

/// Each cluster by itself; one with a single member has nothing to compare.
fn compared(scene: &Scene, all: &[KeyspaceHash], asks: &str) -> Gate {
    let (mut offenders, mut words) = (Vec::new(), Vec::new());
    for hash in all.iter().filter(|hash| all.len() == 1 || hash.readings.len() > 1) {
        match hash.agrees() {
            Some(true) => {
                words.push(format!("{} members agree at revision {}", hash.readings.len(), hash.revision));
            }
            Some(false) => {
                let said: Vec<String> =
                    hash.readings.iter().map(|said| format!("{} {:08x}", said.member, said.hash)).collect();
                let why = format!("keyspaces differ at revision {}: {}", hash.revision, said.join(", "));
                let offender = Offender::new("EtcdCluster", "etcd", why);
                offenders.push(offender.hint("etcdctl endpoint hashkv --cluster -w table"));
            }
            None if offenders.is_empty() => {
                let why = absent("the members cannot be compared now");
                return unknown(scene, names::ETCD_HASH, asks, &why);
            }
            None => {}
        }
    }
    verdict(scene, names::ETCD_HASH, asks, offenders, words.join("; "))
}
