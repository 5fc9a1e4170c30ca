//! The horizontal pod autoscaler, without metrics: the load asks for as many replicas as there were when it was first
//! seen, within the bounds. As in a real cluster, a size that somebody sets by hand does not last.

use serde_json::json;

use super::desk::Desk;
use super::read::{Key, annotation, int, name, replicas, set_condition, text};
use super::{Change, Controller};
use crate::sim::store::resources::{HORIZONTAL_POD_AUTOSCALERS, find_kind};
use crate::sim::store::{ChangeKind, Object};

const COMPONENT: &str = "horizontal-pod-autoscaler";
/// How many replicas the load asks for.
const LOAD: &str = "sim.pitstop.dev/load";

/// The controller. A key names an autoscaler.
pub struct Autoscaler;

impl Controller for Autoscaler {
    fn name(&self) -> &'static str {
        "autoscaler"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == HORIZONTAL_POD_AUTOSCALERS && change.kind == ChangeKind::Added {
            desk.mark(Key::of(&change.object));
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(scaler) = desk.get(&HORIZONTAL_POD_AUTOSCALERS, key) else { return };
        correct(desk, key, &scaler);
        desk.mark_every(key.clone(), desk.timings.autoscale);
    }
}

fn correct(desk: &mut Desk, key: &Key, scaler: &Object) {
    let target = &scaler["spec"]["scaleTargetRef"];
    let place = Key::new(&key.namespace, text(target, "/name"));
    let resource = find_kind(text(target, "/apiVersion"), text(target, "/kind"));
    let found = resource
        .filter(|resource| resource.scale)
        .and_then(|resource| Some((resource, desk.get(resource, &place)?)));
    let now = desk.stamp(&key.name);
    let Some((resource, owner)) = found else {
        let state = json!({ "type": "AbleToScale", "status": "False", "reason": "FailedGetScale",
                            "message": "the HPA controller was unable to get the target's current scale" });
        desk.modify(&HORIZONTAL_POD_AUTOSCALERS, key, |scaler| set_condition(scaler, state, &now));
        return;
    };
    let current = replicas(&owner);
    let least = int(scaler, "/spec/minReplicas").unwrap_or(1);
    let most = int(scaler, "/spec/maxReplicas").unwrap_or(current);
    let load = annotation(scaler, LOAD).parse().unwrap_or(current);
    let desired = if current == 0 { 0 } else { load.clamp(least, most.max(least)) };
    if desired != current {
        desk.modify(resource, &place, |owner| owner["spec"]["replicas"] = desired.into());
        let bound = if desired > current { "below Spec.MinReplicas" } else { "above what the load asks for" };
        let message = format!("New size: {desired}; reason: Current number of replicas {bound}");
        desk.tell(scaler, "SuccessfulRescale", &message, COMPONENT);
    }
    let running = int(&owner, "/status/replicas").unwrap_or_default();
    let target_name = name(&owner).to_owned();
    desk.modify(&HORIZONTAL_POD_AUTOSCALERS, key, |scaler| {
        if scaler["metadata"]["annotations"][LOAD].is_null() {
            scaler["metadata"]["annotations"][LOAD] = load.to_string().into();
        }
        scaler["status"]["currentReplicas"] = running.into();
        scaler["status"]["desiredReplicas"] = desired.into();
        if desired != current {
            scaler["status"]["lastScaleTime"] = now.clone().into();
        }
        let message = format!("recommended size of {target_name} matches current size");
        let able = json!({ "type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale", "message": message });
        set_condition(scaler, able, &now);
    });
}
