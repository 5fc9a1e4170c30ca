//! Rolls that others drive, on the simulated cluster: what is read off its objects, second by second, and what the console
//! shows of it.

#![expect(clippy::expect_used, reason = "a test stops where something is missing")]

#[path = "console/desk.rs"]
#[expect(dead_code, reason = "other scripts do more")]
mod desk;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, clippy::panic, reason = "stories are played elsewhere")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use futures::FutureExt;
use pitstop::backend::clock::now;
use pitstop::backend::kube::observe;
use pitstop::console::shell::Connect;
use pitstop::domain::ids::Generation;
use pitstop::domain::rollout::world::World;
use pitstop::domain::rollout::{Aim, Event, How, Pace, Phase, Rollout, Stage as State, Wish};
use pitstop::domain::time::Stamp;
use stage::Stage;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Follows a scenario's roll until `is_over`, at most for so long; `look` sees it after each change and each second.
async fn follow(
    scenario: &str,
    most: Duration,
    mut look: impl FnMut(&Rollout, Stamp),
    is_over: impl Fn(&Rollout, Stamp) -> bool,
) -> Rollout {
    let stage = Stage::new(scenario);
    let cancel = CancellationToken::new();
    let mut seen = observe(&stage.backends.cluster, Generation(1), cancel.child_token());
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut looking = tokio::time::interval(Duration::from_secs(10));
    let (mut world, mut rollout) = (World::default(), Rollout::new(Wish::default()));
    let began = now();
    while now().since(began) < most {
        let is_news = tokio::select! {
            Some(observation) = seen.recv() => world.see(observation),
            _ = tick.tick() => true,
            _ = looking.tick() => {
                world.actors = stage.backends.cluster.rollers().await.0;
                true
            }
        };
        if is_news && world.has_nodes {
            rollout.observe(now(), &world.snapshot());
            look(&rollout, now());
            if is_over(&rollout, now()) {
                break;
            }
        }
    }
    cancel.cancel();
    rollout
}

fn has_ended(rollout: &Rollout, _: Stamp) -> bool {
    matches!(rollout.stage, State::Ended { .. })
}

fn how(rollout: &Rollout) -> Option<How> {
    match rollout.stage {
        State::Ended { how, .. } => Some(how),
        _ => None,
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// When the event was told first.
fn at(rollout: &Rollout, event: Event, node: &str) -> Option<Stamp> {
    let is_it = |line: &&pitstop::domain::rollout::Happening| {
        line.event == event && line.node.as_ref().is_none_or(|on| on.as_str() == node)
    };
    rollout.timeline.iter().find(is_it).map(|line| line.at)
}

#[test]
fn a_roll_of_kops_is_followed_to_its_end() {
    desk::run(async {
        let mut foretold = Vec::new();
        let rollout = follow(
            "foreign-roll",
            HOUR,
            |rollout, now| {
                let (done, _) = rollout.progress();
                if let Ok(estimate) = rollout.estimate(now) {
                    foretold.push((done, estimate.ends));
                }
            },
            has_ended,
        )
        .await;
        assert_eq!(how(&rollout), Some(How::Complete), "{}", rollout.ending());
        assert_eq!(rollout.progress(), (12, 12));
        assert_eq!(rollout.aim, Aim::Version("v1.35.1".to_owned()));
        assert_eq!(rollout.driver.as_deref(), Some("kops"));
        let account = rollout.account().expect("it is over");
        assert!(account.nodes.iter().all(|node| node.took.is_some() && node.replaces.is_some()));
        // the end was foretold within a fifth of the whole, from a third of the nodes on
        let settled: Vec<_> = foretold.iter().filter(|(done, _)| *done >= 4).collect();
        assert!(settled.len() > 100);
        let most = account.took / 5;
        for (done, ends) in settled {
            let off = ends.since(account.ended).max(account.ended.since(*ends));
            assert!(off <= most, "{off:?} off with {done} done, of {:?}", account.took);
        }
        // the block was named when the node that it blocks was cordoned
        let begun = |event| at(&rollout, event, "worker-4");
        // its first pods may go in the same moment
        let cordoned = begun(Event::Cordoned).or(begun(Event::Draining)).expect("out of scheduling");
        let blocked = at(&rollout, Event::Blocked, "worker-4").expect("blocked");
        assert!(blocked.since(cordoned) <= Duration::from_secs(1), "{:?}", blocked.since(cordoned));
        assert!(at(&rollout, Event::Unblocked, "worker-4").is_some_and(|at| at > blocked));
    });
}

#[test]
fn rolls_of_kured_and_by_hand_are_followed_to_their_end() {
    for (scenario, driver) in [("kured-roll", "kured"), ("hand-roll", "kubectl-cordon")] {
        let rollout = desk::run(follow(scenario, HOUR * 2, |_, _| {}, has_ended));
        assert_eq!(how(&rollout), Some(How::Complete), "{scenario}: {}", rollout.ending());
        assert_eq!(rollout.progress(), (9, 9), "{scenario}");
        let by = rollout.driver.clone().unwrap_or_default();
        assert!(by.contains(driver), "{scenario}: {by}");
        assert!(matches!(rollout.aim, Aim::Kernel(_)), "{scenario}: {:?}", rollout.aim);
    }
}

#[test]
fn a_budget_that_nobody_does_anything_about_stays_named() {
    let is_long = |rollout: &Rollout, now: Stamp| match rollout.pace(now) {
        Pace::Stuck(stall) => now.since(stall.since) > Duration::from_mins(14),
        _ => false,
    };
    let rollout = desk::run(follow("roll-stuck", HOUR, |_, _| {}, is_long));
    let Pace::Stuck(stall) = rollout.pace(now()) else { panic!("{:?}", rollout.pace(now())) };
    assert_eq!(stall.why, "worker-4 drains, blocked by shop/web (needs 3, has 3)");
    assert_eq!(stall.budget.map(|key| key.to_string()).as_deref(), Some("shop/web"));
    assert!(stall.never.is_some());
}

#[test]
fn a_node_that_does_not_return_has_failed_and_ends_the_roll() {
    let rollout = desk::run(follow("roll-lost", HOUR * 3, |_, _| {}, has_ended));
    assert_eq!(how(&rollout), Some(How::Stopped), "{}", rollout.ending());
    let failed = rollout.in_phase(Phase::Failed);
    assert_eq!(failed.iter().map(|track| track.name.as_str()).collect::<Vec<_>>(), ["worker-5"]);
    assert!(rollout.ending().contains("1 node failed: worker-5"), "{}", rollout.ending());
}

#[test]
fn a_node_that_flaps_is_seen_to_flap() {
    let rollout = desk::run(follow("roll-flapping", HOUR * 2, |_, _| {}, has_ended));
    assert_eq!(how(&rollout), Some(How::Complete), "{}", rollout.ending());
    assert!(rollout.members().iter().any(|track| track.flaps > 1));
}

#[test]
fn the_story_survives_a_restart_of_the_console() {
    desk::run(async {
        let stage = Stage::new("hand-roll");
        let backends = stage.backends.clone();
        let connect: Connect = Arc::new(move || {
            let backends = backends.clone();
            async move { Ok(backends) }.boxed()
        });
        desk::open(connect.clone(), stage.dir.path(), async |desk| {
            desk.see("a roll is under way by kubectl-cordon").await;
            desk.keys("6").await;
            desk.see("6 Rollout 1 of 9").await;
            desk.see("6 Rollout 2 of 9").await;
            desk.keys("q").await;
        })
        .await;
        let model = desk::open(connect, stage.dir.path(), async |desk| {
            desk.see("rolling 2/9").await;
            desk.keys("6").await;
            desk.see("6 Rollout 3 of 9").await;
            desk.keys("q").await;
        })
        .await;
        let rollout = &model.watch.rollout;
        assert_eq!(rollout.samples().len(), 3, "what was measured before counts");
        let began = rollout.timeline.iter().filter(|line| line.event == Event::Began).count();
        assert_eq!(began, 1);
    });
}
