//! Jobs: pods until enough of them have succeeded.

use serde_json::json;

use super::desk::Desk;
use super::read::{
    Key, has_condition, int, is_active, is_deleting, is_ready, name, phase, set_condition, uid,
};
use super::replicaset::mark_owner;
use super::{Change, Controller, pods};
use crate::sim::store::Object;
use crate::sim::store::resources::{JOBS, PODS};

const COMPONENT: &str = "job-controller";

/// The controller. A key names a Job.
pub struct Jobs;

/// How far a Job is.
struct Progress {
    active: i64,
    ready: i64,
    succeeded: i64,
    failed: i64,
}

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        mark_owner(change, desk, &JOBS);
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(job) = desk.get(&JOBS, key) else { return };
        if is_deleting(&job) || has_condition(&job, "Complete") || has_condition(&job, "Failed") {
            return;
        }
        let pods: Vec<Object> = desk.index.pods_of(uid(&job)).cloned().collect();
        let progress = progress(&pods);
        let completions = int(&job, "/spec/completions").unwrap_or(1);
        let limit = int(&job, "/spec/backoffLimit").unwrap_or(6);
        let is_failed = progress.failed > limit;
        if progress.succeeded < completions && !is_failed && job["spec"]["suspend"] != true {
            let parallel = int(&job, "/spec/parallelism").unwrap_or(1);
            let wanted = parallel.min(completions - progress.succeeded);
            for _ in progress.active..wanted {
                create(desk, &job);
            }
        }
        write_status(desk, key, &job, &progress, completions, is_failed);
    }
}

/// Pods that are being deleted and have not succeeded count as failed, as the controller has it.
fn progress(pods: &[Object]) -> Progress {
    let count = |test: &dyn Fn(&Object) -> bool| {
        i64::try_from(pods.iter().filter(|pod| test(pod)).count()).unwrap_or(0)
    };
    Progress {
        active: count(&|pod| is_active(pod)),
        ready: count(&|pod| is_active(pod) && is_ready(pod)),
        succeeded: count(&|pod| phase(pod) == "Succeeded"),
        failed: count(&|pod| phase(pod) == "Failed"),
    }
}

fn create(desk: &mut Desk, job: &Object) {
    let mut pod = pods::from_template(desk, &JOBS, job, &format!("{}-", name(job)));
    let labels = &mut pod["metadata"]["labels"];
    labels["batch.kubernetes.io/job-name"] = name(job).into();
    labels["batch.kubernetes.io/controller-uid"] = uid(job).into();
    labels["job-name"] = name(job).into();
    labels["controller-uid"] = uid(job).into();
    if let Some(pod) = desk.create(&PODS, pod) {
        desk.tell(job, "SuccessfulCreate", &format!("Created pod: {}", name(&pod)), COMPONENT);
    }
}

fn write_status(
    desk: &mut Desk,
    key: &Key,
    job: &Object,
    progress: &Progress,
    completions: i64,
    is_failed: bool,
) {
    let now = desk.stamp(&key.name);
    let is_complete = progress.succeeded >= completions;
    if is_complete {
        desk.tell(job, "Completed", "Job completed", COMPONENT);
    }
    desk.modify(&JOBS, key, |job| {
        let status = &mut job["status"];
        if !status.is_object() {
            *status = json!({});
        }
        if status["startTime"].is_null() {
            status["startTime"] = now.clone().into();
        }
        status["ready"] = progress.ready.into();
        for (field, count) in
            [("active", progress.active), ("succeeded", progress.succeeded), ("failed", progress.failed)]
        {
            if count > 0 {
                status[field] = count.into();
            } else if let Some(fields) = status.as_object_mut() {
                fields.remove(field);
            }
        }
        if is_complete {
            status["completionTime"] = now.clone().into();
            set_condition(
                job,
                json!({ "type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached" }),
                &now,
            );
            set_condition(
                job,
                json!({ "type": "Complete", "status": "True", "reason": "CompletionsReached",
                "message": "Reached expected number of succeeded pods" }),
                &now,
            );
        } else if is_failed {
            set_condition(
                job,
                json!({ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                "message": "Job has reached the specified backoff limit" }),
                &now,
            );
        }
    });
}
