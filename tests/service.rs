//! Who reboots a node, and what runs before: each executor, the patch command, more time by a key, a node that does not return.
//! On the simulated cluster, with a paused clock.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "stories are played elsewhere")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use pitstop::backend::power::{Bmc, PasswordFrom, Protocol};
use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::lock::LockChoice;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView, StepState};
use pitstop::engine::service::{Executor, Patch};
use pitstop::engine::{Facts, plan, start};
use stage::Stage;
use std::time::Duration;

const SMALL: &str = "
[size]
control_planes = 3
workers = 1
";

/// Starts an automatic reboot and hands each event to `hear`, which may answer.
async fn reboot(stage: &Stage, node: &str, mut hear: impl FnMut(&RunEvent) -> Option<RunCommand>) -> RunView {
    let request =
        Request { lock: LockChoice::default(), ..Request::new(Kind::Reboot, vec![NodeName::from(node)]) };
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let permit =
        grant(&Policy::default(), &request, world, Assent::Flag { context: None }).expect("a permit");
    let mut run = start(stage.backends.clone(), plan(&request, &facts), permit, OpId(1), true);
    let mut view: Option<RunView> = None;
    while let Some(event) = run.events.recv().await {
        match &mut view {
            Some(view) => view.apply(&event),
            None => view = RunView::begin(&event),
        }
        let is_failed = matches!(event.change, RunChange::State { state: RunState::Failed, .. });
        match hear(&event) {
            // the whole run is dropped, as by a signal
            Some(RunCommand::Abort) => run.cancel.cancel(),
            Some(command) => run.commands.send(command).await.expect("the run listens"),
            None if is_failed => run.cancel.cancel(),
            None => {}
        }
    }
    view.expect("a run")
}

fn outcome(view: &RunView, kind: StepKind) -> String {
    let step = view.steps.iter().find(|view| view.step.kind == kind).expect("the step");
    match &step.state {
        StepState::Ended(Outcome::Done(words) | Outcome::Warned(words), _) => format!("done: {words}"),
        StepState::Ended(Outcome::Failed(report), _) => format!("failed: {report} {report:?}"),
        other => format!("{other:?}"),
    }
}

fn silent(_: &RunEvent) -> Option<RunCommand> {
    None
}

#[tokio::test(start_paused = true)]
async fn the_patch_command_is_a_step_of_its_own_and_its_lines_are_in_the_log() {
    let mut stage = Stage::new(SMALL);
    let argv = ["sh", "-c", "echo upgrading; echo password=PLANTED-hunter2"].map(str::to_owned).to_vec();
    stage.backends.settings.service.patch = Some(Patch { argv, limit: Duration::from_mins(30) });
    let mut lines = Vec::new();
    let view = reboot(&stage, "worker-1", |event| {
        if let RunChange::Noted { text, .. } = &event.change {
            lines.push(text.clone());
        }
        None
    })
    .await;
    assert_eq!(view.state, RunState::Done, "{:?}", view.steps);
    assert!(lines.iter().any(|line| line == "upgrading"), "{lines:?}");
    assert!(!format!("{lines:?}").contains("hunter2"), "{lines:?}");
    let kinds: Vec<StepKind> = view.steps.iter().map(|view| view.step.kind).collect();
    let at = kinds.iter().position(|kind| *kind == StepKind::Patch).expect("the step");
    assert_eq!(kinds[at + 1], StepKind::Recheck, "every gate is read again after it");

    let mut stage = Stage::new(SMALL);
    let argv = ["sh", "-c", "echo broken; false"].map(str::to_owned).to_vec();
    stage.backends.settings.service.patch = Some(Patch { argv, limit: Duration::from_mins(30) });
    let view = reboot(&stage, "worker-1", silent).await;
    assert!(
        outcome(&view, StepKind::Patch).contains("it said: broken"),
        "{}",
        outcome(&view, StepKind::Patch)
    );
    assert!(!view.has_done(StepKind::Reboot), "no reboot after a patch that failed");
}

#[tokio::test(start_paused = true)]
async fn a_reboot_by_hand_is_proven_by_the_boot_id() {
    let mut stage = Stage::new(SMALL);
    stage.backends.settings.service.executor = Executor::Manual;
    let machine = stage.sim.machine("worker-1").expect("the machine");
    let before = machine.boot_id();
    let view = reboot(&stage, "worker-1", |event| {
        if matches!(&event.change, RunChange::Noted { text, .. } if text.contains("by hand")) {
            machine.reboot();
        }
        None
    })
    .await;
    assert_eq!(view.state, RunState::Done, "{}", outcome(&view, StepKind::Back));
    assert_ne!(machine.boot_id(), before);

    // done before it was confirmed: it is said, and not asked for
    let mut stage = Stage::new(SMALL);
    stage.backends.settings.service.executor = Executor::Manual;
    let machine = stage.sim.machine("worker-1").expect("the machine");
    let before = machine.boot_id();
    let mut asked = Vec::new();
    let mut drain = None;
    let view = reboot(&stage, "worker-1", |event| {
        match &event.change {
            RunChange::Planned { plan } => {
                drain = plan.steps.iter().position(|step| step.kind == StepKind::Drain);
            }
            RunChange::StepStarted { step, .. } if Some(*step) == drain => {
                machine.power_off();
                machine.power_on();
            }
            RunChange::Noted { text, .. } if text.contains("by hand") => asked.push(text.clone()),
            _ => {}
        }
        None
    })
    .await;
    let words = outcome(&view, StepKind::Reboot);
    assert_eq!(view.state, RunState::Done, "{words} {}", outcome(&view, StepKind::Recheck));
    assert!(words.contains(&format!("instead of {before}; it is not asked again")), "{words}");
    assert_eq!((asked, machine.reboots()), (Vec::new(), 1));

    // not done: it is seen
    let mut stage = Stage::new(SMALL);
    stage.backends.settings.service.executor = Executor::Manual;
    let view = reboot(&stage, "worker-1", silent).await;
    assert!(
        outcome(&view, StepKind::Down).contains("did not end within"),
        "{}",
        outcome(&view, StepKind::Down)
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_somebody_else_rebooted_is_not_asked_again() {
    let stage = Stage::new(SMALL);
    let machine = stage.sim.machine("worker-1").expect("the machine");
    let (mut drain, mut warnings) = (None, Vec::new());
    let view = reboot(&stage, "worker-1", |event| {
        match &event.change {
            RunChange::Planned { plan } => {
                drain = plan.steps.iter().position(|step| step.kind == StepKind::Drain);
            }
            RunChange::StepStarted { step, .. } if Some(*step) == drain => {
                machine.power_off();
                machine.power_on();
            }
            RunChange::Noted { text, warn: true, .. } => warnings.push(text.clone()),
            _ => {}
        }
        None
    })
    .await;
    let words = outcome(&view, StepKind::Reboot);
    assert!(words.contains("was rebooted since this run began"), "{words}");
    assert!(warnings.iter().any(|text| words.contains(text)), "{warnings:?}");
    assert_eq!((view.state, machine.reboots()), (RunState::Done, 1), "{view:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_become_ready_is_reported_with_its_kubelet_s_last_words() {
    let stage = Stage::new(SMALL);
    let machine = stage.sim.machine("worker-1").expect("the machine");
    let view = reboot(&stage, "worker-1", |event| {
        if machine.reboots() == 1 {
            let hour = Duration::from_hours(1);
            stage.sim.faults().set_connection_for(pitstop::sim::api::faults::Connection::Down, hour);
        }
        let _ = event;
        None
    })
    .await;
    let words = outcome(&view, StepKind::Back);
    assert!(
        words.contains("was not Ready within 05:00") && words.contains("its kubelet logged: "),
        "{words}"
    );
}

#[tokio::test]
async fn a_program_reboots_with_the_nodes_own_words_and_its_failure_is_told() {
    // a real program needs a real clock
    let mut stage = Stage::new(SMALL);
    let said = stage.dir.path().join("said");
    let script = format!("echo asked for \"$1\" at \"$2\" | tee {}; exit 7", said.display());
    let argv = ["sh", "-c", &script, "x", "{node}", "{address}"].map(str::to_owned).to_vec();
    stage.backends.settings.service.executor = Executor::Command(argv);
    stage.backends.settings.timing.settle = Duration::ZERO;
    stage.backends.settings.timing.etcd_sample_interval = Duration::from_millis(50);
    let view = reboot(&stage, "worker-1", silent).await;
    let address = stage.sim.machine("worker-1").expect("the machine").address().to_owned();
    let text = std::fs::read_to_string(said).unwrap_or_else(|error| panic!("{error}: {:?}", view.steps));
    assert_eq!(text.trim(), format!("asked for worker-1 at {address}"));
    let words = outcome(&view, StepKind::Reboot);
    assert!(words.contains("ended with status 7") && words.contains("asked for worker-1"), "{words}");
}

#[tokio::test]
async fn a_program_that_failed_may_have_asked_and_is_not_run_again_before_the_boot_is_known() {
    let mut stage = Stage::new(SMALL);
    let said = stage.dir.path().join("said");
    let script = format!("echo asked >> {}; exit 1", said.display());
    stage.backends.settings.service.executor =
        Executor::Command(["sh", "-c", &script].map(str::to_owned).to_vec());
    stage.backends.settings.timing.etcd_sample_interval = Duration::from_millis(50);
    // no host answers for itself: the Node object says the old boot whatever has happened
    stage.backends.hosts = None;
    let mut waited = false;
    let view = reboot(&stage, "worker-1", |event| match &event.change {
        RunChange::State { state: RunState::Failed, .. } => Some(RunCommand::Retry),
        RunChange::Progressed { progress, .. } if progress.text.contains("may have been asked") => {
            waited = true;
            Some(RunCommand::Abort)
        }
        _ => None,
    })
    .await;
    assert!(waited, "{:?}", view.steps);
    assert_eq!(std::fs::read_to_string(said).expect("it ran"), "asked\n", "once");
}

#[tokio::test(start_paused = true)]
async fn a_step_may_be_given_more_time_while_it_waits() {
    let scenario = format!("{SMALL}\n[[node]]\nname = \"worker-1\"\nreboot = \"never-returns\"\n");
    let mut stage = Stage::new(&scenario);
    stage.backends.settings.service.bmc.insert(
        "worker-1".into(),
        Bmc {
            host: "127.0.0.1".into(),
            port: Some(1),
            user: "ops".into(),
            password: PasswordFrom::File("/nonexistent".into()),
            protocol: Protocol::Ipmi { program: "/no/ipmitool".into(), interface: "lanplus".into() },
        },
    );
    let mut deadlines = Vec::new();
    let mut has_asked = false;
    let view = reboot(&stage, "worker-1", |event| {
        let RunChange::Progressed { step, progress } = &event.change else { return None };
        if !progress.text.contains("waiting for worker-1 to answer") {
            return None;
        }
        deadlines.extend(progress.deadline);
        let asks = !std::mem::replace(&mut has_asked, true);
        asks.then_some(RunCommand::Extend { step: *step, by: Duration::from_mins(5) })
    })
    .await;
    let (first, last) = (deadlines.first().expect("a deadline"), deadlines.last().expect("a deadline"));
    assert_eq!(last.since(*first), Duration::from_mins(5), "the count-down shows it");
    let words = outcome(&view, StepKind::Back);
    assert!(words.contains("did not come back with a new boot within 15:00"), "{words}");
    // last words, and the ways on
    for part in [
        "the API calls it",
        "its management controller was asked",
        "run power-cycle worker-1",
        "etcdctl member remove",
        "stays cordoned",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(view.left.iter().any(|line| line.contains("worker-1 is cordoned")), "{:?}", view.left);
}
