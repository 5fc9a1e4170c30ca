//! Backups of etcd that the cluster makes by itself: the CronJobs and Jobs that do it, and when they last succeeded.

use super::Cluster;
use super::request::{Ask, path};
use super::rows::{Condition, Meta, nullable, tidy, time};
use super::survey::Items;
use crate::backend::error::Error;
use crate::domain::etcd::scheduled::{JobLook, ScheduledBackup};
use crate::domain::time::Stamp;
use serde::Deserialize;
use std::collections::BTreeMap;

impl Cluster {
    /// Everything that backs etcd up, by what it is called and what it runs.
    ///
    /// # Errors
    /// CronJobs or Jobs cannot be listed.
    pub async fn etcd_backups(&self) -> Result<Vec<ScheduledBackup>, Error> {
        let list = |plural: &str| path(&["apis", "batch", "v1", plural]);
        let (crons, jobs) =
            (Ask::get("list cronjobs", "", list("cronjobs")), Ask::get("list jobs", "", list("jobs")));
        let (crons, jobs) = futures::join!(
            self.inner.fetch::<Items<CronWire>>(&crons),
            self.inner.fetch::<Items<JobWire>>(&jobs)
        );
        Ok(gather(crons?.items, jobs?.items))
    }
}

/// One row for each CronJob, with what its Jobs say, and one for each Job that none owns.
fn gather(crons: Vec<CronWire>, jobs: Vec<JobWire>) -> Vec<ScheduledBackup> {
    let mut found: BTreeMap<(String, String), ScheduledBackup> = BTreeMap::new();
    for cron in crons {
        let template = &cron.spec.job_template;
        if !look(&cron.metadata, &[&template.metadata.labels], &template.spec).backs_up_etcd() {
            continue;
        }
        let (namespace, name) = (tidy(cron.metadata.namespace), tidy(cron.metadata.name));
        let row = ScheduledBackup {
            kind: "CronJob".to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            schedule: tidy(cron.spec.schedule),
            is_suspended: cron.spec.suspend,
            succeeded: cron.status.last_successful_time,
            failed: None,
        };
        found.insert((namespace, name), row);
    }
    for job in jobs {
        let owner = job.metadata.owner_references.iter().find(|owner| owner.kind == "CronJob");
        let namespace = tidy(job.metadata.namespace.clone());
        let owned = owner.and_then(|owner| found.get_mut(&(namespace.clone(), tidy(owner.name.clone()))));
        if owner.is_none() && !look(&job.metadata, &[], &job.spec).backs_up_etcd() {
            continue;
        }
        let (succeeded, failed) = (job.status.ended("Complete"), job.status.ended("Failed"));
        if let Some(row) = owned {
            row.succeeded = row.succeeded.max(succeeded);
            row.failed = row.failed.max(failed);
        } else if owner.is_none() {
            let name = tidy(job.metadata.name);
            let kind = "Job".to_owned();
            let row = ScheduledBackup {
                kind,
                namespace: namespace.clone(),
                name: name.clone(),
                succeeded,
                failed,
                ..ScheduledBackup::default()
            };
            found.insert((namespace, name), row);
        }
    }
    found.into_values().collect()
}

fn look(metadata: &Meta, labels: &[&BTreeMap<String, String>], spec: &JobSpec) -> JobLook {
    let pod = &spec.template;
    let labels = labels.iter().copied().chain([&metadata.labels, &pod.metadata.labels]);
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
    JobLook {
        name: metadata.name.clone(),
        labels: labels.flat_map(BTreeMap::values).cloned().collect(),
        images: containers.clone().map(|container| container.image.clone()).collect(),
        words: containers
            .flat_map(|container| container.command.iter().chain(&container.args))
            .cloned()
            .collect(),
    }
}

#[derive(Deserialize)]
struct CronWire {
    metadata: Meta,
    #[serde(default)]
    spec: CronSpec,
    #[serde(default)]
    status: CronStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CronSpec {
    schedule: String,
    #[serde(deserialize_with = "nullable")]
    suspend: bool,
    job_template: JobTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobTemplate {
    metadata: Meta,
    spec: JobSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CronStatus {
    #[serde(deserialize_with = "time")]
    last_successful_time: Option<Stamp>,
}

#[derive(Deserialize)]
struct JobWire {
    metadata: Meta,
    #[serde(default)]
    spec: JobSpec,
    #[serde(default)]
    status: JobStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobSpec {
    template: PodTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodTemplate {
    metadata: Meta,
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    #[serde(deserialize_with = "nullable")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    init_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    image: String,
    #[serde(deserialize_with = "nullable")]
    command: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    args: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JobStatus {
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "time")]
    completion_time: Option<Stamp>,
}

impl JobStatus {
    /// When it came to that end, if it did.
    fn ended(&self, how: &str) -> Option<Stamp> {
        let condition =
            self.conditions.iter().find(|condition| condition.kind == how && condition.status == "True")?;
        let at = if how == "Complete" { self.completion_time } else { None };
        at.or(condition.last_transition_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(crons: &Value, jobs: &Value) -> Vec<ScheduledBackup> {
        gather(serde_json::from_value(crons.clone()).unwrap(), serde_json::from_value(jobs.clone()).unwrap())
    }

    fn pod(words: &[&str]) -> Value {
        json!({ "template": { "spec": { "containers": [{ "image": "registry.k8s.io/etcd:3.6.5-0", "command": words }] } } })
    }

    #[test]
    fn a_cron_job_is_as_fresh_as_the_newest_of_its_jobs() {
        let save = ["etcdctl", "snapshot", "save", "/backup/etcd.db"];
        let crons = json!([
            { "metadata": { "name": "nightly", "namespace": "ops" },
              "spec": { "schedule": "0 3 * * *", "suspend": null, "jobTemplate": { "spec": pod(&save) } },
              "status": { "lastSuccessfulTime": "2026-01-02T03:00:20Z" } },
            { "metadata": { "name": "report", "namespace": "ops" }, "spec": { "jobTemplate": { "spec": pod(&["date"]) } } },
        ]);
        let job = |name: &str, owner: &str, how: &str, at: &str| {
            json!({ "metadata": { "name": name, "namespace": "ops",
                                  "ownerReferences": [{ "kind": "CronJob", "name": owner }] },
                    "spec": pod(&save),
                    "status": { "conditions": [{ "type": how, "status": "True", "lastTransitionTime": at }],
                                "completionTime": if how == "Complete" { json!(at) } else { Value::Null } } })
        };
        let jobs = json!([
            job("nightly-1", "nightly", "Complete", "2026-01-01T03:00:20Z"),
            job("nightly-3", "nightly", "Failed", "2026-01-03T03:10:00Z"),
            job("report-1", "report", "Complete", "2026-01-03T04:00:00Z"),
        ]);
        let found = read(&crons, &jobs);
        assert_eq!(found.len(), 1);
        let stamp = |text: &str| Some(Stamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()));
        assert_eq!(
            (found[0].succeeded, found[0].failed),
            (stamp("2026-01-02T03:00:20Z"), stamp("2026-01-03T03:10:00Z"))
        );
        assert_eq!((found[0].kind.as_str(), found[0].schedule.as_str()), ("CronJob", "0 3 * * *"));
    }

    #[test]
    fn a_job_that_nobody_owns_counts_by_itself() {
        let jobs = json!([{ "metadata": { "name": "etcd-backup-29381760", "namespace": "kube-system" }, "spec": pod(&["x"]),
            "status": { "conditions": [{ "type": "Complete", "status": "True" }],
                        "completionTime": "2026-01-02T03:00:20Z" } }]);
        let found = read(&json!([]), &jobs);
        assert_eq!((found.len(), found[0].kind.as_str(), found[0].succeeded.is_some()), (1, "Job", true));
    }
}
