//! `pitstop check`: every gate of the whole cluster. 0 pass, 2 findings, 1 could not tell.
//!
//! A healthy cluster is one line. Otherwise there is one line per object with something wrong: kind, name, what is wrong,
//! and, divided by ` | `, its owner, for how long, and a hint; then one line, beginning with `?`, per gate that could not be
//! told. How many there are goes to standard error.
//!
//! Findings are what hinders or endangers maintenance: nodes that are not Ready, come and go, or are cordoned; locks and
//! other tools at work; budgets that forbid every disruption, are broken or overlap; control-plane parts, system-critical
//! pods, network, name service and etcd that are not in order. What does not apply to a cluster is said in the one line.

use super::{Exit, Format, json, line, notice};
use crate::domain::finding::{Finding, findings};
use crate::domain::gate::{Gate, Verdict};
use crate::domain::report::Report;
use crate::domain::text::count;
use crate::domain::time::Stamp;
use crate::engine::Backends;
use crate::engine::gate::{Details, Purpose, Scene, judge};
use serde::Serialize;

/// What `-o json` writes. Field names are stable.
#[derive(Debug, Serialize)]
struct Page<'a> {
    context: &'a str,
    /// `pass`, `findings` or `unknown`.
    verdict: &'static str,
    /// When it was read, in milliseconds since the epoch.
    at: Stamp,
    /// One per object.
    findings: &'a [Finding],
    /// Gates that could not be told.
    unknown: Vec<Unknown<'a>>,
    /// Every gate, with what it rests on.
    gates: &'a [Gate],
}

#[derive(Debug, Serialize)]
struct Unknown<'a> {
    gate: &'a str,
    asks: &'a str,
    why: &'a str,
}

/// Reads and judges.
///
/// # Errors
/// Nothing can be written, or the API does not answer.
pub async fn check(backends: &Backends, format: Format) -> Result<Exit, Report> {
    // without the API nothing at all can be told: one sentence instead of a list of unknowns
    backends.cluster.nodes().await?;
    let scene = Scene::read(backends, None, Purpose::Check).await;
    let mut gates = judge(&scene);
    Details::default().add(&backends.cluster, &mut gates).await;
    let found = findings(&gates, scene.clock);
    let exit = verdict(&gates);
    let context = backends.settings.context.as_str();
    match format {
        Format::Json => {
            let unknown = unknown(&gates).map(|gate| Unknown {
                gate: &gate.name,
                asks: &gate.asks,
                why: &gate.evidence,
            });
            let unknown = unknown.collect();
            json(&Page {
                context,
                verdict: word(exit),
                at: scene.at,
                findings: &found,
                unknown,
                gates: &gates,
            })?;
        }
        Format::Text if exit == Exit::Done => line(&healthy(context, &gates))?,
        Format::Text => {
            for finding in &found {
                line(&finding.line(scene.clock))?;
            }
            for gate in unknown(&gates) {
                line(&format!("? {}: could not tell whether {}: {}", gate.name, gate.asks, gate.evidence))?;
            }
            let open = unknown(&gates).count();
            let not_told = if open > 0 { format!("; {open} could not be told") } else { String::new() };
            notice(&format!("{}{not_told}", count(found.len(), "finding")));
        }
    }
    Ok(exit)
}

fn unknown(gates: &[Gate]) -> impl Iterator<Item = &Gate> {
    gates.iter().filter(|gate| gate.verdict == Verdict::Unknown)
}

/// `ok: lab: 13 of 15 checks pass; not applicable: workers (there is no worker)`.
fn healthy(context: &str, gates: &[Gate]) -> String {
    let left_out: Vec<String> = gates
        .iter()
        .filter(|gate| gate.verdict == Verdict::NotApplicable)
        .map(|gate| format!("{} ({})", gate.name, gate.evidence))
        .collect();
    let passed = gates.len() - left_out.len();
    if left_out.is_empty() {
        return format!("ok: {context}: {} pass", count(passed, "check"));
    }
    format!("ok: {context}: {passed} of {} checks pass; not applicable: {}", gates.len(), left_out.join(", "))
}

fn verdict(gates: &[Gate]) -> Exit {
    let any = |wanted: &Verdict| gates.iter().any(|gate| gate.verdict == *wanted);
    if any(&Verdict::Failed) {
        Exit::Findings
    } else if any(&Verdict::Unknown) {
        Exit::Error
    } else {
        Exit::Done
    }
}

fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "pass",
        Exit::Findings => "findings",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_weighs_more_than_what_is_not_known() {
        let gate = |verdict| Gate::new("x", "x", verdict, "x", Stamp(0));
        let of = |verdicts: Vec<Verdict>| verdict(&verdicts.into_iter().map(gate).collect::<Vec<_>>());
        assert_eq!(of(vec![Verdict::Passed, Verdict::NotApplicable]), Exit::Done);
        assert_eq!(of(vec![Verdict::Passed, Verdict::Unknown]), Exit::Error);
        assert_eq!(of(vec![Verdict::Unknown, Verdict::Failed]), Exit::Findings);
    }
}
