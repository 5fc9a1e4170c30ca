//! Tests of `cordon`.
