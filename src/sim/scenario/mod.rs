//! What a simulated cluster is made of and what befalls it: scenarios, read from TOML.
//!
//! The schema is documented in `assets/scenarios/README.md`. [`populate`] turns a scenario into objects of a store,
//! settled: pods run, budgets are computed, leases are fresh before the first request is answered.

pub mod actor;
pub mod build;
pub mod event;
mod node;
mod params;
mod settings;
mod system;
pub mod workload;

use std::path::Path;

use serde::Deserialize;

use super::etcd::EtcdSpec;
use super::machine::MachineSpec;
pub use actor::{ActorKind, ActorSpec, Relief, Work};
pub use build::populate;
pub use event::{Action, Event};
pub use node::{NodeSpec, Reboot, Unsteady, ZONE};
pub use settings::{ClusterSpec, Size, Span, Timings};
pub use workload::{Amount, Autoscale, Budget, Kind, Policy, Workload};

/// The scenarios that are part of the program: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("default", include_str!("../../../assets/scenarios/default.toml")),
    ("tight-budgets", include_str!("../../../assets/scenarios/tight-budgets.toml")),
    ("one-member-down", include_str!("../../../assets/scenarios/one-member-down.toml")),
    ("ailing", include_str!("../../../assets/scenarios/ailing.toml")),
    ("big", include_str!("../../../assets/scenarios/big.toml")),
    ("foreign-roll", include_str!("../../../assets/scenarios/foreign-roll.toml")),
    ("kured-roll", include_str!("../../../assets/scenarios/kured-roll.toml")),
    ("hand-roll", include_str!("../../../assets/scenarios/hand-roll.toml")),
    ("roll-stuck", include_str!("../../../assets/scenarios/roll-stuck.toml")),
    ("roll-lost", include_str!("../../../assets/scenarios/roll-lost.toml")),
    ("roll-flapping", include_str!("../../../assets/scenarios/roll-flapping.toml")),
    ("fleet", include_str!("../../../assets/scenarios/fleet.toml")),
    ("minimal", include_str!("../../../assets/scenarios/minimal.toml")),
];

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No built-in scenario has that name and no such file exists.
    #[error("there is no scenario {name:?}: built in are {known}; a file is given by its path")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the scenario {path:?}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a scenario.
    #[error("the scenario {name:?} is not valid: {message}")]
    Invalid {
        /// Name or path.
        name: String,
        /// What is wrong, with line and column where known.
        message: String,
    },
}

/// A cluster and its fate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// One line for people.
    pub description: String,
    /// How many machines and pods.
    pub size: Size,
    /// Versions and names.
    pub cluster: ClusterSpec,
    /// The etcd cluster.
    pub etcd: EtcdSpec,
    /// How long things take at speed 1.
    pub timings: Timings,
    /// Nodes that differ from the rest, or further ones.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeSpec>,
    /// Namespaces beyond those that workloads name.
    #[serde(rename = "namespace")]
    pub namespaces: Vec<NamespaceSpec>,
    /// What runs.
    #[serde(rename = "workload")]
    pub workloads: Vec<Workload>,
    /// Disruption budgets beyond those written at their workload.
    #[serde(rename = "budget")]
    pub budgets: Vec<Budget>,
    /// What happens, and when.
    #[serde(rename = "event")]
    pub events: Vec<Event>,
    /// Others who maintain the nodes by themselves.
    #[serde(rename = "actor")]
    pub actors: Vec<ActorSpec>,
}

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSpec {
    /// Its name.
    pub name: String,
    /// Being deleted, and held by a finalizer: nothing can be created in it.
    #[serde(default)]
    pub terminating: bool,
}

impl Scenario {
    /// A built-in scenario, or a file when `what` contains a path separator or ends in `.toml`; parameters may follow
    /// after a colon (`big:workers=50,pods=2000`), see [`Size`].
    pub fn load(what: &str) -> Result<Scenario, ScenarioError> {
        let (name, parameters) = params::split(what);
        let is_file = name.contains(['/', '\\']) || Path::new(name).extension().is_some_and(|e| e == "toml");
        if !is_file {
            return Self::named(what);
        }
        let text = std::fs::read_to_string(name)
            .map_err(|source| ScenarioError::Unreadable { path: name.to_owned(), source })?;
        Self::finish(name, &text, parameters)
    }

    /// A built-in scenario, with parameters after a colon where wanted.
    pub fn named(what: &str) -> Result<Scenario, ScenarioError> {
        let (name, parameters) = params::split(what);
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let known = BUILT_IN.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
            return Err(ScenarioError::Unknown { name: name.to_owned(), known });
        };
        Self::finish(name, text, parameters)
    }

    /// A scenario from its text.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        Self::finish("text", text, "")
    }

    fn finish(name: &str, text: &str, parameters: &str) -> Result<Scenario, ScenarioError> {
        let invalid = |message: String| ScenarioError::Invalid { name: name.to_owned(), message };
        let mut scenario: Scenario = toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        params::apply(&mut scenario.size, parameters).map_err(invalid)?;
        scenario.check().map_err(invalid)?;
        Ok(scenario)
    }

    /// Every node, generated and named ones, control planes first.
    pub fn node_specs(&self) -> Vec<NodeSpec> {
        node::expand(self)
    }

    /// The computers under the nodes.
    pub fn machines(&self) -> Vec<MachineSpec> {
        self.node_specs().iter().map(NodeSpec::machine).collect()
    }

    /// Contradictions that the types cannot express.
    fn check(&self) -> Result<(), String> {
        let nodes = self.node_specs();
        if !nodes.iter().any(|node| node.control_plane) {
            return Err("a cluster needs at least one control plane".to_owned());
        }
        for event in &self.events {
            if let Some(node) = event.action.node()
                && !nodes.iter().any(|known| known.name == node)
            {
                return Err(format!("an event names the node {node:?}, which does not exist"));
            }
        }
        self.check_actors(&nodes)?;
        for workload in &self.workloads {
            if workload.name.is_empty() || workload.namespace.is_empty() {
                return Err("a workload needs a name and a namespace".to_owned());
            }
        }
        for budget in self.budgets.iter().chain(self.workloads.iter().filter_map(|w| w.budget.as_ref())) {
            if budget.min_available.is_some() && budget.max_unavailable.is_some() {
                return Err(format!(
                    "the budget {:?} sets both min_available and max_unavailable",
                    budget.name
                ));
            }
        }
        Ok(())
    }

    fn check_actors(&self, nodes: &[NodeSpec]) -> Result<(), String> {
        let is_known = |name: &str| nodes.iter().any(|known| known.name == name && !known.is_spare());
        for actor in &self.actors {
            let helper = actor.relief.as_ref().and_then(|relief| relief.action.node());
            if let Some(name) =
                actor.nodes.iter().map(String::as_str).chain(helper).find(|name| !is_known(name))
            {
                return Err(format!("an actor names the node {name:?}, which does not exist"));
            }
        }
        let replacing = self.actors.iter().filter(|actor| actor.kind.replaces()).count();
        if replacing > 1 {
            return Err("only one actor can put new machines in the place of old ones".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_valid() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::named(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(!scenario.description.is_empty(), "{name} has no description");
            assert!(!scenario.machines().is_empty());
        }
    }

    #[test]
    fn parameters_change_sizes() {
        let scenario = Scenario::named("big:workers=7,pods=30").unwrap();
        assert_eq!((scenario.size.workers, scenario.size.pods), (7, 30));
        assert_eq!(scenario.machines().len(), scenario.size.control_planes as usize + 7);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in [
            "colour = 1",
            "[size]\nworker = 3",
            "[[workload]]\nkind = \"Deployment\"\nname = \"a\"\nnamespace = \"b\"\nreplica = 1",
            "[[event]]\nat = \"1s\"\naction = { do = \"explode\" }",
            "[[event]]\nat = \"1s\"\naction = { do = \"cordon\", node = \"nobody\" }",
        ] {
            assert!(matches!(Scenario::parse(text), Err(ScenarioError::Invalid { .. })), "{text}");
        }
        assert!(matches!(Scenario::named("nope"), Err(ScenarioError::Unknown { .. })));
        assert!(matches!(Scenario::load("big:workers=x"), Err(ScenarioError::Invalid { .. })));
        assert!(matches!(Scenario::load("./no/such.toml"), Err(ScenarioError::Unreadable { .. })));
    }
}
