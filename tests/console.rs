//! The real console on the simulated cluster: its own event loop, executor, engine and back ends, with keys from a
//! script and a screen in memory, on a paused clock.

#![expect(clippy::expect_used, reason = "a test stops where something is missing")]

#[path = "console/desk.rs"]
mod desk;
#[path = "console/ssh.rs"]
mod ssh;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, clippy::panic, reason = "stories are played elsewhere")]
mod stage;
#[path = "support/steps.rs"]
mod steps;
#[path = "scenarios/story.rs"]
mod story;

use crossterm::event::{KeyCode, KeyModifiers};
use desk::{Desk, sit};
use futures::FutureExt;
use pitstop::console::shell::Connect;
use pitstop::domain::ids::OpId;
use pitstop::domain::report::{FailureKind, Report};
use pitstop::domain::run::RunState;
use pitstop::sim::api::faults::Connection;
use pitstop::sim::store::resources::NODES;
use stage::Stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use steps::STEPS;

fn is_cordoned(stage: &Stage, node: &str) -> bool {
    let nodes = stage.sim.store().list(&NODES, None);
    let node = nodes.iter().find(|row| row["metadata"]["name"] == node).expect("the node");
    node["spec"]["unschedulable"].as_bool().unwrap_or(false)
}

async fn begin_reboot(desk: &mut Desk, node: &str) {
    desk.see("can lose 1").await;
    desk.see(node).await;
    desk.line(&format!(":reboot {node}")).await;
    desk.see(&format!("Reboot {node}?")).await;
    desk.see_armed("Enter begins the run").await;
    desk.line(node).await;
    desk.see("preflight waits for you").await;
}

/// Confirms the steps up to the one that is named (exclusive), or all.
async fn confirm_steps(desk: &mut Desk, until: Option<&str>) {
    for (name, changes) in STEPS {
        desk.see(&format!(": {name} waits for you")).await;
        if until == Some(name) {
            return;
        }
        desk.keys("N").await;
        if changes {
            desk.see_armed("y runs it").await;
            desk.keys("y").await;
        }
        desk.gone(&format!(": {name} waits for you")).await;
    }
}

#[test]
fn a_reboot_is_walked_step_by_step() {
    sit("default", async |desk, stage| {
        begin_reboot(desk, "cp-1").await;
        let before = stage.sim.machine("cp-1").unwrap().boot_id();
        confirm_steps(desk, None).await;
        desk.see("reboot done in").await;
        assert_ne!(stage.sim.machine("cp-1").unwrap().boot_id(), before);
        assert!(!is_cordoned(stage, "cp-1"));
        let snapshots = std::fs::read_dir(stage.dir.path().join("snapshots")).expect("snapshots");
        assert!(snapshots.flatten().any(|file| file.path().extension().is_some_and(|kind| kind == "db")));
        desk.keys("q").await;
    });
}

#[test]
fn an_abort_leaves_the_node_as_it_was_found() {
    let model = sit("default", async |desk, stage| {
        begin_reboot(desk, "cp-1").await;
        confirm_steps(desk, Some("move etcd leader")).await;
        assert!(is_cordoned(stage, "cp-1"));
        desk.keys("X").await;
        desk.see("make cp-1 schedulable again").await;
        desk.see_armed("y stops the run").await;
        desk.keys("y").await;
        desk.see("uncordon waits for you").await;
        assert!(is_cordoned(stage, "cp-1"), "each step of the undo is confirmed");
        desk.keys("N").await;
        desk.see_armed("y runs it").await;
        desk.keys("y").await;
        desk.see("unlock waits for you").await;
        assert!(!is_cordoned(stage, "cp-1"));
        desk.keys("A").await;
        desk.see_armed("y goes on by itself").await;
        desk.keys("y").await;
        desk.see("reboot aborted in").await;
        desk.keys("q").await;
    });
    assert_eq!(model.runs[0].left, Vec::<String>::new());
}

#[test]
fn a_run_goes_on_by_itself_and_survives_a_lost_api() {
    sit("default", async |desk, stage| {
        begin_reboot(desk, "cp-1").await;
        desk.keys("A").await;
        desk.see_armed("y goes on by itself").await;
        desk.keys("y").await;
        desk.see("cordon: done").await;
        stage.sim.faults().set_connection_for(Connection::Down, Duration::from_secs(40));
        desk.see("api ✗").await;
        desk.see("reboot done in").await;
        desk.see("api ●").await;
        assert!(!is_cordoned(stage, "cp-1"));
        desk.keys("q").await;
    });
}

#[test]
fn a_second_control_plane_is_denied_with_the_arithmetic() {
    sit("one-member-down", async |desk, _| {
        desk.see("etcd 2/3, can lose 0").await;
        desk.see("cp-1").await;
        desk.line(":reboot cp-1").await;
        desk.see("2 of 3 etcd voters are healthy; without cp-1 1 would").await;
        desk.key(KeyCode::Esc, KeyModifiers::NONE).await;
        desk.gone("Denied").await;
        desk.keys("q").await;
    });
}

#[test]
fn quitting_in_the_middle_asks_and_says_what_was_left() {
    let model = sit("default", async |desk, stage| {
        begin_reboot(desk, "cp-1").await;
        confirm_steps(desk, Some("move etcd leader")).await;
        desk.keys("q").await;
        desk.see_armed("y quits").await;
        assert!(is_cordoned(stage, "cp-1"));
        desk.keys("y").await;
    });
    assert_eq!((model.runs[0].op, model.runs[0].state), (OpId(1), RunState::Interrupted));
    assert!(
        model.runs[0].left.iter().any(|line| line.contains("kubectl uncordon cp-1")),
        "{:?}",
        model.runs[0].left
    );
}

#[test]
fn a_lost_terminal_ends_the_console_and_its_run() {
    let model = sit("default", async |desk, _| {
        begin_reboot(desk, "cp-1").await;
        desk.hang_up();
    });
    assert_eq!(model.runs[0].state, RunState::Interrupted);
}

#[test]
fn a_missing_kubeconfig_is_shown_and_tried_again() {
    desk::run(async {
        let stage = Stage::new("default");
        let (backends, tries) = (stage.backends.clone(), Arc::new(AtomicUsize::new(0)));
        let connect: Connect = Arc::new(move || {
            let (backends, try_number) = (backends.clone(), tries.fetch_add(1, Ordering::SeqCst));
            let missing =
                Report::new(FailureKind::Local, "could not read the kubeconfig /nonexistent: no such file");
            async move { if try_number < 2 { Err(missing) } else { Ok(backends) } }.boxed()
        });
        desk::open(connect, stage.dir.path(), async |desk: &mut Desk| {
            desk.see("could not read the kubeconfig /nonexistent: no such file").await;
            desk.see("no cluster yet").await;
            desk.see("worker-3").await;
            desk.keys("y").await;
            desk.see("copied cp-1").await;
            assert_eq!(*desk.copied.lock().unwrap(), ["cp-1"]);
            desk.keys("q").await;
        })
        .await;
    });
}

#[test]
fn the_terminal_is_told_how_a_run_stands() {
    let mut said = String::new();
    sit("default", async |desk, _| {
        begin_reboot(desk, "cp-1").await;
        desk.keys("A").await;
        desk.see_armed("y goes on by itself").await;
        desk.keys("y").await;
        desk.see("reboot done in").await;
        desk.keys("q").await;
        said = desk.said.lock().unwrap().clone();
    });
    for title in [
        "\x1b]2;? reboot cp-1 1/16 preflight waits for you - pitstop ",
        "\x1b]2;reboot cp-1 10/16 reboot - pitstop ",
        "\x1b]2;reboot cp-1 done - pitstop ",
    ] {
        assert!(said.contains(title), "{title:?} in {said:?}");
    }
    let bells = said.matches('\x07').count();
    assert_eq!(bells, 1, "only the end rings, as somebody was there before: {said:?}");
    assert!(said.contains("\x1b]9;pitstop: ") && said.contains("reboot cp-1 done"), "{said:?}");
}

#[test]
fn a_step_that_waits_for_long_calls_and_a_failure_calls_at_once() {
    sit("one-member-down", async |desk, stage| {
        desk.see("worker-1").await;
        desk.line(":reboot worker-1").await;
        desk.see_armed("Enter begins the run").await;
        desk.line("worker-1").await;
        desk.see("preflight waits for you").await;
        let bells = |desk: &Desk| desk.said.lock().unwrap().matches('\x07').count();
        assert_eq!(bells(desk), 0);
        // more than the 30 s of the setup pass while somebody else comes and goes
        stage.sim.faults().set_connection_for(Connection::Down, Duration::from_secs(40));
        desk.see("api ✗").await;
        desk.see("api ●").await;
        assert_eq!(bells(desk), 1);
        desk.keys("N").await;
        desk.see("preflight failed").await;
        assert_eq!(bells(desk), 2);
        desk.keys("X").await;
        desk.see_armed("y stops the run").await;
        desk.keys("y").await;
        desk.see("reboot aborted in").await;
        desk.keys("q").await;
    });
}

/// A run of somebody else on the same cluster, as another process would have it.
async fn run_of_bob(stage: &Stage, node: &str) -> pitstop::engine::Run {
    use pitstop::domain::guard::{Assent, Request, World, grant};
    use pitstop::engine::{Facts, plan, start};
    let mut backends = stage.backends.clone();
    backends.settings.holder = "bob@there".to_owned();
    backends.settings.state_dir = stage.dir.path().join("bob");
    let facts = Facts::read(&backends).await.expect("facts");
    let request = Request {
        drain: pitstop::domain::config::DrainOptions::default(),
        lock: pitstop::domain::lock::LockChoice::Take,
        ..Request::new(pitstop::domain::plan::Kind::Reboot, vec![node.into()])
    };
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let policy = pitstop::domain::config::Policy::default();
    let permit = grant(&policy, &request, world, Assent::Typed(node.to_owned())).expect("a permit");
    start(backends, plan(&request, &facts), permit, OpId(1), true)
}

#[test]
fn a_second_console_sees_the_first_ones_run_and_cannot_begin_another() {
    sit("default", async |desk, stage| {
        desk.see("can lose 1").await;
        let mut bob = run_of_bob(stage, "cp-2").await;
        let follow = tokio::spawn(async move { while bob.events.recv().await.is_some() {} });
        desk.see("bob@there: drain cp-2").await;
        desk.line(":reboot cp-1").await;
        let denied = desk.see("the maintenance lock is held").await;
        assert!(denied.contains("bob@there"), "{denied}");
        desk.key(KeyCode::Esc, KeyModifiers::NONE).await;
        desk.keys("l").await;
        let page = desk.see("kept alive").await;
        for fact in ["bob@there", "cp-2", "drain", "kept alive"] {
            assert!(page.contains(fact), "{fact} in\n{page}");
        }
        desk.see("cp-2 cordoned by bob@there").await;
        desk.see("nobody holds it").await;
        desk.key(KeyCode::Esc, KeyModifiers::NONE).await;
        follow.await.expect("it ends");
        desk.keys("q").await;
    });
}
