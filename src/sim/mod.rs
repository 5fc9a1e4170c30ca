//! The simulated cluster: an honest peer that speaks the real protocols and shares no rule with the product.

pub mod machine;
pub mod pace;
pub mod store;
