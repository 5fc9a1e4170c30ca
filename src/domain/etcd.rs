//! etcd members as rows, and the arithmetic of quorum.

pub mod alarm;
mod hash;
pub mod place;
mod quorum;
pub mod scheduled;

pub use alarm::Alarm;
pub use hash::{HashReading, KeyspaceHash};
pub use quorum::Quorum;

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
    /// What it advertises to the other members.
    #[serde(default)]
    pub peer_urls: Vec<String>,
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
        if let Some((percent, guessed)) = self.fill().filter(|(percent, _)| *percent >= 80)
            && !self.outgrew_a_guess()
        {
            let of = if guessed { "the default quota of 2 GiB" } else { "its quota" };
            concerns.push(format!("database file takes {percent}% of {of}"));
        }
        if self.status.as_ref().is_some_and(|status| status.downgrading) {
            concerns.push("a downgrade is in progress".to_owned());
        }
        concerns
    }

    /// The file is larger than the quota that was assumed, and etcd raised no alarm: the quota is another one.
    fn outgrew_a_guess(&self) -> bool {
        let errors = self.status.iter().flat_map(|status| &status.errors);
        let is_full = |error: &String| {
            Alarm::parse(error).is_some_and(|found| found.trouble == alarm::Trouble::NoSpace)
        };
        self.fill().is_some_and(|(percent, guessed)| guessed && percent > 100)
            && self.speaks()
            && !errors.into_iter().any(is_full)
    }

    /// What is no reason to stop, and should be known before the next upgrade: each in words.
    pub fn advice(&self) -> Vec<String> {
        let mut advice = self.advice_of_version();
        if self.outgrew_a_guess() {
            advice.push(
                "the quota is not known: the database file is larger than the default of 2 GiB".to_owned(),
            );
        }
        advice
    }

    fn advice_of_version(&self) -> Vec<String> {
        let version = self.status.as_ref().and_then(|status| parse_version(&status.version));
        let words = match version {
            Some((3, 5, 0..=2)) => "versions 3.5.0 to 3.5.2 may corrupt data when they crash: upgrade",
            // https://etcd.io/docs/v3.6/upgrades/upgrade_3_6: learners whose promotion was not kept
            Some((3, 5, 3..=19)) => "upgrade to 3.5.20 or newer before 3.6",
            _ => return Vec::new(),
        };
        vec![words.to_owned()]
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
    /// Why this is not the whole, in words: members may be missing here, and no quorum follows from it.
    #[serde(default)]
    pub unseen: Option<String>,
    /// What was wrong with the ways that were tried before those that are used, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// Its name where there is more than one; empty when it is the only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Further clusters that hold a part of the API's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<EtcdView>,
}

impl EtcdView {
    /// This cluster, and those beside it.
    pub fn clusters(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// The members of all clusters.
    pub fn all_members(&self) -> impl Iterator<Item = &MemberRow> {
        self.clusters().flat_map(|cluster| &cluster.members)
    }

    /// Whether a member of any cluster is on a node.
    pub fn is_host(&self, node: &NodeName) -> bool {
        self.clusters().any(|cluster| cluster.on_node(node).is_some())
    }

    /// `etcd`, `etcd events`.
    pub fn label(&self) -> String {
        format!("etcd {}", self.name).trim_end().to_owned()
    }

    /// The member of this cluster on a node.
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

    /// Whether a member leads: by the majority's word, and by its own where not all members are known.
    pub fn is_led_by(&self, member: &MemberRow) -> bool {
        let by_itself = self.unseen.is_some() && member.is_leader();
        by_itself || self.leader().is_some_and(|leader| leader.id == member.id)
    }

    /// What is wrong, or worth a look, beyond single members: each in words.
    pub fn concerns(&self) -> Vec<String> {
        let mut concerns: Vec<String> = self.disagreement.iter().cloned().collect();
        concerns.extend(self.alarms().iter().map(|alarm| alarm.words(&self.name_of(alarm.member))));
        for member in &self.members {
            concerns.extend(member.concerns().into_iter().map(|text| format!("{}: {text}", member.label())));
        }
        concerns.extend(self.unseen.iter().cloned());
        match self.leader() {
            Some(leader) => {
                let strays = self.strays(leader).into_iter();
                concerns.extend(strays.map(|(member, text)| format!("{}: {text}", member.label())));
            }
            None if self.unseen.is_none() && !self.is_silent() && !self.members.is_empty() => {
                concerns.push("no leader that a majority of the voters names".to_owned());
            }
            None => {}
        }
        concerns
    }

    /// Voters that answer, and follow another leader or count another term than the majority: each with words.
    pub fn strays(&self, leader: &MemberRow) -> Vec<(&MemberRow, String)> {
        let said = |member: &MemberRow| member.status.as_ref().map(|status| (status.leader, status.term));
        let term = said(leader).map(|(_, term)| term);
        let voters = self.members.iter().filter(|member| !member.learner && member.speaks());
        voters
            .filter_map(|member| {
                let (follows, counts) = said(member).filter(|(follows, _)| *follows != 0)?;
                let is_stray = follows != leader.id || (leader.speaks() && Some(counts) != term);
                is_stray.then(|| {
                    let whom = self.name_of(Some(follows));
                    (member, format!("follows {whom} in term {counts}, unlike the majority"))
                })
            })
            .collect()
    }

    /// The alarms that are up, by the word of every member that answers; each once.
    pub fn alarms(&self) -> Vec<Alarm> {
        let speaking = self.members.iter().filter(|member| member.speaks());
        let errors = speaking.filter_map(|member| member.status.as_ref()).flat_map(|status| &status.errors);
        let mut alarms: Vec<Alarm> = errors.filter_map(|error| Alarm::parse(error)).collect();
        alarms.sort();
        alarms.dedup();
        alarms
    }

    /// A member by its id: its name, its id when it has none or is not listed, or words for none.
    pub fn name_of(&self, id: Option<u64>) -> String {
        let Some(id) = id else { return "a member that it does not name".to_owned() };
        let row = self.members.iter().find(|member| member.id == id);
        row.map_or_else(|| format!("{id:x}"), MemberRow::label)
    }

    /// Whether there are members, and none of them answered in the last round: nothing is known of the quorum then.
    pub fn is_silent(&self) -> bool {
        !self.members.is_empty() && !self.members.iter().any(MemberRow::speaks)
    }

    /// What is known of the quorum, in words. `QUORUM LOST` only by the word of a member that answers.
    pub fn words(&self) -> Option<String> {
        let words: Vec<String> = self.clusters().filter_map(Self::own_words).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    fn own_words(&self) -> Option<String> {
        let words = self.quorum_words()?;
        let rest = words.strip_prefix("etcd").unwrap_or(&words);
        Some(format!("{}{rest}", self.label()))
    }

    fn quorum_words(&self) -> Option<String> {
        if self.unseen.is_some() {
            let answer = self.members.iter().filter(|member| member.speaks()).count();
            return Some(match answer {
                0 => "etcd: quorum not known".to_owned(),
                _ => format!("etcd: {answer} answer, quorum not known"),
            });
        }
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

    /// Counts voters and healthy voters; `None` while no membership is known, or not all of it.
    pub fn quorum(&self) -> Option<Quorum> {
        if self.members.is_empty() || self.unseen.is_some() {
            return None;
        }
        let voters = self.members.iter().filter(|member| !member.learner);
        Some(Quorum {
            voters: voters.clone().count(),
            healthy: voters.filter(|member| member.health.is_healthy()).count(),
        })
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
#[path = "etcd/tests.rs"]
mod tests;
