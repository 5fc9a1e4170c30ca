//! What was foretold of a run's drains, held against what came of them.

use super::Stage;
use pitstop::domain::forecast::Verdict;
use pitstop::domain::guard::Request;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{Outcome, RunView, StepState};
use pitstop::engine::foretell::{Foretold, foretell};

/// The forecast for a request that drains; reading it changes nothing.
pub async fn before(stage: &Stage, request: &Request) -> Option<Foretold> {
    if !matches!(request.kind, Kind::Drain | Kind::Reboot) {
        return None;
    }
    let written = writes(stage);
    let told = foretell(&stage.backends.cluster, &request.nodes, &request.drain).await;
    assert_eq!(writes(stage), written, "a forecast wrote something");
    told.ok()
}

/// Requests so far that were no reads.
fn writes(stage: &Stage) -> usize {
    let is_read = |verb: &str| matches!(verb.to_ascii_lowercase().as_str(), "get" | "list" | "watch");
    stage.sim.store().history().iter().filter(|line| !is_read(&line.verb)).count()
}

/// Compares. In a run that somebody disturbed only a good end says something about the forecast.
pub fn after(name: &str, told: Option<&Foretold>, view: &RunView, was_disturbed: bool) {
    let Some(told) = told else { return };
    let verdict = told.verdict();
    let drains: Vec<&StepState> = view
        .steps
        .iter()
        .filter(|step| step.step.kind == StepKind::Drain && !step.is_undo)
        .map(|step| &step.state)
        .collect();
    let is_done = |state: &&StepState| {
        matches!(state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _))
    };
    let failed = drains.iter().find_map(|state| match state {
        StepState::Ended(Outcome::Failed(report), _) => Some(report.line()),
        _ => None,
    });
    if drains.iter().all(is_done) {
        assert!(!verdict.is_blocked(), "{name}: drained, but foretold: {}", verdict.words());
        return;
    }
    if was_disturbed {
        return;
    }
    let refused = view.steps.iter().any(|step| {
        step.step.kind == StepKind::Predict && matches!(step.state, StepState::Ended(Outcome::Failed(_), _))
    });
    if refused {
        let is_refusal = matches!(&verdict, Verdict::Blocked { by } if by.iter().any(|block| block.refused));
        assert!(is_refusal, "{name}: refused, but foretold: {}", verdict.words());
    } else if let Some(words) = failed {
        // what a webhook or a missing right refuses is not to be read from the cluster's objects
        let is_foreseeable = words.contains("did not end within") && !words.contains("webhook");
        if !is_foreseeable {
            return;
        }
        let Verdict::Blocked { by } = &verdict else {
            assert!(
                matches!(verdict, Verdict::Unclear { .. }),
                "{name}: blocked, but foretold: {}",
                verdict.words()
            );
            return;
        };
        for budget in by.iter().filter_map(|block| block.budget.as_ref()) {
            assert!(words.contains(&budget.name), "{name}: {budget} is not in {words:?}");
        }
    }
}
