//! What of etcd closes a gate before a reboot of cp-2, and after it.

use super::scene::Samples;
use super::tests::{back, before, fails, gone, only_closed, scene, view};
use super::*;
use crate::domain::etcd::{EtcdView, HashReading, LAG_LIMIT, MemberHealth, MemberRow, MemberStatus};

const CP_2: usize = 1;
const CP_3: usize = 2;

/// Both samples alike.
fn seen(scene: Scene, change: impl Fn(&mut EtcdView)) -> Scene {
    let mut view = view(4);
    change(&mut view);
    Scene { etcd: Some(Samples { first: Ok(view.clone()), second: Ok(view) }), ..scene }
}

fn status(view: &mut EtcdView, at: usize, change: impl Fn(&mut MemberStatus)) {
    change(view.members[at].status.as_mut().unwrap());
}

fn healthy(scene: &Scene) -> Gate {
    judge(scene).into_iter().find(|gate| gate.name == names::ETCD_HEALTHY).unwrap()
}

#[test]
fn whatever_is_wrong_with_a_member_that_stays_closes_the_gate() {
    type Wrong = fn(&mut MemberRow);
    let cases: [(Wrong, &str); 6] = [
        (|row| row.lag = Some(LAG_LIMIT), "is 1000 entries behind"),
        (|row| row.status.as_mut().unwrap().downgrading = true, "a downgrade is in progress"),
        (|row| row.status.as_mut().unwrap().db_size = 800_000, "database file takes 80% of its quota"),
        (
            |row| {
                let status = row.status.as_mut().unwrap();
                (status.quota, status.db_size) = (None, 1_800_000_000);
            },
            "database file takes 83% of the default quota of 2 GiB",
        ),
        (|row| row.status.as_mut().unwrap().term = 3, "follows cp-1 in term 3, unlike the majority"),
        (|row| row.status.as_mut().unwrap().leader = 3, "follows cp-3 in term 4, unlike the majority"),
    ];
    for (wrong, words) in cases {
        fails(&seen(scene(), |view| wrong(&mut view.members[CP_3])), names::ETCD_HEALTHY, words);
    }
    // wherever a join is under way
    for at in [CP_2, CP_3] {
        let gate = healthy(&seen(scene(), |view| view.members[at].learner = true));
        assert_eq!(gate.verdict, Verdict::Failed);
        assert!(gate.evidence.contains("is a learner: a member is being added"), "{gate:?}");
    }
}

#[test]
fn a_member_that_goes_may_be_silent_or_behind_but_not_under_an_alarm() {
    let silent = seen(scene(), |view| view.members[CP_2].health = MemberHealth::Silent(gone()));
    assert!(closed(&judge(&silent)).is_empty(), "{:?}", only_closed(&silent));
    assert!(
        healthy(&silent).evidence.contains("cp-2, which goes, does not answer"),
        "{:?}",
        healthy(&silent)
    );
    let behind = seen(scene(), |view| view.members[CP_2].lag = Some(9_000));
    assert!(closed(&judge(&behind)).is_empty(), "{:?}", only_closed(&behind));
    // what it says of all, and what it would say of itself after the reboot
    let alarm = "memberID:2 alarm:NOSPACE".to_owned();
    let full = seen(scene(), |view| {
        view.members[CP_2].health = MemberHealth::Unhealthy(vec![alarm.clone()]);
        status(view, CP_2, |status| status.errors = vec![alarm.clone()]);
    });
    assert_eq!(healthy(&full).verdict, Verdict::Failed);
    let downgrading = seen(scene(), |view| status(view, CP_2, |status| status.downgrading = true));
    fails(&downgrading, names::ETCD_HEALTHY, "a downgrade is in progress");
    let returned = seen(back(before()), |view| view.members[CP_2].health = MemberHealth::Silent(gone()));
    assert_eq!(healthy(&returned).verdict, Verdict::Failed);
}

#[test]
fn a_member_has_caught_up_when_it_has_what_the_others_had_at_the_sample_before() {
    let with = |change: fn(&mut Samples)| {
        let mut scene = back(before());
        change(scene.etcd.as_mut().unwrap());
        scene
    };
    let late = with(|samples| status(samples.first.as_mut().unwrap(), 0, |status| status.index = 501));
    fails(&late, names::ETCD_MEMBER, "has applied 500 of the 501 entries that there were");
    let was_late = with(|samples| samples.first.as_mut().unwrap().members[CP_2].lag = Some(LAG_LIMIT));
    fails(&was_late, names::ETCD_MEMBER, "was 1000 entries behind at the sample before");
}

#[test]
fn quorum_counts_without_the_node() {
    let mut scene = scene();
    let view = scene.etcd.as_mut().unwrap().second.as_mut().unwrap();
    view.members[2].health = MemberHealth::Silent(gone());
    let gates = judge(&scene);
    let gate = gates.iter().find(|gate| gate.name == names::ETCD_QUORUM).unwrap();
    assert_eq!(gate.verdict, Verdict::Failed);
    assert_eq!(
        gate.evidence,
        "cp-3 is missed by the quorum: 2 of 3 voters are healthy; without cp-2 1, quorum is 2"
    );
}

#[test]
fn a_member_that_cannot_be_placed_leaves_quorum_unknown() {
    let mut scene = scene();
    let view = scene.etcd.as_mut().unwrap().second.as_mut().unwrap();
    view.members[1].node = None;
    let gates = judge(&scene);
    let gate = gates.iter().find(|gate| gate.name == names::ETCD_QUORUM).unwrap();
    assert_eq!(gate.verdict, Verdict::Unknown);
}

/// The same cluster whose members are known by addresses that no node answers to.
fn adrift() -> Scene {
    let mut scene = scene();
    for sample in scene.etcd.iter_mut().flat_map(|samples| [&mut samples.first, &mut samples.second]) {
        for row in sample.iter_mut().flat_map(|view| &mut view.members) {
            row.node = Some(format!("203.0.113.{}:2379", row.id).as_str().into());
        }
    }
    scene
}

fn quorum_of(scene: &Scene) -> (Verdict, String) {
    let gate = judge(scene).into_iter().find(|gate| gate.name == names::ETCD_QUORUM).unwrap();
    (gate.verdict, gate.evidence)
}

#[test]
fn members_that_may_be_on_the_node_must_all_be_safe_to_lose() {
    let (verdict, evidence) = quorum_of(&adrift());
    assert_eq!(verdict, Verdict::Passed);
    assert!(evidence.contains("cannot be told whether the node hosts cp-1, cp-2, cp-3"), "{evidence}");
    let mut thin = adrift();
    thin.etcd.as_mut().unwrap().second.as_mut().unwrap().members[2].health = MemberHealth::Silent(gone());
    assert_eq!(quorum_of(&thin).0, Verdict::Failed, "two of three, and one of them may be here");
    let mut lonely = adrift();
    lonely.etcd.as_mut().unwrap().second.as_mut().unwrap().members.truncate(1);
    assert_eq!(quorum_of(&lonely).0, Verdict::Failed, "the only member may be here");
}

#[test]
fn an_alarm_of_a_member_that_is_gone_still_closes_the_gate() {
    let mut scene = scene();
    for row in &mut scene.etcd.as_mut().unwrap().second.as_mut().unwrap().members {
        row.status.as_mut().unwrap().errors = vec!["memberID:99 alarm:NOSPACE ".into()];
    }
    fails(&scene, names::ETCD_HEALTHY, "alarm NOSPACE of a member that is not listed");
}

#[test]
fn a_quota_that_was_guessed_too_low_is_no_reason_to_stop() {
    let with = |size, errors: Vec<String>| {
        let mut scene = scene();
        let status =
            scene.etcd.as_mut().unwrap().second.as_mut().unwrap().members[0].status.as_mut().unwrap();
        (status.quota, status.db_size, status.errors) = (None, size, errors);
        scene
    };
    fails(&with(1_900_000_000, Vec::new()), names::ETCD_HEALTHY, "of the default quota of 2 GiB");
    assert!(closed(&judge(&with(3_000_000_000, Vec::new()))).is_empty(), "it is larger than the guess");
    let full = vec!["memberID:1 alarm:NOSPACE ".to_owned()];
    fails(&with(3_000_000_000, full), names::ETCD_HEALTHY, "139% of the default quota");
}

#[test]
fn elections_between_the_samples_are_seen() {
    let mut scene = scene();
    scene.etcd = Some(Samples { first: Ok(view(4)), second: Ok(view(5)) });
    fails(&scene, names::ETCD_HEALTHY, "changed its raft term");
}

#[test]
fn a_member_with_another_id_or_lost_entries_is_not_the_one_that_left() {
    let with = |change: fn(&mut MemberRow)| {
        let mut scene = back(before());
        change(&mut scene.etcd.as_mut().unwrap().second.as_mut().unwrap().members[1]);
        scene
    };
    let went_back = with(|row| row.status.as_mut().unwrap().revision = 6);
    fails(&went_back, names::ETCD_MEMBER, "went back from 7 to 6");
    fails(&with(|row| row.id = 12), names::ETCD_MEMBER, "stop here");
    let behind = with(|row| row.status.as_mut().unwrap().applied = 479);
    fails(&behind, names::ETCD_MEMBER, "has applied 479 of the 500 entries");
}

#[test]
fn keyspaces_that_differ_close_the_gate_and_incomparable_ones_leave_it_unknown() {
    let with = |hash, compacted| {
        let mut scene = back(before());
        if let Some(Ok(found)) = &mut scene.hash {
            found[0].readings[1] = HashReading { member: "cp-2".into(), hash, compacted };
        }
        scene
    };
    fails(&with(8, 1), names::ETCD_HASH, "differ at revision 70");
    assert_eq!(only_closed(&with(9, 2)).1, Verdict::Unknown);
}
