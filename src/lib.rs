//! pitstop: a terminal console for Kubernetes node maintenance.

pub mod backend;
pub mod config;
pub mod console;
pub mod domain;
pub mod engine;
pub mod proto;
pub mod sim;
