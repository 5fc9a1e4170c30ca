//! Tests of `lease`.
