//! What is told of an offender beside what is wrong with it: the last Event about it, and the last line of its log.
//!
//! Asked only for what keeps a gate closed, for a few of them, and not again for a while; what does not answer at once is
//! left out. Nothing is judged by it.

use crate::backend::kube::Cluster;
use crate::domain::gate::{Gate, Offender};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// So many offenders of all gates are looked into.
const MOST: usize = 6;
/// All of it takes no longer than this.
const LIMIT: Duration = Duration::from_secs(3);
/// What was told so long ago is asked for again.
const FRESH: Duration = Duration::from_secs(15);

type Key = (String, Option<String>, String);

#[derive(Debug, Clone, Default)]
struct Told {
    event: Option<String>,
    log: Option<String>,
}

/// Remembers what was told, while the same gates are read again and again.
#[derive(Debug, Default)]
pub struct Details {
    known: BTreeMap<Key, (Instant, Told)>,
}

fn key(offender: &Offender) -> Key {
    (offender.kind.clone(), offender.namespace.clone(), offender.name.clone())
}

fn is_object(offender: &Offender) -> bool {
    matches!(offender.kind.as_str(), "Node" | "Pod")
}

impl Details {
    /// Adds event and log line to the offenders of gates that are not open.
    pub async fn add(&mut self, cluster: &Cluster, gates: &mut [Gate]) {
        let closed = || gates.iter().filter(|gate| !gate.verdict.is_open()).flat_map(|gate| &gate.offenders);
        let mut asked: Vec<Offender> = Vec::new();
        for offender in closed().filter(|one| is_object(one)) {
            let is_fresh = self.known.get(&key(offender)).is_some_and(|(at, _)| at.elapsed() < FRESH);
            if !is_fresh && asked.len() < MOST && !asked.iter().any(|one| key(one) == key(offender)) {
                asked.push(offender.clone());
            }
        }
        let answers = join_all(asked.iter().map(|offender| ask(cluster, offender)));
        if let Ok(answers) = tokio::time::timeout(LIMIT, answers).await {
            let at = Instant::now();
            self.known.extend(asked.iter().map(key).zip(answers.into_iter().map(|told| (at, told))));
        }
        let open = gates.iter_mut().filter(|gate| !gate.verdict.is_open());
        for offender in open.flat_map(|gate| &mut gate.offenders) {
            if let Some((_, told)) = self.known.get(&key(offender)) {
                offender.event.clone_from(&told.event);
                offender.log.clone_from(&told.log);
            }
        }
    }
}

async fn ask(cluster: &Cluster, offender: &Offender) -> Told {
    let namespace = offender.namespace.as_deref().unwrap_or_default();
    let is_pod = offender.kind == "Pod";
    let (event, log) = futures::join!(cluster.last_event(&offender.kind, namespace, &offender.name), async {
        if is_pod { cluster.last_log(namespace, &offender.name).await.ok().flatten() } else { None }
    });
    Told { event: event.ok().flatten(), log }
}
