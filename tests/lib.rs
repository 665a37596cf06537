//! Tests of the whole suite, through its gateway and its services: see `suite/main.rs`.
