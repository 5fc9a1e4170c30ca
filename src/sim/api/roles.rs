//! The shipped roles, enforced for two users that have nothing else: `viewer` and `operator`.
//!
//! `--as viewer` (or the header `Impersonate-User`) shows what a console may do under the roles of `assets/rbac.yaml`, with
//! the refusals of a real API server.

use std::sync::OnceLock;

use serde::Deserialize;

use super::access::Attributes;

/// The manifest that is shipped.
const MANIFEST: &str = include_str!("../../../assets/rbac.yaml");

/// One document of the manifest, as far as it grants something.
#[derive(Debug, Clone, Deserialize)]
struct Role {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
    resource_names: Vec<String>,
}

/// The roles of the manifest; none when it cannot be read (its test says why).
fn roles() -> &'static [Role] {
    static ROLES: OnceLock<Vec<Role>> = OnceLock::new();
    ROLES.get_or_init(|| read().unwrap_or_default())
}

fn read() -> Result<Vec<Role>, String> {
    let all: Vec<Role> = serde_saphyr::from_multiple(MANIFEST).map_err(|error| error.to_string())?;
    Ok(all.into_iter().filter(|role| matches!(role.kind.as_str(), "ClusterRole" | "Role")).collect())
}

/// Whether the roles keep a user from something. Users other than the two may do everything.
pub(super) fn forbid(what: &Attributes) -> bool {
    let bound: &[&str] = match what.user.as_str() {
        "viewer" => &["pitstop-viewer"],
        "operator" => &["pitstop-viewer", "pitstop-operator"],
        _ => return false,
    };
    // paths that are no objects are open to every user that is known (`system:discovery`, `system:public-info-viewer`)
    if what.plural.is_empty() {
        return false;
    }
    let mut mine = roles().iter().filter(|role| bound.contains(&role.metadata.name.as_str()));
    !mine.any(|role| role.allows(what))
}

impl Role {
    fn allows(&self, what: &Attributes) -> bool {
        let is_here = self.kind == "ClusterRole" || self.metadata.namespace == what.namespace;
        is_here && self.rules.iter().any(|rule| rule.allows(what))
    }
}

impl Rule {
    /// As the RBAC authorizer matches (`rbac/v1/evaluation_helpers.go`).
    fn allows(&self, what: &Attributes) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        // a review that names no object asks for any
        let is_named = self.resource_names.is_empty() || self.resource_names.contains(&what.name);
        has(&self.verbs, &what.verb)
            && has(&self.api_groups, &what.group)
            && has(&self.resources, &what.resource())
            && is_named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_read_and_the_viewer_writes_nothing() {
        let roles = read().unwrap();
        let of = |name: &str| roles.iter().filter(|role| role.metadata.name == name).collect::<Vec<_>>();
        assert_eq!((of("pitstop-viewer").len(), of("pitstop-operator").len()), (1, 2), "{roles:?}");
        for role in of("pitstop-viewer") {
            let verbs = role.rules.iter().flat_map(|rule| &rule.verbs);
            assert!(verbs.clone().all(|verb| ["get", "list", "watch"].contains(&verb.as_str())), "{role:?}");
            let mut resources = role.rules.iter().flat_map(|rule| &rule.resources);
            assert!(!resources.any(|resource| resource == "secrets" || resource == "*"), "{role:?}");
        }
        let lease = |user: &str, verb: &str, name: &str, namespace: &str| Attributes {
            verb: verb.into(),
            group: "coordination.k8s.io".into(),
            plural: "leases".into(),
            name: name.into(),
            namespace: namespace.into(),
            user: user.into(),
            ..Attributes::default()
        };
        assert!(!forbid(&lease("operator", "patch", "pitstop", "kube-system")));
        assert!(forbid(&lease("operator", "patch", "kube-scheduler", "kube-system")));
        assert!(forbid(&lease("operator", "patch", "pitstop", "default")));
        assert!(forbid(&lease("viewer", "patch", "pitstop", "kube-system")));
        assert!(!forbid(&lease("viewer", "get", "pitstop", "kube-system")));
        assert!(!forbid(&lease("somebody", "patch", "pitstop", "kube-system")));
    }
}
