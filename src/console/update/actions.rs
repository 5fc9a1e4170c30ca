//! Cordon, uncordon, drain, reboot, snapshot: from the command to the question, and from the answer to the run.

use super::flash;
use crate::console::dialog::confirm::{build, differences, foreign_lock, request, targets, world};
use crate::console::dialog::{Confirm, Dialog, Earlier, Message, earlier};
use crate::console::model::Model;
use crate::console::msg::{Effect, Orphan};
use crate::console::rows;
use crate::domain::guard::{Request, grant, grant_for};
use crate::domain::ids::{NodeName, OpId, RunId};
use crate::domain::lock::LockChoice;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::plan::Kind;
use crate::domain::report::Report;
use crate::domain::text::count;

/// Opens the question, or says why not.
pub(super) fn ask(model: &mut Model, kind: Kind, on: Option<NodeName>) {
    let is_alone = on.is_none();
    let nodes = match kind {
        Kind::Snapshot | Kind::Unlock => Vec::new(),
        _ => nodes(model, kind, on),
    };
    if nodes.is_empty() && !matches!(kind, Kind::Snapshot | Kind::Unlock) {
        flash(model, Level::Warn, format!("{kind}: no node is selected"));
        return;
    }
    let drain = model.setup.drain.clone();
    let one_by_one = is_alone.then(|| one_by_one(model, kind, &nodes)).flatten();
    match build(model, request(model, kind, nodes, drain)) {
        Ok(confirm) if kind == Kind::Uncordon && !confirm.targets.iter().any(|target| target.cordoned) => {
            let nodes: Vec<&str> = confirm.targets.iter().map(|target| target.node.as_str()).collect();
            let is = if nodes.len() == 1 { "is" } else { "are" };
            flash(model, Level::Info, format!("nothing to do: {} {is} schedulable", nodes.join(", ")));
        }
        Ok(confirm) => {
            model.dialogs.push(Dialog::Confirm(Box::new(Confirm { notice: one_by_one, ..confirm })));
        }
        Err(report) => deny(model, &report),
    }
}

/// Says that the marks do not count, where a run takes one node.
fn one_by_one(model: &Model, kind: Kind, nodes: &[NodeName]) -> Option<String> {
    let marked = &model.lists.nodes.marked;
    let others = marked.iter().any(|node| !nodes.contains(node));
    let is_for_one = matches!(kind, Kind::Drain | Kind::Reboot | Kind::PowerCycle);
    let node = nodes.first().filter(|_| is_for_one && others)?;
    Some(format!(
        "{} marked, but {kind} takes one at a time: this is for {node} alone",
        count(marked.len(), "node")
    ))
}

/// The named node, or the marked ones, or the selected one. A drain or a reboot takes the selected one alone: nodes
/// are serviced one after the other.
fn nodes(model: &Model, kind: Kind, on: Option<NodeName>) -> Vec<NodeName> {
    if let Some(node) = on {
        return vec![node];
    }
    let list = &model.lists.nodes;
    let may_be_many = matches!(kind, Kind::Cordon | Kind::Uncordon | Kind::Roll);
    if may_be_many && !list.marked.is_empty() {
        return list.marked.iter().cloned().collect();
    }
    list.current(&rows::node_keys(model)).cloned().into_iter().collect()
}

/// Shows a denial and writes it to the log.
pub(super) fn deny(model: &mut Model, report: &Report) {
    let mut lines = vec![report.message.clone()];
    lines.extend(report.causes.iter().cloned());
    lines.extend(report.hint.iter().cloned());
    model.dialogs.push(Dialog::Message(Message { level: Level::Error, title: "Denied".to_owned(), lines }));
    model.log.push(LogLine {
        at: model.now,
        level: Level::Warn,
        origin: Origin::System,
        op: None,
        node: None,
        text: report.line(),
    });
}

/// The question on top was answered with enough: looks once more whether it is still the same question, then starts.
pub(super) fn submit(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Confirm(confirm)) = model.dialogs.pop() else { return Vec::new() };
    let earlier = confirm.earlier.as_ref();
    let built = match earlier {
        None => request_now(model, &confirm).and_then(|now| {
            let moved = now.resolve != confirm.request.resolve;
            Ok((build(model, now)?, moved))
        }),
        Some(Earlier { run, aborts }) => match orphan(model, run) {
            Some(orphan) => earlier::build(model, &orphan, *aborts).map(|fresh| (fresh, false)),
            None => return Vec::new(),
        },
    };
    let (fresh, moved) = match built {
        Ok(fresh) => fresh,
        Err(report) => {
            deny(model, &report);
            return Vec::new();
        }
    };
    let changed = differences(&confirm.targets, &targets(model, &confirm.request.nodes));
    let changed =
        changed.or_else(|| moved.then(|| "the pods in question are others now: read it again".to_owned()));
    let changed = changed.or_else(|| {
        (fresh.rung > confirm.rung)
            .then(|| "more is at stake than when this question was put: read it again".to_owned())
    });
    if let Some(notice) = changed {
        model.dialogs.push(Dialog::Confirm(Box::new(Confirm { notice: Some(notice), ..fresh })));
        return Vec::new();
    }
    match confirm.earlier.clone() {
        None => start(model, *confirm),
        Some(which) => take_over(model, *confirm, which),
    }
}

fn orphan(model: &Model, run: &RunId) -> Option<Orphan> {
    model.known.orphans.iter().find(|orphan| orphan.run == *run).cloned()
}

/// A key on the page of what earlier runs left.
pub(super) fn ask_earlier(model: &mut Model, aborts: bool) {
    let Some(orphan) = model.known.orphans.get(model.orphan_at).cloned() else { return };
    match earlier::build(model, &orphan, aborts) {
        Ok(confirm) => model.dialogs.push(Dialog::Confirm(Box::new(confirm))),
        Err(report) => deny(model, &report),
    }
}

/// The question about an earlier run was answered.
fn take_over(model: &mut Model, confirm: Confirm, which: Earlier) -> Vec<Effect> {
    let Some(orphan) = orphan(model, &which.run) else { return Vec::new() };
    let given = confirm.assent();
    let lock = earlier::lock_of_others(model, &orphan);
    let errand = earlier::errand(&orphan, which.aborts);
    let world = world(model, lock.as_deref());
    let permit = match grant_for(errand, &model.setup.policy, &confirm.request, world, given) {
        Ok(permit) => permit,
        Err(report) => {
            deny(model, &report);
            return Vec::new();
        }
    };
    let op = OpId(model.next_op);
    model.next_op += 1;
    model.starting.insert(op, confirm.request);
    model.dialogs.retain(|dialog| !matches!(dialog, Dialog::Page(_)));
    flash(model, Level::Info, format!("{} is taken up as {op}", which.run));
    vec![Effect::TakeOver { op, run: which.run, permit, aborts: which.aborts }]
}

fn request_now(model: &Model, confirm: &Confirm) -> Result<Request, Report> {
    let asked = &confirm.request;
    match &asked.resolve {
        Some(chosen) => super::resolve::request(model, &chosen.budget, chosen.remedy),
        None => Ok(Request {
            lock: asked.lock,
            ..request(model, asked.kind, asked.nodes.clone(), asked.drain.clone())
        }),
    }
}

fn start(model: &mut Model, confirm: Confirm) -> Vec<Effect> {
    let given = confirm.assent();
    let request = confirm.request;
    // a choice holds for one run
    model.lock_choice = LockChoice::Take;
    let lock = foreign_lock(model, request.lock);
    let permit = match grant(&model.setup.policy, &request, world(model, lock.as_deref()), given) {
        Ok(permit) => permit,
        Err(report) => {
            deny(model, &report);
            return Vec::new();
        }
    };
    let op = OpId(model.next_op);
    model.next_op += 1;
    model.starting.insert(op, request.clone());
    model.lists.nodes.marked.clear();
    if request.kind == Kind::Resolve {
        // the page that it was chosen on has done its work: what happens is in the run
        model.dialogs.clear();
    }
    flash(model, Level::Info, format!("{} {op} starts", request.kind));
    // a single action was confirmed by its dialog; a reboot is confirmed step by step
    let automatic = !matches!(request.kind, Kind::Reboot | Kind::Roll);
    vec![Effect::Start { op, request, permit, automatic }]
}
