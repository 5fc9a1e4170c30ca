//! Whatever happens to nodes: phases change only as they may, the counts add up, and nothing is told in the wrong order.

use super::*;
use proptest::prelude::*;

/// One thing that happens to one node.
fn step(story: &mut Story, what: u8, on: &str) {
    let exists = story.world.nodes.contains_key(&NodeName::from(on));
    match what {
        7 if !exists => story.add(on),
        _ if !exists => {}
        0 => story.cordon(on, "x"),
        1 => story.uncordon(on),
        2 => story.drain(on, 2),
        3 => story.away(on),
        4 => story.ready(on),
        5 => story.boot(on),
        6 => story.remove(on),
        7 => story.change(on, |row| row.version = NEW.into()),
        8 => story.budget(3, 3, 0),
        9 => story.budget(3, 2, 1),
        10 => story.change(on, |row| row.foreign_locks = vec!["kops: scheduled for update".into()]),
        11 => story.change(on, |row| row.foreign_locks.clear()),
        _ => story.wait(400),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn phases_move_as_they_may_and_the_counts_add_up(
        steps in proptest::collection::vec((0u8..13, 0usize..7), 1..50),
    ) {
        let names = ["cp-1", "cp-2", "worker-1", "worker-2", "worker-3", "worker-8", "worker-9"];
        let mut story = Story::new(2, 3);
        for (what, on) in steps {
            let before: Vec<(NodeName, Phase, bool)> = story
                .rollout
                .members()
                .iter()
                .map(|track| (track.name.clone(), track.phase, track.is_gone))
                .collect();
            let lines = story.rollout.timeline.end();
            let began = story.rollout.began();
            step(&mut story, what, names[on]);
            story.wait(1);
            for (name, phase, _) in before {
                let Some(track) = story.rollout.track(&name) else { continue };
                // several looks may lie between: only one step may be illegal if none of its parts is
                let through = Phase::ALL.iter().any(|mid| phase.may_become(*mid) && mid.may_become(track.phase));
                prop_assert!(through, "{name}: {phase} -> {}", track.phase);
            }
            let members = story.rollout.members();
            let of = |phase: Phase| members.iter().filter(|track| track.phase == phase).count();
            let sum = Phase::ALL.into_iter().map(of).sum::<usize>();
            let (done, total) = story.rollout.progress();
            prop_assert_eq!(total, sum);
            prop_assert_eq!(done, of(Phase::Done));
            prop_assert_eq!(
                done + story.rollout.at_work().len() + of(Phase::Waiting) + of(Phase::Failed), total
            );
            prop_assert!(story.rollout.timeline.end() >= lines || story.rollout.began() != began);
            for track in members {
                let spent: Duration = track.spent.values().sum();
                if let Some(took) = track.took.filter(|_| track.phase == Phase::Done && track.flaps == 0) {
                    prop_assert!(spent <= took + Duration::from_secs(1), "{spent:?} {took:?}");
                }
                prop_assert!(track.load.left <= track.load.total);
            }
            if let Ok(estimate) = story.rollout.estimate(story.now) {
                prop_assert!(estimate.ends >= story.now && estimate.late >= estimate.ends);
            }
            // what is kept is what was
            let kept = serde_json::to_string(&story.rollout).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Rollout>(&kept).unwrap(), &story.rollout);
        }
    }
}
