//! One view out of what the members said, each for itself. Pure: the answers come in, the view goes out.

use crate::backend::error::Error;
use crate::backend::host::split_address;
use crate::domain::etcd::{Alarm, EtcdView, MemberHealth, MemberRow, MemberStatus};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::text::clean;
use crate::domain::time::Stamp;
use crate::proto::Member;
use std::collections::{BTreeMap, BTreeSet};

/// What one member said.
pub(super) struct Answer {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    pub(super) learner: bool,
    pub(super) status: MemberStatus,
    /// Its own list of members, when it gave one.
    pub(super) members: Option<Vec<Member>>,
}

/// What came from one place.
pub(super) struct Reply<A = Answer> {
    pub(super) node: NodeName,
    pub(super) row: Option<NodeRow>,
    pub(super) address: String,
    pub(super) answer: Result<A, Error>,
}

/// What is kept between rounds, so that a silent member stays in the view.
#[derive(Default)]
pub(super) struct Memory {
    cluster_id: Option<u64>,
    members: Vec<Member>,
    pub(super) statuses: BTreeMap<u64, MemberStatus>,
    pub(super) nodes: BTreeMap<u64, NodeName>,
}

impl Memory {
    /// The view of a round. An error when no membership is known, now or from before.
    pub(super) fn assemble(
        &mut self,
        replies: &[Reply],
        access: &str,
        now: Stamp,
    ) -> Result<EtcdView, Error> {
        let disagreement = self.settle(replies);
        if self.members.is_empty() {
            return Err(nobody(replies));
        }
        let answers: BTreeMap<u64, &Answer> = replies
            .iter()
            .filter_map(|reply| reply.answer.as_ref().ok())
            .filter(|answer| Some(answer.cluster_id) == self.cluster_id)
            .map(|answer| (answer.member_id, answer))
            .collect();
        let head = answers.values().map(|answer| answer.status.index).max();
        let known: BTreeSet<u64> = self.members.iter().map(|member| member.id).collect();
        self.statuses.retain(|id, _| known.contains(id));
        self.nodes.retain(|id, _| known.contains(id));
        self.match_silent(replies);
        let mut rows: Vec<MemberRow> = self
            .members
            .iter()
            .map(|member| {
                let answer = answers.get(&member.id).copied();
                let node = self.nodes.get(&member.id).cloned();
                let health = health(member, answer, node.as_ref(), replies);
                MemberRow {
                    id: member.id,
                    name: clean(&member.name),
                    node,
                    learner: answer.map_or(member.is_learner, |answer| answer.learner),
                    health,
                    status: self.statuses.get(&member.id).cloned(),
                    lag: answer.zip(head).map(|(answer, head)| head.saturating_sub(answer.status.applied)),
                    peer_urls: member.peer_ur_ls.iter().map(|url| clean(url)).collect(),
                }
            })
            .collect();
        rows.sort_by(|a, b| (&a.node, &a.name, a.id).cmp(&(&b.node, &b.name, b.id)));
        Ok(EtcdView {
            at: now,
            cluster_id: self.cluster_id,
            access: access.to_owned(),
            members: rows,
            disagreement,
            ..EtcdView::default()
        })
    }

    /// Takes over what the answers agree on; returns in words what they do not.
    fn settle(&mut self, replies: &[Reply]) -> Option<String> {
        let answers: Vec<(&NodeName, &Answer)> =
            replies.iter().filter_map(|reply| Some((&reply.node, reply.answer.as_ref().ok()?))).collect();
        let mut words = Vec::new();
        let clusters = groups(&answers, |answer| Some(answer.cluster_id));
        if clusters.len() > 1 {
            let parts = clusters.iter().map(|(id, nodes)| format!("{} of {id:x}", nodes.join(", ")));
            words.push(format!("members of different clusters: {}", parts.collect::<Vec<_>>().join("; ")));
        }
        let (most, count) = clusters.first().map(|(id, nodes)| (*id, nodes.len()))?;
        let cluster_id = match self.cluster_id {
            Some(known) if clusters.iter().any(|(id, _)| *id == known) => known,
            // one stray answer is not a new cluster; a majority of them is (restored from a snapshot)
            Some(known) if most != known && count * 2 <= self.members.len() => {
                words.push(format!("what answers is of cluster {most:x}, not of {known:x} as before"));
                known
            }
            Some(known) if most != known => {
                *self = Self::default();
                most
            }
            _ => most,
        };
        self.cluster_id = Some(cluster_id);
        let ours: Vec<_> =
            answers.into_iter().filter(|(_, answer)| answer.cluster_id == cluster_id).collect();
        let lists = groups(&ours, |answer| answer.members.as_deref().map(outline));
        if lists.len() > 1 {
            let parts = lists.iter().map(|(list, nodes)| format!("{} list {}", nodes.join(", "), list.len()));
            words.push(format!(
                "members disagree about the membership: {}",
                parts.collect::<Vec<_>>().join("; ")
            ));
        }
        if let Some((chosen, _)) = lists.first() {
            let list = ours.iter().filter_map(|(_, answer)| answer.members.as_ref());
            if let Some(list) = list.into_iter().find(|list| outline(list) == *chosen) {
                self.members.clone_from(list);
            }
        }
        let mut places: BTreeMap<u64, &NodeName> = BTreeMap::new();
        for (node, answer) in &ours {
            if let Some(other) = places.insert(answer.member_id, node) {
                words.push(format!("{other} and {node} lead to the same member {:x}", answer.member_id));
            }
            self.statuses.insert(answer.member_id, answer.status.clone());
            self.nodes.insert(answer.member_id, (*node).clone());
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Finds the nodes of members that never answered: by name, or by what they advertise.
    fn match_silent(&mut self, replies: &[Reply]) {
        for member in &self.members {
            if self.nodes.contains_key(&member.id) {
                continue;
            }
            let free = replies.iter().filter(|reply| {
                reply.answer.is_err() && !self.nodes.values().any(|node| *node == reply.node)
            });
            if let Some(reply) = free.into_iter().find(|reply| is_on(member, reply)) {
                self.nodes.insert(member.id, reply.node.clone());
            }
        }
    }
}

/// Whether a member is the one on a node, as far as names and advertised URLs tell. k3s names members `NODE-xxxxxxxx`.
fn is_on(member: &Member, reply: &Reply) -> bool {
    let node = reply.node.as_str();
    let is_named = member.name == node
        || member
            .name
            .strip_prefix(node)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest.len() == 8 && rest.chars().all(|c| c.is_ascii_hexdigit()));
    let urls = member.peer_ur_ls.iter().chain(&member.client_ur_ls);
    let mut authorities =
        urls.filter_map(|url| url.split_once("://").map(|(_, rest)| rest.trim_end_matches('/')));
    is_named
        || authorities.any(|authority| {
            let (host, _) = split_address(authority, 0);
            reply.row.as_ref().is_some_and(|row| row.answers_to(&host)) || authority == reply.address
        })
}

fn health(
    member: &Member,
    answer: Option<&Answer>,
    node: Option<&NodeName>,
    replies: &[Reply],
) -> MemberHealth {
    if let Some(answer) = answer {
        let problems = problems(answer);
        return if problems.is_empty() { MemberHealth::Healthy } else { MemberHealth::Unhealthy(problems) };
    }
    if member.name.is_empty() {
        return MemberHealth::Unstarted;
    }
    let reply = node.and_then(|node| replies.iter().find(|reply| reply.node == *node));
    MemberHealth::Silent(match reply.map(|reply| &reply.answer) {
        Some(Err(error)) => error.report(),
        Some(Ok(other)) => Report::new(
            FailureKind::Identity,
            format!("its node answers as another member, {:x}", other.member_id),
        ),
        None => {
            Report::new(FailureKind::NotFound, "no node is known for it").hint("name it in etcd.endpoints")
        }
    })
}

/// What is wrong with a member that answered. An alarm counts for the member that it names; for all when it names none.
fn problems(answer: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    if answer.status.leader == 0 {
        problems.push("sees no leader".to_owned());
    }
    for error in &answer.status.errors {
        match Alarm::parse(error) {
            Some(alarm) if alarm.names(answer.member_id) => {
                problems.push(format!("alarm {}", alarm.trouble));
            }
            Some(_) => {}
            None if error.ends_with("no leader") && answer.status.leader == 0 => {}
            None => problems.push(error.clone()),
        }
    }
    problems
}

/// What two lists must agree in.
fn outline(members: &[Member]) -> Vec<(u64, bool, bool)> {
    let mut outline: Vec<_> =
        members.iter().map(|member| (member.id, member.is_learner, member.name.is_empty())).collect();
    outline.sort_unstable();
    outline
}

/// Values with the nodes that gave them; the one that most gave first, then the one from the newest revision.
fn groups<K: Ord>(
    answers: &[(&NodeName, &Answer)],
    key: impl Fn(&Answer) -> Option<K>,
) -> Vec<(K, Vec<String>)> {
    let mut groups: BTreeMap<K, (Vec<String>, u64)> = BTreeMap::new();
    for (node, answer) in answers {
        if let Some(key) = key(answer) {
            let group = groups.entry(key).or_default();
            group.0.push(node.0.clone());
            group.1 = group.1.max(answer.status.index);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, (nodes, index))| std::cmp::Reverse((nodes.len(), *index)));
    groups.into_iter().map(|(key, (nodes, _))| (key, nodes)).collect()
}

fn nobody(replies: &[Reply]) -> Error {
    let errors = || replies.iter().filter_map(|reply| reply.answer.as_ref().err());
    let kind = errors().next().map_or(FailureKind::Unreachable, |error| error.kind);
    let mut error = Error::new(kind, "read the members of", "etcd", "no member answered");
    error.causes = errors().map(ToString::to_string).collect();
    error.hint = errors().find_map(|error| error.hint.clone());
    error
}

#[cfg(test)]
#[path = "view_tests.rs"]
pub(super) mod tests;
