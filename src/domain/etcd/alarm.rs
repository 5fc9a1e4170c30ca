//! Alarms as `Status.errors` lists them. (`AlarmList` itself is a proposal to the cluster, even when it only reads:
//! it needs a quorum and leaves an entry in the log.)

use std::fmt;

/// What kind of alarm. The graver one stands first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Members hold different data.
    Corrupt,
    /// A database has reached its quota.
    NoSpace,
    /// A kind that this version does not know, by its name.
    Other(String),
}

/// An alarm that is up; it stays up until it is disarmed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// What.
    pub trouble: Trouble,
    /// The member that it names; `None` = it names none, so it concerns all.
    pub member: Option<u64>,
}

impl Alarm {
    /// From a line of `Status.errors`: `memberID:123 alarm:NOSPACE`. protobuf leaves the member out when it is 0.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        let (member, kind) = match first.strip_prefix("memberID:") {
            Some(id) => (id.parse().ok().filter(|id| *id != 0), words.next()?),
            None => (None, first),
        };
        let trouble = match kind.strip_prefix("alarm:")? {
            "CORRUPT" => Trouble::Corrupt,
            "NOSPACE" => Trouble::NoSpace,
            other => Trouble::Other(other.to_owned()),
        };
        Some(Self { trouble, member })
    }

    /// Whether it concerns a member.
    pub fn names(&self, member: u64) -> bool {
        self.member.is_none_or(|id| id == member)
    }

    /// What it means and what ends it; `on` is the member's name.
    pub fn words(&self, on: &str) -> String {
        let kind = &self.trouble;
        match kind {
            Trouble::Corrupt => format!(
                "alarm {kind} on {on}: members hold different data; stop here, change nothing, and find out which of them are right"
            ),
            Trouble::NoSpace => format!(
                "alarm {kind} on {on}: a database has reached its quota, so etcd refuses every write; compact, defragment one member after the other, then etcdctl alarm disarm"
            ),
            Trouble::Other(_) => format!("alarm {kind} on {on}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "CORRUPT",
            Self::NoSpace => "NOSPACE",
            Self::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_status_are_read() {
        let of = |line| Alarm::parse(line).map(|alarm| (alarm.trouble, alarm.member));
        assert_eq!(of("memberID:17 alarm:NOSPACE "), Some((Trouble::NoSpace, Some(17))));
        assert_eq!(of("alarm:CORRUPT"), Some((Trouble::Corrupt, None)));
        assert_eq!(of("memberID:0 alarm:CORRUPT"), Some((Trouble::Corrupt, None)));
        assert_eq!(of("memberID:1 alarm:NEW"), Some((Trouble::Other("NEW".into()), Some(1))));
        assert_eq!(of("etcdserver: no leader"), None);
        assert_eq!(of(""), None);
        let all = Alarm { trouble: Trouble::Corrupt, member: None };
        assert!(all.names(5) && !Alarm { member: Some(4), ..all }.names(5));
    }
}
