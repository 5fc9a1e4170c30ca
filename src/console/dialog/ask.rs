//! The question before a run's own command: what the step does, how it is undone, what it does not check.

use super::confirm::away;
use super::{Ask, Fact, Prompt, Tone};
use crate::console::keymap::Command;
use crate::console::model::Model;
use crate::console::phase::quorum_words;
use crate::domain::gate::Verdict;
use crate::domain::plan::StepKind;
use crate::domain::run::{Outcome, RunView, StepState, StepView};
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::domain::undo::undo;

/// How many obstacles a question lists before it says "and N more".
const ITEMS: usize = 6;

/// Puts the question about the run's present step.
pub fn build(model: &Model, run: &RunView, command: Command) -> Ask {
    let step = run.current();
    let view = step.and_then(|step| run.steps.get(step));
    let name = view.map_or("the next step", |view| view.step.kind.name());
    let number = step.map_or(0, |step| step + 1);
    let (title, facts) = match command {
        Command::Automatic => ("Go on by itself?".to_owned(), automatic_facts(run, name)),
        Command::Retry => (format!("Try step {number}, {name}, again?"), question(model, run, view)),
        Command::Skip => (format!("Leave out step {number}, {name}?"), skip_facts(view)),
        Command::Last => (format!("Put {} last?", node_of(view)), step_facts(view)),
        Command::Abort => (format!("Abort {} {}?", run.kind, run.op), abort_facts(run, name)),
        _ => (format!("Run step {number}, {name}?"), question(model, run, view)),
    };
    Ask { op: run.op, step, command, title, facts, notice: None, prompt: Prompt::new(model.now), scroll: 0 }
}

/// The step's facts, and before it takes a node out of service what is foreseen and who else is away.
fn question(model: &Model, run: &RunView, view: Option<&StepView>) -> Vec<Fact> {
    let mut facts = step_facts(view);
    facts.extend(quorum(model, view));
    let Some(view) = view.filter(|view| matches!(view.step.kind, StepKind::Cordon | StepKind::Drain)) else {
        return facts;
    };
    let mut more: Vec<Fact> =
        view.step.node.as_ref().and_then(|node| away(model, node)).into_iter().collect();
    more.extend(forecast(run));
    let at = 1.min(facts.len());
    facts.splice(at..at, more);
    facts
}

fn node_of(view: Option<&StepView>) -> String {
    view.and_then(|view| view.step.node.clone()).map_or_else(|| "the node".to_owned(), |node| node.0)
}

/// What etcd can lose, where the step is about a node of the control plane.
fn quorum(model: &Model, view: Option<&StepView>) -> Option<Fact> {
    let node = view?.step.node.as_ref()?;
    let known = &model.known;
    let is_voter = known.etcd.as_ref().is_some_and(|etcd| etcd.is_host(node));
    let is_master = known.nodes.get(node).is_some_and(crate::domain::node::NodeRow::is_control_plane);
    (is_voter || is_master).then(|| {
        let words = quorum_words(model).unwrap_or_else(|| "not known".to_owned());
        Fact::plain("quorum", words)
    })
}

/// What the run's prediction came to: the sums, and what blocks.
fn forecast(run: &RunView) -> Vec<Fact> {
    let Some(predict) = run.steps.iter().find(|view| view.step.kind == StepKind::Predict) else {
        return Vec::new();
    };
    let (tone, words) = match &predict.state {
        StepState::Ended(Outcome::Done(words), _) => (Tone::Plain, words.clone()),
        StepState::Ended(Outcome::Warned(words), _) => (Tone::Attention, words.clone()),
        StepState::Ended(Outcome::Failed(report), _) => (Tone::Bad, report.line()),
        _ => (Tone::Attention, "not made: what the drain will meet is not known".to_owned()),
    };
    let mut facts = vec![Fact::toned(tone, "forecast", words)];
    let items = predict.progress.as_ref().map_or(&[][..], |progress| &progress.items);
    facts.extend(items.iter().take(ITEMS).map(|item| Fact::toned(Tone::Attention, "", item.clone())));
    if items.len() > ITEMS {
        facts.push(Fact::toned(Tone::Attention, "", format!("and {} more", items.len() - ITEMS)));
    }
    facts
}

fn step_facts(view: Option<&StepView>) -> Vec<Fact> {
    let Some(view) = view else { return Vec::new() };
    let step = &view.step;
    let mut facts = vec![Fact::plain("what", &*step.what)];
    if let StepState::Ended(Outcome::Failed(report), _) = &view.state {
        facts.push(Fact::toned(Tone::Bad, "failed", report.line()));
    }
    facts.push(Fact::toned(Tone::Dim, "command", &*step.command));
    for (at, name) in step.gates.iter().enumerate() {
        let label = if at == 0 { "gates" } else { "" };
        let read = view.gates.iter().find(|gate| gate.name == *name);
        facts.push(match read {
            None => Fact::plain(label, format!("{name}: read when the step runs")),
            Some(gate) => {
                let tone = if gate.verdict == Verdict::Passed { Tone::Good } else { Tone::Attention };
                Fact::toned(tone, label, format!("{name}: {}", gate.evidence))
            }
        });
    }
    facts.push(Fact::plain("undo", step.undo.as_deref().unwrap_or("nothing to undo")));
    if !step.timeout.is_zero() {
        facts.push(Fact::toned(Tone::Dim, "deadline", brief(step.timeout)));
    }
    for (at, missing) in step.unchecked.iter().enumerate() {
        facts.push(Fact::toned(Tone::Attention, if at == 0 { "not checked" } else { "" }, &**missing));
    }
    facts
}

fn skip_facts(view: Option<&StepView>) -> Vec<Fact> {
    let mut facts = step_facts(view);
    facts.insert(
        0,
        Fact::toned(Tone::Attention, "skip", "this step is not done; the next one follows without it"),
    );
    facts
}

fn automatic_facts(run: &RunView, name: &str) -> Vec<Fact> {
    let is_undoing = run.steps.iter().any(|view| view.is_undo);
    let applies = |view: &&StepView| view.step.not_applicable.is_none() && view.is_undo == is_undoing;
    let is_ahead = |view: &&StepView| !matches!(view.state, StepState::Ended(..));
    let rest: Vec<&StepView> = run.steps.iter().filter(is_ahead).filter(applies).collect();
    let changing = rest.iter().filter(|view| view.step.kind.changes()).map(|view| view.step.kind.name());
    let mut changing: Vec<&str> = changing.collect();
    changing.dedup();
    let mut facts = vec![
        Fact::plain("what", format!("{} from {name} on, without asking again", count(rest.len(), "step"))),
        Fact::plain("changes", if changing.is_empty() { "none".to_owned() } else { changing.join(", ") }),
    ];
    if is_undoing {
        facts.push(Fact::plain("stops", "at nothing: a step that fails keeps no other from being put back"));
        facts.push(Fact::plain("you may", "P pause after the present step"));
    } else {
        facts.push(Fact::plain(
            "stops",
            "at the first step that fails, and at the first gate that is not passed",
        ));
        facts.push(Fact::plain("you may", "P pause after the present step, X abort"));
    }
    let unchecked = rest.iter().flat_map(|&view| view.step.unchecked.iter().map(move |text| (view, text)));
    for (at, (view, text)) in unchecked.enumerate() {
        let label = if at == 0 { "not checked" } else { "" };
        facts.push(Fact::toned(Tone::Attention, label, format!("{}: {text}", view.step.kind.name())));
    }
    facts
}

fn abort_facts(run: &RunView, name: &str) -> Vec<Fact> {
    let plan = undo(run);
    let mut facts = vec![Fact::plain(
        "stops",
        format!("at {name}; a request that is under way has a second to be answered"),
    )];
    for (at, step) in plan.steps.iter().enumerate() {
        let label = if at == 0 { "undo plan" } else { "" };
        facts.push(Fact::plain(label, format!("{}. {}", at + 1, step.what)));
        facts.push(Fact::toned(Tone::Dim, "", &*step.command));
    }
    if plan.steps.is_empty() {
        facts.push(Fact::plain("undo plan", "nothing was changed that would have to be undone"));
    } else {
        facts.push(Fact::plain(
            "each",
            "of these waits for N; A lets them follow one another, K leaves one out",
        ));
    }
    for (at, words) in plan.stays.iter().enumerate() {
        facts.push(Fact::toned(Tone::Attention, if at == 0 { "stays" } else { "" }, &**words));
    }
    facts
}
