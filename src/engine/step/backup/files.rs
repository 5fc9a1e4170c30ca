//! What a control plane cannot be rebuilt without and etcd does not hold: its certificates and configuration.

use super::pace::Pace;
use super::{Account, RECENT};
use crate::backend::host::Contents;
use crate::backend::store::object;
use crate::domain::etcd::place::{Discovery, Distribution};
use crate::domain::ids::NodeName;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::text::bytes;
use crate::engine::job::Job;
use futures::FutureExt;
use std::path::{Path, PathBuf};

/// What kubeadm keeps in the cluster, which no file of the host holds.
const KUBEADM: (&str, &str) = ("kube-system", "kubeadm-config");

/// What kubeadm stores in the API, by its name in an archive.
type Object = (String, String);

/// Stores an archive of the host to be rebooted. Missing files are said, and do not fail the step.
pub(super) async fn save(job: &Job, account: &mut Account) -> Result<Option<PathBuf>, Report> {
    let Some(node) = job.step.node.as_ref().filter(|_| job.shared.plan.kind == Kind::Reboot) else {
        return Ok(None);
    };
    if let Some(path) = job.memory().archive.filter(|path| is_recent(path)) {
        account.add(format!("the archive that this run made is there: {}", path.display()));
        return Ok(Some(path));
    }
    let object = config_map(job, account).await;
    let contents = Contents { paths: paths(distribution(job)), objects: object.iter().cloned().collect() };
    let what = contents.paths.iter().map(|path| format!("/{path}")).collect::<Vec<_>>().join(", ");
    match archive(job, &contents).await {
        Ok(Some((words, path))) => {
            account.add(words);
            return Ok(Some(path));
        }
        Ok(None) => account.warn(format!("{what} of {node} was not saved: no SSH")),
        Err(report) if report.kind == FailureKind::Cancelled => return Err(report),
        Err(report) => account.warn(format!("{what} of {node} was not saved: {report}")),
    }
    match object {
        Some((_, text)) => Ok(Some(store_object(job, node, &text, account).await?)),
        None => Ok(None),
    }
}

/// Who set the control plane up, when that was found out.
fn distribution(job: &Job) -> Option<Distribution> {
    match job.backends().etcd.as_ref()?.place()? {
        Discovery::Found(place) => Some(place.distribution),
        Discovery::NotAvailable { .. } | Discovery::Unknown => None,
    }
}

/// Where certificates, keys and configuration of a control plane lie, relative to `/`. Source: the documentation of each.
fn paths(distribution: Option<Distribution>) -> Vec<String> {
    let paths: &[&str] = match distribution {
        None | Some(Distribution::Kubeadm | Distribution::External | Distribution::OpenShift) => {
            &["etc/kubernetes"]
        }
        Some(Distribution::Service) => &["etc/kubernetes", "etc/ssl/etcd", "etc/etcd.env"],
        Some(Distribution::Kops) => &["etc/kubernetes", "srv/kubernetes"],
        Some(Distribution::K0s) => &["etc/k0s", "var/lib/k0s/pki"],
        Some(Distribution::Rke2) => &[
            "etc/rancher",
            "var/lib/rancher/rke2/server/tls",
            "var/lib/rancher/rke2/server/cred",
            "var/lib/rancher/rke2/server/token",
            "var/lib/rancher/rke2/server/manifests",
            "var/lib/rancher/rke2/agent/pod-manifests",
        ],
        Some(Distribution::K3s) => &[
            "etc/rancher",
            "var/lib/rancher/k3s/server/tls",
            "var/lib/rancher/k3s/server/cred",
            "var/lib/rancher/k3s/server/token",
            "var/lib/rancher/k3s/server/manifests",
        ],
    };
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Whether a file of an earlier attempt is still there and recent.
fn is_recent(path: &Path) -> bool {
    let Ok(file) = std::fs::metadata(path) else { return false };
    let age = file.modified().ok().and_then(|at| at.elapsed().ok());
    file.len() > 0 && age.is_some_and(|age| age <= RECENT)
}

/// The ConfigMap; nothing where there is none, as without kubeadm.
async fn config_map(job: &Job, account: &mut Account) -> Option<Object> {
    let (namespace, name) = KUBEADM;
    match job.backends().cluster.config_map(namespace, name).await {
        Ok(data) => data.map(|data| (object::name(namespace, name), object::text(namespace, name, &data))),
        Err(error) => {
            account.warn(format!("the ConfigMap {name} was not saved: {error}"));
            None
        }
    }
}

async fn archive(job: &Job, contents: &Contents) -> Result<Option<(String, PathBuf)>, Report> {
    let Some(hosts) = &job.backends().hosts else { return Ok(None) };
    let node = job.node()?;
    let row = job.patiently("reading the node", || job.backends().cluster.node(node)).await?;
    let dir = &job.backends().settings.snapshot_dir;
    let pace = Pace::new(job, "archiving the host's files: ");
    let progress = |done: u64| pace.tell(done, None);
    let request = hosts.archive(&row, contents, dir, progress, &job.cancel, job.permit()).boxed();
    let what = contents.paths.iter().map(|path| format!("/{path}")).collect::<Vec<_>>().join(", ");
    let file = job.change(&format!("archive {what} of {node}"), request).await?;
    let path = file.path.clone();
    job.remember(|memory| memory.archive = Some(path))?;
    let (is_object, is_file): (Vec<_>, Vec<_>) =
        file.meta.paths.iter().partition(|path| contents.objects.iter().any(|(name, _)| name == *path));
    let mut words = is_file.iter().map(|path| format!("/{path}")).collect::<Vec<_>>().join(", ");
    if !is_object.is_empty() {
        words.push_str(&format!(" and the ConfigMap {}", KUBEADM.1));
    }
    words.push_str(&format!(", {}: {}", bytes(file.meta.size), file.path.display()));
    Ok(Some((words, file.path)))
}

/// The ConfigMap by itself, when there is no archive to put it into.
async fn store_object(
    job: &Job,
    node: &NodeName,
    text: &str,
    account: &mut Account,
) -> Result<PathBuf, Report> {
    let name = KUBEADM.1;
    let dir = &job.backends().settings.snapshot_dir;
    let storing = object::store(dir, node, KUBEADM, text, job.permit());
    let file = job.change(&format!("store the ConfigMap {name}"), storing).await?;
    account.add(format!("ConfigMap {name}: {}", file.path.display()));
    Ok(file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distribution_keeps_its_keys_elsewhere() {
        assert_eq!(paths(None), ["etc/kubernetes"]);
        for (distribution, key) in [
            (Distribution::Kubeadm, "etc/kubernetes"),
            (Distribution::Service, "etc/ssl/etcd"),
            (Distribution::Rke2, "var/lib/rancher/rke2/server/tls"),
            (Distribution::K3s, "var/lib/rancher/k3s/server/token"),
            (Distribution::K0s, "var/lib/k0s/pki"),
        ] {
            let paths = paths(Some(distribution));
            assert!(paths.iter().any(|path| path == key), "{distribution:?}: {paths:?}");
            assert!(paths.iter().all(|path| !path.starts_with('/')), "{paths:?}");
        }
    }
}
