//! How many pods the controllers of some pods want: the lookup order of the disruption controller.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::desk::Desk;
use super::read::{Key, controller_of, name, namespace, replicas, text, uid};
use crate::sim::store::Object;
use crate::sim::store::resources::{DEPLOYMENTS, REPLICA_SETS, Resource, find_kind};

/// Where controllers are looked up.
pub trait Scales {
    /// The object of that kind.
    fn owner(&self, resource: &'static Resource, key: &Key) -> Option<Object>;
}

impl Scales for Desk {
    fn owner(&self, resource: &'static Resource, key: &Key) -> Option<Object> {
        self.get(resource, key)
    }
}

/// The sum of `spec.replicas` over the distinct controllers of the pods, and the names of pods without one.
pub fn expected_scale(scales: &impl Scales, pods: &[Object]) -> Result<(i64, Vec<String>), String> {
    let mut unmanaged = Vec::new();
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    let mut through = BTreeSet::new();
    for pod in pods {
        let Some(owner) = controller_of(pod) else {
            unmanaged.push(name(pod).to_owned());
            continue;
        };
        if !through.insert(text(owner, "/uid").to_owned()) {
            continue;
        }
        let (uid, scale) = scale_of(scales, owner, namespace(pod))?
            .ok_or_else(|| format!("found no controllers for pod {:?}", name(pod)))?;
        wanted.insert(uid, scale);
    }
    Ok((wanted.values().sum(), unmanaged))
}

/// The controller that decides, and how many it wants: a Deployment for its ReplicaSets, else the owner itself.
fn scale_of(scales: &impl Scales, owner: &Value, namespace: &str) -> Result<Option<(String, i64)>, String> {
    let (version, kind) = (text(owner, "/apiVersion"), text(owner, "/kind"));
    let Some(resource) = find_kind(version, kind) else {
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let version = version.rsplit('/').next().unwrap_or_default();
        return Err(format!("no matches for kind {kind:?} in group {group:?} and version {version:?}"));
    };
    let home = if resource.namespaced { namespace } else { "" };
    let found = scales
        .owner(resource, &Key::new(home, text(owner, "/name")))
        .filter(|object| uid(object) == text(owner, "/uid"));
    if !resource.scale {
        return Err(format!("{} does not implement the scale subresource", resource.qualified()));
    }
    let Some(found) = found else { return Ok(None) };
    if *resource == REPLICA_SETS
        && let Some(parent) = controller_of(&found).filter(|parent| text(parent, "/kind") == DEPLOYMENTS.kind)
    {
        let deployment = scales
            .owner(&DEPLOYMENTS, &Key::new(namespace, text(parent, "/name")))
            .filter(|deployment| uid(deployment) == text(parent, "/uid"));
        if let Some(deployment) = deployment {
            return Ok(Some((uid(&deployment).to_owned(), replicas(&deployment))));
        }
    }
    Ok(Some((uid(&found).to_owned(), replicas(&found))))
}
