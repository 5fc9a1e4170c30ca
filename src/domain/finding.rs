//! From gates to findings: one per object, whatever number of gates it closes.

use super::gate::{Gate, Offender, Verdict};
use super::time::{Stamp, brief};
use serde::Serialize;
use std::collections::BTreeMap;

/// An object with something wrong, over all gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Names of the gates that it closes.
    pub gates: Vec<String>,
    /// The object, and what is wrong with it.
    #[serde(flatten)]
    pub offender: Offender,
    /// For how long, in milliseconds, where that is known.
    pub age_ms: Option<u64>,
    /// What else is off because of it, in words: what runs on a node that is away.
    pub consequences: Vec<String>,
}

impl Finding {
    /// The one line that `pitstop check` prints.
    pub fn line(&self, now: Stamp) -> String {
        if self.consequences.is_empty() {
            return self.offender.line(now);
        }
        let what = format!("{}; with it: {}", self.offender.what, self.consequences.join(", "));
        Offender { what, ..self.offender.clone() }.line(now)
    }
}

/// One finding per object. What is on a node that is away is that node's consequence, not a finding of its own.
pub fn findings(gates: &[Gate], now: Stamp) -> Vec<Finding> {
    let failed = || gates.iter().filter(|gate| gate.verdict == Verdict::Failed);
    let all = || failed().flat_map(|gate| gate.offenders.iter().map(move |offender| (gate, offender)));
    let is_away = |node: &str| {
        all().any(|(gate, known)| {
            matches!(gate.name.as_str(), "control-planes" | "workers" | "node")
                && known.kind == "Node"
                && known.name == node
        })
    };
    let mut list: Vec<Finding> = Vec::new();
    let mut folded: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (gate, offender) in all() {
        if let Some(node) = offender.node.as_ref().filter(|node| is_away(node.as_str())) {
            let words = format!("{} {}", offender.kind, offender.title());
            let known = folded.entry(node.0.clone()).or_default();
            if !known.contains(&words) {
                known.push(words);
            }
            continue;
        }
        let is_same = |known: &&mut Finding| {
            known.offender.kind == offender.kind
                && known.offender.namespace == offender.namespace
                && known.offender.name == offender.name
        };
        match list.iter_mut().find(is_same) {
            Some(known) => known.join(&gate.name, offender, now),
            None => list.push(Finding {
                gates: vec![gate.name.clone()],
                offender: offender.clone(),
                age_ms: offender.since.map(|since| millis(now, since)),
                consequences: Vec::new(),
            }),
        }
    }
    for finding in list.iter_mut().filter(|finding| finding.offender.kind == "Node") {
        finding.consequences = folded.remove(&finding.offender.name).unwrap_or_default();
    }
    list
}

fn millis(now: Stamp, since: Stamp) -> u64 {
    u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX)
}

impl Finding {
    /// Another gate complains about the same object.
    fn join(&mut self, gate: &str, offender: &Offender, now: Stamp) {
        if !self.gates.iter().any(|known| known == gate) {
            self.gates.push(gate.to_owned());
        }
        if self.offender.what.contains(&offender.what) {
            return;
        }
        let mut what = offender.what.clone();
        if offender.owner != self.offender.owner
            && let Some(owner) = &offender.owner
        {
            what.push_str(&format!(" by {owner}"));
        }
        if let Some(since) = offender.since.filter(|_| offender.since != self.offender.since) {
            what.push_str(&format!(" for {}", brief(now.since(since))));
        }
        self.offender.what.push_str("; ");
        self.offender.what.push_str(&what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(name: &str, offenders: Vec<Offender>) -> Gate {
        Gate::failed(name, "x", offenders, Stamp(0))
    }

    #[test]
    fn an_object_is_one_line_and_what_is_on_a_dead_node_follows_from_it() {
        let now = Stamp(600_000);
        let gates = [
            gate("workers", vec![Offender::new("Node", "w", "is not Ready").since(Some(Stamp(0)))]),
            gate(
                "cordons",
                vec![Offender::new("Node", "w", "is cordoned").of("ann@desk").since(Some(Stamp(300_000)))],
            ),
            gate(
                "critical-pods",
                vec![
                    Offender::new("Pod", "proxy-w", "is not Ready")
                        .within("kube-system")
                        .on(Some(&"w".into())),
                    Offender::new("Pod", "proxy-v", "is not Ready")
                        .within("kube-system")
                        .on(Some(&"v".into())),
                ],
            ),
            Gate::new("dns", "x", Verdict::Passed, "fine", now),
        ];
        let lines: Vec<String> = findings(&gates, now).iter().map(|finding| finding.line(now)).collect();
        assert_eq!(
            lines,
            [
                "Node w is not Ready; is cordoned by ann@desk for 5m; with it: Pod kube-system/proxy-w | for 10m",
                "Pod kube-system/proxy-v is not Ready",
            ]
        );
    }
}
