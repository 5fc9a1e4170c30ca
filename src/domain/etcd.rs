//! etcd members as rows, and the arithmetic of quorum.

use super::ids::NodeName;
use super::report::Report;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether a member answered, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberHealth {
    /// Answered within the deadline, sees a leader, no errors.
    Healthy,
    /// Answered, but something is wrong: each in words (alarms, no leader, …).
    Unhealthy(Vec<String>),
    /// Did not answer within the deadline: counts as unhealthy, never as "probably fine".
    Silent(Report),
    /// Added but never started: counts as a voter and as unhealthy.
    Unstarted,
}

impl MemberHealth {
    /// Healthy, and known to be so.
    pub fn is_healthy(&self) -> bool {
        *self == Self::Healthy
    }
}

/// What a member's Status says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// When it was read.
    pub at: Stamp,
    /// How long the answer took.
    pub latency: Duration,
    /// Server version.
    pub version: String,
    /// The leader that this member sees; 0 = none.
    pub leader: u64,
    /// Raft term.
    pub term: u64,
    /// Commit index of this member.
    pub index: u64,
    /// Applied index of this member.
    pub applied: u64,
    /// Size of the database file in bytes.
    pub db_size: u64,
    /// Bytes of it in use.
    pub db_in_use: u64,
    /// The quota, when the member tells (3.6).
    pub quota: Option<u64>,
    /// The store's revision.
    pub revision: i64,
    /// `errors` of the answer: alarms and "no leader".
    pub errors: Vec<String>,
    /// A downgrade is in progress (3.6).
    pub downgrading: bool,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Member id.
    pub id: u64,
    /// Name; empty = never started.
    pub name: String,
    /// The node that hosts it, when it could be matched.
    pub node: Option<NodeName>,
    /// Learners do not vote.
    pub learner: bool,
    /// Health.
    pub health: MemberHealth,
    /// The last Status, kept with its age when the member went silent.
    pub status: Option<MemberStatus>,
    /// Entries behind the most advanced member at the last sample (`max(index) − applied`).
    pub lag: Option<u64>,
}

impl MemberRow {
    /// Whether this member leads, by its own latest word and only while it is healthy enough to say so.
    pub fn is_leader(&self) -> bool {
        !matches!(self.health, MemberHealth::Silent(_) | MemberHealth::Unstarted)
            && self.status.as_ref().is_some_and(|status| status.leader == self.id)
    }
}

/// What is known of the etcd cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdView {
    /// When the round of questions ended.
    pub at: Stamp,
    /// Cluster id, when a member told.
    pub cluster_id: Option<u64>,
    /// How etcd is reached, in words (`direct`, `ssh`), or why not.
    pub access: String,
    /// Members by id; empty = not known.
    pub members: Vec<MemberRow>,
    /// Members disagree about the membership, or cluster ids differ: in words.
    pub disagreement: Option<String>,
}

impl EtcdView {
    /// The member on a node.
    pub fn on_node(&self, node: &NodeName) -> Option<&MemberRow> {
        self.members.iter().find(|member| member.node.as_ref() == Some(node))
    }

    /// The leader that a majority agrees on, or `None`.
    pub fn leader(&self) -> Option<&MemberRow> {
        self.members.iter().find(|member| member.is_leader())
    }

    /// Counts voters and healthy voters; `None` while no membership is known.
    pub fn quorum(&self) -> Option<Quorum> {
        if self.members.is_empty() {
            return None;
        }
        let voters = self.members.iter().filter(|member| !member.learner);
        Some(Quorum {
            voters: voters.clone().count(),
            healthy: voters.filter(|member| member.health.is_healthy()).count(),
        })
    }
}

/// Voting members and how many of them are healthy. Unstarted members count as voters, learners do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Voting members N.
    pub voters: usize,
    /// Healthy voting members.
    pub healthy: usize,
}

impl Quorum {
    /// ⌊N/2⌋ + 1.
    pub fn needed(self) -> usize {
        self.voters / 2 + 1
    }

    /// How many healthy voters may still be lost; `None` = quorum is already lost.
    pub fn margin(self) -> Option<usize> {
        self.healthy.checked_sub(self.needed())
    }

    /// Whether a member may go away: healthy voters without it must still make a quorum. The member stays a voter
    /// (a reboot is not a removal), so N does not shrink.
    pub fn may_lose(self, is_voter: bool, is_healthy: bool) -> bool {
        let remaining = self.healthy - usize::from(is_voter && is_healthy && self.healthy > 0);
        remaining >= self.needed()
    }

    /// `etcd 3/3, can lose 1`, `etcd 2/3, can lose 0`, `etcd 1/3, QUORUM LOST`.
    pub fn words(self) -> String {
        match self.margin() {
            Some(spare) => format!("etcd {}/{}, can lose {spare}", self.healthy, self.voters),
            None => format!("etcd {}/{}, QUORUM LOST", self.healthy, self.voters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rebooting_keeps_the_number_of_voters() {
        let may = |voters, healthy, target_healthy| Quorum { voters, healthy }.may_lose(true, target_healthy);
        assert!(may(3, 3, true));
        assert!(!may(3, 2, true));
        assert!(may(3, 2, false));
        assert!(may(4, 4, true));
        assert!(!may(4, 3, true));
        assert!(may(5, 4, true));
        assert!(!may(2, 2, true));
        assert!(!may(1, 1, true));
    }

    #[test]
    fn words_name_the_margin() {
        assert_eq!(Quorum { voters: 3, healthy: 3 }.words(), "etcd 3/3, can lose 1");
        assert_eq!(Quorum { voters: 3, healthy: 1 }.words(), "etcd 1/3, QUORUM LOST");
    }
}
