//! The runs of a roll's nodes, read beside the roll's own journal.

use super::{Record, read, trouble};
use crate::domain::ids::RunId;
use crate::domain::plan::Kind;
use crate::domain::report::Report;
use crate::domain::run::RunState;
use std::path::Path;

/// The journal of the run of a roll's node; `None` = there is none, or its process ended before the first line was whole, when
/// nothing had been done yet.
///
/// # Errors
/// It is there, and cannot be read.
pub fn turn(directory: &Path, run: &RunId) -> Result<Option<Record>, Report> {
    let path = directory.join(format!("{run}.jsonl"));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(&path, "read", &error)),
    };
    if !text.contains(&b'\n') {
        return Ok(None);
    }
    read(&path).map(Some)
}

/// Puts what the runs of the nodes came to into the roll's view, where they are not over as they should be.
pub(super) fn attach(path: &Path, record: &mut Record) {
    if record.header.kind != Kind::Roll {
        return;
    }
    let Some(roll) = record.view.as_mut().and_then(|view| view.roll.as_mut()) else { return };
    let Some(directory) = path.parent() else { return };
    for turn in &mut roll.turns {
        let Some(run) = &turn.run else { continue };
        let child = match self::turn(directory, run) {
            Ok(Some(child)) => child,
            Ok(None) => continue,
            Err(_) => {
                // nothing tells that it was not
                record.has_turns_asked = true;
                continue;
            }
        };
        let is_settled = matches!(child.state(), RunState::Done | RunState::Aborted);
        let has_asked = child.has_asked();
        let Some(mut view) = child.view else { continue };
        if !is_settled {
            record.has_turns_asked |= has_asked;
            if view.ended.is_none() && !child.is_alive {
                view.state = RunState::Interrupted;
            }
        }
        turn.child = (!is_settled || !view.left.is_empty()).then(|| Box::new(view));
    }
}

/// The journals of a roll's nodes, in the order of their turns; the ones that cannot be read are left out.
pub fn turns(record: &Record) -> Vec<Record> {
    let Some(directory) = record.path.parent() else { return Vec::new() };
    let turns = record.view.iter().filter_map(|view| view.roll.as_ref()).flat_map(|roll| &roll.turns);
    let runs = turns.filter_map(|turn| turn.run.as_ref());
    runs.filter_map(|run| read(&directory.join(format!("{run}.jsonl"))).ok()).collect()
}
