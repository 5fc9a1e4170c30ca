//! `pitstop check`: every gate of the whole cluster, one line per gate. 0 pass, 2 findings, 1 could not tell.

use super::{Exit, Format, json, line, text};
use crate::domain::gate::{Gate, Verdict};
use crate::domain::report::Report;
use crate::domain::text::count;
use crate::engine::Backends;
use crate::engine::gate::{Purpose, Scene, judge};
use serde::Serialize;

/// What `-o json` writes.
#[derive(Debug, Serialize)]
struct Page<'a> {
    context: &'a str,
    /// `pass`, `findings` or `unknown`.
    verdict: &'static str,
    gates: &'a [Gate],
}

/// Reads and judges.
///
/// # Errors
/// Nothing can be written.
pub async fn check(backends: &Backends, format: Format) -> Result<Exit, Report> {
    // without the API nothing at all can be told: one sentence instead of a list of unknowns
    backends.cluster.nodes().await?;
    let scene = Scene::read(backends, None, Purpose::Check).await;
    let gates = judge(&scene);
    let exit = verdict(&gates);
    match format {
        Format::Json => {
            json(&Page { context: &backends.settings.context, verdict: word(exit), gates: &gates })?;
        }
        Format::Text => {
            for gate in &gates {
                line(&text::gate(gate))?;
            }
            let closed = gates.iter().filter(|gate| !gate.verdict.is_open()).count();
            line(&match closed {
                0 => format!("{} passed", count(gates.len(), "gate")),
                _ => format!("{closed} of {} not passed", count(gates.len(), "gate")),
            })?;
        }
    }
    Ok(exit)
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
    use crate::domain::time::Stamp;

    #[test]
    fn a_finding_weighs_more_than_what_is_not_known() {
        let gate = |verdict| Gate::new("x", "x", verdict, "x", Stamp(0));
        let of = |verdicts: Vec<Verdict>| verdict(&verdicts.into_iter().map(gate).collect::<Vec<_>>());
        assert_eq!(of(vec![Verdict::Passed, Verdict::NotApplicable]), Exit::Done);
        assert_eq!(of(vec![Verdict::Passed, Verdict::Unknown]), Exit::Error);
        assert_eq!(of(vec![Verdict::Unknown, Verdict::Failed]), Exit::Findings);
    }
}
