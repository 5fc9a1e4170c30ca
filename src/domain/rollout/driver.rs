//! Who drives a roll, by the marks and objects that it leaves.

use super::timeline::{Event, Happening};
use super::{Rollout, Snapshot};
use crate::domain::time::Stamp;
use std::collections::BTreeSet;

impl Rollout {
    /// Names whoever is at work: a holder of our lock, a tool's marks or objects, else who cordons.
    pub(super) fn drivers(&mut self, now: Stamp, seen: &Snapshot<'_>, news: &mut Vec<Happening>) {
        let lease = seen.lock.filter(|lease| !lease.is_expired(now) && lease.tombstone.is_none());
        let is_ours = |run: &str| run.starts_with("roll-");
        let run = lease.and_then(|lease| lease.run.as_ref()).filter(|run| is_ours(run.as_str()));
        // a lease that cannot be read is not one that nobody renews
        self.is_led = run.is_some() || (self.is_led && !self.is_live);
        let rolls = |tool: &str| matches!(tool, "kured" | "system-upgrade-controller" | "Cluster API");
        self.has_actor = self.is_led || seen.actors.iter().any(|actor| rolls(&actor.tool));
        let mut names: BTreeSet<String> = BTreeSet::new();
        if let (Some(lease), Some(_)) = (lease, run) {
            names.insert(format!("pitstop ({})", lease.holder));
        }
        names.extend(seen.actors.iter().map(|actor| actor.tool.clone()));
        let tracks = || self.tracks.values();
        let tools = tracks().filter_map(|track| track.marks.tool());
        names.extend(tools.filter(|tool| *tool != "pitstop" || run.is_none()).map(str::to_owned));
        if names.is_empty() {
            let at_work = tracks().filter(|track| track.phase.is_in_turn());
            names.extend(at_work.filter_map(|track| track.holder.clone()));
        }
        if names.is_empty() {
            return;
        }
        let name = names.into_iter().collect::<Vec<_>>().join(", ");
        // a tool that is known already stays: who cordons may be its client library
        let is_better = self.driver.as_ref().is_none_or(|known| *known != name) && !self.is_known(&name);
        if is_better {
            news.push(Happening {
                at: now,
                event: Event::Driver,
                node: None,
                text: format!("driven by {name}"),
            });
            self.driver = Some(name);
        }
    }

    fn is_known(&self, name: &str) -> bool {
        self.driver.as_ref().is_some_and(|known| known.split(", ").any(|one| one == name))
    }
}
