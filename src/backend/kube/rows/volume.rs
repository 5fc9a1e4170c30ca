//! PersistentVolume objects as rows: only those that are not to be reached from every node.

use super::rules::TermsWire;
use super::{Meta, Wire, nullable, tidy};
use crate::domain::placement::VolumeRow;
use serde::Deserialize;

/// What is read of a PersistentVolume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct VolumeWire {
    metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    claim_ref: Option<ClaimRef>,
    #[serde(deserialize_with = "nullable")]
    node_affinity: Affinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimRef {
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Affinity {
    required: Option<TermsWire>,
}

impl Wire for VolumeWire {
    type Row = VolumeRow;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<VolumeRow> {
        let terms = self.spec.node_affinity.required?.read();
        Some(VolumeRow {
            name: tidy(self.metadata.name),
            claim: self.spec.claim_ref.map(|claim| (tidy(claim.namespace), tidy(claim.name))),
            terms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_volumes_that_are_tied_to_nodes_are_rows() {
        let row = |spec| {
            let object = json!({"metadata": {"name": "pv"}, "spec": spec});
            serde_json::from_value::<VolumeWire>(object).unwrap().row()
        };
        assert!(row(json!({"claimRef": {"namespace": "a", "name": "d"}})).is_none());
        let tied = row(json!({"claimRef": {"namespace": "a", "name": "d"}, "nodeAffinity": {"required": {
            "nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["w1"]}]}]}}}))
        .expect("a row");
        assert_eq!(tied.claim, Some(("a".into(), "d".into())));
        let labels = std::collections::BTreeMap::from([("kubernetes.io/hostname".into(), "w1".into())]);
        assert!(tied.terms[0].holds("w1", &labels));
    }
}
