//! A run to its end, when nobody decides about a failure, and how each step ended in words.

use pitstop::domain::plan::StepKind;
use pitstop::domain::run::{Outcome, RunView, StepState};
use pitstop::engine::Run;
use std::time::Duration;

/// Until it is over.
pub async fn to_its_end(run: Run) -> RunView {
    let Run { commands, mut events, .. } = run;
    drop(commands);
    let mut view: Option<RunView> = None;
    let limit = Duration::from_mins(2);
    while let Some(event) = tokio::time::timeout(limit, events.recv()).await.expect("the run hangs") {
        match &mut view {
            Some(view) => view.apply(&event),
            None => view = RunView::begin(&event),
        }
    }
    view.expect("a run")
}

/// How a step ended: `done: words`, `failed: words`.
pub fn ended(view: &RunView, kind: StepKind) -> String {
    let step = view.steps.iter().find(|step| step.step.kind == kind).expect("a step");
    match &step.state {
        StepState::Ended(Outcome::Done(words), _) => format!("done: {words}"),
        StepState::Ended(Outcome::Failed(report), _) => format!("failed: {report}"),
        other => format!("{other:?}"),
    }
}

/// Every step with how it ended.
pub fn all(view: &RunView) -> String {
    let lines =
        view.steps.iter().map(|step| format!("{:?} {}\n", step.step.kind, ended(view, step.step.kind)));
    lines.collect()
}
