//! The simulated cluster: an honest peer that speaks the real protocols and shares no rule with the product.

mod actors;
pub mod api;
pub mod apiserver;
pub mod cluster;
pub mod credentials;
mod directory;
pub mod error;
pub mod etcd;
pub mod host;
pub mod machine;
pub mod pace;
pub mod pki;
pub mod scenario;
pub mod serve;
pub mod store;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trouble;
pub mod wire;
pub mod world;

pub use cluster::Cluster;
pub use credentials::Credentials;
pub use error::Error;
pub use pace::Pace;
pub use scenario::Scenario;
pub use serve::{Served, serve};
