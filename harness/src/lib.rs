//! Kill harness.
