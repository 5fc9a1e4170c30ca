//! `pods/eviction`, in the order of decisions of the API server (`pkg/registry/core/pod/storage/eviction.go`).

use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};

use super::request::{Call, Target};
use super::selector::object_accepts;
use super::{Api, admission, answer, deletion};
use crate::sim::store::resources::{POD_DISRUPTION_BUDGETS, PODS};
use crate::sim::store::{Deletion, Object, Status, Store, meta};

/// Most pods that may wait in a budget's `disruptedPods`.
const MOST_DISRUPTED: usize = 2000;
/// How often a conflict is tried again, and how far apart (`EvictionsRetry`).
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(500);
/// `Retry-After` while the disruption controller has not seen the budget's spec.
const RETRY_SECONDS: u32 = 10;

/// `create` of an eviction.
pub(super) async fn create(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let body = call.json()?;
    let how = read_body(call, target, &body)?;
    admission::check_namespace(api, target, target.namespace(), target.name())?;
    api.faults.review(call)?;
    if !deleted_without_budget(api, target, &how).await? {
        evict(&api.store, target, &how)?;
    }
    Ok(answer::success(201, None))
}

/// Point 1: the body is an Eviction of this pod, and its dry run agrees with the query's.
fn read_body(call: &Call, target: &Target, body: &Value) -> Result<Deletion, Status> {
    let version = body["apiVersion"].as_str().unwrap_or("policy/v1");
    let kind = body["kind"].as_str().unwrap_or("Eviction");
    if !body.is_object() || kind != "Eviction" || !matches!(version, "policy/v1" | "policy/v1beta1") {
        let v = version.rsplit('/').next().unwrap_or_default();
        return Err(Status::bad_request(format!("{kind} in version {v:?} cannot be handled as a Eviction")));
    }
    let (name, namespace) = (meta::name(body), meta::namespace(body));
    if name != target.name() {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    if !namespace.is_empty() && namespace != target.namespace() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let in_query = call.dry_run("CreateOptions")?;
    let (mut how, in_body) = deletion::from_eviction(&body["deleteOptions"])?;
    if in_query && !in_body.is_empty() && in_body != ["All"] {
        let why =
            format!("Non-matching dry-run options in request and content: [All] and [{}]", in_body.join(" "));
        return Err(Status::new(500, "", why));
    }
    how.dry_run |= in_query;
    Ok(how)
}

/// Whether no budget is asked: the pod runs nothing, not yet or no longer (`canIgnorePDB`).
fn can_ignore_budgets(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || meta::is_deleting(pod)
}

/// Points 3 and 4: reads the pod; deletes it at once when budgets do not matter. Says whether that was done.
async fn deleted_without_budget(api: &Api, target: &Target, how: &Deletion) -> Result<bool, Status> {
    let mut tries = 0;
    loop {
        let pod = read_pod(&api.store, target)?;
        if !can_ignore_budgets(&pod) {
            return Ok(false);
        }
        let mut guarded = how.clone();
        let pending = pod["status"]["phase"] == "Pending" && !meta::is_deleting(&pod);
        if pending && how.resource_version.is_none() {
            guarded.resource_version = Some(meta::text(&pod, "resourceVersion").to_owned());
        }
        tries += 1;
        match delete_marked(&api.store, target, guarded) {
            Ok(()) => return Ok(true),
            Err(status) if status.code != 409 || how.resource_version.is_some() || tries == TRIES => {
                return Err(status);
            }
            Err(_) => tokio::time::sleep(BETWEEN).await,
        }
    }
}

fn read_pod(store: &Store, target: &Target) -> Result<Object, Status> {
    store.get(&PODS, target.namespace(), target.name()).ok_or_else(|| Status::not_found(&PODS, target.name()))
}

/// Points 5 to 8 for a pod whose budgets matter.
fn evict(store: &Store, target: &Target, how: &Deletion) -> Result<(), Status> {
    let pod = read_pod(store, target)?;
    let budgets = budgets_of(store, &pod);
    let budget = match budgets.as_slice() {
        [] => return delete_marked(store, target, how.clone()),
        [one] => one,
        _ => {
            return Err(Status::new(
                500,
                "",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    if !is_ready(&pod) && unready_may_go(budget) {
        let guarded = Deletion {
            resource_version: Some(meta::text(&pod, "resourceVersion").to_owned()),
            ..how.clone()
        };
        return delete_marked(store, target, guarded).map_err(|status| {
            // A conflict of the server's own precondition is answered as "try again".
            let own = status.code == 409 && how.resource_version.is_none();
            if own { still_processed(meta::name(budget)) } else { status }
        });
    }
    take_from(store, budget, meta::name(&pod), how.dry_run)?;
    delete_marked(store, target, how.clone())
}

fn budgets_of(store: &Store, pod: &Value) -> Vec<Object> {
    let labels = &pod["metadata"]["labels"];
    store
        .list(&POD_DISRUPTION_BUDGETS, Some(meta::namespace(pod)))
        .into_iter()
        .filter(|budget| object_accepts(&budget["spec"]["selector"], labels).unwrap_or(false))
        .collect()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Point 6: whether a pod that is not ready may go without taking from the budget.
fn unready_may_go(budget: &Value) -> bool {
    let (current, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
    always || (current >= desired && desired > 0)
}

fn count(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or(0)
}

/// Point 7: takes one disruption from the budget (`checkAndDecrement`).
fn take_from(store: &Store, budget: &Object, pod: &str, dry_run: bool) -> Result<(), Status> {
    let (namespace, name) = (meta::namespace(budget), meta::name(budget));
    let now = store.now();
    let step = |budget: &mut Value| {
        check(budget)?;
        let left = count(budget, "disruptionsAllowed") - 1;
        budget["status"]["disruptionsAllowed"] = json!(left);
        if left == 0 {
            mark_insufficient(budget, &now);
        }
        let mut waiting = budget["status"]["disruptedPods"].take();
        if !waiting.is_object() {
            waiting = json!({});
        }
        waiting[pod] = json!(now);
        budget["status"]["disruptedPods"] = waiting;
        Ok(())
    };
    if dry_run {
        store.preview_modify(&POD_DISRUPTION_BUDGETS, namespace, name, step).map(drop)
    } else {
        store.try_modify(&POD_DISRUPTION_BUDGETS, namespace, name, step).map(drop)
    }
}

fn check(budget: &Value) -> Result<(), Status> {
    let name = meta::name(budget);
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if count(budget, "observedGeneration") < generation {
        return Err(still_processed(name));
    }
    let allowed = count(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(refused(name, "pdb disruptions allowed is negative"));
    }
    let waiting = budget["status"]["disruptedPods"].as_object().map_or(0, serde_json::Map::len);
    if waiting > MOST_DISRUPTED {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(refused(name, why));
    }
    if allowed == 0 { Err(violated(&why_none_allowed(budget))) } else { Ok(()) }
}

fn refused(name: &str, why: &str) -> Status {
    Status {
        details: Some(json!({ "name": name, "group": "policy", "kind": "poddisruptionbudget" })),
        ..Status::new(403, "Forbidden", format!("poddisruptionbudget.policy {name:?} is forbidden: {why}"))
    }
}

fn why_none_allowed(budget: &Value) -> String {
    let name = meta::name(budget);
    let conditions = budget["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False");
    let said = condition
        .map(|c| (c["reason"].as_str().unwrap_or_default(), c["message"].as_str().unwrap_or_default()))
        .filter(|(_, message)| !message.is_empty());
    let (current, desired) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    match said {
        Some(("SyncFailed", message)) => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
            )
        }
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        Some((reason, message)) => {
            format!(
                "The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
            )
        }
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

fn violated(why: &str) -> Status {
    Status::new(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
        .cause("DisruptionBudget", why, None)
}

fn still_processed(name: &str) -> Status {
    violated(&format!("The disruption budget {name} is still being processed by the server."))
        .retry_after(RETRY_SECONDS)
}

fn mark_insufficient(budget: &mut Value, now: &str) {
    let generation = budget["metadata"]["generation"].clone();
    set_condition(
        &mut budget["status"],
        json!({
            "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": generation, "lastTransitionTime": now,
        }),
    );
}

/// Sets a condition; its transition time moves only when its status does.
fn set_condition(status: &mut Value, mut condition: Value) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    match conditions.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
    status["conditions"] = Value::Array(conditions);
}

/// Point 8: marks the pod `DisruptionTarget` and deletes it. The client's preconditions are checked only here, after
/// the budget was taken from (`addConditionAndDeletePod`).
fn delete_marked(store: &Store, target: &Target, mut how: Deletion) -> Result<(), Status> {
    let (namespace, name) = (target.namespace(), target.name());
    if !how.dry_run {
        let now = store.now();
        let marked = store.try_modify(&PODS, namespace, name, |pod| {
            how.check(&PODS, pod)?;
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastTransitionTime": now,
            });
            meta::child_mut(pod, "status");
            set_condition(&mut pod["status"], condition);
            Ok(())
        })?;
        if how.resource_version.is_some() {
            how.resource_version = Some(meta::text(&marked, "resourceVersion").to_owned());
        }
    }
    store.delete(&PODS, namespace, name, &how).map(drop)
}
