//! Whole runs on the simulated cluster, in real time, with one node's host behind a real SSH server: a reboot that cuts the
//! connection, a host that keeps its boot, a host that does not come back.

use super::ended::{all, ended, to_its_end};
use super::machine::{Answer, Host};
use super::rows::permit;
use super::stage::Stage;
use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Errand, Permit, Request, World, grant_for};
use pitstop::domain::ids::OpId;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{RunState, RunView};
use pitstop::engine::journal::{self, Record};
use pitstop::engine::{Facts, Timing, plan, resume, start};
use pitstop::sim::machine::{Machine, RebootOutcome};
use pitstop::sim::pace::Pace;
use pitstop::sim::store::resources::{LEASES, NODES};
use serde_json::json;
use std::time::Duration;

const NODE: &str = "worker-1";
const ASKED_ONCE: [&str; 1] = ["sudo -n /usr/bin/systemctl reboot"];
const SMALL: &str = "[size]\ncontrol_planes = 3\nworkers = 2\n";

/// A cluster, and the host of its node `worker-1`.
struct Site {
    stage: Stage,
    machine: Machine,
    host: Host,
}

impl Site {
    fn new(outcome: RebootOutcome, answer: Answer) -> Self {
        let mut stage = Stage::paced(SMALL, None, Pace::new(20.0));
        let machine = stage.sim.machine(NODE).expect("a machine").clone();
        machine.set_reboot_outcome(outcome);
        let host = Host::start(&machine, answer);
        stage.backends.hosts = Some(host.hosts.clone());
        stage.backends.settings.timing = Timing {
            settle: Duration::from_millis(100),
            verify_interval: Duration::from_millis(300),
            etcd_sample_interval: Duration::from_millis(100),
            poll: Duration::from_millis(50),
            gone: Duration::from_secs(5),
            back: Duration::from_secs(5),
            ..Timing::default()
        };
        Self { stage, machine, host }
    }

    async fn run(&self) -> RunView {
        let backends = &self.stage.backends;
        let facts = Facts::read(backends).await.expect("facts");
        let run =
            start(backends.clone(), plan(&request(), &facts), permit(Kind::Reboot, &[NODE]), OpId(1), true);
        to_its_end(run).await
    }

    /// Goes on with the run in a process of its own, as it were.
    async fn go_on(&self) -> RunView {
        let record = self.record().await;
        let errand = Errand::GoOn { has_asked: record.has_asked() };
        let run = resume(self.stage.backends.clone(), &record, self.permit(errand).await, OpId(2), true);
        to_its_end(run.expect("resumed")).await
    }

    async fn permit(&self, errand: Errand) -> Permit {
        let rows = self.stage.backends.cluster.nodes().await.expect("nodes").into_iter();
        let nodes = rows.map(|row| (row.name.clone(), row)).collect();
        let world = World { nodes: Some(&nodes), etcd: None, lock: None };
        let given = Assent::Flag { context: None };
        grant_for(errand, &Policy::default(), &request(), world, given).expect("a permit")
    }

    /// The journal, once the run's task has let go of it.
    async fn record(&self) -> Record {
        loop {
            let record = journal::find(&self.stage.backends.settings.state_dir, None).expect("a journal");
            if !record.is_alive {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_cordoned(&self) -> bool {
        let node = self.stage.sim.store().get(&NODES, "", NODE).expect("the node");
        node["spec"]["unschedulable"] == json!(true)
    }

    /// What the maintenance lock says of whoever left it; empty = nobody holds it.
    fn lock(&self) -> String {
        let lease = self.stage.sim.store().get(&LEASES, "kube-system", "pitstop");
        lease
            .filter(|lease| lease["spec"]["holderIdentity"].is_string())
            .map_or_else(String::new, |lease| lease.to_string())
    }
}

fn request() -> Request {
    Request::new(Kind::Reboot, vec![NODE.into()])
}

fn said(view: &RunView, kind: StepKind, words: &str) {
    let have = ended(view, kind);
    assert!(have.contains(words), "{kind:?}: {have:?}, not {words:?}\n{}", all(view));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_that_cuts_the_connection_is_asked_for_once_and_proven_by_the_boot_id() {
    for (answer, words) in [
        (Answer::IsCut, "cut the connection after the request, in boot"),
        (Answer::Accepts, "accepted the request in boot"),
    ] {
        let site = Site::new(RebootOutcome::Normal, answer);
        let before = site.machine.boot_id();
        let view = site.run().await;
        assert_eq!(view.state, RunState::Done, "{}", all(&view));
        said(&view, StepKind::Reboot, &format!("done: {NODE} {words} {before}"));
        said(&view, StepKind::Back, &format!("done: boot {} instead of {before}", site.machine.boot_id()));
        assert_eq!(site.host.reboots_asked(), ASKED_ONCE);
        assert_eq!((site.machine.reboots(), site.is_cordoned(), site.lock().as_str()), (1, false, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_keeps_its_boot_is_reported_and_not_asked_again() {
    let cases = [
        (RebootOutcome::KeepsBootId, StepKind::Back, "still answers in the old boot"),
        (RebootOutcome::Ignored, StepKind::Down, "still answers in the old boot"),
    ];
    for (outcome, step, words) in cases {
        let site = Site::new(outcome, Answer::Accepts);
        let view = site.run().await;
        assert_eq!(view.state, RunState::Failed, "{outcome:?}: {}", all(&view));
        said(&view, step, words);
        assert_eq!(site.host.reboots_asked(), ASKED_ONCE, "{outcome:?}");
        assert!(site.is_cordoned() && site.lock().contains("failed at"), "{outcome:?}: {}", site.lock());
        // nor when the run is taken up again
        let view = site.go_on().await;
        assert_eq!(view.state, RunState::Failed, "{outcome:?}: {}", all(&view));
        said(&view, step, words);
        assert_eq!(site.host.reboots_asked(), ASKED_ONCE, "{outcome:?}");
        assert!(site.is_cordoned() && site.machine.reboots() == 0, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_returns_stays_cordoned_and_its_run_goes_on_once_it_is_back() {
    let site = Site::new(RebootOutcome::NeverReturns, Answer::IsCut);
    let view = site.run().await;
    assert_eq!(view.state, RunState::Failed, "{}", all(&view));
    said(&view, StepKind::Down, "done");
    said(&view, StepKind::Back, "did not come back with a new boot within");
    assert!(site.is_cordoned() && site.lock().contains("failed at"), "{}", site.lock());
    assert_eq!(site.host.reboots_asked(), ASKED_ONCE);

    site.machine.power_on();
    let view = site.go_on().await;
    assert_eq!(view.state, RunState::Done, "{}", all(&view));
    assert_eq!(site.host.reboots_asked(), ASKED_ONCE);
    assert_eq!((site.machine.reboots(), site.is_cordoned(), site.lock().as_str()), (1, false, ""));
}
