//! Pods by namespace, node and owner, and every kind of object by owner: what controllers look up most.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::read::{Key, is_terminal, items, name, node_of, text};
use crate::sim::store::{Change, ChangeKind, Object, resources, resources::Resource};

/// Folded from the store's changes; as new as the last change taken.
#[derive(Default)]
pub struct Index {
    pods: BTreeMap<Key, Object>,
    by_node: HashMap<String, BTreeSet<Key>>,
    by_owner: HashMap<String, BTreeSet<(&'static str, Key)>>,
    loads: HashMap<String, usize>,
    by_load: BTreeSet<(usize, String)>,
}

impl Index {
    /// Takes a change in. What is replaced or gone is taken out as the index has it, so that a change may be older
    /// than what was read already.
    pub fn fold(&mut self, change: &Change) {
        self.forget(change.resource, change.previous.as_ref().unwrap_or(&change.object));
        if change.kind != ChangeKind::Deleted {
            self.take(change.resource, &change.object);
        }
    }

    /// Takes an object in that was there before.
    pub fn take(&mut self, resource: &'static Resource, object: &Object) {
        for owner in owners(object) {
            self.by_owner.entry(owner).or_default().insert((resource.plural, Key::of(object)));
        }
        if *resource == resources::NODES {
            self.shift_load(name(object), 0);
        } else if *resource == resources::PODS {
            let key = Key::of(object);
            if !node_of(object).is_empty() {
                self.by_node.entry(node_of(object).to_owned()).or_default().insert(key.clone());
                self.shift_load(node_of(object), takes_room(object));
            }
            self.pods.insert(key, object.clone());
        }
    }

    fn forget(&mut self, resource: &'static Resource, object: &Object) {
        let key = Key::of(object);
        let known = if *resource == resources::PODS { self.pods.remove(&key) } else { None };
        let object = known.as_ref().unwrap_or(object);
        for owner in owners(object) {
            if let Some(owned) = self.by_owner.get_mut(&owner) {
                owned.remove(&(resource.plural, key.clone()));
                if owned.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
        }
        let node = node_of(object);
        if known.is_some() && !node.is_empty() {
            if let Some(pods) = self.by_node.get_mut(node) {
                pods.remove(&key);
            }
            self.shift_load(node, -takes_room(object));
        }
    }

    fn shift_load(&mut self, node: &str, by: isize) {
        let load = self.loads.entry(node.to_owned()).or_default();
        self.by_load.remove(&(*load, node.to_owned()));
        *load = load.saturating_add_signed(by);
        self.by_load.insert((*load, node.to_owned()));
    }

    /// Every node that is or was there with the number of pods that take room on it, the emptiest first.
    pub fn nodes_by_load(&self) -> impl Iterator<Item = (usize, &str)> {
        self.by_load.iter().map(|(load, node)| (*load, node.as_str()))
    }

    /// A pod.
    pub fn pod(&self, key: &Key) -> Option<&Object> {
        self.pods.get(key)
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

/// A pod that has ended takes no room.
fn takes_room(pod: &Value) -> isize {
    isize::from(!is_terminal(pod))
}
