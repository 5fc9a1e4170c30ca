//! etcd members as rows, and the arithmetic of quorum.

use super::feed::Liveness;
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

/// The backend quota that etcd has when none is set (`--quota-backend-bytes`, 2 GiB).
const DEFAULT_QUOTA: u64 = 2 * 1024 * 1024 * 1024;
/// A member this many entries behind is called lagging; etcd itself slows writers down at 5,000.
pub const LAG_LIMIT: u64 = 1000;

impl MemberRow {
    /// Whether this member leads, by its own latest word and only while it is healthy enough to say so.
    pub fn is_leader(&self) -> bool {
        self.speaks() && self.status.as_ref().is_some_and(|status| status.leader == self.id)
    }

    /// Whether its status is of the last round (a silent member keeps an old one).
    pub fn speaks(&self) -> bool {
        matches!(self.health, MemberHealth::Healthy | MemberHealth::Unhealthy(_))
    }

    /// Its name, or its id in hex while it has none.
    pub fn label(&self) -> String {
        if self.name.is_empty() { format!("{:x}", self.id) } else { self.name.clone() }
    }

    /// The share of the quota that the database file takes, in percent, and whether the quota is a guess
    /// (servers before 3.6 do not tell it; the default is assumed).
    pub fn fill(&self) -> Option<(u64, bool)> {
        let status = self.status.as_ref()?;
        let quota = status.quota.unwrap_or(DEFAULT_QUOTA).max(1);
        Some((status.db_size.saturating_mul(100) / quota, status.quota.is_none()))
    }

    /// What is wrong with the member, or worth a look: each in words.
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns = match &self.health {
            MemberHealth::Healthy => Vec::new(),
            MemberHealth::Unhealthy(why) => why.clone(),
            MemberHealth::Silent(report) => vec![format!("does not answer: {}", report.line())],
            MemberHealth::Unstarted => vec!["added, but never started; it counts as a voter".to_owned()],
        };
        if self.learner {
            concerns.push("is a learner: a member is being added".to_owned());
        }
        if let Some(lag) = self.lag.filter(|lag| *lag >= LAG_LIMIT) {
            concerns.push(format!("is {lag} entries behind"));
        }
        if let Some((percent, guessed)) = self.fill().filter(|(percent, _)| *percent >= 80) {
            let of = if guessed { "the default quota of 2 GiB" } else { "its quota" };
            concerns.push(format!("database file takes {percent}% of {of}"));
        }
        if self.status.as_ref().is_some_and(|status| status.downgrading) {
            concerns.push("a downgrade is in progress".to_owned());
        }
        if let Some(version) = self.status.as_ref().and_then(|status| parse_version(&status.version))
            && ((3, 5, 0)..(3, 5, 3)).contains(&version)
        {
            concerns.push("versions 3.5.0 to 3.5.2 may corrupt data when they crash: upgrade".to_owned());
        }
        concerns
    }
}

/// The three numbers of a server version (`3.5.21`); what follows them is ignored.
pub fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.trim_start_matches('v').splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next()?;
    let digits = patch.find(|c: char| !c.is_ascii_digit()).unwrap_or(patch.len());
    Some((major, minor, patch[..digits].parse().ok()?))
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

    /// The leader that a majority of the voters names in the newest term, or `None`.
    ///
    /// A member that was cut off goes on naming itself for up to an election timeout; its term is the older one.
    pub fn leader(&self) -> Option<&MemberRow> {
        let speaking = |member: &&MemberRow| !member.learner && member.speaks();
        let words = || self.members.iter().filter(speaking).filter_map(|member| member.status.as_ref());
        let term = words().map(|status| status.term).max()?;
        let needed = self.quorum()?.needed();
        self.members.iter().filter(|member| !member.learner).find(|member| {
            words().filter(|status| status.term == term && status.leader == member.id).count() >= needed
        })
    }

    /// What is wrong, or worth a look, beyond single members: each in words.
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns: Vec<String> = self.disagreement.iter().cloned().collect();
        for member in &self.members {
            concerns.extend(member.concerns().into_iter().map(|text| format!("{}: {text}", member.label())));
        }
        if !self.is_silent() && !self.members.is_empty() && self.leader().is_none() {
            concerns.push("no leader that a majority of the voters names".to_owned());
        }
        concerns
    }

    /// Whether there are members, and none of them answered in the last round: nothing is known of the quorum then.
    pub fn is_silent(&self) -> bool {
        !self.members.is_empty() && !self.members.iter().any(MemberRow::speaks)
    }

    /// What is known of the quorum, in words. `QUORUM LOST` only by the word of a member that answers.
    pub fn words(&self) -> Option<String> {
        let quorum = self.quorum()?;
        if self.is_silent() {
            return Some("etcd: no member answers, quorum not known".to_owned());
        }
        if quorum.margin().is_none() && self.leader().is_some() {
            // the members that answer follow a leader; too few of them are well
            return Some(format!("etcd {}/{} healthy, none to spare", quorum.healthy, quorum.voters));
        }
        Some(quorum.words())
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

/// What a member says of its keyspace up to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashReading {
    /// The member's name.
    pub member: String,
    /// CRC-32C of the keys up to the revision (`HashKV`).
    pub hash: u32,
    /// From which revision on the member still has history: hashes compare only when this is equal.
    pub compacted: i64,
}

/// The keyspaces of several members, hashed at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceHash {
    /// The revision.
    pub revision: i64,
    /// What each voter says.
    pub readings: Vec<HashReading>,
}

impl KeyspaceHash {
    /// `Some(true)` when every member says the same, `Some(false)` when two that can be compared differ, `None` when
    /// the members cannot be compared now (fewer than two, or compacted at different revisions): ask again.
    pub fn agrees(&self) -> Option<bool> {
        let comparable = |a: &HashReading, b: &HashReading| a.compacted == b.compacted;
        let pairs = || {
            self.readings
                .iter()
                .enumerate()
                .flat_map(|(index, a)| self.readings.iter().skip(index + 1).map(move |b| (a, b)))
        };
        if pairs().any(|(a, b)| comparable(a, b) && a.hash != b.hash) {
            return Some(false);
        }
        (self.readings.len() > 1 && pairs().all(|(a, b)| comparable(a, b))).then_some(true)
    }
}

/// What the observation of etcd tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EtcdNews {
    /// A round of questions ended.
    View(EtcdView),
    /// How alive the source is.
    Liveness(Liveness),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, leader: u64, term: u64) -> MemberRow {
        let status = MemberStatus {
            at: Stamp(0),
            latency: Duration::ZERO,
            version: "3.5.21".into(),
            leader,
            term,
            index: 10,
            applied: 10,
            db_size: 1000,
            db_in_use: 500,
            quota: None,
            revision: 5,
            errors: Vec::new(),
            downgrading: false,
        };
        MemberRow {
            id,
            name: format!("m{id}"),
            node: None,
            learner: false,
            health: MemberHealth::Healthy,
            status: Some(status),
            lag: Some(0),
        }
    }

    fn view(members: Vec<MemberRow>) -> EtcdView {
        EtcdView { members, ..EtcdView::default() }
    }

    #[test]
    fn a_leader_needs_a_majority_in_the_newest_term() {
        let leads = |members| view(members).leader().map(|leader| leader.id);
        assert_eq!(leads(vec![member(1, 1, 4), member(2, 1, 4), member(3, 1, 4)]), Some(1));
        // cut off with an older term, it still names itself
        assert_eq!(leads(vec![member(1, 1, 4), member(2, 2, 5), member(3, 2, 5)]), Some(2));
        assert_eq!(leads(vec![member(1, 1, 4), member(2, 2, 5), member(3, 0, 5)]), None);
        let mut silent = member(1, 1, 4);
        silent.health = MemberHealth::Silent(Report::new(super::super::report::FailureKind::Timeout, "x"));
        assert_eq!(leads(vec![silent.clone(), member(2, 1, 4), member(3, 1, 4)]), Some(1));
        assert_eq!(leads(vec![silent.clone(), silent, member(3, 1, 4)]), None);
    }

    #[test]
    fn hashes_compare_only_at_one_compaction() {
        let reading = |hash, compacted| HashReading { member: "m".into(), hash, compacted };
        let agrees = |readings| KeyspaceHash { revision: 1, readings }.agrees();
        assert_eq!(agrees(vec![reading(1, 5), reading(1, 5), reading(1, 5)]), Some(true));
        assert_eq!(agrees(vec![reading(1, 5), reading(2, 5), reading(9, 6)]), Some(false));
        assert_eq!(agrees(vec![reading(1, 5), reading(2, 6)]), None);
        assert_eq!(agrees(vec![reading(1, 5)]), None);
    }

    #[test]
    fn concerns_name_the_member_and_the_figure() {
        let mut full = member(7, 7, 1);
        if let Some(status) = &mut full.status {
            status.quota = Some(1000);
            status.version = "3.5.1".into();
        }
        full.lag = Some(4000);
        let all = view(vec![full]).concerns();
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all.iter().any(|text| text == "m7: is 4000 entries behind"), "{all:?}");
        assert!(all.iter().any(|text| text == "m7: database file takes 100% of its quota"), "{all:?}");
    }

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
    fn quorum_is_lost_only_by_the_word_of_a_member() {
        let silent = |id| {
            let health = MemberHealth::Silent(Report::new(super::super::report::FailureKind::Timeout, "x"));
            MemberRow { health, ..member(id, 1, 4) }
        };
        let none = view(vec![silent(1), silent(2), silent(3)]);
        assert_eq!(none.words().as_deref(), Some("etcd: no member answers, quorum not known"));
        assert!(!none.quorum().unwrap().may_lose(true, false), "not known is not healthy");
        let one = view(vec![silent(1), silent(2), member(3, 0, 4)]);
        assert_eq!(one.words().as_deref(), Some("etcd 1/3, QUORUM LOST"));
        let alarmed =
            |id| MemberRow { health: MemberHealth::Unhealthy(vec!["alarm".into()]), ..member(id, 1, 4) };
        let led = view(vec![member(1, 1, 4), alarmed(2), alarmed(3)]);
        assert_eq!(led.words().as_deref(), Some("etcd 1/3 healthy, none to spare"));
        assert_eq!(EtcdView::default().words(), None);
    }

    #[test]
    fn words_name_the_margin() {
        assert_eq!(Quorum { voters: 3, healthy: 3 }.words(), "etcd 3/3, can lose 1");
        assert_eq!(Quorum { voters: 3, healthy: 1 }.words(), "etcd 1/3, QUORUM LOST");
    }
}
