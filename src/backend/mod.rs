//! Talks to the outside (Kubernetes, etcd, hosts, disks) and reports in domain types.
