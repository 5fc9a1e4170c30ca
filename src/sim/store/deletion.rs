//! Deletion as the API server does it (registry `BeforeDelete`, pod strategy `CheckGracefulDelete`), and at once after
//! it what the garbage collector and the namespace controller do: dependents of a vanished owner are deleted, a
//! terminating namespace is emptied and goes when it is empty.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resources::{ALL, EVENTS, NAMESPACES, PODS, Resource};
use super::{Key, Object, State, Status, clock, key, meta};

/// What becomes of dependents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after the owner.
    #[default]
    Background,
    /// They are deleted before the owner.
    Foreground,
    /// They stay, without their owner reference.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct Deletion {
    /// Grace in seconds; none takes the pod's own.
    pub grace: Option<i64>,
    /// Delete only the object with this uid.
    pub uid: Option<String>,
    /// Delete only at this resourceVersion.
    pub resource_version: Option<String>,
    /// What becomes of dependents.
    pub propagation: Propagation,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

impl Deletion {
    /// Deletion without grace, as a kubelet ends a pod that has stopped.
    pub fn now() -> Deletion {
        Deletion { grace: Some(0), ..Deletion::default() }
    }

    /// 409 when the object is not the one meant.
    pub fn check(&self, r: &Resource, object: &Value) -> Result<(), Status> {
        let mut shown = Status::conflict(r, meta::name(object), "");
        let mut refuse = |what: &str, wanted: &str, has: &str, why: &str| {
            shown.message = format!(
                "Operation cannot be fulfilled on {} {:?}: the {what} in the precondition ({wanted}) does not match \
                 the {what} in record ({has}). {why}",
                r.kind,
                meta::name(object)
            );
            Err(shown.clone())
        };
        let (uid, version) = (meta::uid(object), meta::text(object, "resourceVersion"));
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            return refuse("UID", wanted, uid, "The object might have been deleted and then recreated");
        }
        if let Some(wanted) = self.resource_version.as_deref().filter(|wanted| *wanted != version) {
            return refuse("ResourceVersion", wanted, version, "The object might have been modified");
        }
        Ok(())
    }
}

/// Grace that a pod gets; none for other kinds (strategy `CheckGracefulDelete`).
fn grace_of(r: &Resource, object: &Value, asked: Option<i64>) -> Option<i64> {
    if *r != PODS {
        return None;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
    let period = asked.or(own).unwrap_or(30);
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    let runs_nowhere = object["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    if runs_nowhere || matches!(phase, "Failed" | "Succeeded") {
        return Some(0);
    }
    Some(if period < 0 { 1 } else { period })
}

enum Verdict {
    /// It is gone now.
    Gone,
    /// It stays, marked like this.
    Marked(Value),
    /// Its deletion is already under way.
    Pending,
}

fn judge(r: &Resource, current: &Value, how: &Deletion, has_dependents: bool, now: Timestamp) -> Verdict {
    let mut next = current.clone();
    let mut finalizers: Vec<String> = meta::finalizers(current).into_iter().map(str::to_owned).collect();
    if how.propagation == Propagation::Foreground && has_dependents {
        let mark = "foregroundDeletion".to_owned();
        if !finalizers.contains(&mark) {
            finalizers.push(mark);
            meta::set_finalizers(&mut next, &finalizers);
        }
    }
    let mut grace = grace_of(r, current, how.grace);
    if meta::is_deleting(current) {
        let running = current["metadata"]["deletionGracePeriodSeconds"].as_i64();
        match (running, how.grace) {
            (Some(running), Some(asked)) if asked < running && *r == PODS => {
                let asked = asked.max(0);
                grace = Some(asked);
                let at = clock::parse(meta::text(current, "deletionTimestamp")).unwrap_or(now);
                mark(&mut next, clock::shifted(at, asked - running), asked);
            }
            (Some(running), _) if running > 0 || !finalizers.is_empty() => return Verdict::Pending,
            (None, _) if !finalizers.is_empty() => return Verdict::Pending,
            _ => grace = Some(0),
        }
    } else {
        let seconds = grace.unwrap_or(0);
        mark(&mut next, clock::shifted(now, seconds), seconds);
        if let Some(generation) = current["metadata"]["generation"].as_i64() {
            next["metadata"]["generation"] = json!(generation + 1);
        }
    }
    if finalizers.is_empty() && grace.unwrap_or(0) == 0 { Verdict::Gone } else { Verdict::Marked(next) }
}

fn mark(object: &mut Value, at: Timestamp, grace: i64) {
    let metadata = meta::metadata_mut(object);
    metadata.insert("deletionTimestamp".into(), json!(clock::seconds(at)));
    metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
}

impl State {
    pub(super) fn delete(
        &mut self,
        r: &'static Resource,
        key: &Key,
        how: &Deletion,
        now: Timestamp,
    ) -> Result<(Object, bool), Status> {
        let current = self.get(r, key).cloned().ok_or_else(|| Status::not_found(r, &key.1))?;
        how.check(r, &current)?;
        if *r == NAMESPACES {
            return Ok(self.delete_namespace(&current, how, now));
        }
        let uid = meta::uid(&current).to_owned();
        if how.propagation == Propagation::Orphan && !how.dry_run {
            self.orphan(&uid);
        }
        match judge(r, &current, how, self.dependents.contains_key(&uid), now) {
            Verdict::Pending => Ok((current, false)),
            Verdict::Marked(next) if how.dry_run => Ok((Object::new(next), false)),
            Verdict::Gone if how.dry_run => Ok((current, true)),
            Verdict::Marked(next) => {
                let object = if next == *current { current } else { self.put(r, next) };
                if how.propagation == Propagation::Foreground {
                    self.collect(&uid, now);
                }
                let gone = self.get(r, key).is_none();
                Ok((object, gone))
            }
            Verdict::Gone => {
                let object = self.remove(r, key, now).unwrap_or(current);
                Ok((object, true))
            }
        }
    }

    /// Takes an object away and follows up: dependents, foreground owners, an emptied namespace.
    pub(super) fn remove(&mut self, r: &'static Resource, key: &Key, now: Timestamp) -> Option<Object> {
        let gone = self.take(r, key)?;
        self.collect(meta::uid(&gone), now);
        for owner in meta::owner_uids(&gone) {
            self.release(&owner, now);
        }
        if *r == NAMESPACES {
            self.empty(&key.1, now);
        } else if r.namespaced {
            self.finish_namespace(&key.0, now);
        }
        Some(gone)
    }

    /// Deletes the dependents of a uid that have no other living owner.
    fn collect(&mut self, uid: &str, now: Timestamp) {
        let dependents: BTreeSet<String> = self.dependents.get(uid).cloned().unwrap_or_default();
        for dependent in dependents {
            let Some((r, key)) = self.uids.get(&dependent).cloned() else { continue };
            let Some(object) = self.get(r, &key).cloned() else { continue };
            let others = meta::owner_uids(&object);
            let lives = others.iter().any(|owner| owner != uid && self.uids.contains_key(owner));
            if !lives {
                let foreground = self.uids.contains_key(uid);
                let propagation = if foreground { Propagation::Foreground } else { Propagation::Background };
                let _ = self.delete(r, &key, &Deletion { propagation, ..Deletion::default() }, now);
            }
        }
    }

    /// Ends an owner that waited for its dependents.
    fn release(&mut self, uid: &str, now: Timestamp) {
        if self.dependents.contains_key(uid) {
            return;
        }
        let Some((r, key)) = self.uids.get(uid).cloned() else { return };
        let Some(owner) = self.get(r, &key).cloned() else { return };
        let all = meta::finalizers(&owner);
        if !all.contains(&"foregroundDeletion") {
            return;
        }
        let rest: Vec<String> =
            all.into_iter().filter(|f| *f != "foregroundDeletion").map(str::to_owned).collect();
        let done = rest.is_empty();
        let mut next = Value::clone(&owner);
        meta::set_finalizers(&mut next, &rest);
        self.put(r, next);
        if done {
            self.remove(r, &key, now);
        }
    }

    /// Takes the owner reference to a uid out of its dependents.
    fn orphan(&mut self, uid: &str) {
        let dependents: BTreeSet<String> = self.dependents.get(uid).cloned().unwrap_or_default();
        for dependent in dependents {
            let Some((r, key)) = self.uids.get(&dependent).cloned() else { continue };
            let Some(object) = self.get(r, &key).cloned() else { continue };
            let mut next = Value::clone(&object);
            if let Some(owners) = next["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != uid);
            }
            self.put(r, next);
        }
    }

    fn delete_namespace(&mut self, current: &Object, how: &Deletion, now: Timestamp) -> (Object, bool) {
        let name = meta::name(current).to_owned();
        let mut next = Value::clone(current);
        if !meta::is_deleting(current) {
            meta::metadata_mut(&mut next).insert("deletionTimestamp".into(), json!(clock::seconds(now)));
        }
        next["status"]["phase"] = json!("Terminating");
        if how.dry_run {
            return (Object::new(next), false);
        }
        let marked = if next == **current { current.clone() } else { self.put(&NAMESPACES, next) };
        self.empty(&name, now);
        self.finish_namespace(&name, now);
        let gone = self.get(&NAMESPACES, &key("", &name)).is_none();
        (marked, gone)
    }

    /// Deletes everything in a namespace.
    fn empty(&mut self, namespace: &str, now: Timestamp) {
        for r in ALL.iter().copied().filter(|r| r.namespaced) {
            for object in self.list(r, Some(namespace)) {
                let _ = self.delete(r, &key(namespace, meta::name(&object)), &Deletion::default(), now);
            }
        }
    }

    /// Ends a terminating namespace that is empty and has no finalizer of its own.
    fn finish_namespace(&mut self, name: &str, now: Timestamp) {
        let place = key("", name);
        let Some(namespace) = self.get(&NAMESPACES, &place) else { return };
        if !meta::is_deleting(namespace) || !meta::finalizers(namespace).is_empty() {
            return;
        }
        let foreign = namespace["spec"]["finalizers"]
            .as_array()
            .is_some_and(|all| all.iter().any(|f| f.as_str() != Some("kubernetes")));
        // what controllers still tell of the end is no content that keeps a namespace
        let told = self.list(&EVENTS, Some(name));
        let empty = ALL
            .iter()
            .filter(|r| r.namespaced && r.plural != EVENTS.plural)
            .all(|r| self.objects.get(&(r.group, r.plural)).is_none_or(|t| !has_namespace(t, name)));
        if empty && !foreign {
            for event in told {
                self.take(&EVENTS, &key(name, meta::name(&event)));
            }
            self.remove(&NAMESPACES, &place, now);
        }
    }
}

fn has_namespace(table: &std::collections::BTreeMap<Key, Object>, namespace: &str) -> bool {
    table.range(key(namespace, "")..).next().is_some_and(|((ns, _), _)| ns == namespace)
}
