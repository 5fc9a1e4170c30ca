//! Gates that the engineer accepted, with a reason, for the run that is under way.
//!
//! An acceptance is for one gate on one side of the reboot: what was accepted before it says nothing about the return.

use crate::domain::gate::{Gate, Unacceptable, Verdict, unacceptable};
use crate::domain::plan::StepKind;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Clone, PartialEq, Eq)]
struct One {
    gate: String,
    is_after_reboot: bool,
    reason: String,
}

/// What was accepted so far.
#[derive(Debug, Default)]
pub struct Accepted {
    list: Mutex<Vec<One>>,
}

impl Accepted {
    /// Accepts a gate that a step of this kind reads.
    ///
    /// # Errors
    /// It is one that cannot be accepted.
    pub fn add(&self, gate: &str, kind: StepKind, reason: &str) -> Result<(), Unacceptable> {
        let is_after_reboot = kind.is_after_reboot();
        if let Some(why) = unacceptable(gate, is_after_reboot) {
            return Err(why);
        }
        let one = One { gate: gate.to_owned(), is_after_reboot, reason: reason.to_owned() };
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|known| known.gate != one.gate || known.is_after_reboot != is_after_reboot);
        list.push(one);
        Ok(())
    }

    /// The reading as it counts in this run.
    #[must_use]
    pub fn weigh(&self, mut gate: Gate, kind: StepKind) -> Gate {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let one =
            list.iter().find(|one| one.gate == gate.name && one.is_after_reboot == kind.is_after_reboot());
        if let (Some(one), false) = (one, gate.verdict.is_open()) {
            gate.verdict = Verdict::Accepted(one.reason.clone());
        }
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Stamp;
    use crate::engine::gate::names;

    fn read(name: &str, verdict: Verdict) -> Gate {
        Gate::new(name, "x", verdict, "x", Stamp(0))
    }

    #[test]
    fn an_accepted_gate_is_open_on_its_side_of_the_reboot_only() {
        let accepted = Accepted::default();
        accepted.add(names::API, StepKind::Preflight, "known firewall").expect("acceptable");
        let weighed = accepted.weigh(read(names::API, Verdict::Failed), StepKind::Recheck);
        assert_eq!(weighed.verdict, Verdict::Accepted("known firewall".into()));
        let passed = accepted.weigh(read(names::API, Verdict::Passed), StepKind::Recheck);
        assert_eq!(passed.verdict, Verdict::Passed, "what passes needs nobody's word");
        let after = accepted.weigh(read(names::API, Verdict::Unknown), StepKind::Verify);
        assert_eq!(after.verdict, Verdict::Unknown);
        let other = accepted.weigh(read(names::LOCKS, Verdict::Failed), StepKind::Recheck);
        assert_eq!(other.verdict, Verdict::Failed);
    }

    #[test]
    fn what_makes_a_reboot_unsafe_is_never_accepted() {
        let accepted = Accepted::default();
        let never = [
            names::ETCD_QUORUM,
            names::ETCD_HEALTHY,
            names::ETCD_READ,
            names::ETCD_MEMBER,
            names::ETCD_HASH,
            names::HOST_IDENTITY,
            names::HOST_READY,
            names::BOOT,
            names::LOCKS,
        ];
        for name in never {
            for kind in [StepKind::Preflight, StepKind::Recheck, StepKind::Reboot, StepKind::Verify] {
                assert!(accepted.add(name, kind, "because").is_err(), "{name} at {kind:?}");
            }
        }
        for name in [names::CONTROL_PLANES, names::STATIC_PODS] {
            assert_eq!(accepted.add(name, StepKind::Recheck, "x"), Err(Unacceptable::ControlPlane));
        }
        assert_eq!(accepted.add(names::TARGET, StepKind::Verify, "x"), Err(Unacceptable::Node));
        assert_eq!(accepted.add("a-new-one", StepKind::Preflight, "x"), Err(Unacceptable::Unlisted));
    }

    #[test]
    fn every_gate_of_a_plan_is_listed() {
        let all = names::COMMON.iter().chain(&names::ETCD).chain(&names::RETURN).chain(&names::ETCD_RETURN);
        for name in all {
            let unlisted = Some(Unacceptable::Unlisted);
            assert!(unacceptable(name, false) != unlisted || unacceptable(name, true) != unlisted, "{name}");
        }
    }
}
