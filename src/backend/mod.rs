//! Talks to the outside (Kubernetes, etcd, hosts, disks) and reports in domain types.

pub mod clock;
pub mod dial;
pub mod error;
pub mod etcd;
pub mod herald;
pub mod host;
pub mod kube;
pub mod local;
mod pipe;
pub mod power;
pub mod probe;
mod proxy;
pub mod store;
pub mod webhook;
