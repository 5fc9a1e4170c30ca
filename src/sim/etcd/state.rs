//! Who leads, who is there and where each member stands: the etcd cluster at one moment.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::progress::{CatchUp, Progress};
use super::{EtcdSpec, MemberFaults};
use crate::proto::AlarmType;
use crate::sim::machine::Machine;

/// First values of a cluster that has lived for a while.
const FIRST_TERM: u64 = 7;
const FIRST_INDEX: u64 = 2_418_133;
const FIRST_REVISION: i64 = 2_093_447;
/// How far behind the newest revision the last compaction was.
const COMPACTED_BEHIND: i64 = 1_800;

/// What the API server and tests need to know of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// More than half of the voters take part.
    pub quorum: bool,
    /// The leader is there and a quorum follows it: linearizable requests are answered.
    pub serving: bool,
    /// Member id of the leader as the members see it; 0 when there is none.
    pub leader: u64,
    /// Raft term.
    pub term: u64,
}

/// One member.
#[derive(Clone, Debug)]
pub struct MemberState {
    /// Member id.
    pub id: u64,
    /// Node name.
    pub node: String,
    /// Internal IP address.
    pub address: String,
    /// Its machine has been up long enough for it to run.
    pub powered: bool,
    /// The process runs.
    pub up: bool,
    /// What is wrong with it.
    pub faults: MemberFaults,
    /// Database file in bytes.
    pub db_size: u64,
    catch_up: Option<CatchUp>,
}

impl MemberState {
    /// Counts for the quorum.
    pub fn is_voter(&self) -> bool {
        !self.faults.learner
    }

    /// Votes and receives entries now.
    pub fn takes_part(&self) -> bool {
        self.up && !self.faults.hang
    }
}

/// The cluster at one moment.
#[derive(Debug)]
pub struct State {
    /// Cluster id.
    pub cluster_id: u64,
    /// Raft term.
    pub term: u64,
    /// The leader as the members see it; may be gone without their knowing yet.
    pub leader: Option<usize>,
    /// The members.
    pub members: Vec<MemberState>,
    /// Active alarms.
    pub alarms: BTreeSet<(u64, i32)>,
    progress: Progress,
    compacted: i64,
}

impl State {
    /// Members on `machines`, each with what is special about it; those whose machine is on run.
    pub fn new(spec: &EtcdSpec, machines: &[(Machine, MemberFaults)]) -> Self {
        let names: Vec<&str> = machines.iter().map(|(machine, _)| machine.name()).collect();
        let cluster_id = id(&format!("cluster/{}", names.join("/")));
        let member = |(machine, faults): &(Machine, MemberFaults)| MemberState {
            id: id(&format!("member/{cluster_id}/{}", machine.name())),
            node: machine.name().to_owned(),
            address: machine.address().to_owned(),
            powered: machine.is_on(),
            up: machine.is_on() && !faults.stopped && !faults.unstarted,
            faults: faults.clone(),
            db_size: (spec.size_kib * 1024).next_multiple_of(4096).max(4 * 4096),
            catch_up: None,
        };
        let mut state = Self {
            cluster_id,
            term: FIRST_TERM,
            leader: None,
            members: machines.iter().map(member).collect(),
            alarms: BTreeSet::new(),
            progress: Progress::new(FIRST_INDEX, FIRST_REVISION, spec.writes_per_second),
            compacted: FIRST_REVISION - COMPACTED_BEHIND,
        };
        for member in &state.members {
            for (is_raised, alarm) in
                [(member.faults.nospace, AlarmType::Nospace), (member.faults.corrupt, AlarmType::Corrupt)]
            {
                if is_raised {
                    state.alarms.insert((member.id, alarm.into()));
                }
            }
        }
        let wanted = state.members.iter().position(|member| member.node == spec.leader);
        if state.has_quorum() {
            state.leader = wanted.filter(|index| state.may_lead(*index)).or_else(|| state.candidate());
        }
        state.settle();
        state
    }

    /// The index of a node's member.
    pub fn position(&self, node: &str) -> Option<usize> {
        self.members.iter().position(|member| member.node == node)
    }

    /// Whether more than half of the voters take part. Members that never started count as voters.
    pub fn has_quorum(&self) -> bool {
        let voters = self.members.iter().filter(|member| member.is_voter());
        let (mut all, mut present) = (0, 0);
        for member in voters {
            all += 1;
            present += u32::from(member.takes_part());
        }
        2 * present > all
    }

    /// Whether entries are committed.
    pub fn is_serving(&self) -> bool {
        self.has_quorum() && self.leader.is_some_and(|index| self.may_lead(index))
    }

    /// The summary for others.
    pub fn health(&self) -> Health {
        Health {
            quorum: self.has_quorum(),
            serving: self.is_serving(),
            leader: self.leader.map_or(0, |index| self.members[index].id),
            term: self.term,
        }
    }

    /// A voter that takes part.
    pub fn may_lead(&self, index: usize) -> bool {
        self.members.get(index).is_some_and(|member| member.is_voter() && member.takes_part())
    }

    /// The most caught-up voter that takes part, other than the present leader.
    pub fn candidate(&self) -> Option<usize> {
        (0..self.members.len())
            .filter(|index| Some(*index) != self.leader && self.may_lead(*index))
            .min_by_key(|index| (self.members[*index].faults.lag, *index))
    }

    /// Another member leads, in a new term.
    pub fn elect(&mut self, leader: usize) {
        self.leader = Some(leader);
        self.term += 1;
        self.progress.append();
        self.settle();
    }

    /// Lets the log run or rest after a change of members or leader.
    pub fn settle(&mut self) {
        let serving = self.is_serving();
        self.progress.set_running(serving, Instant::now());
    }

    /// The process of a member starts or ends.
    pub fn set_up(&mut self, index: usize, up: bool, takes: std::time::Duration) {
        let now = Instant::now();
        let applied = self.applied(index, now);
        if let Some(member) = self.members.get_mut(index)
            && member.up != up
        {
            member.up = up;
            // `from` is where it stood when it went; while it is away it stays there.
            member.catch_up = Some(match member.catch_up {
                Some(gap) if up => CatchUp { since: now, takes, ..gap },
                _ => CatchUp { since: now, from: applied, takes },
            });
        }
        self.settle();
    }

    /// The last index that the cluster has committed.
    pub fn committed(&self, now: Instant) -> u64 {
        self.progress.index(now)
    }

    /// The last index that a member knows to be committed.
    pub fn known(&self, index: usize, now: Instant) -> u64 {
        self.applied(index, now) + self.members[index].faults.lag
    }

    /// The last index that a member has applied.
    pub fn applied(&self, index: usize, now: Instant) -> u64 {
        let member = &self.members[index];
        let committed = self.committed(now);
        let reached = match member.catch_up {
            Some(gap) if member.up => gap.applied(committed, now),
            Some(gap) => gap.from,
            None => committed,
        };
        reached.saturating_sub(member.faults.lag)
    }

    /// A member's newest revision.
    pub fn revision(&self, index: usize, now: Instant) -> i64 {
        self.progress.revision_at(self.applied(index, now))
    }

    /// The revision up to which history is gone.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// A raft entry that changes no key.
    pub fn append(&mut self) {
        self.progress.append();
    }

    /// CRC-like hash of a member's key space up to `revision`: equal on members that agree.
    pub fn hash(&self, index: usize, revision: i64) -> u32 {
        let salt = if self.members[index].faults.diverged { self.members[index].id } else { 0 };
        let hash = id(&format!("hash/{}/{revision}/{salt}", self.cluster_id));
        u32::try_from(hash >> 32).unwrap_or_default()
    }
}

/// A number that looks random and depends on `what` only; never 0.
fn id(what: &str) -> u64 {
    let digest = Sha256::digest(what);
    let bytes = digest.iter().take(8);
    bytes.fold(0_u64, |value, byte| (value << 8) | u64::from(*byte)).max(1)
}
