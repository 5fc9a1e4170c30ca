//! The bench: a cluster of blocked budgets, and remedies carried out on it as the command line does.

use crate::stage::Stage;
use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::guard::{Assent, Permit, Request, World, grant};
use pitstop::domain::ids::{BudgetKey, NodeName, OpId};
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::remedy::{Analysis, Remedy, Resolution};
use pitstop::domain::run::{Outcome, RunChange, RunState, RunView, StepState};
use pitstop::engine::resolve::look;
use pitstop::engine::{Facts, Run, plan, start};
use pitstop::sim::store::Resource;
use pitstop::sim::store::resources::{DEPLOYMENTS, NODES, POD_DISRUPTION_BUDGETS, PODS};
use serde_json::{Value, json};
use std::time::Duration;

pub const SCENARIO: &str = "tight-budgets";

pub fn key(text: &str) -> BudgetKey {
    let (namespace, name) = text.split_once('/').expect("NAMESPACE/NAME");
    BudgetKey { namespace: namespace.into(), name: name.into() }
}

/// The one bench of all cases.
pub struct Bench {
    pub stage: Stage,
}

impl Bench {
    pub fn new() -> Self {
        Self { stage: Stage::new(SCENARIO) }
    }

    pub fn object(&self, resource: &'static Resource, text: &str) -> Value {
        let key = key(text);
        let found = self.stage.sim.store().get(resource, &key.namespace, &key.name);
        Value::clone(&found.unwrap_or_else(|| panic!("{text} is not there")))
    }

    pub fn budget(&self, text: &str) -> Value {
        self.object(&POD_DISRUPTION_BUDGETS, text)["spec"].clone()
    }

    pub fn set_budget(&self, text: &str, change: impl FnOnce(&mut Value)) {
        let key = key(text);
        let store = self.stage.sim.store();
        store.modify(&POD_DISRUPTION_BUDGETS, &key.namespace, &key.name, change).expect("the budget");
    }

    pub fn replicas(&self, text: &str) -> Value {
        self.object(&DEPLOYMENTS, text)["spec"]["replicas"].clone()
    }

    /// The pods of an application that are not going.
    pub fn pods(&self, namespace: &str, app: &str) -> Vec<Value> {
        let pods = self.stage.sim.store().list(&PODS, Some(namespace));
        let is_meant = |pod: &&std::sync::Arc<Value>| {
            pod["metadata"]["labels"]["app"] == app && pod["metadata"]["deletionTimestamp"].is_null()
        };
        pods.iter().filter(is_meant).map(|pod| Value::clone(pod)).collect()
    }

    /// Cordons the node of one pod of an application; gives the node.
    pub fn cordon(&self, namespace: &str, app: &str) -> String {
        let pod = self.pods(namespace, app).into_iter().next().expect("a pod");
        let node = pod["spec"]["nodeName"].as_str().expect("placed").to_owned();
        self.stage
            .sim
            .store()
            .modify(&NODES, "", &node, |node| node["spec"]["unschedulable"] = json!(true))
            .expect("the node");
        node
    }

    pub async fn look(&self, budget: &str) -> Analysis {
        look(&self.stage.backends.cluster, &key(budget), &[]).await.expect("a diagnosis")
    }

    pub async fn permit(&self, request: &Request) -> (Facts, Permit) {
        let facts = Facts::read(&self.stage.backends).await.expect("facts");
        let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
        let given = Assent::Flag { context: None };
        let permit = grant(&Policy::default(), request, world, given).expect("a permit");
        (facts, permit)
    }

    /// Starts a remedy as the command line does.
    pub async fn start(&self, budget: &str, remedy: Remedy) -> Run {
        let chosen = self.choose(budget, remedy).await;
        self.begin(chosen).await
    }

    /// Chooses a remedy by what is seen now.
    pub async fn choose(&self, budget: &str, remedy: Remedy) -> Resolution {
        let analysis = self.look(budget).await;
        let offer = analysis.offer(remedy).unwrap_or_else(|| panic!("{remedy} is not offered"));
        assert!(offer.may_run(), "{remedy}: {:?}", offer.missing());
        analysis.choose(remedy)
    }

    /// Begins what was chosen.
    pub async fn begin(&self, chosen: Resolution) -> Run {
        let remedy = chosen.remedy;
        let mut nodes: Vec<NodeName> = chosen.targets.iter().map(|target| target.node.clone()).collect();
        nodes.dedup();
        let disable_eviction = remedy == Remedy::DisableEviction;
        let request = Request {
            drain: DrainOptions { disable_eviction, ..DrainOptions::default() },
            resolve: Some(chosen),
            ..Request::new(Kind::Resolve, nodes)
        };
        let (facts, permit) = self.permit(&request).await;
        start(self.stage.backends.clone(), plan(&request, &facts), permit, OpId(1), false)
    }

    /// Carries a remedy out to its end.
    pub async fn carry_out(&self, budget: &str, remedy: Remedy) -> RunView {
        let run = self.start(budget, remedy).await;
        follow(run, |_| {}).await
    }

    /// What the server was asked to change, by us: verb and the end of the path.
    pub fn asked(&self) -> Vec<String> {
        let history = self.stage.sim.store().history();
        history
            .iter()
            .filter(|line| line.code < 300)
            .map(|line| {
                let end: Vec<&str> = line.path.rsplit('/').take(2).collect();
                let sub = matches!(end[0], "eviction" | "scale");
                let what = if sub { end[0].to_owned() } else { end[1].to_owned() };
                let spec = if line.body["spec"].is_null() {
                    String::new()
                } else {
                    format!(" {}", line.body["spec"])
                };
                format!("{} {what}{spec}", line.verb)
            })
            .collect()
    }
}

/// Follows a run to its end; one that failed is left as it is.
pub async fn follow(mut run: Run, mut told: impl FnMut(&RunChange)) -> RunView {
    let mut view: Option<RunView> = None;
    loop {
        let event = tokio::time::timeout(Duration::from_hours(1), run.events.recv()).await;
        let Some(event) = event.expect("the run hangs") else { break };
        match &mut view {
            Some(view) => view.apply(&event),
            None => view = RunView::begin(&event),
        }
        told(&event.change);
        if matches!(event.change, RunChange::State { state: RunState::Failed, .. }) {
            run.commands = tokio::sync::mpsc::channel(1).0;
        }
    }
    view.expect("a run")
}

pub fn outcome(view: &RunView, kind: StepKind) -> &Outcome {
    let step = view.steps.iter().find(|step| step.step.kind == kind).expect("the step");
    match &step.state {
        StepState::Ended(outcome, _) => outcome,
        state => panic!("{kind:?} is {state:?}"),
    }
}

pub fn assert_done(view: &RunView) {
    assert_eq!(view.state, RunState::Done, "{:#?}", view.steps);
    assert!(view.left.is_empty() && view.debts.is_empty(), "{:?}", view.left);
}
