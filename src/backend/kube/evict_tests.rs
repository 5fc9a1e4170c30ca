//! Tests of `evict`.
