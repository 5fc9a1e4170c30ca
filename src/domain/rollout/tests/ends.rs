//! What is stuck, when it ends, and what a restart of the watcher keeps.

use super::*;
use crate::domain::rollout::Event as E;

fn stuck(story: &Story) -> Option<Stall> {
    match story.rollout.pace(story.now) {
        Pace::Stuck(stall) => Some(stall),
        _ => None,
    }
}

#[test]
fn a_budget_that_never_gives_way_is_named_at_once() {
    let mut story = Story::new(0, 2);
    story.budget(3, 3, 0);
    story.cordon("worker-1", "kops");
    assert_eq!(story.waits("worker-1"), "blocked by shop/web (needs 3, has 3)");
    let stall = stuck(&story).unwrap();
    assert_eq!(stall.why, "worker-1 is cordoned, blocked by shop/web (needs 3, has 3)");
    assert_eq!(stall.budget.map(|key| key.to_string()).as_deref(), Some("shop/web"));
    assert!(story.told("worker-1").contains(&E::Blocked));
    story.wait(840);
    let stall = stuck(&story).unwrap();
    assert!(stall.words(story.now).starts_with("stuck for 14m: worker-1"), "{}", stall.words(story.now));
    story.budget(4, 3, 1);
    assert!(stuck(&story).is_none());
    assert_eq!(story.told("worker-1").last(), Some(&E::Unblocked));
    let track = story.rollout.track(&"worker-1".into()).unwrap();
    assert_eq!(track.blocked.as_secs(), 840);
}

#[test]
fn a_budget_that_may_give_way_is_named_at_once_and_is_stuck_only_later() {
    let mut story = Story::new(0, 2);
    story.budget(2, 2, 0);
    story.cordon("worker-1", "kops");
    assert!(story.waits("worker-1").starts_with("blocked by shop/web (needs 2, has 2)"));
    assert!(stuck(&story).is_none(), "the third pod may come back");
    assert!(!story.told("worker-1").contains(&E::Blocked));
    story.wait(61);
    assert!(stuck(&story).is_some());
}

#[test]
fn a_block_ahead_is_told_before_the_free_pods_have_left() {
    let mut story = Story::new(0, 1);
    let mut other = crate::domain::pod::sample("shop", "cache-1");
    other.node = Some("worker-1".into());
    story.world.see(Observation::Pods(vec![Delta::Upsert(other)]));
    story.budget(3, 3, 0);
    story.cordon("worker-1", "kops");
    assert!(
        story.waits("worker-1").starts_with("will be blocked by shop/web"),
        "{}",
        story.waits("worker-1")
    );
    assert!(stuck(&story).is_none());
}

#[test]
fn two_budgets_over_one_pod_never_let_it_go() {
    let mut story = Story::new(0, 1);
    let mut second = budget(3, 1, 2);
    second.key.name = "all".into();
    story.world.see(Observation::Budgets(Delta::Upsert(second)));
    story.cordon("worker-1", "kops");
    assert!(
        story.waits("worker-1").starts_with("blocked by shop/all and shop/web, which cover the same pod")
    );
    assert!(stuck(&story).is_some());
}

#[test]
fn quiet_is_told_from_stuck_by_what_was_measured() {
    let mut story = Story::new(0, 4);
    story.reboot("worker-1", "ann");
    story.reboot("worker-2", "ann");
    story.cordon("worker-3", "ann");
    story.drain("worker-3", 5);
    story.away("worker-3");
    story.wait(45);
    let Pace::Quiet(words) = story.rollout.pace(story.now) else {
        panic!("{:?}", story.rollout.pace(story.now))
    };
    assert_eq!(words, "quiet for 45s, but progressing: worker-3 is away for 45s (usually 30s)");
    story.wait(60);
    assert!(stuck(&story).is_some(), "three times the slow tenth is late");
    assert_eq!(story.phase("worker-3"), Phase::Away);
    story.wait(60);
    assert_eq!(story.phase("worker-3"), Phase::Failed, "five times is failed");
    let stall = stuck(&story).unwrap();
    assert!(stall.why.starts_with("worker-3 failed: did not come back for"), "{}", stall.why);
    story.boot("worker-3");
    story.ready("worker-3");
    story.uncordon("worker-3");
    assert_eq!(story.phase("worker-3"), Phase::Done, "late is better than never");
}

#[test]
fn it_ends_with_failures_when_no_node_is_to_come() {
    let mut story = Story::new(0, 3);
    story.reboot("worker-1", "ann");
    story.reboot("worker-2", "ann");
    story.cordon("worker-3", "ann");
    story.away("worker-3");
    story.wait(200);
    assert_eq!(story.how(), Some(How::Failed));
    assert!(story.rollout.ending().contains("1 node failed: worker-3"), "{}", story.rollout.ending());
    story.boot("worker-3");
    story.ready("worker-3");
    story.uncordon("worker-3");
    assert_eq!(story.how(), Some(How::Complete));
}

#[test]
fn a_roll_that_nobody_drives_any_more_is_over_after_a_while() {
    let mut story = Story::new(0, 4);
    for name in ["worker-1", "worker-2", "worker-3"] {
        story.reboot(name, "ann");
        story.wait(10);
    }
    story.wait(200);
    assert!(stuck(&story).is_some_and(|stall| stall.node.is_none()), "nobody works on a node");
    story.wait(100);
    assert_eq!(story.how(), Some(How::Stopped));
    assert!(story.rollout.ending().contains("1 node had no turn"), "{}", story.rollout.ending());
    story.cordon("worker-4", "ann");
    assert!(story.rollout.is_rolling(), "it goes on after all");
    assert_eq!(story.rollout.progress(), (3, 4));
}

#[test]
fn a_node_that_is_not_replaced_has_failed_in_the_end() {
    let mut story = Story::new(0, 2);
    story.cordon("worker-1", "kops");
    story.remove("worker-1");
    story.wait(901);
    assert_eq!(story.phase("worker-1"), Phase::Failed);
    story.add("worker-7");
    assert_eq!(story.phase("worker-7"), Phase::Back);
}

#[test]
fn nothing_is_called_stuck_while_the_api_is_away() {
    let mut story = Story::new(0, 2);
    story.budget(3, 3, 0);
    story.cordon("worker-1", "kops");
    let report = crate::domain::report::Report::new(crate::domain::report::FailureKind::Unreachable, "gone");
    story.world.see(Observation::Liveness(Liveness::Failing { last: None, report }));
    story.wait(300);
    assert!(matches!(story.rollout.pace(story.now), Pace::Blind(_)));
    story.world.see(Observation::Liveness(Liveness::Live(story.now)));
    story.wait(1);
    assert!(matches!(story.rollout.pace(story.now), Pace::Blind(_)), "the tables are those of before");
    story.wait(10);
    assert!(story.rollout.timeline.iter().any(|line| line.event == E::Unwatched));
    assert!(stuck(&story).is_some());
}

#[test]
fn no_end_is_foretold_on_one_measured_node() {
    let mut story = Story::new(0, 4);
    story.cordon("worker-1", "ann");
    assert_eq!(story.rollout.estimate(story.now).unwrap_err(), "no estimate yet: no node measured");
    story.uncordon("worker-1");
    story.reboot("worker-1", "ann");
    assert_eq!(story.rollout.estimate(story.now).unwrap_err(), "no estimate yet: 1 node measured");
}

#[test]
fn the_end_is_foretold_by_turns_and_intervals() {
    let mut story = Story::new(0, 6);
    for name in ["worker-1", "worker-2"] {
        story.reboot(name, "ann");
        story.wait(10);
    }
    let estimate = story.rollout.estimate(story.now).unwrap();
    // four turns of 50 s; the first of the four intervals of 10 s is over
    assert_eq!(estimate.ends.since(story.now).as_secs(), 4 * 50 + 3 * 10);
    assert_eq!(estimate.basis, "2 turns measured, 50s each + 10s between");
    story.cordon("worker-3", "ann");
    story.wait(20);
    let estimate = story.rollout.estimate(story.now).unwrap();
    assert_eq!(estimate.ends.since(story.now).as_secs(), 30 + 3 * 60);
    assert!(story.rollout.headline(story.now).unwrap().starts_with("rolling 2/6, ends about "));
}

#[test]
fn time_behind_a_budget_is_not_taken_for_the_usual() {
    let mut story = Story::new(0, 6);
    story.reboot("worker-1", "ann");
    story.budget(3, 3, 0);
    story.cordon("worker-2", "ann");
    story.wait(600);
    story.budget(4, 3, 1);
    story.drain("worker-2", 10);
    story.boot("worker-2");
    story.uncordon("worker-2");
    let estimate = story.rollout.estimate(story.now).unwrap();
    let left = estimate.ends.since(story.now).as_secs();
    assert!((100..=240).contains(&left), "{left}");
}

#[test]
fn nodes_taken_together_end_together() {
    let mut story = Story::new(0, 8);
    for pair in [["worker-1", "worker-2"], ["worker-3", "worker-4"]] {
        for name in pair {
            story.cordon(name, "ann");
        }
        story.wait(50);
        for name in pair {
            story.boot(name);
            story.uncordon(name);
        }
        story.wait(10);
    }
    let estimate = story.rollout.estimate(story.now).unwrap();
    assert_eq!(estimate.ends.since(story.now).as_secs(), 2 * 60 - 10);
    assert!(estimate.basis.ends_with("2 at once"), "{}", estimate.basis);
}

#[test]
fn a_restart_of_the_watcher_keeps_the_story() {
    let mut story = Story::new(0, 4);
    story.reboot("worker-1", "ann");
    story.reboot("worker-2", "ann");
    story.cordon("worker-3", "ann");
    let kept = serde_json::to_string(&story.rollout).unwrap();
    // the watcher is away for five minutes, in which a node comes back
    story.rollout = Rollout::default();
    story
        .world
        .see(Observation::Nodes(Delta::Upsert(NodeRow { boot_id: "other".into(), ..node("worker-3") })));
    story.now = story.now.plus(Duration::from_mins(5));
    let earlier: Rollout = serde_json::from_str(&kept).unwrap();
    assert!(earlier.is_of(&story.world.nodes));
    let lines = earlier.timeline.end();
    story.rollout.adopt(earlier);
    story.look();
    assert_eq!(story.phase("worker-3"), Phase::Done);
    assert_eq!(story.rollout.progress(), (3, 4));
    let missed: Vec<Event> = story.rollout.timeline.since(lines).map(|line| line.event).collect();
    assert_eq!(missed, [E::Unwatched, E::Done]);
    assert_eq!(story.rollout.samples().len(), 3);
}
