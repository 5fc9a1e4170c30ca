//! Whole reboots of a control-plane node on the simulated cluster, in real time, with real etcd members beneath it that live and
//! die with their machines: the gates before, the leadership moved away, and the gates after.

use super::ended::{all, ended, to_its_end};
use super::members::{Members, healthy};
use super::rows;
use super::stage::Stage;
use pitstop::domain::guard::Request;
use pitstop::domain::ids::OpId;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{RunState, RunView};
use pitstop::engine::gate::names;
use pitstop::engine::{Facts, Timing, plan, start};
use pitstop::sim::machine::Machine;
use pitstop::sim::pace::Pace;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// In which state a member comes back with its machine.
#[derive(Clone, Copy)]
enum Comes {
    /// As it went.
    Whole,
    /// With an empty data directory, as another member of the same name.
    Anew,
}

fn stage(members: &Members) -> Stage {
    let mut stage = Stage::paced("[size]\ncontrol_planes = 3\nworkers = 2\n", None, Pace::new(20.0));
    stage.backends.etcd = Some(members.etcd());
    stage.backends.settings.timing = Timing {
        settle_control_plane: Duration::from_millis(100),
        verify_interval: Duration::from_millis(300),
        etcd_sample_interval: Duration::from_millis(200),
        poll: Duration::from_millis(50),
        ..Timing::default()
    };
    stage
}

async fn reboot(stage: &Stage, node: &str) -> RunView {
    let request = Request::new(Kind::Reboot, vec![node.into()]);
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let permit = rows::permit(Kind::Reboot, &[node]);
    let run = start(stage.backends.clone(), plan(&request, &facts), permit, OpId(1), true);
    to_its_end(run).await
}

/// What a step's gate rested on.
fn evidence(view: &RunView, kind: StepKind, gate: &str) -> String {
    let step = view.steps.iter().find(|step| step.step.kind == kind).expect("a step");
    let found = step.gates.iter().find(|found| found.name == gate).expect("a gate");
    format!("{:?}: {}", found.verdict, found.evidence)
}

/// Lets the member of a machine go and come with its power.
async fn follow(members: Arc<Mutex<Members>>, machine: Machine, comes: Comes) {
    let mut power = machine.power();
    let mut was_on = true;
    while power.changed().await.is_ok() {
        let is_on = power.borrow_and_update().on;
        match (std::mem::replace(&mut was_on, is_on), is_on) {
            (true, false) => take_away(&mut members.lock().expect("lock"), machine.name(), comes),
            (false, true) => {
                let mut members = members.lock().expect("lock");
                let (index, initial) = (members.index_of(machine.name()), members.initial_cluster());
                members.launch(index, &initial, "existing");
            }
            _ => {}
        }
    }
}

fn take_away(members: &mut Members, name: &str, comes: Comes) {
    let index = members.index_of(name);
    members.stop(index);
    if let Comes::Anew = comes {
        let other = usize::from(index == 0);
        let listed = members.etcdctl(other, &["member", "list"]);
        let line = listed.lines().find(|line| line.contains(&format!(" {name},"))).expect("the member");
        let id = line.split(',').next().expect("its id");
        members.etcdctl(other, &["member", "remove", id]);
        let peer = format!("--peer-urls=https://127.0.0.1:{}", members.all[index].peer);
        // etcd takes no new member before the others have been connected for 5 s
        let add = || members.client(other).args(["member", "add", name, &peer]).output();
        let is_added = (0..40).any(|_| {
            std::thread::sleep(Duration::from_millis(500));
            add().is_ok_and(|output| output.status.success())
        });
        assert!(is_added, "{:?}", add());
        std::fs::remove_dir_all(members.path(&format!("{name}.data"))).expect("its data");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_goes_and_returns_as_the_member_that_it_was() {
    let members = Members::start(3).await;
    for key in 0..50 {
        members.etcdctl(0, &["put", &format!("/registry/pods/{key}"), &"x".repeat(500)]);
    }
    let stage = stage(&members);
    let etcd = members.etcd();
    let before = etcd.look().await.expect("view").leader().expect("a leader").clone();
    let machine = stage.sim.machine(&before.name).expect("a machine").clone();
    let members = Arc::new(Mutex::new(members));
    let following = tokio::spawn(follow(Arc::clone(&members), machine.clone(), Comes::Whole));

    let view = reboot(&stage, &before.name).await;
    assert_eq!(view.state, RunState::Done, "{}", all(&view));
    let moved = ended(&view, StepKind::MoveLeader);
    assert!(moved.ends_with("leads now") && !moved.contains(&before.name), "{moved}");
    let said = evidence(&view, StepKind::Preflight, names::ETCD_HEALTHY);
    assert!(said.starts_with(&format!("Passed: leader {}, term", before.name)), "{said}");
    assert!(evidence(&view, StepKind::Recheck, names::ETCD_READ).starts_with("Passed: answered in"));
    let said = evidence(&view, StepKind::Verify, names::ETCD_MEMBER);
    assert!(said.starts_with(&format!("Passed: {:x}, applied", before.id)), "{said}");
    let said = evidence(&view, StepKind::Verify, names::ETCD_HASH);
    assert_eq!(said, "Passed: 3 members agree at revision 51");
    assert_eq!(machine.reboots(), 1);
    let now = etcd.look().await.expect("view");
    assert_eq!(
        (healthy(&now), now.on_node(&before.name.as_str().into()).map(|row| row.id)),
        (3, Some(before.id))
    );
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_returns_as_another_one_stops_the_run() {
    let members = Members::start(3).await;
    let stage = stage(&members);
    let machine = stage.sim.machine("cp-2").expect("a machine").clone();
    let following = tokio::spawn(follow(Arc::new(Mutex::new(members)), machine.clone(), Comes::Anew));
    let view = reboot(&stage, "cp-2").await;
    let words = ended(&view, StepKind::Verify);
    assert_eq!(view.state, RunState::Failed, "{words}");
    assert!(words.contains("its data directory was lost or replaced, stop here"), "{words}");
    assert!(view.left.iter().any(|left| left.contains("cp-2 is cordoned")), "{:?}", view.left);
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_member_stopped_nothing_is_touched_and_with_its_own_it_may_go() {
    let mut members = Members::start(3).await;
    let etcd = members.etcd();
    members.stop(2);
    members.until(&etcd, |view| healthy(view) == 2 && view.leader().is_some()).await;
    let stage = stage(&members);
    let view = reboot(&stage, "cp-2").await;
    let words = ended(&view, StepKind::Preflight);
    assert!(words.contains("2 of 3 voters are healthy; without cp-2 1, quorum is 2"), "{words}");
    assert_eq!(view.state, RunState::Failed);
    assert!(view.left.is_empty(), "{:?}", view.left);

    // it comes back with the machine's reboot
    let machine = stage.sim.machine("cp-3").expect("a machine").clone();
    let starting = tokio::spawn(async move {
        let mut power = machine.power();
        let _ = power.wait_for(|power| !power.on).await;
        let _ = power.wait_for(|power| power.on).await;
        let initial = members.initial_cluster();
        members.launch(2, &initial, "existing");
        members
    });
    let view = reboot(&stage, "cp-3").await;
    let said = evidence(&view, StepKind::Preflight, names::ETCD_HEALTHY);
    assert!(said.contains("cp-3, which goes, does not answer"), "{said}");
    assert_eq!(view.state, RunState::Done, "{}", all(&view));
    drop(starting.await.expect("the members"));
}
