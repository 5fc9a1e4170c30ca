//! After the drain: nothing is left on the node but what belongs there, and its volumes are detached.

use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::engine::job::{Ending, Job};

/// Waits until only DaemonSet and mirror pods are left and no volume is attached.
pub(super) async fn residual(job: &Job) -> Ending {
    let node = job.node()?;
    let cluster = &job.backends().cluster;
    super::hold::look(job).await?;
    loop {
        let pods = job.patiently("reading the node's pods", || cluster.pods_on(node)).await?;
        let volumes =
            job.patiently("reading the volume attachments", || cluster.attachments_on(node)).await?;
        let (stay, others): (Vec<_>, Vec<_>) =
            pods.into_iter().partition(|pod| pod.mirror || pod.is_daemon());
        let left_by_selector = !job.shared.plan.drain.pod_selector.is_empty();
        if volumes.is_empty() && others.is_empty() {
            super::hold::look(job).await?;
            return Ok(Outcome::Done(format!(
                "{} of DaemonSets and static pods left, no volume attached",
                count(stay.len(), "pod")
            )));
        }
        let excused = job.memory().excused;
        let left = others.iter().filter(|pod| excused.contains(&pod.key)).count();
        let others: Vec<String> = others.iter().map(|pod| pod.key.to_string()).collect();
        if volumes.is_empty() && left == others.len() && left > 0 {
            return Ok(Outcome::Warned(format!("left by the engineer's word: {}", others.join(", "))));
        }
        if volumes.is_empty() && left_by_selector {
            return Ok(Outcome::Warned(format!("left by the pod selector: {}", others.join(", "))));
        }
        let items = others
            .iter()
            .map(|pod| format!("{pod} is still here"))
            .chain(volumes.iter().map(|volume| format!("{volume} is still attached")))
            .collect();
        let text = format!("{} and {} left", count(others.len(), "pod"), count(volumes.len(), "volume"));
        job.progress(Progress { text, items, ..Progress::default() });
        tokio::time::sleep(job.backends().settings.timing.poll).await;
    }
}
