//! What of etcd closes a gate before a reboot of cp-2, and after it.

use super::scene::Samples;
use super::tests::{back, before, fails, gone, only_closed, scene, view};
use super::*;
use crate::domain::etcd::{EtcdView, LAG_LIMIT, MemberHealth, MemberRow, MemberStatus};

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
