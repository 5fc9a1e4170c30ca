//! Whether a pod that is not Ready is on its way to be.

use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::time::{Stamp, brief};
use std::time::Duration;

/// Reasons of a waiting container that do not pass by themselves.
const STUCK: [&str; 9] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "SchedulingGated",
];
/// A pod that was restarted so often does not just start.
const MANY_RESTARTS: u32 = 3;
/// A pod that is not Ready after so long does not just start.
const LONG: Duration = Duration::from_mins(10);

/// What is expected of a pod that runs somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Is Ready, or will be soon.
    Ready,
    /// Will not be Ready while everything stays as it is, and why.
    Stuck(String),
    /// It cannot be told, and why.
    Unsure(String),
}

/// What is expected of a pod, on its node.
pub fn health(pod: &PodRow, node: Option<&NodeRow>, now: Stamp) -> Health {
    if pod.ready {
        return Health::Ready;
    }
    if pod.is_finished() {
        return Health::Stuck("has ended".to_owned());
    }
    if let Some(node) = node.filter(|node| !node.is_ready()) {
        return Health::Stuck(format!("not Ready, its node {} is not either", node.name));
    }
    if let Some(reason) = &pod.waiting {
        let word = reason.split([':', ' ']).next().unwrap_or(reason);
        if word == "Unschedulable" {
            return Health::Stuck("no node takes it: Pending".to_owned());
        }
        if STUCK.contains(&word) {
            return Health::Stuck(format!("not Ready: {word}"));
        }
    }
    if pod.restarts >= MANY_RESTARTS {
        return Health::Stuck(format!("not Ready after {} restarts", pod.restarts));
    }
    let age = pod.created.map_or(Duration::ZERO, |created| now.since(created));
    match (pod.restarts, age > LONG) {
        (0, false) => Health::Ready,
        (0, true) => Health::Unsure(format!("not Ready, created {} ago", brief(age))),
        (restarts, _) => Health::Unsure(format!(
            "not Ready after {}",
            crate::domain::text::count(usize::try_from(restarts).unwrap_or(1), "restart")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pod::sample;

    #[test]
    fn what_does_not_pass_is_told_from_what_just_starts() {
        let unready = PodRow { ready: false, ..sample("shop", "a") };
        let of = |pod: &PodRow| health(pod, None, Stamp(3_600_000));
        assert_eq!(of(&sample("shop", "a")), Health::Ready);
        assert_eq!(of(&unready), Health::Ready);
        let waiting = |words: &str| PodRow { waiting: Some(words.into()), ..unready.clone() };
        assert_eq!(of(&waiting("ContainerCreating")), Health::Ready);
        assert!(matches!(of(&waiting("CrashLoopBackOff")), Health::Stuck(why) if why.contains("CrashLoop")));
        assert!(matches!(of(&waiting("Unschedulable: 0/3 nodes")), Health::Stuck(_)));
        let restarted = |restarts| PodRow { restarts, ..unready.clone() };
        assert!(matches!(of(&restarted(17)), Health::Stuck(_)));
        assert!(matches!(of(&restarted(1)), Health::Unsure(_)));
        assert!(matches!(of(&PodRow { created: Some(Stamp(0)), ..unready }), Health::Unsure(_)));
    }
}
