//! etcd's gRPC messages and stubs, generated at build time from `proto/etcd.proto`.
#![allow(missing_docs, clippy::pedantic, reason = "generated code")]

tonic::include_proto!("etcdserverpb");
