//! What a drain sees: pods, budgets and nodes as they change, and what it has to ask for to judge them.

use super::Fleet;
use crate::domain::feed::Delta;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::report::{FailureKind, Report};
use crate::engine::drain::feeds::{Told, Word};
use tokio::time::Instant;

impl Fleet<'_> {
    /// Learns which pods serve admission webhooks, so that they go after the others. Who may not read it is told so.
    pub(super) async fn read_admission(&mut self) -> Result<(), Report> {
        let cluster = &self.job.backends().cluster;
        let read = self.job.patiently("reading the admission webhooks", || cluster.admission()).await;
        match read {
            Ok(admission) => self.boards.iter_mut().for_each(|board| board.admission.clone_from(&admission)),
            Err(report) if report.kind == FailureKind::Forbidden => {
                let words =
                    format!("pods behind admission webhooks are not kept for last: {}", report.line());
                self.job.warn(words).await;
            }
            Err(report) => return Err(report),
        }
        Ok(())
    }

    /// Keeps the words of a source in trouble; what cannot pass by itself ends the drain.
    pub(super) async fn heard<R>(
        &mut self,
        source: &'static str,
        word: Word<R>,
    ) -> Result<Option<Delta<R>>, Report> {
        let error = match word {
            Ok(delta) => {
                self.trouble.remove(source);
                return Ok(Some(delta));
            }
            Err(error) => error,
        };
        match error.kind {
            FailureKind::Forbidden if error.op.starts_with("watch") => {
                if self.listed.insert(source) {
                    let hint = error.hint.as_deref().unwrap_or_default();
                    let words = format!(
                        "{source} may not be watched: they are listed every few seconds instead ({hint})"
                    );
                    self.job.warn(words).await;
                }
                Ok(None)
            }
            // another certificate authority is another server: that does not pass by itself
            FailureKind::Forbidden | FailureKind::Unauthorized | FailureKind::Identity => Err(error.into()),
            _ => {
                self.trouble.insert(source, error.to_string());
                Ok(None)
            }
        }
    }

    pub(super) async fn pods_changed(&mut self, words: Vec<Told<PodRow>>) -> Result<(), Report> {
        for (board, word) in words {
            let Some(delta) = self.heard("pods", word).await? else { continue };
            let rows = match &delta {
                Delta::Reset(rows) => rows.as_slice(),
                Delta::Upsert(row) => std::slice::from_ref(row),
                Delta::Remove(_) => &[],
            };
            for row in rows.iter().filter(|row| row.is_daemon()) {
                if row.node.as_ref().is_some_and(|node| self.nodes.contains(node)) {
                    self.look_up(row).await?;
                }
            }
            let now = Instant::now();
            let nodes = &self.nodes;
            if let Some(first) = self.boards.first_mut() {
                let here = |row: &&PodRow| row.node.as_ref().is_some_and(|node| nodes.contains(node));
                rows.iter().filter(here).for_each(|row| first.is_here(&row.key.uid));
            }
            self.elsewhere.changed(&delta, |node| nodes.contains(node));
            for (at, known) in self.boards.iter_mut().enumerate() {
                if board.is_none_or(|only| only == at) {
                    known.pods_changed(&delta, &self.daemonsets, now);
                }
            }
            self.count_moved();
        }
        Ok(())
    }

    pub(super) async fn look_up(&mut self, row: &PodRow) -> Result<(), Report> {
        let Some(owner) = &row.owner else { return Ok(()) };
        let key = (row.key.namespace.clone(), owner.name.clone());
        if self.daemonsets.contains_key(&key) {
            return Ok(());
        }
        let cluster = &self.job.backends().cluster;
        let exists =
            self.job.patiently("reading a DaemonSet", || cluster.daemonset_exists(&key.0, &key.1)).await?;
        self.daemonsets.insert(key, exists);
        Ok(())
    }

    pub(super) async fn nodes_changed(&mut self, words: Vec<Told<NodeRow>>) -> Result<(), Report> {
        for (board, word) in words {
            let Some(delta) = self.heard("the nodes", word).await? else { continue };
            let Some(at) = board else { continue };
            let row = match delta {
                Delta::Upsert(row) => Some(row),
                Delta::Reset(rows) => rows.into_iter().find(|row| row.name == self.nodes[at]),
                Delta::Remove(_) => None,
            };
            if let Err(report) = self.node_changed(at, row) {
                self.fail(at, report);
            }
        }
        Ok(())
    }

    /// Somebody who makes a node schedulable again would have us drain for ever.
    pub(super) fn node_changed(&mut self, at: usize, row: Option<NodeRow>) -> Result<(), Report> {
        let name = &self.nodes[at];
        let Some(row) = row else {
            return Err(Report::new(FailureKind::NotFound, format!("the node {name} is gone")));
        };
        let host = &mut self.boards[at].host;
        host.is_away = !row.is_ready();
        host.away = row.ready_since.filter(|_| host.is_away);
        match &self.cordoned[at] {
            Some(uid) if *uid != row.uid => Err(Report::new(
                FailureKind::Identity,
                format!("{name} is another node under the same name by now"),
            )),
            Some(_) if !row.cordoned => Err(Report::new(
                FailureKind::Conflict,
                format!("somebody made {name} schedulable again during the drain"),
            )
            .hint("find out who; then abort, or cordon it and try again")),
            None if !row.cordoned => Err(Report::new(
                FailureKind::Conflict,
                format!("somebody made {name} schedulable again before the drain: nothing was sent"),
            )
            .hint("find out who; then abort, or cordon it and try again")),
            _ => {
                self.cordoned[at] = Some(row.uid);
                Ok(())
            }
        }
    }
}
