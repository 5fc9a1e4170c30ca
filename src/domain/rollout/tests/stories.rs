//! The same roll as different tools drive it.

use super::*;
use crate::domain::rollout::Event as E;

#[test]
fn kured_reboots_one_node_after_the_other() {
    let mut story = Story::new(0, 3);
    assert_eq!(story.rollout.stage, Stage::Idle);
    story.reboot("worker-1", "kured");
    assert!(!story.rollout.is_roll(), "one node's maintenance is no roll yet");
    assert_eq!(story.rollout.aim, Aim::Rebooted);
    story.wait(20);
    story.cordon("worker-2", "kured");
    assert!(story.rollout.is_roll());
    assert_eq!(story.rollout.progress(), (1, 3));
    story.uncordon("worker-2");
    assert_eq!(story.phase("worker-2"), Phase::Waiting, "it was not drained, and nothing changed");
    assert_eq!(story.told("worker-2"), [E::Cordoned, E::GivenUp]);
    story.reboot("worker-2", "kured");
    story.wait(20);
    story.reboot("worker-3", "kured");
    assert_eq!(story.how(), Some(How::Complete));
    assert_eq!(story.rollout.driver.as_deref(), Some("kured"));
    let account = story.rollout.account().unwrap();
    assert_eq!(account.turn.map(|(median, _)| median.0.as_secs()), Some(50));
    assert_eq!(account.interval.map(|(median, _)| median.0.as_secs()), Some(20));
    let phases = &account.nodes[0].phases;
    let secs = |phase: Phase| phases.get(&phase).map(|span| span.0.as_secs());
    assert_eq!(secs(Phase::Away), Some(30));
    assert_eq!(secs(Phase::Back), Some(5));
    assert_eq!(secs(Phase::Ready), Some(3));
}

#[test]
fn every_step_of_a_turn_is_told_once() {
    let mut story = Story::new(0, 2);
    story.reboot("worker-1", "ann");
    let told = story.told("worker-1");
    let steps = [E::Cordoned, E::Draining, E::Drained, E::Away, E::Back, E::Ready, E::Done];
    assert_eq!(told, steps);
}

#[test]
fn kubeadm_by_hand_changes_the_version_without_a_reboot() {
    let mut story = Story::new(1, 2);
    story.cordon("cp-1", "kubectl-cordon");
    story.wait(5);
    story.drain("cp-1", 10);
    assert_eq!(story.phase("cp-1"), Phase::Draining);
    assert_eq!(story.waits("cp-1"), "drained, waits for its restart");
    story.change("cp-1", |row| row.version = NEW.into());
    assert_eq!(story.phase("cp-1"), Phase::Ready);
    assert_eq!(story.waits("cp-1"), "waits for its uncordon");
    story.uncordon("cp-1");
    assert_eq!(story.rollout.aim, Aim::Version(NEW.into()));
    assert_eq!(story.rollout.counted(), "control plane 1/1, workers 0/2");
    assert!(!story.rollout.is_roll(), "one node so far");
    story.cordon("worker-2", "kubectl-cordon");
    assert!(story.rollout.is_roll());
    assert_eq!(story.rollout.driver.as_deref(), Some("kubectl-cordon"));
}

#[test]
fn kops_replaces_a_node_by_one_of_another_name() {
    let mut story = Story::new(1, 2);
    for name in ["cp-1", "worker-1", "worker-2"] {
        story.change(name, |row| row.foreign_locks = vec!["kops: scheduled for update".into()]);
    }
    assert!(story.rollout.is_roll(), "its marks say so before anything else happens");
    assert_eq!(story.rollout.driver.as_deref(), Some("kops"));
    story.cordon("worker-1", "kops");
    story.drain("worker-1", 10);
    story.remove("worker-1");
    assert_eq!(story.phase("worker-1"), Phase::Away);
    assert_eq!(story.waits("worker-1"), "removed, waits for another in its place");
    story.wait(40);
    story.add("worker-9");
    assert!(story.rollout.track(&"worker-1".into()).is_none(), "its turn goes on under the new name");
    assert_eq!(story.phase("worker-9"), Phase::Back);
    story.wait(10);
    story.ready("worker-9");
    assert_eq!(story.phase("worker-9"), Phase::Done);
    assert_eq!(story.rollout.progress(), (1, 3));
    let track = story.rollout.track(&"worker-9".into()).unwrap();
    assert_eq!(track.replaces, Some("worker-1".into()));
    assert_eq!(track.took.map(|span| span.as_secs()), Some(60));
    assert!(story.waits("worker-9").starts_with("for worker-1: v1.34.2 → v1.35.1"));
}

#[test]
fn a_cloud_surges_a_node_before_it_takes_one_away() {
    let mut story = Story::new(0, 2);
    story.cordon("worker-1", "eks");
    story.add("worker-3");
    story.ready("worker-3");
    assert_eq!(story.rollout.progress().1, 2, "a node more is none to roll");
    assert_eq!(story.rollout.extras().count(), 1);
    story.drain("worker-1", 10);
    story.remove("worker-1");
    assert_eq!(story.phase("worker-3"), Phase::Done);
    assert_eq!(story.rollout.progress(), (1, 2));
    assert_eq!(story.rollout.aim, Aim::Version(NEW.into()));
}

#[test]
fn the_same_name_with_another_uid_is_a_new_node() {
    let mut story = Story::new(0, 2);
    story.cordon("worker-1", "gce");
    story.drain("worker-1", 5);
    story.remove("worker-1");
    story.wait(30);
    story.add("worker-1");
    story.ready("worker-1");
    assert_eq!(story.phase("worker-1"), Phase::Done);
    assert_eq!(story.rollout.track(&"worker-1".into()).unwrap().replaces, None);
}

#[test]
fn what_was_cordoned_or_broken_before_is_set_apart() {
    let old = NodeRow {
        cordoned: true,
        cordon: Some(CordonNote {
            run: None,
            holder: "bob".into(),
            since: Some(Stamp(BEGIN.0 - 7_200_000)),
            reason: None,
            prior_cordoned: None,
        }),
        ..node("worker-2")
    };
    let ill = NodeRow { readiness: Readiness::NotReady, ..node("worker-3") };
    let mut story = Story::of(vec![node("worker-1"), old, ill, node("worker-4")], Wish::default());
    story.wait(60);
    assert_eq!(story.rollout.stage, Stage::Idle);
    story.reboot("worker-1", "ann");
    story.reboot("worker-4", "ann");
    assert_eq!(story.phase("worker-2"), Phase::Waiting);
    assert_eq!(story.waits("worker-2"), "was cordoned before the roll");
    assert_eq!(story.waits("worker-3"), "was not Ready before the roll");
    story.boot("worker-2");
    assert_eq!(story.phase("worker-2"), Phase::Done, "the old cordon stays, its turn was the reboot");
    assert_eq!(story.how(), Some(How::Complete), "the broken one is not waited for");
}

#[test]
fn a_node_that_is_silent_for_a_moment_has_not_had_its_turn() {
    let mut story = Story::new(0, 3);
    story.reboot("worker-1", "ann");
    story.away("worker-2");
    assert_eq!(story.phase("worker-2"), Phase::Away);
    story.wait(5);
    story.ready("worker-2");
    assert_eq!(story.phase("worker-2"), Phase::Waiting);
    assert_eq!(story.told("worker-2"), [E::Away, E::Flapped]);
    story.away("worker-1");
    story.wait(2);
    story.ready("worker-1");
    assert_eq!(story.phase("worker-1"), Phase::Done);
    assert!(story.waits("worker-1").starts_with("flapped once"), "{}", story.waits("worker-1"));
    assert_eq!(story.rollout.samples().len(), 1);
}

#[test]
fn a_silent_kubelet_in_the_middle_of_a_drain_does_not_end_it() {
    let mut story = Story::new(0, 2);
    story.cordon("worker-1", "ann");
    story.away("worker-1");
    story.ready("worker-1");
    assert_eq!(story.phase("worker-1"), Phase::Draining, "three pods are still to move");
}

#[test]
fn a_node_that_boots_without_being_cordoned_had_a_turn() {
    let mut story = Story::new(0, 2);
    story.away("worker-1");
    story.wait(40);
    story.boot("worker-1");
    story.ready("worker-1");
    assert_eq!(story.phase("worker-1"), Phase::Done);
    assert_eq!(story.rollout.aim, Aim::Rebooted);
    let took = story.rollout.track(&"worker-1".into()).unwrap().took;
    assert_eq!(took.map(|span| span.as_secs()), Some(40));
}

#[test]
fn mixed_versions_alone_are_no_roll_and_are_said() {
    let newer = NodeRow { version: NEW.into(), ..node("cp-1") };
    let mut story = Story::of(vec![newer, node("worker-1"), node("worker-2")], Wish::default());
    assert_eq!(story.rollout.stage, Stage::Idle);
    let words = story.rollout.idle_words();
    assert_eq!(words, "versions are mixed (1 at v1.35.1, 2 at v1.34.2), and nobody works on a node");
    story.cordon("worker-1", "kubectl-cordon");
    assert_eq!(story.rollout.progress(), (1, 3), "the newer version is the target, as it seems");
    story.drain("worker-1", 3);
    story.change("worker-1", |row| row.version = NEW.into());
    story.uncordon("worker-1");
    assert!(story.rollout.is_roll());
}

#[test]
fn a_named_target_begins_a_roll_and_tells_what_is_left() {
    let newer = NodeRow { version: NEW.into(), ..node("worker-1") };
    let wish = Wish { to_version: Some("1.35.1".into()), since: None };
    let story = Story::of(vec![newer, node("worker-2")], wish.clone());
    assert!(story.rollout.is_roll());
    assert_eq!(story.rollout.progress(), (1, 2));
    let at_target = NodeRow { version: NEW.into(), ..node("worker-1") };
    let story = Story::of(vec![at_target], wish);
    assert_eq!(story.rollout.stage, Stage::Idle, "there is nothing to roll");
}

#[test]
fn a_named_beginning_counts_what_became_ready_since() {
    let done = NodeRow { ready_since: Some(Stamp(BEGIN.0 - 600_000)), ..node("worker-1") };
    let wish = Wish { to_version: None, since: Some(Stamp(BEGIN.0 - 3_600_000)) };
    let story = Story::of(vec![done, node("worker-2")], wish);
    assert_eq!(story.rollout.progress(), (1, 2));
    assert_eq!(story.rollout.began(), Some(Stamp(BEGIN.0 - 3_600_000)));
}

#[test]
fn pods_before_and_now_are_compared() {
    let mut story = Story::new(0, 2);
    story.cordon("worker-1", "ann");
    story.drain("worker-1", 3);
    story.wait(2);
    let (before, now) = (story.rollout.before.clone().unwrap(), story.rollout.pods.clone().unwrap());
    assert_eq!(before.words(&now), "Running 6 → 3, Pending 0, restarts 0");
}

#[test]
fn a_node_that_came_for_one_gone_before_the_watch_does_not_take_another_ones_turn() {
    let zone = |name: &str| {
        let letter = if name.ends_with('2') { "b" } else { "a" };
        let labels = [("topology.kubernetes.io/zone".to_owned(), letter.to_owned())].into();
        NodeRow { labels, ..node(name) }
    };
    let mut story = Story::of(vec![zone("cp-2"), zone("worker-1")], Wish::default());
    story.change("cp-2", |row| row.foreign_locks = vec!["kops: scheduled for update".into()]);
    // cp-1 had been removed before: this is what comes in its place
    story.add("cp-1");
    story.change("cp-1", |row| row.labels = zone("cp-1").labels);
    story.ready("cp-1");
    story.cordon("cp-2", "kops");
    story.remove("cp-2");
    assert_eq!(story.phase("cp-2"), Phase::Away, "its own zone's node is still to come");
    story.wait(121);
    assert!(story.rollout.track(&"cp-2".into()).is_none(), "nothing came there");
}

#[test]
fn a_roll_of_pitstop_over_some_nodes_counts_these_only() {
    let mut story = Story::new(1, 5);
    for name in ["worker-1", "worker-2"] {
        story.change(name, |row| row.taints = vec!["pitstop.dev/scheduled:PreferNoSchedule".into()]);
    }
    assert_eq!(story.rollout.driver.as_deref(), Some("pitstop"));
    assert_eq!(story.rollout.progress(), (0, 2));
    for name in ["worker-1", "worker-2"] {
        story.reboot(name, "ann");
        story.change(name, |row| row.taints.clear());
    }
    assert_eq!(story.rollout.progress(), (2, 2));
    assert_eq!(story.how(), Some(How::Complete));
}
