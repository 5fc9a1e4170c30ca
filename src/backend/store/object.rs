//! An object of the API as a file in the archive of a host, or by itself: `kube-system/kubeadm-config` and its like.

use super::part::{Part, hex};
use super::{ArchiveFile, ArchiveMeta, safe_for_name, stamp_for_name};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::NodeName;
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::path::Path;

/// What a ConfigMap is called in an archive.
pub fn name(namespace: &str, name: &str) -> String {
    format!("configmaps/{}/{}.json", safe_for_name(namespace), safe_for_name(name))
}

/// A ConfigMap as JSON that `kubectl apply` takes.
pub fn text(namespace: &str, name: &str, data: &BTreeMap<String, String>) -> String {
    let object = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "namespace": namespace, "name": name },
        "data": data,
    });
    format!("{object:#}\n")
}

/// Stores it by itself, where there is no archive to put it into. Readable by its owner only, flushed, read back, with a
/// sidecar.
pub async fn store(
    dir: &Path,
    node: &NodeName,
    (namespace, name): (&str, &str),
    text: &str,
    permit: &Permit,
) -> Result<ArchiveFile, Error> {
    permit.check(&Change::Snapshot)?;
    let taken = clock::now();
    let file =
        format!("{}-{}-{}.config", safe_for_name(node.as_str()), safe_for_name(name), stamp_for_name(taken));
    let mut part = Part::create(dir, &file).await?;
    part.write(text.as_bytes()).await?;
    let describe = |size, sha256| ArchiveMeta {
        node: node.0.clone(),
        boot_id: String::new(),
        paths: vec![self::name(namespace, name)],
        entries: 1,
        files: BTreeMap::new(),
        sha256,
        size,
        taken,
        sealed: None,
    };
    let (path, meta) = part.finish(hex(digest(&SHA256, text.as_bytes()).as_ref()), describe).await?;
    Ok(ArchiveFile { path, meta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Policy;
    use crate::domain::guard::{Assent, Request, World, grant};

    use crate::domain::plan::Kind;

    #[tokio::test]
    async fn it_is_stored_as_kubectl_takes_it() {
        let dir = tempfile::tempdir().expect("dir");
        let world = World { nodes: None, etcd: None, lock: None };
        let wanted = Request::new(Kind::Snapshot, Vec::new());
        let permit = grant(&Policy::default(), &wanted, world, Assent::Key).expect("permit");
        let data = [("ClusterConfiguration".to_owned(), "kind: ClusterConfiguration\n".to_owned())].into();
        let key = ("kube-system", "kubeadm-config");
        let text = text(key.0, key.1, &data);
        let file = store(dir.path(), &"cp-1".into(), key, &text, &permit).await.expect("stored");
        let text = std::fs::read_to_string(&file.path).expect("read");
        let object: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(object["data"]["ClusterConfiguration"], "kind: ClusterConfiguration\n");
        assert_eq!((object["kind"].as_str(), file.meta.size), (Some("ConfigMap"), text.len() as u64));
    }
}
