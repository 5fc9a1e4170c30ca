//! Every object of the simulated cluster, versioned: the only state that API and controllers share.
//!
//! One mutex guards it and is never held across an await. Each write gets the next revision, which is the object's
//! `resourceVersion`, and a place in the history that watches read. Removing an object does at once what the garbage
//! collector and the namespace controller of a real cluster do a moment later (see `deletion`).

pub mod audit;
pub mod clock;
mod deletion;
pub mod feed;
pub mod meta;
pub mod resources;
pub mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

pub use audit::Audit;
pub use deletion::{Deletion, Propagation};
pub use feed::{Change, ChangeKind, Gone, Subscription};
pub use resources::Resource;
pub use status::{FieldError, Status};

/// An object of the API, shared and never changed in place.
pub type Object = Arc<Value>;

type Key = (String, String);
type Table = (&'static str, &'static str);

/// The shared store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    news: watch::Sender<u64>,
    clock: clock::Clock,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<Table, BTreeMap<Key, Object>>,
    /// Where the object with a uid is.
    uids: HashMap<String, (&'static Resource, Key)>,
    /// Uids of the objects that name a uid as their owner.
    dependents: HashMap<String, BTreeSet<String>>,
    history: feed::History,
    audit: audit::AuditLog,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl Store {
    /// An empty store whose clock starts now.
    pub fn new() -> Store {
        let (news, _) = watch::channel(0);
        let clock = clock::Clock::new();
        Store { shared: Arc::new(Shared { state: Mutex::default(), news, clock }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` on the state, then tells the subscribers.
    fn write<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = f(&mut state);
        let revision = state.revision;
        drop(state);
        self.shared.news.send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
        result
    }

    /// The wall clock of the cluster.
    pub fn clock(&self) -> clock::Clock {
        self.shared.clock
    }

    /// The time now, RFC 3339 with seconds.
    pub fn now(&self) -> String {
        clock::seconds(self.shared.clock.timestamp())
    }

    /// The time now, RFC 3339 with microseconds.
    pub fn now_micro(&self) -> String {
        clock::micros(self.shared.clock.timestamp())
    }

    /// Revision of the last write; 1 before the first.
    pub fn revision(&self) -> u64 {
        self.state().current()
    }

    /// The object, if there is one. `namespace` is empty for cluster-scoped kinds.
    pub fn get(&self, r: &'static Resource, namespace: &str, name: &str) -> Option<Object> {
        self.state().get(r, &key(namespace, name)).cloned()
    }

    /// All objects of a kind, of one namespace or of all, sorted by namespace and name.
    pub fn list(&self, r: &'static Resource, namespace: Option<&str>) -> Vec<Object> {
        self.list_at(r, namespace).1
    }

    /// As [`Store::list`], with the revision the list shows.
    pub fn list_at(&self, r: &'static Resource, namespace: Option<&str>) -> (u64, Vec<Object>) {
        let state = self.state();
        (state.current(), state.list(r, namespace))
    }

    /// The list as it was at a revision that history still holds.
    pub fn list_exact(
        &self,
        r: &'static Resource,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Object>, Gone> {
        let state = self.state();
        state.history.check(revision)?;
        let mut objects: BTreeMap<Key, Object> = BTreeMap::new();
        for object in state.list(r, namespace) {
            objects.insert(key(meta::namespace(&object), meta::name(&object)), object);
        }
        for change in state.history.newest_down_to(revision) {
            let place = meta::namespace(&change.object);
            if change.resource != r || namespace.is_some_and(|namespace| namespace != place) {
                continue;
            }
            let place = key(place, meta::name(&change.object));
            match &change.previous {
                Some(previous) => objects.insert(place, previous.clone()),
                None => objects.remove(&place),
            };
        }
        Ok(objects.into_values().collect())
    }

    /// Adds an object: fills uid, resourceVersion, creationTimestamp, generation and a generated name.
    pub fn create(&self, r: &'static Resource, object: Value) -> Result<Object, Status> {
        let now = self.now();
        self.write(|state| state.create(r, object, &now))
    }

    /// What [`Store::create`] would store, without storing it.
    pub fn preview_create(&self, r: &'static Resource, object: Value) -> Result<Value, Status> {
        let now = self.now();
        self.state().prepare(r, object, &now)
    }

    /// Writes a whole object; a `resourceVersion` in it must be the current one. A changed `spec` raises the generation.
    pub fn replace(&self, r: &'static Resource, object: Value) -> Result<Object, Status> {
        let (namespace, name) = (meta::namespace(&object).to_owned(), meta::name(&object).to_owned());
        self.try_modify(r, &namespace, &name, |current| {
            let expected = meta::text(&object, "resourceVersion");
            if !expected.is_empty() && expected != meta::text(current, "resourceVersion") {
                return Err(Status::modified(r, &name));
            }
            *current = object;
            Ok(())
        })
    }

    /// Reads, changes and writes an object in one step. A change of nothing writes nothing.
    pub fn modify(
        &self,
        r: &'static Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Object, Status> {
        self.try_modify(r, namespace, name, |object| {
            change(object);
            Ok(())
        })
    }

    /// As [`Store::modify`] with a change that may refuse; then nothing is written.
    pub fn try_modify(
        &self,
        r: &'static Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Object, Status> {
        let now = self.now();
        self.write(|state| state.modify(r, &key(namespace, name), change, &now))
    }

    /// What [`Store::try_modify`] would store, without storing it.
    pub fn preview_modify(
        &self,
        r: &'static Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Value, Status> {
        let state = self.state();
        let current = state.get(r, &key(namespace, name)).ok_or_else(|| Status::not_found(r, name))?;
        let mut next = Value::clone(current);
        change(&mut next)?;
        keep_identity(r, current, &mut next);
        Ok(next)
    }

    /// Asks for deletion with the API's rules: grace for pods, finalizers, preconditions, propagation. Gives the object
    /// as it is after the request, or its last state when it is gone. Kubelets end a stopped pod with
    /// [`Deletion::now`], which respects finalizers.
    pub fn delete(
        &self,
        r: &'static Resource,
        namespace: &str,
        name: &str,
        how: &Deletion,
    ) -> Result<Object, Status> {
        self.delete_reporting(r, namespace, name, how).map(|(object, _)| object)
    }

    /// As [`Store::delete`], also telling whether the object is gone.
    pub fn delete_reporting(
        &self,
        r: &'static Resource,
        namespace: &str,
        name: &str,
        how: &Deletion,
    ) -> Result<(Object, bool), Status> {
        let now = self.shared.clock.timestamp();
        self.write(|state| state.delete(r, &key(namespace, name), how, now))
    }

    /// Takes an object away now, whatever its grace and finalizers; its dependents are collected.
    pub fn remove(&self, r: &'static Resource, namespace: &str, name: &str) -> Option<Object> {
        let now = self.shared.clock.timestamp();
        self.write(|state| state.remove(r, &key(namespace, name), now))
    }

    /// Every change from now on, or after a revision that history still holds.
    pub fn subscribe(&self, since: Option<u64>) -> Result<Subscription, Gone> {
        let state = self.state();
        let since = since.unwrap_or(state.current());
        state.history.check(since)?;
        Ok(Subscription::new(self.clone(), since, self.shared.news.subscribe()))
    }

    fn change_after(&self, since: u64) -> Result<Option<Change>, Gone> {
        self.state().history.after(since)
    }

    /// Forgets the history, as etcd's compaction does: every older `resourceVersion` is too old from now on.
    pub fn compact(&self) {
        self.state().history.compact();
    }

    /// Fails when history no longer holds what came after the revision.
    pub fn check_since(&self, revision: u64) -> Result<(), Gone> {
        self.state().history.check(revision)
    }

    /// Notes a request that changed, or tried to change, something.
    pub fn audit(&self, entry: Audit) {
        self.state().audit.push(entry);
    }

    /// The noted requests, oldest first.
    pub fn history(&self) -> Vec<Audit> {
        self.state().audit.all()
    }
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

/// Restores what no write may change, and raises the generation when the spec changed.
fn keep_identity(r: &Resource, old: &Value, new: &mut Value) {
    new["apiVersion"] = json!(r.api_version());
    new["kind"] = json!(r.kind);
    let spec_changed = old["spec"] != new["spec"];
    let metadata = meta::metadata_mut(new);
    for field in ["name", "namespace", "uid", "creationTimestamp", "resourceVersion"] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    if r.generation {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1) + i64::from(spec_changed);
        metadata.insert("generation".to_owned(), json!(generation));
    }
}

impl State {
    /// Lists of an empty cluster must not say revision 0, which means "any" in requests.
    fn current(&self) -> u64 {
        self.revision.max(1)
    }

    fn get(&self, r: &Resource, key: &Key) -> Option<&Object> {
        self.objects.get(&(r.group, r.plural))?.get(key)
    }

    fn list(&self, r: &Resource, namespace: Option<&str>) -> Vec<Object> {
        let Some(table) = self.objects.get(&(r.group, r.plural)) else { return Vec::new() };
        match namespace {
            None => table.values().cloned().collect(),
            Some(namespace) => table
                .range(key(namespace, "")..)
                .take_while(|((ns, _), _)| ns == namespace)
                .map(|(_, object)| object.clone())
                .collect(),
        }
    }

    fn prepare(&self, r: &'static Resource, mut object: Value, now: &str) -> Result<Value, Status> {
        let metadata = meta::metadata_mut(&mut object);
        let base = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() && !base.is_empty() {
            name = meta::generated(&base);
        }
        let namespace = if r.namespaced {
            metadata.get("namespace").and_then(Value::as_str).unwrap_or("default").to_owned()
        } else {
            metadata.remove("namespace");
            String::new()
        };
        if self.get(r, &key(&namespace, &name)).is_some() {
            return Err(Status::already_exists(r, &name));
        }
        metadata.insert("name".into(), json!(name));
        if r.namespaced {
            metadata.insert("namespace".into(), json!(namespace));
        }
        metadata.entry("uid").or_insert_with(|| json!(meta::new_uid()));
        metadata.entry("creationTimestamp").or_insert_with(|| json!(now));
        if r.generation {
            metadata.insert("generation".into(), json!(1));
        }
        object["apiVersion"] = json!(r.api_version());
        object["kind"] = json!(r.kind);
        Ok(object)
    }

    fn create(&mut self, r: &'static Resource, object: Value, now: &str) -> Result<Object, Status> {
        let object = self.prepare(r, object, now)?;
        Ok(self.put(r, object))
    }

    fn modify(
        &mut self,
        r: &'static Resource,
        key: &Key,
        change: impl FnOnce(&mut Value) -> Result<(), Status>,
        now: &str,
    ) -> Result<Object, Status> {
        let current = self.get(r, key).cloned().ok_or_else(|| Status::not_found(r, &key.1))?;
        let mut next = Value::clone(&current);
        change(&mut next)?;
        keep_identity(r, &current, &mut next);
        if next == *current {
            return Ok(current);
        }
        let written = self.put(r, next);
        // The last finalizer of a deleted object that owes no grace ends it (registry `ShouldDeleteDuringUpdate`).
        let ended = meta::is_deleting(&written)
            && meta::finalizers(&written).is_empty()
            && written["metadata"]["deletionGracePeriodSeconds"].as_i64() == Some(0);
        if ended && let Some(at) = clock::parse(now) {
            self.remove(r, key, at);
        }
        Ok(written)
    }

    /// Stores an object under the next revision.
    fn put(&mut self, r: &'static Resource, mut object: Value) -> Object {
        self.revision = self.current() + 1;
        meta::metadata_mut(&mut object).insert("resourceVersion".into(), json!(self.revision.to_string()));
        let key = key(meta::namespace(&object), meta::name(&object));
        let object = Arc::new(object);
        let previous =
            self.objects.entry((r.group, r.plural)).or_default().insert(key.clone(), object.clone());
        if let Some(previous) = &previous {
            self.unlink(previous);
        }
        self.link(r, key, &object);
        let kind = if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        let change = Change { revision: self.revision, kind, resource: r, object: object.clone(), previous };
        self.history.push(change);
        object
    }

    /// Takes an object out under the next revision.
    fn take(&mut self, r: &'static Resource, key: &Key) -> Option<Object> {
        let previous = self.objects.get_mut(&(r.group, r.plural))?.remove(key)?;
        self.unlink(&previous);
        self.uids.remove(meta::uid(&previous));
        self.revision = self.current() + 1;
        let mut last = Value::clone(&previous);
        meta::metadata_mut(&mut last).insert("resourceVersion".into(), json!(self.revision.to_string()));
        let object = Arc::new(last);
        self.history.push(Change {
            revision: self.revision,
            kind: ChangeKind::Deleted,
            resource: r,
            object: object.clone(),
            previous: Some(previous),
        });
        Some(object)
    }

    fn link(&mut self, r: &'static Resource, key: Key, object: &Value) {
        let uid = meta::uid(object).to_owned();
        for owner in meta::owner_uids(object) {
            self.dependents.entry(owner).or_default().insert(uid.clone());
        }
        self.uids.insert(uid, (r, key));
    }

    fn unlink(&mut self, object: &Value) {
        for owner in meta::owner_uids(object) {
            if let Some(all) = self.dependents.get_mut(&owner) {
                all.remove(meta::uid(object));
                if all.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }
}
