//! Tests of the prediction: the server's answers by cases and against an independent count, what comes back, and what
//! has nowhere to go.

use super::*;
use crate::domain::budget::{Amount, Demand, UnhealthyPolicy};
use crate::domain::node::Readiness;
use crate::domain::placement::Amounts;
use crate::domain::pod::{Owner, Phase, sample};
use crate::domain::selector::Selector;
use proptest::prelude::*;
use std::collections::BTreeMap;

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

/// A Ready node with room for ten pods.
fn node(name: &str) -> NodeRow {
    let labels = BTreeMap::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]);
    NodeRow { name: name.into(), labels, pod_capacity: Some(10), ..crate::domain::node::sample() }
}

fn scene<'a>(nodes: &'a [NodeRow], pods: &'a [PodRow], budgets: &'a [BudgetRow]) -> Scene<'a> {
    Scene {
        nodes: nodes.iter().collect(),
        pods: pods.iter().collect(),
        budgets: budgets.iter().collect(),
        volumes: Some(Vec::new()),
        lost_daemonsets: BTreeSet::new(),
        admission: Admission::default(),
        now: NOW,
    }
}

/// The drain of worker-1 beside an empty worker-2.
fn foretell(pods: &[PodRow], budgets: &[BudgetRow], options: &DrainOptions) -> Vec<Forecast> {
    let nodes = [node("worker-1"), node("worker-2")];
    one(foresee(&scene(&nodes, pods, budgets), &["worker-1".into()], options)).pods
}

fn one(mut list: Vec<NodeForecast>) -> NodeForecast {
    assert_eq!(list.len(), 1);
    list.remove(0)
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
    let is_held = |answer| {
        matches!(
            answer,
            Expectation::Waits { .. } | Expectation::Blocked { .. } | Expectation::Unclear { .. }
        )
    };
    assert!(is_held(expect(&pod("a", "web"), &shut)));
    assert_eq!(expect(&PodRow { phase: Phase::Pending, ..pod("a", "web") }, &shut), Expectation::Moves);
    assert_eq!(expect(&PodRow { phase: Phase::Failed, ..pod("a", "web") }, &shut), Expectation::Moves);
    assert_eq!(expect(&unready, &shut), Expectation::Moves, "the budget is met");
    let unmet = BudgetRow { healthy: 1, ..shut.clone() };
    assert!(is_held(expect(&unready, &unmet)));
    let always = BudgetRow { unhealthy: UnhealthyPolicy::AlwaysAllow, ..unmet };
    assert_eq!(expect(&unready, &always), Expectation::Moves);
    assert!(is_held(expect(&pod("a", "web"), &always)));
    let idle = budget("web", 0, 0, 0, 1);
    assert!(is_held(expect(&unready, &idle)), "desiredHealthy 0 does not count as met");
    let stale = BudgetRow { generation: 2, ..budget("web", 1, 3, 2, 3) };
    assert!(is_held(expect(&pod("a", "web"), &stale)));
    let single = budget("web", 0, 1, 1, 1);
    assert!(matches!(
        expect(&pod("a", "web"), &single),
        Expectation::Blocked { budget: Some(_), helps: None, .. }
    ));
    let bypass = DrainOptions { disable_eviction: true, ..DrainOptions::default() };
    assert_eq!(foretell(&[pod("a", "web")], &[single], &bypass)[0].expectation, Expectation::Moves);
}

#[test]
fn two_budgets_block_even_with_room() {
    let mut wide = budget("wide", 5, 9, 4, 9);
    wide.selector = Selector::default();
    let told = foretell(&[pod("a", "web")], &[budget("web", 5, 9, 4, 9), wide], &DrainOptions::default());
    let Expectation::Blocked { why, helps: None, .. } = &told[0].expectation else { panic!("{told:?}") };
    assert!(why.contains("web, wide"), "{why}");
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

/// So many Ready pods of one owner on a node, all under the label `app`.
fn fleet(app: &str, on: &str, names: &[&str]) -> Vec<PodRow> {
    let one = |name: &&str| PodRow {
        node: Some(on.into()),
        owner: Some(Owner { uid: app.into(), name: app.into(), ..pod("x", app).owner.expect("an owner") }),
        ..pod(name, app)
    };
    names.iter().map(one).collect()
}

fn drained(nodes: &[NodeRow], pods: &[PodRow], budgets: &[BudgetRow]) -> NodeForecast {
    one(foresee(&scene(nodes, pods, budgets), &["worker-1".into()], &DrainOptions::default()))
}

fn tight(name: &str, cpu: u64) -> NodeRow {
    NodeRow { allocatable: Some(Amounts { cpu_milli: cpu, ..Amounts::default() }), ..node(name) }
}

fn asking(pods: Vec<PodRow>, cpu: u64) -> Vec<PodRow> {
    let requests = Amounts { cpu_milli: cpu, ..Amounts::default() };
    pods.into_iter().map(|pod| PodRow { requests: requests.clone(), ..pod }).collect()
}

#[test]
fn room_that_comes_back_is_waited_for() {
    let pods = fleet("web", "worker-1", &["a", "b", "c"]);
    let told = drained(&[node("worker-1"), node("worker-2")], &pods, &[budget("web", 1, 3, 2, 3)]);
    assert_eq!(told.verdict, Verdict::Waits { on: vec![budget("web", 0, 0, 0, 0).key] });
    assert_eq!(told.pods[0].expectation, Expectation::Moves);
    assert!(matches!(&told.pods[1].expectation, Expectation::Waits { why, .. } if why.contains("needs 2")));
    assert!(told.pods.iter().all(|pod| pod.replacement == Replacement::Elsewhere));
}

#[test]
fn a_replacement_without_a_place_gives_no_room_back() {
    let pods = asking(fleet("web", "worker-1", &["a", "b", "c"]), 600);
    let nodes = [tight("worker-1", 2000), tight("worker-2", 500)];
    let told = drained(&nodes, &pods, &[budget("web", 1, 3, 2, 3)]);
    let Verdict::Blocked { by } = &told.verdict else { panic!("{told:?}") };
    assert_eq!(by.len(), 2, "{by:?}");
    assert!(
        by[0].line().contains("1 short of CPU") && by[0].line().contains("1 cordoned"),
        "{}",
        by[0].line()
    );
    assert!(by[0].helps.is_some(), "a node with room would help");
    assert_eq!(told.homeless().count(), 1);
    let free = drained(&nodes, &pods, &[]);
    assert_eq!(
        (free.verdict, free.pods.len()),
        (Verdict::Finishes, 3),
        "without a budget nothing waits for a place"
    );
}

#[test]
fn where_the_order_of_placement_decides_it_cannot_be_told() {
    // whether both find a place depends on which of the nodes the small one takes
    let mut pods = asking(fleet("a", "worker-1", &["a"]), 300);
    pods.extend(asking(fleet("b", "worker-1", &["b"]), 800));
    pods.extend(asking(fleet("b", "worker-4", &["b2"]), 100));
    let nodes =
        [tight("worker-1", 4000), tight("worker-2", 900), tight("worker-3", 400), tight("worker-4", 100)];
    let told = drained(&nodes, &pods, &[]);
    assert!(
        matches!(told.pods[1].replacement, Replacement::Unclear { .. } | Replacement::Elsewhere),
        "{told:?}"
    );
}

#[test]
fn pods_that_never_get_ready_give_no_room_back() {
    let mut pods = fleet("web", "worker-1", &["a"]);
    let crash =
        PodRow { ready: false, restarts: 9, waiting: Some("CrashLoopBackOff".into()), ..pod("z", "web") };
    pods.push(PodRow { node: Some("worker-2".into()), ..crash.clone() });
    let nodes = [node("worker-1"), node("worker-2")];
    let told = drained(&nodes, &pods, &[budget("web", 0, 1, 1, 2)]);
    let Verdict::Blocked { by } = &told.verdict else { panic!("{told:?}") };
    let line = by[0].line();
    assert!(line.contains("needs 1 healthy pods, has 1") && line.contains("CrashLoopBackOff"), "{line}");
    assert!(line.contains("waiting helps only if it becomes Ready"), "{line}");
    // one that just starts is another matter
    pods[1] = PodRow { ready: false, ..pods[1].clone() };
    pods[1].waiting = Some("ContainerCreating".into());
    pods[1].restarts = 0;
    let told = drained(&nodes, &pods, &[budget("web", 0, 1, 1, 2)]);
    assert!(matches!(told.verdict, Verdict::Waits { .. }), "{told:?}");
    pods[1].restarts = 1;
    let told = drained(&nodes, &pods, &[budget("web", 0, 1, 1, 2)]);
    assert!(matches!(told.verdict, Verdict::Unclear { .. }), "{told:?}");
}

#[test]
fn pods_that_come_back_or_stay_keep_a_drain_from_finishing() {
    let nodes = [node("worker-1"), node("worker-2")];
    let mut kruise = fleet("agent", "worker-1", &["a"]);
    kruise[0].owner = kruise[0].owner.take().map(|owner| Owner {
        kind: "DaemonSet".into(),
        api_version: "apps.kruise.io/v1alpha1".into(),
        ..owner
    });
    assert!(drained(&nodes, &kruise, &[]).verdict.is_blocked());
    let mut tolerant = fleet("proxy", "worker-1", &["a"]);
    tolerant[0].tolerates_cordon = true;
    assert!(matches!(drained(&nodes, &tolerant, &[]).verdict, Verdict::Unclear { .. }));
    assert!(drained(&nodes[..1], &tolerant, &[]).verdict.is_blocked());
    let mut held = fleet("web", "worker-1", &["a"]);
    held[0].finalizers = vec!["example.net/hold".into()];
    assert!(matches!(drained(&nodes, &held, &[]).verdict, Verdict::Unclear { .. }));
    held[0].deleting = Some(Stamp(NOW.0 - 120_000));
    assert!(drained(&nodes, &held, &[]).verdict.is_blocked());
    held[0].finalizers = vec!["batch.kubernetes.io/job-tracking".into()];
    held[0].deleting = None;
    assert_eq!(drained(&nodes, &held, &[]).verdict, Verdict::Finishes);
    let dead = [NodeRow { readiness: Readiness::Unknown, ..node("worker-1") }, node("worker-2")];
    let told = drained(&dead, &fleet("web", "worker-1", &["a"]), &[]);
    assert!(told.verdict.is_blocked() && told.verdict.words().contains("kubelet"), "{told:?}");
}

#[test]
fn a_volume_may_tie_a_pod_to_its_node() {
    let mut pods = fleet("db", "worker-1", &["db-0"]);
    pods[0].claims = vec!["data-db-0".into()];
    let nodes = [node("worker-1"), node("worker-2")];
    let volume = VolumeRow {
        name: "pv".into(),
        claim: Some(("shop".into(), "data-db-0".into())),
        terms: vec![crate::domain::placement::NodeTerm {
            expressions: vec![crate::domain::selector::Requirement {
                key: "kubernetes.io/hostname".into(),
                operator: crate::domain::selector::Operator::In,
                values: vec!["worker-1".into()],
            }],
            fields: Vec::new(),
        }],
    };
    let foresee_with = |volumes| {
        let scene = Scene { volumes, ..scene(&nodes, &pods, &[]) };
        one(foresee(&scene, &["worker-1".into()], &DrainOptions::default()))
    };
    let told = foresee_with(Some(vec![&volume]));
    assert!(
        matches!(&told.pods[0].replacement, Replacement::Nowhere { tied_to: Some(node), .. } if node.as_str() == "worker-1"),
        "{told:?}"
    );
    assert!(told.pods[0].warnings.iter().any(|words| words.starts_with("pinned to worker-1")), "{told:?}");
    assert!(matches!(foresee_with(None).pods[0].replacement, Replacement::Unclear { .. }));
}

#[test]
fn several_nodes_share_budgets_and_room() {
    let on = |place: &str, name: &str| asking(fleet("web", place, &[name]), 100).remove(0);
    let nodes = [tight("worker-1", 1000), tight("worker-2", 1000), tight("worker-3", 100)];
    let both = ["worker-1".into(), "worker-2".into()];
    let told = |pods: &[PodRow], budget: BudgetRow| {
        foresee(&scene(&nodes, pods, &[budget]), &both, &DrainOptions::default())
    };
    // one of the two finds room on worker-3, whichever it is
    let two = told(&[on("worker-1", "a"), on("worker-2", "b")], budget("web", 1, 2, 1, 2));
    assert!(two.iter().all(|node| node.verdict == Verdict::Finishes), "{two:?}");
    assert_eq!((two[0].homeless().count(), two[1].homeless().count()), (0, 1), "{two:?}");
    // worker-3 is full: the first comes to worker-2, and there one of the two has nowhere to go
    let three = [on("worker-1", "a"), on("worker-2", "b"), on("worker-3", "c")];
    let three = told(&three, budget("web", 1, 3, 2, 3));
    assert_eq!(three[0].verdict, Verdict::Finishes, "{three:?}");
    assert!(three[1].verdict.is_blocked(), "{three:?}");
}

#[test]
fn a_later_wave_finds_what_the_earlier_ones_have_left() {
    let on = |place: &str, name: &str| asking(fleet("web", place, &[name]), 100).remove(0);
    let waves: [Vec<NodeName>; 2] = [vec!["worker-1".into()], vec!["worker-2".into()]];
    let told = |pods: &[PodRow], options: &DrainOptions| {
        // each node has room for its own pod only
        let nodes = [tight("worker-1", 100), tight("worker-2", 100)];
        foresee_in_waves(&scene(&nodes, pods, &[budget("web", 1, 2, 1, 2)]), &waves, options)
    };
    // the first node is back and takes its pod again before the second one goes
    let both = [on("worker-1", "a"), on("worker-2", "b")];
    let back = told(&both, &DrainOptions::default());
    assert!(back.iter().all(|node| node.verdict == Verdict::Finishes), "{back:?}");
    // a pod that nothing creates again has spent the room for good
    let bare = [PodRow { owner: None, ..on("worker-1", "a") }, on("worker-2", "b")];
    let gone = told(&bare, &DrainOptions { force: true, ..DrainOptions::default() });
    assert_eq!(gone[0].verdict, Verdict::Finishes, "{gone:?}");
    assert!(gone[1].verdict.is_blocked(), "{gone:?}");
}
