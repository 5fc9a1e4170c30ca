//! The steps of a resolution.

use crate::domain::config::DrainOptions;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Step, StepKind};
use crate::domain::remedy::{Remedy, Resolution};
use std::time::Duration;

/// Waiting ends after this time.
const WAIT: Duration = Duration::from_mins(10);
/// A remedy gives up by itself after thirteen minutes; what it then puts back gets the rest.
const REMEDY: Duration = Duration::from_mins(15);

/// All steps of a remedy.
pub(super) fn steps(chosen: &Resolution, options: &DrainOptions) -> Vec<Step> {
    let budget = &chosen.budget;
    let node = chosen.targets.first().map(|target| target.node.clone());
    let diagnose = step(
        StepKind::Diagnose,
        node.as_ref(),
        format!("tell why {budget} blocks, and whether what {} needs is there", chosen.remedy),
        format!("pitstop plan resolve {budget}"),
        Duration::from_mins(2),
    );
    let timeout = if chosen.remedy == Remedy::Wait { WAIT } else { REMEDY };
    let what = format!("{} ({budget})", chosen.remedy.title());
    let command = format!("pitstop run resolve {budget} --remedy {}", chosen.remedy);
    let mut remedy = step(StepKind::Remedy, node.as_ref(), what, command, timeout);
    remedy.undo =
        chosen.remedy.borrows().then(|| "what it changes for a while is put back by itself".to_owned());
    let mut steps = vec![diagnose];
    match chosen.remedy {
        Remedy::SkipNode => steps.push(uncordon(node.as_ref())),
        Remedy::DisableEviction => steps.push(drain(node.as_ref(), options)),
        Remedy::Wait | Remedy::SkipPod => steps.push(remedy),
        _ => {
            let mut after = step(
                StepKind::Aftermath,
                node.as_ref(),
                format!("wait until the pods of {budget} are Ready again"),
                format!("kubectl -n {} get pdb {} -w", budget.namespace, budget.name),
                WAIT,
            );
            after.may_skip = true;
            steps.extend([remedy, after]);
        }
    }
    steps
}

fn step(kind: StepKind, node: Option<&NodeName>, what: String, command: String, timeout: Duration) -> Step {
    Step {
        kind,
        node: node.cloned(),
        what,
        command,
        gates: Vec::new(),
        timeout,
        may_skip: false,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}

fn uncordon(node: Option<&NodeName>) -> Step {
    let name = node.map_or("NODE", |node| node.as_str());
    step(
        StepKind::Uncordon,
        node,
        format!("make {name} schedulable again"),
        format!("kubectl uncordon {name}"),
        Duration::from_mins(2),
    )
}

fn drain(node: Option<&NodeName>, options: &DrainOptions) -> Step {
    let name = node.map_or("NODE", |node| node.as_str());
    step(
        StepKind::Drain,
        node,
        format!("delete what is left on {name}, past every budget, and wait until it is gone"),
        format!("kubectl drain {name}{}", options.flags()),
        Duration::from_mins(30),
    )
}
