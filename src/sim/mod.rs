//! The simulated cluster: an honest peer that speaks the real protocols and shares no rule with the product.

pub mod error;
pub mod etcd;
pub mod machine;
pub mod pace;
pub mod store;
pub mod tls;
pub mod wire;

pub use error::Error;
