//! Tests of kubectl's filter chain: by cases, and against a table of its documented rules.

use super::*;
use crate::domain::pod::{Owner, Phase, sample};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Stamp = Stamp(10_000_000);

fn pod(name: &str, app: &str) -> PodRow {
    let mut pod = sample("shop", name);
    pod.labels.insert("app".into(), app.into());
    pod
}

fn daemon() -> PodRow {
    let owner = Owner {
        api_version: "apps/v1".into(),
        kind: "DaemonSet".into(),
        name: "ds".into(),
        uid: "ds".into(),
    };
    PodRow { owner: Some(owner), ..sample("kube-system", "ds-1") }
}

#[test]
fn filter_chain_as_kubectl() {
    let strict = DrainOptions { ignore_daemonsets: false, ..DrainOptions::default() };
    let usual = DrainOptions::default();
    let forced = DrainOptions { force: true, delete_emptydir_data: true, ..DrainOptions::default() };
    let bare = PodRow { owner: None, ..sample("shop", "bare") };
    let local = PodRow { empty_dirs: vec!["cache".into()], ..sample("shop", "local") };
    let finished = |pod: &PodRow| PodRow { phase: Phase::Succeeded, ..pod.clone() };
    let dying = |pod: &PodRow| PodRow { deleting: Some(Stamp(9_000_000)), ..pod.clone() };
    let mirror = PodRow { mirror: true, ..bare.clone() };
    let kruise = PodRow {
        owner: daemon().owner.map(|owner| Owner { api_version: "apps.kruise.io/v1alpha1".into(), ..owner }),
        ..daemon()
    };
    let evict = "evict";
    let cases: Vec<(&str, PodRow, &DrainOptions, bool, &str)> = vec![
        ("plain", sample("shop", "a"), &usual, true, evict),
        ("daemon, flag", daemon(), &usual, true, "skip"),
        ("daemon, no flag", daemon(), &strict, true, "refuse"),
        ("daemon finished, no flag", finished(&daemon()), &strict, true, "finished"),
        ("daemon orphaned", daemon(), &usual, false, "refuse"),
        ("daemon orphaned, force", daemon(), &forced, false, evict),
        ("daemon of another group", kruise, &strict, true, evict),
        ("mirror", mirror.clone(), &usual, true, "skip"),
        ("mirror, finished", finished(&mirror), &usual, true, "skip"),
        ("emptyDir", local.clone(), &usual, true, "refuse"),
        ("emptyDir, flag", local.clone(), &forced, true, evict),
        ("emptyDir, finished", finished(&local), &usual, true, "finished"),
        ("bare", bare.clone(), &usual, true, "refuse"),
        ("bare, force", bare.clone(), &forced, true, evict),
        ("bare, finished", finished(&bare), &usual, true, "finished"),
        ("terminating", dying(&sample("shop", "a")), &usual, true, "terminating"),
        ("terminating and finished", dying(&finished(&bare)), &usual, true, "terminating"),
        ("terminating and bare", dying(&bare), &usual, true, "refuse"),
        ("daemon terminating", dying(&daemon()), &usual, true, "skip"),
    ];
    for (what, pod, options, exists, expected) in cases {
        assert_eq!(word(&classify(&pod, options, exists, NOW)), expected, "{what}");
    }
}

#[test]
fn all_reasons_are_kept() {
    let pod = PodRow { owner: None, empty_dirs: vec!["a".into(), "b".into()], ..sample("shop", "bare") };
    let Class::Refuse(reasons) = classify(&pod, &DrainOptions::default(), true, NOW) else {
        panic!("not refused")
    };
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].contains("a, b") && reasons[1].contains("--force"));
}

#[test]
fn long_deleted_pods_are_skipped_only_past_the_limit() {
    let options = DrainOptions { skip_wait_for_delete: Duration::from_mins(1), ..DrainOptions::default() };
    let dying = |since| PodRow { deleting: Some(Stamp(NOW.0 - since)), owner: None, ..sample("shop", "a") };
    assert!(matches!(classify(&dying(60_001), &options, true, NOW), Class::Skip(_)));
    assert!(matches!(classify(&dying(60_000), &options, true, NOW), Class::Refuse(_)));
}

#[test]
fn a_selector_hides_the_other_pods() {
    let options = DrainOptions { pod_selector: "app=web".into(), ..DrainOptions::default() };
    assert_eq!(classify(&pod("a", "web"), &options, true, NOW), Class::Evict);
    assert!(matches!(classify(&pod("b", "db"), &options, true, NOW), Class::Skip(_)));
    let broken = DrainOptions { pod_selector: "app=(".into(), ..DrainOptions::default() };
    assert!(matches!(classify(&pod("a", "web"), &broken, true, NOW), Class::Refuse(_)));
}

/// `kubectl drain`'s rules as its documentation and messages give them, first match decides.
#[expect(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    reason = "one for each thing that the rules ask about"
)]
fn table(
    selected: bool,
    long_deleted: bool,
    deleting: bool,
    finished: bool,
    owner: &str,
    set_exists: bool,
    mirror: bool,
    local: bool,
    options: &DrainOptions,
) -> &'static str {
    let set = owner == "apps/v1 DaemonSet" && !finished;
    let rows = [
        (!selected, "skip"),
        (long_deleted, "skip"),
        (set && !set_exists && !options.force, "refuse"),
        (set && set_exists && !options.ignore_daemonsets, "refuse"),
        (set && set_exists, "skip"),
        (mirror, "skip"),
        (local && !finished && !options.delete_emptydir_data, "refuse"),
        (owner.is_empty() && !finished && !options.force, "refuse"),
        (deleting, "terminating"),
        (finished, "finished"),
        (true, "evict"),
    ];
    rows.into_iter().find(|(holds, _)| *holds).expect("the last row").1
}

fn word(class: &Class) -> &'static str {
    match class {
        Class::Evict => "evict",
        Class::Skip(_) => "skip",
        Class::Refuse(_) => "refuse",
        Class::Terminating => "terminating",
        Class::Finished => "finished",
    }
}

proptest! {
    #[test]
    fn every_pod_is_in_the_class_of_the_table(
        owner in prop::sample::select(vec!["", "apps/v1 ReplicaSet", "apps/v1 DaemonSet", "apps.kruise.io/v1alpha1 DaemonSet"]),
        (finished, mirror, local, selected, set_exists) in any::<(bool, bool, bool, bool, bool)>(),
        deleted_ago in prop::option::of(-100_i64..100),
        (ignore_daemonsets, delete_emptydir_data, force, skips) in any::<(bool, bool, bool, bool)>(),
    ) {
        let mut pod = PodRow {
            phase: if finished { Phase::Failed } else { Phase::Running },
            deleting: deleted_ago.map(|ago| Stamp(NOW.0 - ago * 1000)),
            mirror,
            empty_dirs: if local { vec!["cache".into()] } else { Vec::new() },
            owner: owner.split_once(' ').map(|(api_version, kind)| Owner {
                api_version: api_version.into(), kind: kind.into(), name: "o".into(), uid: "o".into(),
            }),
            ..sample("shop", "p")
        };
        pod.labels.insert("app".into(), if selected { "web" } else { "db" }.into());
        let options = DrainOptions {
            ignore_daemonsets, delete_emptydir_data, force,
            skip_wait_for_delete: Duration::from_secs(if skips { 50 } else { 0 }),
            pod_selector: "app=web".into(),
            ..DrainOptions::default()
        };
        let class = classify(&pod, &options, set_exists, NOW);
        let long_deleted = skips && deleted_ago.is_some_and(|ago| ago > 50);
        let expected = table(
            selected, long_deleted, deleted_ago.is_some(), finished, owner, set_exists, mirror, local, &options,
        );
        prop_assert_eq!(word(&class), expected);

        // the options that the reasons name are enough, and each of them is needed
        let Class::Refuse(reasons) = class else { return Ok(()) };
        let with = |left_out: Option<usize>| {
            let mut allowed = options.clone();
            for (at, reason) in reasons.iter().enumerate().filter(|(at, _)| Some(*at) != left_out) {
                allowed.ignore_daemonsets |= reason.contains("--ignore-daemonsets");
                allowed.delete_emptydir_data |= reason.contains("--delete-emptydir-data");
                allowed.force |= reason.contains("--force");
                prop_assert!(reason.contains("--"), "{}: {}", at, reason);
            }
            Ok(word(&classify(&pod, &allowed, set_exists, NOW)))
        };
        prop_assert_ne!(with(None)?, "refuse");
        for at in 0..reasons.len() {
            let names = |option: &str| reasons.iter().filter(|reason| reason.contains(option)).count();
            if names("--force") <= 1 {
                prop_assert_eq!(with(Some(at))?, "refuse");
            }
        }
    }
}
