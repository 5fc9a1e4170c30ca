//! Whether DaemonSets exist: one list answers for all pods of a node, for a minute.

use super::request::{Ask, path};
use super::rows::DaemonSetWire;
use super::watch::Scope;
use super::{Cluster, Inner};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a list answers for what is in it. What is not in it is asked for by name every time.
const FRESH: Duration = Duration::from_mins(1);

/// The last list: namespaces and names, and when it was asked for.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<(Instant, Names)>>);

/// Namespaces and names.
type Names = BTreeSet<(String, String)>;

impl Known {
    /// Whether it is known to exist; `None` = there is no fresh list.
    fn has(&self, namespace: &str, name: &str) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, names) = known.as_ref()?;
        let key = (namespace.to_owned(), name.to_owned());
        (at.elapsed() < FRESH).then(|| names.contains(&key))
    }

    fn keep(&self, at: Instant, names: Names) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, names));
    }
}

impl Inner {
    async fn list_daemonsets(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let all = "/apis/apps/v1/daemonsets".to_owned();
        let scope = Scope::long("list daemonsets", "watch daemonsets", all);
        let (rows, _) = self.list::<DaemonSetWire>(&scope).await?;
        self.daemonsets.keep(begun, rows.into_iter().map(|row| row.0).collect());
        Ok(())
    }
}

impl Cluster {
    /// Whether a DaemonSet of `apps/v1` exists: by a list that is no older than a minute, else by its name.
    ///
    /// # Errors
    /// Neither the list nor the DaemonSet can be read.
    pub async fn daemonset_exists(&self, namespace: &str, name: &str) -> Result<bool, Error> {
        if self.inner.daemonsets.has(namespace, name).is_none() {
            match self.inner.list_daemonsets().await {
                // kubectl's least role may get them and not list them
                Ok(()) => {}
                Err(error) if error.kind == FailureKind::Forbidden => {}
                Err(error) => return Err(error),
            }
        }
        if self.inner.daemonsets.has(namespace, name) == Some(true) {
            return Ok(true);
        }
        let to = path(&["apis", "apps", "v1", "namespaces", namespace, "daemonsets", name]);
        match self.inner.ask(&Ask::get("get daemonset", format!("{namespace}/{name}"), to)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == FailureKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
