//! Backups of etcd that the cluster makes by itself, by Jobs and CronJobs, and how old the last good one is.

use crate::domain::time::{Stamp, brief};
use serde::{Deserialize, Serialize};

/// What of a Job's or CronJob's template tells what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobLook {
    /// Its name.
    pub name: String,
    /// Values of its labels and of its pods' labels.
    pub labels: Vec<String>,
    /// Images of its containers.
    pub images: Vec<String>,
    /// Words of their commands.
    pub words: Vec<String>,
}

impl JobLook {
    /// Whether it makes a backup of etcd: it runs `etcdctl snapshot save`, or its name, a label or an image names both etcd
    /// and a backup. A backup of objects (Velero) is none.
    pub fn backs_up_etcd(&self) -> bool {
        let others = ["velero", "kasten"];
        let is_other = |text: &String| others.iter().any(|other| text.to_lowercase().contains(other));
        if self.images.iter().any(is_other) || is_other(&self.name) {
            return false;
        }
        let command = self.words.join(" ");
        let saves = ["etcdctl", "etcdutl", "ETCDCTL_"].iter().any(|tool| command.contains(tool))
            && command.contains("snapshot save");
        let images = self.images.iter().map(|image| image.rsplit('/').next().unwrap_or_default());
        let names = std::iter::once(self.name.as_str()).chain(self.labels.iter().map(String::as_str));
        saves || names.chain(images).any(names_both)
    }
}

/// `etcd-backup`, `backup-of-etcd`, `etcd-snapshot`, but not `etcd-defrag`.
fn names_both(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("etcd") && ["backup", "snapshot", "dump"].iter().any(|what| text.contains(what))
}

/// A CronJob that backs etcd up, with its Jobs; or Jobs that nothing owns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledBackup {
    /// `CronJob` or `Job`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it runs, in cron's words; empty for a Job.
    pub schedule: String,
    /// It is not run for now.
    pub is_suspended: bool,
    /// When it last succeeded, as far as its status and its Jobs tell.
    pub succeeded: Option<Stamp>,
    /// When one of its Jobs last failed.
    pub failed: Option<Stamp>,
}

impl ScheduledBackup {
    /// `kube-system/etcd-backup succeeded 3h ago`.
    pub fn words(&self, now: Stamp) -> String {
        let Self { namespace, name, .. } = self;
        let mut words = match self.succeeded {
            Some(at) => format!("{namespace}/{name} succeeded {} ago", brief(now.since(at))),
            None => format!("{namespace}/{name} has not succeeded yet, as far as its status tells"),
        };
        if let Some(at) = self.failed.filter(|at| self.succeeded.is_none_or(|succeeded| succeeded < *at)) {
            words.push_str(&format!(", and failed {} ago", brief(now.since(at))));
        }
        if self.is_suspended {
            words.push_str(", and is suspended");
        }
        words
    }
}

/// The one that succeeded last.
pub fn newest(backups: &[ScheduledBackup]) -> Option<&ScheduledBackup> {
    backups.iter().max_by_key(|backup| backup.succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_of_etcd_are_told_from_other_jobs() {
        let look = |name: &str, images: &[&str], words: &[&str]| {
            let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            JobLook { name: name.into(), labels: Vec::new(), images: list(images), words: list(words) }
        };
        let script =
            "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 snapshot save /backup/$(date +%F).db";
        for yes in [
            look("nightly", &["registry.k8s.io/etcd:3.6.5-0"], &["/bin/sh", "-c", script]),
            look("nightly", &["quay.io/coreos/etcd:v3.5"], &["etcdctl", "snapshot", "save", "/b/s.db"]),
            look("etcd-backup-29381760", &["busybox"], &[]),
            look("control-plane", &["registry.example.net/ops/etcd-snapshot-s3:2.1"], &[]),
            JobLook { labels: vec!["etcd-backup".into()], ..look("nightly", &["tools:1"], &[]) },
        ] {
            assert!(yes.backs_up_etcd(), "{yes:?}");
        }
        for no in [
            look("velero-etcd-backup", &["velero/velero:v1.17"], &["velero", "backup"]),
            look("etcd-defrag", &["registry.k8s.io/etcd:3.6.5-0"], &["etcdctl", "defrag"]),
            look("postgres-backup", &["postgres:17"], &["pg_dump"]),
            look("etcd-check", &["registry.k8s.io/etcd:3.6.5-0"], &["etcdctl", "snapshot", "status", "x"]),
        ] {
            assert!(!no.backs_up_etcd(), "{no:?}");
        }
    }

    #[test]
    fn words_tell_the_last_success_and_a_later_failure() {
        let hour = |n: i64| Stamp(n * 3_600_000);
        let backup = ScheduledBackup {
            namespace: "kube-system".into(),
            name: "etcd-backup".into(),
            succeeded: Some(hour(10)),
            failed: Some(hour(12)),
            ..ScheduledBackup::default()
        };
        assert_eq!(backup.words(hour(13)), "kube-system/etcd-backup succeeded 3h ago, and failed 60m ago");
        let early = ScheduledBackup { failed: Some(hour(9)), is_suspended: true, ..backup.clone() };
        assert_eq!(early.words(hour(13)), "kube-system/etcd-backup succeeded 3h ago, and is suspended");
        let never = ScheduledBackup { succeeded: None, failed: None, ..backup.clone() };
        assert_eq!(newest(&[never.clone(), backup.clone()]), Some(&backup));
        assert!(never.words(hour(13)).contains("has not succeeded yet"));
    }
}
