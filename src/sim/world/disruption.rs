//! The disruption controller: budgets become numbers (rules of `pkg/controller/disruption/disruption.go`, v1.31 and up).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::Desk;
use super::read::{Key, condition, generation, int, is_deleting, is_ready, name, set_condition, text};
use super::scale::{Scales, expected_scale};
use super::select::{labels, matches};
use super::{Change, Controller};
use crate::sim::store::Object;
use crate::sim::store::resources::{POD_DISRUPTION_BUDGETS, PODS};

/// An eviction that has not led to a deletion for so long is forgotten (`DeletionTimeout`, and the time after which a
/// stale `DisruptionTarget` condition is reset).
const DELETION_TIMEOUT: Duration = Duration::from_mins(2);
const COMPONENT: &str = "controllermanager";

/// The controller. A key names a budget, or a pod whose `DisruptionTarget` may be stale.
#[derive(Default)]
pub struct Disruption {
    put_off: Vec<Key>,
}

/// What the controller computes for one budget.
#[derive(Debug, PartialEq, Eq)]
pub struct Figures {
    /// `expectedPods`.
    pub expected: i64,
    /// `desiredHealthy`.
    pub desired: i64,
}

impl Controller for Disruption {
    fn name(&self) -> &'static str {
        "disruption"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == POD_DISRUPTION_BUDGETS {
            desk.mark_after(Key::of(&change.object), desk.timings.disruption_lag);
        } else if *change.resource == PODS {
            let all = budgets_of(desk, &change.object);
            if let Some(first) = all.first() {
                desk.mark_after(Key::of(first), desk.timings.disruption_lag);
            }
            if all.len() > 1 && change.kind != crate::sim::store::ChangeKind::Deleted {
                warn_of_several(desk, &change.object, &all);
            }
            if has_stale_target(&change.object) {
                desk.mark_every(pod_key(&change.object), DELETION_TIMEOUT);
            }
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        if desk.is_disruption_stalled {
            self.put_off.push(key.clone());
        } else if let Some(pod) = key.name.strip_prefix("pod/") {
            reset_stale_target(desk, &Key::new(&key.namespace, pod));
        } else if let Some(budget) = desk.get(&POD_DISRUPTION_BUDGETS, key) {
            sync_budget(desk, key, &budget);
        }
    }

    fn resume(&mut self, desk: &mut Desk) {
        for key in self.put_off.drain(..) {
            desk.mark(key);
        }
    }
}

/// The budgets that select a pod, by name. A selector that is absent matches nothing, an empty one everything.
fn budgets_of(desk: &Desk, pod: &Value) -> Vec<Object> {
    let mut budgets = desk.store.list(&POD_DISRUPTION_BUDGETS, Some(text(pod, "/metadata/namespace")));
    budgets.retain(|budget| matches(&budget["spec"]["selector"], labels(pod)));
    budgets
}

fn warn_of_several(desk: &mut Desk, pod: &Object, budgets: &[Object]) {
    let message = format!(
        "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {:?} arbitrarily.",
        text(pod, "/metadata/namespace"),
        name(pod),
        name(&budgets[0])
    );
    desk.warn(pod, "MultiplePodDisruptionBudgets", &message, COMPONENT);
}

fn sync_budget(desk: &mut Desk, key: &Key, budget: &Object) {
    let selector = &budget["spec"]["selector"];
    let pods: Vec<Object> =
        desk.index.pods_in(&key.namespace).filter(|pod| matches(selector, labels(pod))).cloned().collect();
    if pods.is_empty() {
        desk.tell(budget, "NoPods", "No matching pods found", COMPONENT);
    }
    let figures = match figures(desk, budget, &pods) {
        Ok((figures, unmanaged)) => {
            if !unmanaged.is_empty() {
                warn_of_unmanaged(desk, budget);
            }
            figures
        }
        Err(error) => {
            let message = format!("Failed to calculate the number of expected pods: {error}");
            desk.warn(budget, "CalculateExpectedPodCountFailed", &message, COMPONENT);
            fail_safe(desk, key, &error);
            return;
        }
    };
    write_status(desk, key, &figures, &pods);
}

fn warn_of_unmanaged(desk: &mut Desk, budget: &Object) {
    let message = format!(
        "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status \
         of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods \
         please set \".spec.minAvailable\" field of the PDB to an integer value.",
        budget["spec"]["selector"]
    );
    desk.warn(budget, "UnmanagedPods", &message, COMPONENT);
}

/// `expectedPods` and `desiredHealthy`, with the pods that no controller owns. Both percentages round up.
pub fn figures(
    scales: &impl Scales,
    budget: &Value,
    pods: &[Object],
) -> Result<(Figures, Vec<String>), String> {
    let (most, least) = (&budget["spec"]["maxUnavailable"], &budget["spec"]["minAvailable"]);
    if !most.is_null() {
        let (expected, unmanaged) = expected_scale(scales, pods)?;
        let may_be_away = super::read::scaled(most, expected, true)?;
        return Ok((Figures { expected, desired: (expected - may_be_away).max(0) }, unmanaged));
    }
    if let Some(desired) = least.as_i64() {
        let expected = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        return Ok((Figures { expected, desired }, Vec::new()));
    }
    if least.is_null() {
        return Ok((Figures { expected: 0, desired: 0 }, Vec::new()));
    }
    let (expected, unmanaged) = expected_scale(scales, pods)?;
    Ok((Figures { expected, desired: super::read::scaled(least, expected, true)? }, unmanaged))
}

/// Evictions that are still under way, by pod; the earliest moment at which one of them is to be looked at again.
fn disrupted_pods(
    desk: &mut Desk,
    budget: &Value,
    pods: &[Object],
) -> (BTreeMap<String, Value>, Option<Duration>) {
    let timeout = desk.delay(DELETION_TIMEOUT);
    let (mut kept, mut recheck) = (BTreeMap::new(), None::<Duration>);
    let Some(entries) = budget["status"]["disruptedPods"].as_object() else { return (kept, None) };
    for pod in pods.iter().filter(|pod| !is_deleting(pod)) {
        let Some(since) = entries.get(name(pod)) else { continue };
        let age = desk.age(since.as_str().unwrap_or_default());
        if age >= timeout {
            desk.warn(pod, "NotDeleted", "Pod was expected by PDB to be deleted but it wasn't", COMPONENT);
            continue;
        }
        let left = timeout.saturating_sub(age);
        recheck = Some(recheck.map_or(left, |least| least.min(left)));
        kept.insert(name(pod).to_owned(), since.clone());
    }
    (kept, recheck)
}

fn write_status(desk: &mut Desk, key: &Key, figures: &Figures, pods: &[Object]) {
    let Some(budget) = desk.get(&POD_DISRUPTION_BUDGETS, key) else { return };
    let (disrupted, recheck) = disrupted_pods(desk, &budget, pods);
    let healthy = pods
        .iter()
        .filter(|pod| !is_deleting(pod) && !disrupted.contains_key(name(pod)) && is_ready(pod))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let allowed = if figures.expected <= 0 { 0 } else { (healthy - figures.desired).max(0) };
    let now = desk.stamp(&key.name);
    let mut next = (*budget).clone();
    let observed = generation(&budget);
    let conditions = next["status"]["conditions"].take();
    next["status"] = json!({
        "currentHealthy": healthy, "desiredHealthy": figures.desired, "expectedPods": figures.expected,
        "disruptionsAllowed": allowed, "observedGeneration": observed,
    });
    if !conditions.is_null() {
        next["status"]["conditions"] = conditions;
    }
    if !disrupted.is_empty() {
        next["status"]["disruptedPods"] = json!(disrupted);
    }
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let state = json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": "", "observedGeneration": observed,
    });
    set_condition(&mut next, state, &now);
    if let Some(left) = recheck {
        let at = tokio::time::Instant::now() + left + Duration::from_millis(10);
        desk.mark_at(key.clone(), at);
    }
    if next["status"] != budget["status"] {
        put(desk, key, next);
    }
}

/// Writes on the condition that nobody wrote meanwhile; a conflict means another look, as in the controller's queue.
fn put(desk: &mut Desk, key: &Key, next: Value) {
    if let Err(refused) = desk.store.replace(&POD_DISRUPTION_BUDGETS, next)
        && refused.code == 409
    {
        desk.mark(key.clone());
    }
}

/// No disruption is allowed when the figures cannot be computed.
fn fail_safe(desk: &mut Desk, key: &Key, error: &str) {
    let now = desk.stamp(&key.name);
    let Some(budget) = desk.get(&POD_DISRUPTION_BUDGETS, key) else { return };
    let mut next = (*budget).clone();
    if next["status"].is_null() {
        next["status"] = json!({ "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0 });
    }
    let observed = int(&budget, "/status/observedGeneration").unwrap_or_default();
    next["status"]["disruptionsAllowed"] = 0.into();
    let state = json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": error,
        "observedGeneration": observed,
    });
    set_condition(&mut next, state, &now);
    if next["status"] != budget["status"] {
        put(desk, key, next);
    }
}

fn pod_key(pod: &Value) -> Key {
    Key { namespace: text(pod, "/metadata/namespace").to_owned(), name: format!("pod/{}", name(pod)) }
}

fn has_stale_target(pod: &Value) -> bool {
    !is_deleting(pod) && condition(pod, "DisruptionTarget").is_some_and(|target| target["status"] == "True")
}

fn reset_stale_target(desk: &mut Desk, key: &Key) {
    let Some(pod) = desk.index.pod(key).filter(|pod| has_stale_target(pod)).cloned() else { return };
    let since = condition(&pod, "DisruptionTarget").map_or("", |target| text(target, "/lastTransitionTime"));
    let (age, timeout) = (desk.age(since), desk.delay(DELETION_TIMEOUT));
    if age < timeout {
        let at = tokio::time::Instant::now() + timeout.saturating_sub(age) + Duration::from_millis(10);
        desk.mark_at(pod_key(&pod), at);
        return;
    }
    let now = desk.stamp(&key.name);
    desk.modify(&PODS, key, |pod| {
        set_condition(pod, json!({ "type": "DisruptionTarget", "status": "False" }), &now);
    });
}
