//! The simulated cluster: an honest peer that speaks the real protocols and shares no rule with the product.

pub mod api;
pub mod credentials;
pub mod error;
pub mod etcd;
pub mod host;
pub mod machine;
pub mod pace;
pub mod pki;
pub mod scenario;
pub mod store;
pub mod subject;
pub mod tls;
pub mod wire;
pub mod world;

pub use credentials::Credentials;
pub use error::Error;
