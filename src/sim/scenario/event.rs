//! What befalls a simulated cluster, by the clock.

use serde::Deserialize;

use super::settings::Span;
use crate::sim::api::faults::{Effect, Matching, Webhook};
use crate::sim::etcd::MemberFaults;
use crate::sim::host::HostFaults;

/// Something that happens at a moment after the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, counted from the start at speed 1.
    pub at: Span,
    /// What.
    pub action: Action,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// No API server answers, for a while or for good.
    ApiDown {
        /// How long.
        #[serde(rename = "for")]
        length: Option<Span>,
    },
    /// The power of a machine is cut.
    MachineOff {
        /// Which.
        node: String,
    },
    /// A machine is switched on.
    MachineOn {
        /// Which.
        node: String,
    },
    /// A machine reboots gracefully, by nobody's order.
    Reboot {
        /// Which.
        node: String,
    },
    /// A machine loses its power and gets it back, several times.
    Flap {
        /// Which.
        node: String,
        /// How many times.
        times: u32,
        /// From one loss to the next; the power is off for half of it.
        every: Span,
    },
    /// The kubelet of a node is not ready and ready by turns; its containers start anew each time.
    Unsteady {
        /// Which.
        node: String,
        /// From one loss of readiness to the next; not ready for half of it.
        every: Span,
        /// How many times; for ever when absent.
        times: Option<u32>,
    },
    /// The software of a node is another from the kubelet's next start on, or from now on.
    Software {
        /// Which.
        node: String,
        /// Kubelet version, when it changes.
        version: Option<String>,
        /// Kernel release, when it changes.
        kernel: Option<String>,
        /// Name of the operating system, when it changes.
        os: Option<String>,
        /// The kubelet starts anew at once; its containers run on.
        #[serde(default)]
        restart: bool,
    },
    /// A Service answers requests through the API server's proxy slowly or with failures; well when neither is said.
    Service {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// How long an answer takes longer.
        latency: Option<Span>,
        /// How many of a hundred requests fail.
        #[serde(default)]
        failing: u32,
        /// How they fail: an HTTP code; 500 when absent.
        code: Option<u16>,
        /// How long.
        #[serde(rename = "for")]
        length: Option<Span>,
    },
    /// Somebody cordons a node.
    Cordon {
        /// Which.
        node: String,
    },
    /// Somebody uncordons a node.
    Uncordon {
        /// Which.
        node: String,
    },
    /// Somebody deletes the Node object.
    DeleteNode {
        /// Which.
        node: String,
    },
    /// The disruption controller does nothing, for a while or for good.
    StallDisruptionController {
        /// How long.
        #[serde(rename = "for")]
        length: Option<Span>,
    },
    /// The leader of a component hangs: it renews its lease no more, and nobody takes over.
    StallLeader {
        /// `kube-controller-manager` or `kube-scheduler`.
        component: String,
    },
    /// The disruption controller takes so long from now on.
    DisruptionLag {
        /// How long.
        lag: Span,
    },
    /// Somebody deletes a pod; the name may end in `*`.
    DeletePod {
        /// Namespace.
        namespace: String,
        /// Name, or the beginning of names before a `*`.
        name: String,
    },
    /// Somebody scales a Deployment or StatefulSet.
    Scale {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// To how many.
        replicas: u32,
    },
    /// A Deployment or StatefulSet is rolled out anew, as `kubectl rollout restart` does it.
    Restart {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Something about an etcd member changes; what is not said is well again.
    EtcdMember {
        /// Its node.
        node: String,
        /// How it is from now on.
        #[serde(default)]
        faults: MemberFaults,
    },
    /// Something about a host changes; what is not said is usual again.
    Host {
        /// Its node.
        node: String,
        /// How it is from now on.
        #[serde(default)]
        faults: HostFaults,
    },
    /// The API server treats some requests badly.
    ApiFault {
        /// Which; all when absent.
        #[serde(default)]
        matching: Matching,
        /// How.
        effect: Effect,
        /// How many of them; all when absent.
        times: Option<u32>,
        /// How long.
        #[serde(rename = "for")]
        length: Option<Span>,
    },
    /// An admission webhook denies requests: evictions, unless it says otherwise.
    Webhook(Webhook),
    /// Faults of the API server and webhooks are over.
    ClearFaults,
    /// Pods begin to crash; the name may end in `*`.
    Crash {
        /// Namespace.
        namespace: String,
        /// Name, or the beginning of names before a `*`.
        name: String,
    },
}

impl Action {
    /// The node it is about.
    pub fn node(&self) -> Option<&str> {
        match self {
            Action::MachineOff { node }
            | Action::MachineOn { node }
            | Action::Reboot { node }
            | Action::Flap { node, .. }
            | Action::Unsteady { node, .. }
            | Action::Software { node, .. }
            | Action::Cordon { node }
            | Action::Uncordon { node }
            | Action::EtcdMember { node, .. }
            | Action::Host { node, .. }
            | Action::DeleteNode { node } => Some(node),
            _ => None,
        }
    }
}

/// Whether `name` is `pattern`, or begins with what stands before its final `*`.
pub fn is_match(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |head| name.starts_with(head))
}
