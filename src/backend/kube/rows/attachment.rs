//! VolumeAttachment objects: which volume is attached to which node.

use super::{Meta, Wire, nullable, tidy};
use crate::domain::feed::Row;
use crate::domain::ids::NodeName;
use serde::Deserialize;

/// What is read of a VolumeAttachment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct AttachmentWire {
    metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "nullable")]
    node_name: String,
    #[serde(deserialize_with = "nullable")]
    source: Source,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    #[serde(deserialize_with = "nullable")]
    persistent_volume_name: String,
}

/// A volume on a node.
#[derive(Debug, Clone)]
pub(in crate::backend::kube) struct Attachment {
    name: String,
    /// The node.
    pub(in crate::backend::kube) node: NodeName,
    /// The volume, else the attachment.
    pub(in crate::backend::kube) volume: String,
}

impl Row for Attachment {
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
}

impl Wire for AttachmentWire {
    type Row = Attachment;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<Attachment> {
        let name = tidy(self.metadata.name);
        let volume = tidy(self.spec.source.persistent_volume_name);
        Some(Attachment {
            volume: if volume.is_empty() { name.clone() } else { volume },
            node: tidy(self.spec.node_name).into(),
            name,
        })
    }
}
