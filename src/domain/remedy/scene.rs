//! Facts for tests: a Deployment of healthy pods under a budget, to be made worse.

use super::facts::{Autoscaler, Covered, Facts, Rollout, Strategy, Workload};
use super::keepers::Keepers;
use super::size;
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use crate::domain::debt::{BudgetSpec, ObjectKey};
use crate::domain::ids::BudgetKey;
use crate::domain::node::NodeRow;
use crate::domain::pod::{Phase, sample};
use crate::domain::selector::Selector;
use crate::domain::time::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

pub const NOW: Stamp = Stamp(1_000_000_000);

pub fn node(name: &str, cordoned: bool) -> NodeRow {
    NodeRow {
        name: name.into(),
        uid: format!("uid-{name}"),
        roles: vec!["worker".into()],
        cordoned,
        pod_capacity: None,
        ..crate::domain::node::sample()
    }
}

pub fn key(api_version: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
    }
}

pub fn deployment(replicas: i32) -> Workload {
    let quarter = Amount::Percent(25);
    Workload {
        key: key("apps/v1", "Deployment", "web"),
        keepers: Keepers::default(),
        replicas: Some(replicas),
        is_scalable: true,
        strategy: Strategy::Rolling { surge: quarter, unavailable: quarter },
        rollout: Rollout {
            generation: 1,
            observed: 1,
            replicas,
            updated: replicas,
            available: replicas,
            ..Rollout::default()
        },
        has_probe: true,
        claims: false,
        spreads: false,
        autoscaler: Ok(None),
        uids: vec!["rs".into()],
    }
}

pub fn autoscaler(min: Option<i32>, max: i32) -> Autoscaler {
    let key = key("autoscaling/v2", "HorizontalPodAutoscaler", "web");
    Autoscaler { key, min, max, keepers: Keepers::default() }
}

/// A Deployment of so many healthy pods under a budget; `worker-1`, with the first of them, is cordoned.
pub fn facts(demand: Demand, replicas: i32) -> Facts {
    let desired = size::desired(demand, replicas);
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let pods = (1..=replicas).map(|number| {
        let mut row = sample("shop", &format!("web-{number}"));
        row.labels = labels.clone();
        row.node = Some(format!("worker-{number}").as_str().into());
        row.created = Some(Stamp(NOW.0 - 3_600_000));
        Covered { row, is_target: number == 1, pins: Vec::new(), version: String::new() }
    });
    let budget = BudgetRow {
        key: BudgetKey { namespace: "shop".into(), name: "web".into() },
        uid: "uid-budget".into(),
        demand,
        selector: Selector { labels: labels.clone(), ..Selector::default() },
        unhealthy: UnhealthyPolicy::default(),
        allowed: (replicas - desired).max(0),
        healthy: replicas,
        desired,
        expected: replicas,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    };
    let nodes = [node("worker-1", true), node("worker-2", false), node("worker-3", false)];
    Facts {
        now: NOW,
        spec: BudgetSpec { demand, unhealthy: None },
        keepers: Keepers::default(),
        pods: pods.collect(),
        others: Vec::new(),
        workloads: Ok(vec![deployment(replicas)]),
        nodes: Ok(nodes.into_iter().map(|node| (node.name.clone(), node)).collect()),
        controller: Ok(Duration::from_secs(2)),
        ends: Ok(false),
        minor: Ok(34),
        room: Ok(vec!["worker-2".into(), "worker-3".into()]),
        budget,
    }
}

/// Makes a pod one that crashes.
pub fn crash(facts: &mut Facts, at: usize) {
    let row = &mut facts.pods[at].row;
    row.ready = false;
    row.restarts = 17;
    row.waiting = Some("CrashLoopBackOff".into());
    facts.budget.healthy -= 1;
    recount(facts);
}

/// Makes a pod one that is placed nowhere.
pub fn unplace(facts: &mut Facts, at: usize) {
    let row = &mut facts.pods[at].row;
    row.ready = false;
    row.node = None;
    row.phase = Phase::Pending;
    row.waiting = Some("Unschedulable: 0/3 nodes are available".into());
    facts.pods[at].is_target = false;
    facts.budget.healthy -= 1;
    recount(facts);
}

/// The room that is left.
pub fn recount(facts: &mut Facts) {
    facts.budget.allowed = (facts.budget.healthy - facts.budget.desired).max(0);
}
