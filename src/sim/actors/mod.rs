//! Others who maintain the nodes by themselves, as a scenario's `[[actor]]` says.
//!
//! Each is a task of its own that knows nothing of the simulation but the API, as a client with its own user agent and
//! field manager, and its levers on machines ([`Yard`]): the cloud, or a console at the rack. So evictions are answered by
//! budgets, and what it does stands in the history of requests.

mod client;
mod drain;
mod hand;
mod kured;
mod nodes;
mod replace;
#[cfg(test)]
mod tests;
mod yard;

use std::fmt;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::client::Client;
pub use self::yard::Yard;
use super::api::Endpoint;
use super::pace::Pace;
use super::scenario::{ActorKind, ActorSpec, NodeSpec, Scenario, Span};

/// Why an actor stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GaveUp {
    /// A node could not be drained in time.
    Drain(String),
    /// The cluster was not well in time after the turn of a node.
    Validation(String),
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GaveUp::Drain(node) => write!(f, "{node} could not be drained in time"),
            GaveUp::Validation(node) => write!(f, "the cluster was not well in time after {node}"),
        }
    }
}

/// What every actor works with.
struct Crew {
    spec: ActorSpec,
    /// Its nodes, in the order of their turns.
    turns: Vec<String>,
    /// Every machine, with those that are to stand in the place of others.
    nodes: Vec<NodeSpec>,
    client: Client,
    yard: Yard,
    pace: Pace,
}

impl Crew {
    async fn work(mut self) {
        self.pass(self.spec.at).await;
        let ended = match self.spec.kind {
            ActorKind::Kops => replace::roll(&mut self, &replace::KOPS).await,
            ActorKind::ClusterApi => replace::roll(&mut self, &replace::CLUSTER_API).await,
            ActorKind::Kured => kured::reboot_all(&mut self).await,
            ActorKind::Hand => hand::work(&mut self).await,
        };
        if let Err(why) = ended {
            tracing::debug!(actor = ?self.spec.kind, %why, "a simulated actor gave up");
        }
    }

    /// Lets time of this world pass.
    async fn pass(&self, time: impl Into<Duration>) {
        tokio::time::sleep(self.pace.of(time.into())).await;
    }

    /// From one turn to the next, where the tool waits so long by default.
    async fn rest(&self, default: u64) {
        self.pass(self.spec.interval.unwrap_or(Span(Duration::from_secs(default)))).await;
    }

    fn node(&self, name: &str) -> NodeSpec {
        self.nodes.iter().find(|node| node.name == name).cloned().unwrap_or_default()
    }

    /// The machine for the place of a node.
    fn successor(&self, name: &str) -> NodeSpec {
        self.nodes.iter().find(|node| node.replaces == name).cloned().unwrap_or_default()
    }
}

/// Lets every actor of a scenario do its work over `endpoint`, until `stop` is cancelled.
pub fn start(scenario: &Scenario, endpoint: &Endpoint, yard: &Yard, pace: Pace, stop: &CancellationToken) {
    let nodes = scenario.node_specs();
    for spec in &scenario.actors {
        let crew = Crew {
            turns: spec.turns(&nodes),
            nodes: nodes.clone(),
            client: Client::new(endpoint.clone(), spec.kind, pace),
            spec: spec.clone(),
            yard: yard.clone(),
            pace,
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(crew.work()).await;
        });
    }
}
