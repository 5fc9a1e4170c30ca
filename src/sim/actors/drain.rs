//! A drain as kubectl's library does it: every pod that is not bound to the node is evicted, what is refused is tried again
//! after five seconds, and the node is empty when they are gone.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Crew, GaveUp};
use crate::sim::store::resources::PODS;
use crate::sim::world::{Key, read};

/// From a refused eviction to the next try.
const AGAIN: Duration = Duration::from_secs(5);
/// Between two looks at pods that are ending.
const LOOK: Duration = Duration::from_secs(1);

impl Crew {
    /// Evicts what can be evicted from a node and waits until it is gone.
    pub(super) async fn drain(&mut self, node: &str) -> Result<(), GaveUp> {
        let deadline = self.spec.drain_timeout.map(|timeout| Instant::now() + self.pace.of(timeout.0));
        let mut next: HashMap<String, Instant> = HashMap::new();
        let mut refused_since = None::<Instant>;
        loop {
            let pods = self.evictable(node).await;
            if pods.is_empty() {
                return Ok(());
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(GaveUp::Drain(node.to_owned()));
            }
            for pod in pods.iter().filter(|pod| !read::is_deleting(pod)) {
                if next.get(read::uid(pod)).is_some_and(|at| *at > Instant::now()) {
                    continue;
                }
                if self.client.evict(&Key::of(pod)).await {
                    next.remove(read::uid(pod));
                } else {
                    next.insert(read::uid(pod).to_owned(), Instant::now() + self.pace.of(AGAIN));
                }
            }
            next.retain(|uid, _| pods.iter().any(|pod| read::uid(pod) == uid));
            refused_since =
                if next.is_empty() { None } else { refused_since.or_else(|| Some(Instant::now())) };
            self.relieve(refused_since).await;
            self.pass(LOOK).await;
        }
    }

    /// Pods of a node that a drain takes away: not those of DaemonSets, not mirrors of static pods.
    async fn evictable(&self, node: &str) -> Vec<Value> {
        let mut pods = self.client.list(&PODS, &format!("spec.nodeName={node}")).await;
        pods.retain(|pod| {
            let is_daemon = read::controller_of(pod).is_some_and(|owner| owner["kind"] == "DaemonSet");
            !is_daemon && !read::is_mirror(pod)
        });
        pods
    }

    /// Lets somebody do something about evictions that have been refused for long: once.
    async fn relieve(&mut self, since: Option<Instant>) {
        let is_due = |after: Duration| since.is_some_and(|since| since.elapsed() >= self.pace.of(after));
        if self.spec.relief.as_ref().is_some_and(|relief| is_due(relief.after.0))
            && let Some(relief) = self.spec.relief.take()
        {
            self.yard.act(relief.action).await;
        }
    }
}
