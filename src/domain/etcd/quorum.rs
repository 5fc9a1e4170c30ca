//! The arithmetic of quorum.

use serde::{Deserialize, Serialize};

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
