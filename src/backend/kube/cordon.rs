//! Cordon and uncordon: one patch each, which holds only for the node as it was looked at, and whose answer is checked.

use super::Cluster;
use super::request::{Ask, decode, path};
use super::rows::{MANAGER, NodeWire, Wire as _};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::node::{CordonNote, NodeRow, annotation};
use crate::domain::report::FailureKind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How often a patch is tried when something else about the node changed between reading and patching it.
const ATTEMPTS: u32 = 4;

impl Cluster {
    /// Makes a node unschedulable and notes who did it, in one patch. The node must still be the one in the row (uid), and
    /// as schedulable as the row says. Returns the node as it is after it.
    ///
    /// # Errors
    /// [`FailureKind::Conflict`] when the node is another one by now, or when somebody else cordoned or uncordoned it
    /// meanwhile. [`FailureKind::Cancelled`] when `stop` came before the patch was sent.
    pub async fn cordon(
        &self,
        node: &NodeRow,
        mark: &CordonNote,
        permit: &Permit,
        stop: &CancellationToken,
    ) -> Result<NodeRow, Error> {
        permit.check(&Change::Cordon(&node.name))?;
        let since = mark.since.unwrap_or_else(clock::now);
        let prior = if mark.prior_cordoned.unwrap_or(node.cordoned) { "cordoned" } else { "schedulable" };
        let notes = json!({
            annotation::RUN: mark.run.as_ref().map(|run| run.0.clone()),
            annotation::HOLDER: mark.holder,
            annotation::SINCE: clock::rfc3339(since),
            annotation::REASON: mark.reason,
            annotation::PRIOR: prior,
        });
        self.patch("cordon", node, (true, &notes), stop).await
    }

    /// Makes a node schedulable and removes our notes from it. The cordon must still be the one in the row.
    ///
    /// # Errors
    /// [`FailureKind::Conflict`] when the node is another one by now, or when somebody else has cordoned it meanwhile.
    /// [`FailureKind::Cancelled`] when `stop` came before the patch was sent.
    pub async fn uncordon(
        &self,
        node: &NodeRow,
        permit: &Permit,
        stop: &CancellationToken,
    ) -> Result<NodeRow, Error> {
        permit.check(&Change::Uncordon(&node.name))?;
        let notes = json!({
            annotation::RUN: null,
            annotation::HOLDER: null,
            annotation::SINCE: null,
            annotation::REASON: null,
            annotation::PRIOR: null,
        });
        self.patch("uncordon", node, (false, &notes), stop).await
    }

    /// Reads the node, compares it with the row, patches exactly what was read, checks the answer. Only a patch that
    /// was refused because something else changed (409) is made again, after reading and comparing again.
    async fn patch(
        &self,
        op: &'static str,
        node: &NodeRow,
        (cordon, notes): (bool, &Value),
        stop: &CancellationToken,
    ) -> Result<NodeRow, Error> {
        let to = path(&["api", "v1", "nodes", node.name.as_str()]);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let read = Ask::get(op, node.name.as_str(), to.clone());
            let wire: NodeWire = self.inner.fetch(&read).await?;
            let (version, has_notes) = (wire.version().to_owned(), wire.has_notes());
            let Some(found) = wire.row() else { return Err(conflict(op, node, "it cannot be read")) };
            is_unchanged(op, node, &found)?;
            if !cordon && !found.cordoned && !has_notes {
                return Ok(found);
            }
            let body = json!({
                "metadata": {"uid": node.uid, "resourceVersion": version, "annotations": notes},
                "spec": {"unschedulable": if cordon { Value::Bool(true) } else { Value::Null }},
            });
            let ask = Ask::merge(op, node.name.as_str(), to.clone(), &body).query("fieldManager", MANAGER);
            if stop.is_cancelled() {
                return Err(Error::new(FailureKind::Cancelled, op, node.name.as_str(), "stopped before it"));
            }
            self.inner.recent.outdate_pods();
            let answered = self.inner.ask(&ask).await;
            self.inner.recent.outdate_pods();
            match answered {
                Ok(answer) => {
                    let after = decode::<NodeWire>(&ask, &answer.body)?;
                    let version = after.version().to_owned();
                    let after = after.row().inspect(|row| self.inner.recent.keep_node(row, version));
                    return after.filter(|row| row.cordoned == cordon && row.uid == node.uid).ok_or_else(
                        || {
                            let message =
                                "the server accepted the patch, but its answer shows the node unchanged";
                            Error::new(FailureKind::Unexpected, op, node.name.as_str(), message)
                                .hint("an admission webhook may have undone it")
                        },
                    );
                }
                Err(error) if error.kind == FailureKind::Conflict => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| conflict(op, node, "it changes all the time")))
    }
}

/// Whether what was found is what the row says.
fn is_unchanged(op: &'static str, row: &NodeRow, found: &NodeRow) -> Result<(), Error> {
    if found.uid != row.uid {
        return Err(conflict(op, row, "another node has that name now"));
    }
    let holder =
        |row: &NodeRow| row.cordon.as_ref().map_or("somebody", |note| note.holder.as_str()).to_owned();
    match (row.cordoned, found.cordoned) {
        (false, true) => Err(conflict(op, row, &format!("{} cordoned it meanwhile", holder(found)))),
        // already as wanted when uncordoning; when cordoning, what the engineer saw is no longer true
        (true, false) if op == "cordon" => Err(conflict(op, row, "it was uncordoned meanwhile")),
        (true, true) if run(row) != run(found) => {
            Err(conflict(op, row, &format!("{} cordoned it anew meanwhile", holder(found))))
        }
        _ => Ok(()),
    }
}

fn run(row: &NodeRow) -> Option<&crate::domain::ids::RunId> {
    row.cordon.as_ref().and_then(|note| note.run.as_ref())
}

fn conflict(op: &'static str, node: &NodeRow, message: &str) -> Error {
    Error::new(FailureKind::Conflict, op, node.name.as_str(), message)
        .hint("look at the node again, then decide")
}

#[cfg(test)]
#[path = "cordon_tests.rs"]
mod tests;
