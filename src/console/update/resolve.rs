//! Ways out of a block: the page that lists them, and from a chosen one to its question.

use super::{actions, flash};
use crate::console::dialog::confirm::build;
use crate::console::dialog::{Ask, Dialog, Page, Subject, Ways, ask};
use crate::console::keymap::{Code, Command, Key};
use crate::console::model::{Model, Pane};
use crate::console::msg::Effect;
use crate::console::rollout;
use crate::console::rows;
use crate::domain::guard::Request;
use crate::domain::ids::{BudgetKey, NodeName};
use crate::domain::log::Level;
use crate::domain::plan::Kind;
use crate::domain::remedy::{Analysis, Remedy, has_room};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::RunView;
use std::time::Duration;

/// A diagnosis that is shown is made anew this often.
const AGAIN: Duration = Duration::from_secs(5);

/// `B`: on the selected budget; in the run pane on the budget that blocks the open run, in the rollout pane on the one that
/// blocks the selected node, else the roll.
pub(super) fn open_selected(model: &mut Model) -> Vec<Effect> {
    if model.focus == Pane::Rollout {
        let Some(budget) = rollout::blocking(model) else {
            flash(model, Level::Info, "no budget blocks this roll now");
            return Vec::new();
        };
        return open(model, budget);
    }
    if model.focus == Pane::Run {
        let Some(budget) = blocking(model).into_iter().next() else {
            flash(model, Level::Info, "no budget blocks this run now");
            return Vec::new();
        };
        return open(model, budget);
    }
    if let Some(budget) = model.lists.budgets.current(&rows::budget_keys(model)).cloned() {
        return open(model, budget);
    }
    flash(model, Level::Info, "no budget is selected");
    Vec::new()
}

/// Opens the page of a budget and has its block looked into.
pub(super) fn open(model: &mut Model, budget: BudgetKey) -> Vec<Effect> {
    model.diagnosing.remove(&budget);
    model.dialogs.push(Dialog::Ways(Ways { budget, at: 0, scroll: 0 }));
    refresh(model)
}

/// The budgets without room that cover a pod which the open run still has to move.
fn blocking(model: &Model) -> Vec<BudgetKey> {
    let nodes: Vec<&NodeName> = model.open_run().map(|run| run.nodes.iter().collect()).unwrap_or_default();
    let pods = nodes.iter().filter_map(|node| model.known.pods_on.get(*node)).flatten();
    let waiting: Vec<_> = pods
        .filter_map(|key| model.known.pods.get(key))
        .filter(|pod| pod.deleting.is_none() && !pod.is_finished() && !pod.is_daemon() && !pod.mirror)
        .collect();
    let is_in_the_way = |budget: &&crate::domain::budget::BudgetRow| {
        let covers = waiting.iter().any(|pod| budget.covers(pod));
        covers && (!has_room(budget) || rows::block_note(model, budget).is_some())
    };
    model.known.budgets.values().filter(is_in_the_way).map(|budget| budget.key.clone()).collect()
}

/// Has the block that is shown looked into again, when that is due.
pub(super) fn refresh(model: &mut Model) -> Vec<Effect> {
    let shown = model.dialogs.iter().rev().find_map(|dialog| match dialog {
        Dialog::Ways(ways) => Some(ways.budget.clone()),
        _ => None,
    });
    let Some(budget) = shown else { return Vec::new() };
    let asked = model.diagnosing.get(&budget);
    if asked.is_some_and(|asked| model.now.since(*asked) < AGAIN) {
        return Vec::new();
    }
    model.diagnosing.insert(budget.clone(), model.now);
    vec![Effect::Diagnose(budget)]
}

/// A diagnosis is there.
pub(super) fn diagnosed(
    model: &mut Model,
    budget: BudgetKey,
    found: Result<Analysis, Report>,
) -> Vec<Effect> {
    let offers = found.as_ref().map_or(0, |analysis| analysis.offers.len());
    for dialog in &mut model.dialogs {
        if let Dialog::Ways(ways) = dialog
            && ways.budget == budget
        {
            ways.at = ways.at.min(offers.saturating_sub(1));
        }
    }
    model.analyses.insert(budget, found);
    Vec::new()
}

/// A key on the page.
pub(super) fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let next = next_block(model);
    let Some(Dialog::Ways(ways)) = model.dialogs.last_mut() else { return Vec::new() };
    let budget = ways.budget.clone();
    let count = match model.analyses.get(&budget) {
        Some(Ok(analysis)) => analysis.offers.len(),
        _ => 0,
    };
    match key.code {
        Code::Esc | Code::Char('q') if !key.ctrl => {
            model.dialogs.pop();
        }
        Code::Down | Code::Char('j') => ways.at = (ways.at + 1).min(count.saturating_sub(1)),
        Code::Up | Code::Char('k') => ways.at = ways.at.saturating_sub(1),
        Code::Home | Code::Char('g') => ways.at = 0,
        Code::End | Code::Char('G') => ways.at = count.saturating_sub(1),
        Code::PageDown => ways.scroll = ways.scroll.saturating_add(5),
        Code::PageUp => ways.scroll = ways.scroll.saturating_sub(5),
        Code::Tab => {
            if let Some(other) = next {
                model.dialogs.pop();
                return open(model, other);
            }
        }
        Code::Enter if !key.repeat => {
            let at = ways.at;
            return choose_at(model, &budget, at);
        }
        Code::Char(digit @ '1'..='9') if !key.repeat && !key.ctrl => {
            let at = usize::from(u8::try_from(digit).unwrap_or(b'1') - b'1');
            if at < count {
                ways.at = at;
                return choose_at(model, &budget, at);
            }
        }
        _ => {}
    }
    Vec::new()
}

/// The next budget in the way of the open run, for a run that several block.
fn next_block(model: &Model) -> Option<BudgetKey> {
    let Some(Dialog::Ways(ways)) = model.dialog() else { return None };
    let all = blocking(model);
    let at = all.iter().position(|budget| *budget == ways.budget);
    let next = all.get(at.map_or(0, |at| (at + 1) % all.len().max(1)))?;
    (*next != ways.budget).then(|| next.clone())
}

fn choose_at(model: &mut Model, budget: &BudgetKey, at: usize) -> Vec<Effect> {
    let Some(remedy) = model.analysis(budget).and_then(|analysis| Some(analysis.offers.get(at)?.remedy))
    else {
        return Vec::new();
    };
    choose(model, budget, remedy);
    Vec::new()
}

/// A way was chosen: asks about it, or explains it where it cannot be taken.
fn choose(model: &mut Model, budget: &BudgetKey, remedy: Remedy) {
    let may_run =
        model.analysis(budget).and_then(|analysis| analysis.offer(remedy)).is_some_and(|one| one.may_run());
    if !may_run {
        let subject = Subject::Way(budget.clone(), remedy);
        model.dialogs.push(Dialog::Page(Page { subject, scroll: 0 }));
        return;
    }
    if remedy == Remedy::SkipPod && drain_of(model, budget).is_none() {
        let words = "no drain of this console waits for the pod: there is nothing to go on without it";
        let report = Report::new(FailureKind::Denied, words).hint("drain the node with --pod-selector");
        return actions::deny(model, &report);
    }
    if remedy == Remedy::SkipNode && abort_instead(model, budget) {
        return;
    }
    match request(model, budget, remedy).and_then(|request| build(model, request)) {
        Ok(confirm) => model.dialogs.push(Dialog::Confirm(Box::new(confirm))),
        Err(report) => actions::deny(model, &report),
    }
}

/// Whether a drain or a reboot of this console works on the node of the pods in question.
/// The run of this console that drains the node of the pod that is to move.
fn drain_of<'a>(model: &'a Model, budget: &BudgetKey) -> Option<&'a RunView> {
    let node = &model.analysis(budget)?.targets.first()?.node;
    let drains = |kind: Kind| matches!(kind, Kind::Drain | Kind::Reboot);
    model.live_runs().find(|run| drains(run.kind) && run.nodes.contains(node))
}

/// Leaving a node that a run of this console works on is that run's abort, with its undo plan; `true` = it was asked.
fn abort_instead(model: &mut Model, budget: &BudgetKey) -> bool {
    let Some(run) = drain_of(model, budget).cloned() else { return false };
    model.open = Some(run.op);
    let ask: Ask = ask::build(model, &run, Command::Abort);
    model.dialogs.push(Dialog::Ask(Box::new(ask)));
    true
}

/// The request for a way, as the last diagnosis has it.
pub(super) fn request(model: &Model, budget: &BudgetKey, remedy: Remedy) -> Result<Request, Report> {
    let denied = |words: String| Report::new(FailureKind::Denied, words);
    let analysis =
        model.analysis(budget).ok_or_else(|| denied(format!("{budget} was not looked into yet")))?;
    let offer = analysis.offer(remedy).ok_or_else(|| {
        denied(format!("{remedy} does not apply to {budget} any more: {}", analysis.summary))
    })?;
    if let Some(missing) = offer.missing() {
        return Err(denied(format!("{remedy} needs {}: {}", missing.what, missing.why)));
    }
    let request = Request::resolving(analysis.choose(remedy));
    // what was confirmed for the drain that waits for the pod holds for the rest of the node too
    Ok(match drain_of(model, budget) {
        Some(run) if remedy == Remedy::DisableEviction => request.with_drain(&run.drain),
        _ => request,
    })
}
