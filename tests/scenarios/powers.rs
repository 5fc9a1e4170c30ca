//! Cutting a machine's power, and the maintenance lock: real steps on the simulated cluster, without a management controller.

use super::stage::{HOLDER, Stage};
use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::OpId;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{Outcome, RunChange, RunState, RunView, StepState};
use pitstop::engine::{Facts, plan, start};
use pitstop::sim::store::resources::LEASES;
use serde_json::json;

async fn power_cycle(stage: &Stage, node: &str) -> RunView {
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let request = Request::new(Kind::PowerCycle, vec![node.into()]);
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let given = Assent::Typed(node.to_owned());
    let permit = grant(&Policy::default(), &request, world, given).expect("a permit");
    let held = World { lock: Some("bob@there"), ..world };
    let denied = grant(&Policy::default(), &request, held, Assent::Typed(node.to_owned()));
    assert!(denied.expect_err("beside another's lock").message.contains("the maintenance lock is held"));
    let mut run = start(stage.backends.clone(), plan(&request, &facts), permit, OpId(1), true);
    let mut view: Option<RunView> = None;
    while let Some(event) = run.events.recv().await {
        match &mut view {
            Some(view) => view.apply(&event),
            None => view = RunView::begin(&event),
        }
        if matches!(event.change, RunChange::State { state: RunState::Failed, .. }) {
            run.commands = tokio::sync::mpsc::channel(1).0;
        }
    }
    view.expect("a run")
}

fn ended(view: &RunView, kind: StepKind) -> Option<&Outcome> {
    let step = view.steps.iter().find(|step| step.step.kind == kind)?;
    match &step.state {
        StepState::Ended(outcome, _) => Some(outcome),
        _ => None,
    }
}

fn hold(stage: &Stage, holder: &str, node: &str) {
    let store = stage.sim.store();
    let now = store.now_micro();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "pitstop", "namespace": "kube-system",
            "annotations": { "pitstop.dev/run": "reboot-1", "pitstop.dev/node": node, "pitstop.dev/step": "back" },
        },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 3600, "renewTime": now, "acquireTime": now },
    });
    store.create(&LEASES, lease).expect("a lease");
}

fn on_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

#[test]
fn the_power_of_a_control_plane_is_cut_under_the_lock() {
    on_paused_clock(async {
        let stage = Stage::new("default");
        let view = power_cycle(&stage, "cp-1").await;
        assert!(matches!(ended(&view, StepKind::Lock), Some(Outcome::Done(_))), "{view:#?}");
        // no controller is configured here: it fails, has changed nothing, and the lock is free again
        let Some(Outcome::Failed(report)) = ended(&view, StepKind::Power) else { panic!("{view:#?}") };
        assert!(report.message.contains("no management controller"), "{report}");
        assert!(view.left.is_empty(), "{:?}", view.left);
        let lease = stage.backends.cluster.lease_read("kube-system").await.expect("readable");
        assert!(lease.is_none(), "{lease:?}");
        let view = power_cycle(&stage, "worker-1").await;
        assert!(ended(&view, StepKind::Lock).is_none(), "a worker needs none");
    });
}

#[test]
fn beside_another_s_lock_it_is_not_cut_and_beside_the_run_that_waits_for_it_it_is() {
    on_paused_clock(async {
        for (holder, node) in [("bob@there", "cp-1"), (HOLDER, "cp-2")] {
            let stage = Stage::new("default");
            hold(&stage, holder, node);
            let view = power_cycle(&stage, "cp-1").await;
            let Some(Outcome::Failed(report)) = ended(&view, StepKind::Lock) else { panic!("{view:#?}") };
            assert!(report.line().contains(holder), "{report}");
            assert!(ended(&view, StepKind::Power).is_none(), "{view:#?}");
        }
        let stage = Stage::new("default");
        hold(&stage, HOLDER, "cp-1");
        let view = power_cycle(&stage, "cp-1").await;
        let Some(Outcome::Skipped(words)) = ended(&view, StepKind::Lock) else { panic!("{view:#?}") };
        assert!(words.contains("held for that node already"), "{words}");
        assert!(matches!(ended(&view, StepKind::Power), Some(Outcome::Failed(_))));
        assert!(view.left.is_empty(), "it holds no lock: {:?}", view.left);
    });
}
