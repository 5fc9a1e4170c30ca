//! Small clusters of every kind: what is foretold of a drain is what comes of it.
//!
//! Owners, budgets, crashing pods, room, taints, cordons and volumes are chosen at random; the real drain runs on the
//! simulated cluster, which counts budgets and places pods by arithmetic of its own.

use super::stage::{Stage, follow};
use super::story::Story;
use pitstop::domain::config::Policy;
use pitstop::domain::forecast::{Expectation, Forecast, Replacement, Verdict};
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::OpId;
use pitstop::domain::run::{RunState, RunView};
use pitstop::engine::foretell::{Foretold, foretell};
use pitstop::engine::{Facts, plan, start};
use pitstop::sim::store::resources::PODS;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseError, TestRunner};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// Clusters by default; `PROPTEST_CASES` asks for more.
const CASES: u32 = 24;

/// How often two nodes are drained in one run.
const BOTH: f64 = 0.25;

/// One workload, `app-N` in the namespace `a`.
#[derive(Debug, Clone)]
struct Load {
    kind: &'static str,
    replicas: u8,
    crash: bool,
    spread: bool,
    cpu: Option<&'static str>,
    local: bool,
    /// The field, what it asks for, and whether pods that are not Ready may always go.
    budget: Option<(&'static str, &'static str, bool)>,
    overlap: bool,
}

#[derive(Debug, Clone)]
struct Small {
    /// CPU of each worker, and whether it is cordoned or tainted.
    workers: Vec<(&'static str, bool, bool)>,
    loads: Vec<Load>,
    both: bool,
}

fn load() -> impl Strategy<Value = Load> {
    let kind = prop::sample::select(vec!["Deployment", "Deployment", "StatefulSet", "Pod"]);
    let cpu = prop::sample::select(vec![None, None, Some("300m"), Some("900m")]);
    let amount =
        prop::sample::select(vec!["0", "1", "1", "2", "3", "\"30%\"", "\"50%\"", "\"80%\"", "\"100%\""]);
    let field = prop::sample::select(vec!["min_available", "max_unavailable"]);
    let budget = prop::option::weighted(0.8, (field, amount, prop::bool::weighted(0.2)));
    let odd = prop::bool::weighted(0.15);
    (kind, 1..=4_u8, odd, odd, cpu, odd, budget, prop::bool::weighted(0.07)).prop_map(
        |(kind, replicas, crash, spread, cpu, local, budget, overlap)| Load {
            kind,
            replicas: if kind == "Pod" { 1 } else { replicas },
            crash,
            spread,
            cpu,
            local: local && kind == "StatefulSet",
            budget,
            overlap: overlap && budget.is_some(),
        },
    )
}

fn small() -> impl Strategy<Value = Small> {
    let cpu = prop::sample::select(vec!["8", "8", "1", "2"]);
    let worker = (cpu, prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let workers = prop::collection::vec(worker, 1..=3);
    (workers, prop::collection::vec(load(), 1..=3), prop::bool::weighted(BOTH)).prop_map(
        |(mut workers, loads, both)| {
            // the one to be drained takes pods at the start
            workers.insert(0, ("8", false, false));
            Small { workers, loads, both }
        },
    )
}

impl Small {
    fn text(&self) -> String {
        let mut text = format!("[size]\ncontrol_planes = 1\nworkers = {}\n", self.workers.len());
        for (at, (cpu, cordoned, tainted)) in self.workers.iter().enumerate() {
            let taints = if *tainted { "[\"only=others:NoSchedule\"]" } else { "[]" };
            let name = format!("worker-{}", at + 1);
            let _ = writeln!(
                text,
                "[[node]]\nname = \"{name}\"\ncpu = \"{cpu}\"\ncordoned = {cordoned}\ntaints = {taints}"
            );
        }
        for (at, load) in self.loads.iter().enumerate() {
            let Load { kind, replicas, crash, spread, local, .. } = load;
            let _ = writeln!(
                text,
                "[[workload]]\nkind = \"{kind}\"\nnamespace = \"a\"\nname = \"app-{at}\"\nreplicas = {replicas}\n\
                 crash = {crash}\nspread = {spread}\nclaim = {local}\nlocal = {local}"
            );
            if let Some(cpu) = load.cpu {
                let _ = writeln!(text, "cpu = \"{cpu}\"");
            }
            if let Some((field, amount, always)) = load.budget {
                let unhealthy = if always { "AlwaysAllow" } else { "IfHealthyBudget" };
                let _ = writeln!(text, "budget = {{ {field} = {amount}, unhealthy = \"{unhealthy}\" }}");
            }
            if load.overlap {
                let _ = writeln!(
                    text,
                    "[[budget]]\nnamespace = \"a\"\nname = \"more-{at}\"\nselector = {{ app = \"app-{at}\" }}\n\
                     max_unavailable = 1"
                );
            }
        }
        text
    }

    fn story(&self) -> Story {
        let nodes = if self.both { "\"worker-1\", \"worker-2\"" } else { "\"worker-1\"" };
        toml::from_str(&format!(
            "about = \"\"\nsim = \"\"\nkind = \"drain\"\nnodes = [{nodes}]\n\
             drain = {{ force = true, delete_emptydir_data = true, timeout = \"4m\" }}"
        ))
        .expect("a story")
    }
}

/// What is seen of pods: uid to app, node, whether on the way out.
fn pods(stage: &Stage) -> BTreeMap<String, Value> {
    let all = stage.sim.store().list(&PODS, Some("a"));
    all.iter()
        .map(|pod| (pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), (**pod).clone()))
        .collect()
}

/// How many pods of each app no node takes.
fn unplaced(pods: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for pod in pods.values().filter(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty()) {
        *counts.entry(app(pod)).or_default() += 1;
    }
    counts
}

fn app(pod: &Value) -> String {
    pod["metadata"]["labels"]["app"].as_str().unwrap_or_default().to_owned()
}

async fn drain(small: &Small) -> Result<(), TestCaseError> {
    let story = small.story();
    let stage = Stage::new(&small.text());
    let request = super::stage::request(&story);
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let told = foretell(&stage.backends.cluster, &request.nodes, &request.drain).await.expect("a forecast");
    let before = pods(&stage);
    let view = run(&story, &stage, &request, &facts).await;
    // the last replacements are created and looked at by the scheduler
    tokio::time::sleep(Duration::from_secs(30)).await;
    let after = pods(&stage);
    compare(&told, &view, &before, &after)
}

async fn run(story: &Story, stage: &Stage, request: &Request, facts: &Facts) -> RunView {
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let permit = grant(&Policy::default(), request, world, Assent::Flag { context: None }).expect("a permit");
    let run = start(stage.backends.clone(), plan(request, facts), permit, OpId(1), true);
    follow("a small cluster", story, stage, run).await
}

fn compare(
    told: &Foretold,
    view: &RunView,
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
) -> Result<(), TestCaseError> {
    let verdict = told.verdict();
    let steps: Vec<String> =
        view.steps.iter().map(|step| format!("{} {:?}", step.step.kind.name(), step.state)).collect();
    let why = || format!("foretold: {}\n{:#?}\n{}", verdict.words(), told.nodes, steps.join("\n"));
    match &verdict {
        Verdict::Finishes | Verdict::Waits { .. } => prop_assert!(view.state == RunState::Done, "{}", why()),
        Verdict::Blocked { .. } => prop_assert!(view.state == RunState::Failed, "{}", why()),
        Verdict::Unclear { .. } => {}
    }
    // what comes after a node that is not drained is not tried
    let tried = told.nodes.iter().take_while(|node| !node.verdict.is_blocked()).count() + 1;
    if told.nodes.iter().take(tried).any(|node| matches!(node.verdict, Verdict::Unclear { .. })) {
        return Ok(());
    }
    // on a further node the replacements from the first, whose names nobody knows, stand in the same line
    for pod in told.nodes.iter().take(1).flat_map(|node| &node.pods) {
        let is_there = after.contains_key(&pod.pod.uid);
        match &pod.expectation {
            Expectation::Blocked { .. } => prop_assert!(is_there, "{} went\n{}", pod.pod, why()),
            Expectation::Moves | Expectation::Waits { .. } => {
                prop_assert!(!is_there, "{} stayed\n{}", pod.pod, why());
            }
            Expectation::Unclear { .. } | Expectation::Stays => {}
        }
    }
    if tried <= told.nodes.len() && told.nodes.len() > 1 {
        return Ok(());
    }
    compare_places(told, before, after, &why)
}

/// Apps whose replacements have nowhere to run.
fn compare_places(
    told: &Foretold,
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
    why: &dyn Fn() -> String,
) -> Result<(), TestCaseError> {
    let of = |wanted: fn(&Replacement) -> bool| -> BTreeSet<String> {
        let pods = told.nodes.iter().flat_map(|node| &node.pods);
        let found = pods.filter(|pod: &&Forecast| wanted(&pod.replacement));
        found.filter_map(|pod| before.get(&pod.pod.uid)).map(app).collect()
    };
    let homeless = of(|replacement| matches!(replacement, Replacement::Nowhere { .. }));
    let doubtful = of(|replacement| matches!(replacement, Replacement::Unclear { .. }));
    // which of several rivals is left without room is a matter of moments: that somebody is, is not
    let all = |pods: &BTreeMap<String, Value>| unplaced(pods).values().sum::<usize>();
    let found_none = all(after) > all(before);
    prop_assert!(!found_none || !homeless.is_empty() || !doubtful.is_empty(), "no place\n{}", why());
    prop_assert!(found_none || homeless.is_empty(), "{:?} found a place\n{}", homeless, why());
    Ok(())
}

#[test]
fn what_is_foretold_comes_true() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 48,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/scenarios/clusters.seeds"))),
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&small(), |small| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(drain(&small)).map_err(|error| match error {
            TestCaseError::Fail(why) => TestCaseError::fail(format!("{why}\n{}", small.text())),
            reject @ TestCaseError::Reject(_) => reject,
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
