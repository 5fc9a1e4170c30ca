//! Pods by namespace, node and owner, and every kind of object by owner: what controllers look up most.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::read::{Key, items, node_of, text};
use crate::sim::store::{Change, ChangeKind, Object, resources, resources::Resource};

/// Folded from the store's changes; as new as the last change taken.
#[derive(Default)]
pub struct Index {
    pods: BTreeMap<Key, Object>,
    by_node: HashMap<String, BTreeSet<Key>>,
    by_owner: HashMap<String, BTreeSet<(&'static str, Key)>>,
}

impl Index {
    /// Takes a change in.
    pub fn fold(&mut self, change: &Change) {
        if let Some(previous) = &change.previous {
            self.forget(change.resource, previous);
        }
        if change.kind == ChangeKind::Deleted {
            self.forget(change.resource, &change.object);
        } else {
            self.take(change.resource, &change.object);
        }
    }

    /// Takes an object in that was there before.
    pub fn take(&mut self, resource: &'static Resource, object: &Object) {
        for owner in owners(object) {
            self.by_owner.entry(owner).or_default().insert((resource.plural, Key::of(object)));
        }
        if *resource == resources::PODS {
            let key = Key::of(object);
            if !node_of(object).is_empty() {
                self.by_node.entry(node_of(object).to_owned()).or_default().insert(key.clone());
            }
            self.pods.insert(key, object.clone());
        }
    }

    fn forget(&mut self, resource: &'static Resource, object: &Value) {
        let key = Key::of(object);
        for owner in owners(object) {
            if let Some(owned) = self.by_owner.get_mut(&owner) {
                owned.remove(&(resource.plural, key.clone()));
                if owned.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
        }
        if *resource == resources::PODS {
            if let Some(pods) = self.by_node.get_mut(node_of(object)) {
                pods.remove(&key);
            }
            self.pods.remove(&key);
        }
    }

    /// A pod.
    pub fn pod(&self, key: &Key) -> Option<&Object> {
        self.pods.get(key)
    }

    /// Every pod.
    pub fn pods(&self) -> impl Iterator<Item = &Object> {
        self.pods.values()
    }

    /// The pods of a namespace, by name.
    pub fn pods_in(&self, namespace: &str) -> impl Iterator<Item = &Object> {
        let wanted = namespace.to_owned();
        self.pods
            .range(Key::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == wanted)
            .map(|(_, pod)| pod)
    }

    /// The pods bound to a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Object> {
        self.by_node.get(node).into_iter().flatten().filter_map(|key| self.pods.get(key))
    }

    /// The pods that name an owner.
    pub fn pods_of(&self, owner: &str) -> impl Iterator<Item = &Object> {
        self.owned_by(owner).filter(|(plural, _)| *plural == "pods").filter_map(|(_, key)| self.pods.get(key))
    }

    /// Every object that names an owner: plural of its kind, and key.
    pub fn owned_by(&self, owner: &str) -> impl Iterator<Item = &(&'static str, Key)> {
        self.by_owner.get(owner).into_iter().flatten()
    }
}

fn owners(object: &Value) -> impl Iterator<Item = String> {
    items(object, "/metadata/ownerReferences").iter().map(|owner| text(owner, "/uid").to_owned())
}
