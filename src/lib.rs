//! pitstop: a terminal console for Kubernetes node maintenance.

pub mod app;
pub mod backend;
pub mod cli;
pub mod config;
pub mod connect;
pub mod console;
pub mod domain;
pub mod engine;
pub mod headless;
pub mod logging;
pub mod opening;
pub mod proto;
pub mod rehearsal;
pub mod sim;
