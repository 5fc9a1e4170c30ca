//! Who keeps an object as it is: its controller, and the tools that write the very field that is to change.

use crate::domain::pod::Owner;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A tool that writes objects again from a source of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tool {
    /// Argo CD.
    ArgoCd,
    /// Flux.
    Flux,
    /// Helm without either: writes at the next release only.
    Helm,
}

impl Tool {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
            Self::Helm => "Helm",
        }
    }

    /// Whether it puts a field back by itself, without anybody releasing anything.
    pub fn reverts(self) -> bool {
        !matches!(self, Self::Helm)
    }

    /// The tool behind a field manager's name.
    fn of_manager(manager: &str) -> Option<Self> {
        match manager {
            _ if manager.starts_with("argocd") || manager.starts_with("argo-cd") => Some(Self::ArgoCd),
            "kustomize-controller" | "helm-controller" | "flux" => Some(Self::Flux),
            "helm" | "Helm" => Some(Self::Helm),
            _ => None,
        }
    }
}

/// The marks and owners of one object, as far as they matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keepers {
    /// The owner reference with `controller: true`.
    pub controller: Option<Owner>,
    /// Field managers by field (`spec.replicas`), in the order of the object's `managedFields`.
    pub managers: BTreeMap<String, Vec<String>>,
    /// Tools that track the object by label or annotation, and what they call it.
    pub trackers: BTreeMap<Tool, String>,
}

/// A tool that writes a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// Which.
    pub tool: Tool,
    /// What it calls the object's source; may be empty.
    pub source: String,
    /// How it shows.
    pub evidence: String,
}

impl Keepers {
    /// The tool that is known to write one of these fields, by `managedFields`; a tool that merely tracks the object
    /// does not count (Argo CD and Flux leave fields alone that their source does not set).
    pub fn of(&self, fields: &[&str]) -> Option<Keeper> {
        fields.iter().find_map(|field| {
            let mut manager = self.managers.get(*field)?.iter().rev();
            let (tool, manager) = manager.find_map(|manager| Some((Tool::of_manager(manager)?, manager)))?;
            // Helm's own manager under Flux's labels is Flux
            let tool = match (tool, self.trackers.contains_key(&Tool::Flux)) {
                (Tool::Helm, true) => Tool::Flux,
                (tool, _) => tool,
            };
            Some(Keeper {
                tool,
                source: self.trackers.get(&tool).cloned().unwrap_or_default(),
                evidence: format!("{field} is managed by {manager}"),
            })
        })
    }

    /// Tools that track the object and do not own the fields.
    pub fn others(&self, fields: &[&str]) -> Vec<Tool> {
        let keeper = self.of(fields).map(|keeper| keeper.tool);
        self.trackers.keys().copied().filter(|tool| Some(*tool) != keeper).collect()
    }

    /// The controller when it is no kind of the API server's own.
    pub fn operator(&self) -> Option<&Owner> {
        self.controller.as_ref().filter(|owner| !is_builtin(owner))
    }
}

impl Keeper {
    /// How its synchronisation is suspended, as a person could type it.
    pub fn suspend(&self, namespace: &str) -> String {
        let name = if self.source.is_empty() { "NAME" } else { &self.source };
        match self.tool {
            Tool::ArgoCd => format!("argocd app set {name} --sync-policy none"),
            Tool::Flux => format!("flux suspend kustomization {name} -n {namespace}  # or helmrelease"),
            Tool::Helm => String::new(),
        }
    }
}

/// A kind that comes with the API server: its controller goes by its spec alone.
pub fn is_builtin(owner: &Owner) -> bool {
    matches!(owner.api_version.as_str(), "v1" | "apps/v1" | "batch/v1")
}

/// Labels that the pods of well-known operators carry: (label, value or any, the operator).
const OPERATORS: &[(&str, Option<&str>, &str)] = &[
    ("cnpg.io/cluster", None, "CloudNativePG"),
    ("application", Some("spilo"), "Zalando Postgres operator"),
    ("strimzi.io/cluster", None, "Strimzi"),
    ("rook_cluster", None, "Rook"),
    ("longhorn.io/component", Some("instance-manager"), "Longhorn"),
    ("elasticsearch.k8s.elastic.co/cluster-name", None, "ECK"),
    ("app.kubernetes.io/managed-by", Some("mongodb-operator"), "MongoDB operator"),
    ("app.kubernetes.io/managed-by", Some("percona-server-mongodb-operator"), "Percona operator"),
    ("kubevirt.io", Some("virt-launcher"), "KubeVirt"),
];

/// The operator whose labels a pod carries.
pub fn operator_of(labels: &BTreeMap<String, String>) -> Option<&'static str> {
    OPERATORS.iter().find_map(|(label, value, operator)| {
        let found = labels.get(*label)?;
        value.is_none_or(|value| value == found).then_some(*operator)
    })
}

/// Labels that name the role of a member: a budget over the primary alone is one of one by design.
const ROLES: &[&str] = &["cnpg.io/instanceRole", "role", "spilo-role", "cluster-role"];

/// The role to which a selector pins a budget.
pub fn pinned_role(labels: &BTreeMap<String, String>) -> Option<&str> {
    let role = ROLES.iter().find_map(|label| labels.get(*label))?;
    matches!(role.as_str(), "primary" | "master" | "leader").then_some(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn managed(field: &str, managers: &[&str]) -> Keepers {
        let managers = managers.iter().map(|name| (*name).to_owned()).collect();
        Keepers { managers: BTreeMap::from([(field.to_owned(), managers)]), ..Keepers::default() }
    }

    #[test]
    fn a_tool_counts_only_for_the_field_that_it_writes() {
        let replicas = managed("spec.replicas", &["kubectl-client-side-apply", "argocd-controller"]);
        let keeper = replicas.of(&["spec.replicas"]).unwrap();
        assert_eq!((keeper.tool, keeper.tool.reverts()), (Tool::ArgoCd, true));
        assert_eq!(keeper.evidence, "spec.replicas is managed by argocd-controller");
        assert_eq!(replicas.of(&["spec.template"]), None);
        assert_eq!(managed("spec.replicas", &["kubectl-scale"]).of(&["spec.replicas"]), None);
        let mut helm = managed("spec.replicas", &["helm"]);
        assert_eq!(helm.of(&["spec.replicas"]).unwrap().tool, Tool::Helm);
        helm.trackers.insert(Tool::Flux, "shop".into());
        assert_eq!(helm.of(&["spec.replicas"]).unwrap().tool, Tool::Flux);
        assert_eq!(helm.of(&["spec.replicas"]).unwrap().source, "shop");
    }

    #[test]
    fn operators_by_their_pods_and_roles_by_their_budgets() {
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(operator_of(&labels("cnpg.io/cluster", "pg")), Some("CloudNativePG"));
        assert_eq!(operator_of(&labels("application", "web")), None);
        assert_eq!(pinned_role(&labels("spilo-role", "master")), Some("master"));
        assert_eq!(pinned_role(&labels("role", "frontend")), None);
    }
}
