//! Sizes, versions and timings of a scenario.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// How many machines and generated pods.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Size {
    /// Control planes, named `cp-1` and up; each runs an etcd member.
    pub control_planes: u32,
    /// Workers, named `worker-1` and up.
    pub workers: u32,
    /// Pods of generated Deployments, ten each, each Deployment under a budget of one unavailable.
    pub pods: u32,
    /// Zones over which the nodes are spread in turn; 0 = nodes have no zone.
    pub zones: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { control_planes: 3, workers: 3, pods: 0, zones: 0 }
    }
}

/// Versions and other names of the cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// Kubernetes version of API servers and kubelets, with its `v`.
    pub version: String,
    /// etcd version, without `v`.
    pub etcd: String,
    /// Kernel release.
    pub kernel: String,
    /// Name of the operating system.
    pub os: String,
    /// Container runtime with its version.
    pub runtime: String,
    /// How old the objects are at the start.
    pub age: Span,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            version: "v1.34.2".to_owned(),
            etcd: "3.6.5".to_owned(),
            kernel: "6.8.0-87-generic".to_owned(),
            os: "Ubuntu 24.04.3 LTS".to_owned(),
            runtime: "containerd://2.1.5".to_owned(),
            age: Span(Duration::from_hours(23 * 24)),
        }
    }
}

/// How long things take at speed 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timings {
    /// From binding until a pod's containers run.
    pub pod_start: Span,
    /// From running until Ready.
    pub pod_ready: Span,
    /// From deletion until the containers have stopped; capped by the grace period.
    pub pod_stop: Span,
    /// From a machine's boot until its kubelet works.
    pub kubelet_start: Span,
    /// Between two renewals of a node's lease.
    pub lease_renew: Span,
    /// Without a renewal for so long a node becomes Unknown.
    pub node_grace: Span,
    /// From a change until the disruption controller has seen to it.
    pub disruption_lag: Span,
    /// From a pod's end until its volumes are detached.
    pub detach: Span,
    /// Between two looks of the horizontal pod autoscaler.
    pub autoscale: Span,
    /// After a leader's machine is lost, until another takes over.
    pub leader_lease: Span,
}

impl Default for Timings {
    fn default() -> Self {
        let seconds = |n| Span(Duration::from_secs(n));
        Self {
            pod_start: seconds(2),
            pod_ready: seconds(3),
            pod_stop: seconds(3),
            kubelet_start: seconds(4),
            lease_renew: seconds(10),
            node_grace: seconds(40),
            disruption_lag: Span(Duration::from_millis(100)),
            detach: seconds(2),
            autoscale: seconds(15),
            leader_lease: seconds(15),
        }
    }
}

/// A length of time, written as `"30s"`, `"100ms"`, `"2m"`, `"1h 30m"` or `"23d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// Reads such a text.
    pub fn parse(text: &str) -> Option<Span> {
        parse(text).map(Span)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Span::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a length of time")))
    }
}

fn parse(text: &str) -> Option<Duration> {
    if let Some(days) = text.strip_suffix('d') {
        return days.trim().parse().ok().map(|days: u32| Duration::from_hours(u64::from(days) * 24));
    }
    let duration: jiff::SignedDuration = text.parse().ok()?;
    duration.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lengths_of_time() {
        assert_eq!(parse("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse("1h 30m"), Some(Duration::from_mins(90)));
        assert_eq!(parse("23d"), Some(Duration::from_hours(23 * 24)));
        assert_eq!(parse("-5s"), None);
        assert_eq!(parse("soon"), None);
    }
}
