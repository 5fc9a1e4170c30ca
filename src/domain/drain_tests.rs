//! Tests of the drain rules: kubectl's filter chain by table, the cumulative prediction against an independent count.

use super::*;
use crate::domain::budget::{Amount, Demand};
use crate::domain::pod::{Owner, sample};
use crate::domain::selector::Selector;
use proptest::prelude::*;
use std::time::Duration;

const NOW: Stamp = Stamp(10_000_000);

fn budget(name: &str, allowed: i32, healthy: i32, desired: i32, expected: i32) -> BudgetRow {
    BudgetRow {
        key: BudgetKey { namespace: "shop".into(), name: name.into() },
        uid: name.into(),
        demand: Demand::MinAvailable(Amount::Pods(desired)),
        selector: Selector { labels: BTreeMap::from([("app".into(), name.into())]), ..Selector::default() },
        unhealthy: UnhealthyPolicy::IfHealthyBudget,
        allowed,
        healthy,
        desired,
        expected,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}

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

fn foretell(pods: &[PodRow], budgets: &[BudgetRow], options: &DrainOptions) -> Vec<Forecast> {
    forecast(pods, pods, budgets, options, &|_| true, NOW)
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
        let class = match classify(&pod, options, exists, NOW) {
            Class::Evict => evict,
            Class::Skip(_) => "skip",
            Class::Refuse(_) => "refuse",
            Class::Terminating => "terminating",
            Class::Finished => "finished",
        };
        assert_eq!(class, expected, "{what}");
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

#[test]
fn budget_rules_of_the_server() {
    let shut = budget("web", 0, 2, 2, 3);
    let unready = PodRow { ready: false, ..pod("a", "web") };
    let expect = |pod: &PodRow, budget: &BudgetRow| {
        foretell(std::slice::from_ref(pod), std::slice::from_ref(budget), &DrainOptions::default())[0]
            .expectation
            .clone()
    };
    let is_waiting = |answer| matches!(answer, Expectation::Waits(..));
    assert!(is_waiting(expect(&pod("a", "web"), &shut)));
    assert_eq!(expect(&PodRow { phase: Phase::Pending, ..pod("a", "web") }, &shut), Expectation::Moves);
    assert_eq!(expect(&PodRow { phase: Phase::Failed, ..pod("a", "web") }, &shut), Expectation::Moves);
    assert_eq!(expect(&unready, &shut), Expectation::Moves, "the budget is met");
    let unmet = BudgetRow { healthy: 1, ..shut.clone() };
    assert!(is_waiting(expect(&unready, &unmet)));
    let always = BudgetRow { unhealthy: UnhealthyPolicy::AlwaysAllow, ..unmet };
    assert_eq!(expect(&unready, &always), Expectation::Moves);
    assert!(is_waiting(expect(&pod("a", "web"), &always)));
    let idle = budget("web", 0, 0, 0, 1);
    assert!(is_waiting(expect(&unready, &idle)), "desiredHealthy 0 does not count as met");
    let stale = BudgetRow { generation: 2, ..budget("web", 1, 3, 2, 3) };
    assert!(is_waiting(expect(&pod("a", "web"), &stale)));
    let single = budget("web", 0, 1, 1, 1);
    assert!(matches!(expect(&pod("a", "web"), &single), Expectation::Blocked(Some(_), _)));
    let bypass = DrainOptions { disable_eviction: true, ..DrainOptions::default() };
    assert_eq!(foretell(&[pod("a", "web")], &[single], &bypass)[0].expectation, Expectation::Moves);
}

#[test]
fn two_budgets_block_even_with_room() {
    let mut wide = budget("wide", 5, 9, 4, 9);
    wide.selector = Selector::default();
    let told = foretell(&[pod("a", "web")], &[budget("web", 5, 9, 4, 9), wide], &DrainOptions::default());
    assert!(matches!(&told[0].expectation, Expectation::Blocked(_, why) if why.contains("web, wide")));
}

#[test]
fn warnings_name_what_is_lost() {
    let mut pinned = PodRow { empty_dirs: vec!["cache".into()], ..pod("a", "web") };
    pinned.node_selector.insert("kubernetes.io/hostname".into(), "worker-1".into());
    let options = DrainOptions { delete_emptydir_data: true, force: true, ..DrainOptions::default() };
    let bare = PodRow { owner: None, ..pod("b", "web") };
    let told = foretell(&[pinned, bare], &[], &options);
    assert_eq!(told[0].warnings.len(), 3, "{:?}", told[0].warnings);
    assert_eq!(told[1].warnings, ["nothing creates it again"]);
    let twins = foretell(&[pod("a", "web"), pod("b", "web")], &[], &options);
    assert!(twins.iter().all(|one| one.warnings.is_empty()));
}

#[test]
fn a_deletion_names_the_budgets_that_it_bypasses() {
    let row = budget("web", 0, 1, 1, 1);
    let options = DrainOptions { disable_eviction: true, ..DrainOptions::default() };
    let told = foretell(&[pod("a", "web"), pod("b", "db")], &[row], &options);
    assert!(told[0].warnings.iter().any(|words| words.starts_with("bypasses budget")), "{told:?}");
    assert!(!told[1].warnings.iter().any(|words| words.contains("budget")), "{told:?}");
}

/// The same rules, written as a simulation of the server's ledger: an independent table for the property below.
fn server(pods: &[PodRow], budgets: &[BudgetRow]) -> Vec<bool> {
    let mut allowed: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    let mut order: Vec<&PodRow> = pods.iter().collect();
    order.sort_by_key(|pod| pod.key.name.clone());
    order
        .into_iter()
        .map(|pod| {
            if pod.deleting.is_some()
                || matches!(pod.phase, Phase::Pending | Phase::Succeeded | Phase::Failed)
            {
                return true;
            }
            let mine: Vec<usize> = (0..budgets.len())
                .filter(|i| pod.labels["app"] == budgets[*i].selector.labels["app"])
                .collect();
            match mine[..] {
                [] => true,
                [i] => {
                    let b = &budgets[i];
                    let free = !pod.ready
                        && (b.unhealthy == UnhealthyPolicy::AlwaysAllow
                            || (b.healthy >= b.desired && b.desired > 0));
                    if free {
                        return true;
                    }
                    if b.observed < b.generation || allowed[i] < 1 {
                        return false;
                    }
                    allowed[i] -= 1;
                    true
                }
                _ => false,
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn foretells_what_the_server_would_answer(
        pods in prop::collection::vec((0..3_u8, 0..5_u8, any::<bool>(), any::<bool>()), 0..12),
        budgets in prop::collection::vec((0..3_u8, 0..4_i32, 0..5_i32, 0..6_i32, any::<bool>(), 0..5_u8), 0..4),
    ) {
        let pods: Vec<PodRow> = pods.iter().enumerate().map(|(i, &(app, phase, ready, deleting))| {
            let phase = [Phase::Running, Phase::Running, Phase::Pending, Phase::Succeeded, Phase::Unknown][usize::from(phase)];
            let deleting = (deleting && i % 4 == 0).then_some(NOW);
            PodRow { phase, ready, deleting, ..pod(&format!("p{i:02}"), &app.to_string()) }
        }).collect();
        let budgets: Vec<BudgetRow> = budgets.iter().enumerate().map(|(i, &(app, desired, healthy, expected, always, lag))| {
            let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
            let mut row = budget(&app.to_string(), allowed, healthy, desired, expected);
            row.key.name = format!("b{i}");
            row.generation = 1 + i64::from(lag == 0);
            if always { row.unhealthy = UnhealthyPolicy::AlwaysAllow; }
            row
        }).collect();
        let told = foretell(&pods, &budgets, &DrainOptions::default());
        let moves: Vec<bool> = told.iter().map(|one| one.expectation == Expectation::Moves).collect();
        prop_assert_eq!(moves, server(&pods, &budgets));
    }

    #[test]
    fn a_budget_is_never_overspent(count in 0..20_usize, allowed in 0..6_i32) {
        let pods: Vec<PodRow> = (0..count).map(|i| pod(&format!("p{i:02}"), "web")).collect();
        let total = i32::try_from(count).unwrap();
        let row = budget("web", allowed.min(total), total, (total - allowed).max(0), total);
        let told = foretell(&pods, &[row], &DrainOptions::default());
        let moved = told.iter().filter(|one| one.expectation == Expectation::Moves).count();
        prop_assert_eq!(moved, count.min(usize::try_from(allowed).unwrap()));
    }
}
