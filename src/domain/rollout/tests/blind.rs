//! What cannot be seen is not judged by: the API away, a table that cannot be read, pods that nobody may list.

use super::*;
use crate::domain::feed::Kept;
use crate::domain::report::{FailureKind, Report};

fn report() -> Report {
    Report::new(FailureKind::Unreachable, "gone")
}

fn away(story: &mut Story) {
    story.world.see(Observation::Liveness(Liveness::Failing { last: None, report: report() }));
}

fn back(story: &mut Story) {
    story.world.see(Observation::Liveness(Liveness::Live(story.now)));
}

#[test]
fn a_node_does_not_fail_in_time_that_nobody_has_seen() {
    let mut story = Story::new(0, 4);
    story.reboot("worker-1", "ann");
    story.reboot("worker-2", "ann");
    story.cordon("worker-3", "ann");
    story.away("worker-3");
    story.wait(20);
    away(&mut story);
    story.wait(1_200);
    assert_eq!(story.phase("worker-3"), Phase::Away);
    back(&mut story);
    story.wait(15);
    assert_eq!(story.phase("worker-3"), Phase::Away, "five times the usual 30 s have not been seen yet");
    story.wait(150);
    assert_eq!(story.phase("worker-3"), Phase::Failed);
}

#[test]
fn a_roll_is_not_over_because_nobody_has_seen_it() {
    let mut story = Story::new(0, 4);
    for name in ["worker-1", "worker-2"] {
        story.reboot(name, "ann");
        story.wait(10);
    }
    away(&mut story);
    story.wait(3_600);
    assert_eq!(story.how(), None);
    back(&mut story);
    story.wait(60);
    assert_eq!(story.how(), None);
    story.wait(900);
    assert_eq!(story.how(), Some(How::Stopped));
}

#[test]
fn nodes_that_cannot_be_read_are_no_news_although_the_api_answers() {
    let mut story = Story::new(0, 2);
    story.reboot("worker-1", "ann");
    story.cordon("worker-2", "ann");
    story.away("worker-2");
    assert!(story.world.see(Observation::Trouble(Kept::Nodes, Some(report()))));
    back(&mut story);
    story.wait(3_600);
    assert!(matches!(story.rollout.pace(story.now), Pace::Blind(_)));
    assert_eq!(story.phase("worker-2"), Phase::Away);
    let rows = story.world.nodes.values().cloned().collect();
    story.world.see(Observation::Nodes(Delta::Reset(rows)));
    story.wait(11);
    assert!(!matches!(story.rollout.pace(story.now), Pace::Blind(_)));
}

#[test]
fn pods_that_are_not_known_are_not_called_none() {
    for kept in [Kept::Pods, Kept::Budgets] {
        let mut story = Story::new(0, 3);
        story.world.see(Observation::Trouble(kept, Some(report())));
        story.cordon("worker-1", "ann");
        assert_eq!(story.waits("worker-1"), "its pods are not known");
        let told = story.rollout.timeline.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        assert!(told.iter().any(|text| text.ends_with("its pods are not known")), "{told:?}");
        story.wait(5);
        story.uncordon("worker-1");
        let track = story.rollout.track(&"worker-1".into()).unwrap();
        assert_eq!(track.turns, 0, "a cordon that was taken back is no turn");
        assert_ne!(track.phase, Phase::Done);
    }
}

/// Nobody drives it any more, and the nodes to come still bear its marks.
#[test]
fn nodes_that_are_announced_are_left_when_it_stops() {
    let mut story = Story::new(0, 4);
    for name in ["worker-1", "worker-2", "worker-3", "worker-4"] {
        story.change(name, |row| row.foreign_locks = vec!["kops: scheduled for update".to_owned()]);
    }
    for name in ["worker-1", "worker-2"] {
        story.reboot(name, "ann");
        story.change(name, |row| row.foreign_locks.clear());
    }
    story.wait(1_000);
    assert_eq!(story.how(), Some(How::Stopped), "{:?}", story.rollout.stage);
    assert_eq!(story.rollout.aim, Aim::Rebooted);
    assert!(story.rollout.names_the_rest());
    assert!(story.rollout.ending().contains("2 nodes are left"), "{}", story.rollout.ending());
}
