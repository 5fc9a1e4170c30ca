//! Talks to the outside (Kubernetes, etcd, hosts, disks) and reports in domain types.

pub mod clock;
pub mod error;
pub mod kube;
