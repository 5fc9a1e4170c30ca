//! What an earlier process did in a turn, and how its run ended.

use super::board::{Aim, Board};
use crate::domain::ids::NodeName;
use crate::domain::plan::StepKind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::roll::TurnView;
use crate::domain::run::{Outcome, RunState, RunView, StepState, StepView};
use crate::domain::undo::LEFT_OUT;
use crate::engine::driver::{Driver, Run, put_back_within, resume_within};
use crate::engine::journal::{self, Record};

/// How the turn of a node can begin.
pub(super) enum Beginning {
    /// With a run of its own.
    Anew,
    /// With the run that an earlier process began.
    GoOn(Box<Run>),
    /// An earlier process was putting it back: that comes to its end, and then its turn is over, or it comes again.
    PutBack(Box<Run>, Aim),
    /// An earlier process came to its end.
    Over(Outcome),
}

/// How an earlier process left a turn that it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HowLeft {
    /// Nothing irrevocable was begun: it waits for its turn like any other.
    Queued,
    /// Its node may have been asked to reboot: it is brought to its end.
    Asked,
    /// It is over, was being put back, or cannot be read: nothing has to be waited for.
    AtOnce,
}

fn is_undone(view: &RunView) -> bool {
    view.steps.iter().any(|step| step.is_undo)
}

impl Driver {
    /// The run of an earlier process in this turn; `None` = there was none, or it did nothing.
    pub(super) fn earlier(&self, step: usize) -> Result<Option<Record>, Report> {
        let run = self.shared.voice.look(|view| view.roll.as_ref()?.turn(step)?.run.clone()).flatten();
        let state_dir = &self.shared.backends.settings.state_dir;
        run.map_or(Ok(None), |run| journal::turn(&journal::directory(state_dir), &run))
    }

    /// How an earlier process left it.
    pub(super) fn how_left(&self, turn: &TurnView) -> HowLeft {
        let record = match self.earlier(turn.step) {
            Err(_) => return HowLeft::AtOnce,
            Ok(None) => return HowLeft::Queued,
            Ok(Some(record)) => record,
        };
        let is_asked = record.has_asked();
        match record.state() {
            RunState::Done => HowLeft::AtOnce,
            RunState::Aborted if is_asked || turn.left_out => HowLeft::AtOnce,
            RunState::Aborted => HowLeft::Queued,
            _ if record.view.as_ref().is_some_and(is_undone) => HowLeft::AtOnce,
            _ if is_asked => HowLeft::Asked,
            _ => HowLeft::Queued,
        }
    }

    /// How it begins now.
    ///
    /// # Errors
    /// The journal of the earlier run cannot be read or continued, or that run was aborted behind its reboot.
    pub(super) fn beginning(&self, board: &Board, step: usize, node: &NodeName) -> Result<Beginning, Report> {
        let Some(record) = self.earlier(step)? else { return Ok(Beginning::Anew) };
        let Some(view) = &record.view else { return Ok(Beginning::Anew) };
        let is_left_out =
            self.shared.voice.look(|view| view.roll.as_ref()?.turn(step).map(|turn| turn.left_out));
        let is_left_out = is_left_out.flatten().unwrap_or_default();
        let run = &record.header.run;
        match record.state() {
            RunState::Done => return Ok(Beginning::Over(judged(view, format!("done by run {run}")))),
            RunState::Aborted if is_left_out => {
                return Ok(Beginning::Over(Outcome::Skipped(LEFT_OUT.to_owned())));
            }
            RunState::Aborted if record.has_asked() => {
                let words = format!("run {run} was aborted after {node} was asked to reboot");
                return Err(Report::new(FailureKind::Denied, words)
                    .hint(format!("look at {node}; it is not serviced a second time in this roll")));
            }
            RunState::Aborted => return Ok(Beginning::Anew),
            _ => {}
        }
        let backends = self.shared.backends.clone();
        let (permit, op) = (self.shared.turn_permit(node)?, self.shared.voice.op());
        if !is_undone(view) {
            let run = resume_within(backends, &record, permit, op, self.kin(board))?;
            return Ok(Beginning::GoOn(Box::new(run)));
        }
        let aim = match (is_left_out, record.has_asked()) {
            (true, _) => Aim::LeaveOut,
            (false, true) => Aim::Carry,
            (false, false) => Aim::Postpone("it was being put back".to_owned()),
        };
        let run = put_back_within(backends, &record, permit, op, self.kin(board))?;
        Ok(Beginning::PutBack(Box::new(run), aim))
    }
}

fn warned(step: &StepView) -> Option<String> {
    match &step.state {
        StepState::Ended(Outcome::Warned(words), _) => Some(format!("{}: {words}", step.step.kind.name())),
        _ => None,
    }
}

/// Its last look, which nothing follows that would wait for a word.
fn is_last_look(step: &StepView) -> bool {
    matches!(step.step.kind, StepKind::Settle | StepKind::Components)
}

/// Why the last look at a node was not green; `None` = it was.
pub(super) fn unsettled(view: &RunView) -> Option<String> {
    view.steps.iter().filter(|step| is_last_look(step)).find_map(warned)
}

/// How the turn of a run ended that came to its end: with a warning when something behind its reboot was not green.
pub(super) fn judged(view: &RunView, words: String) -> Outcome {
    let is_service =
        |step: &StepView| matches!(step.step.kind, StepKind::Reboot | StepKind::Command) && !step.is_undo;
    let behind = view.steps.iter().skip_while(|step| !is_service(step));
    let mut flaws: Vec<String> = behind.filter_map(warned).collect();
    if flaws.is_empty() {
        flaws.extend(unsettled(view));
    }
    if flaws.is_empty() {
        Outcome::Done(words)
    } else {
        Outcome::Warned(format!("{words}; not green: {}", flaws.join("; ")))
    }
}
