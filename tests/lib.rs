//! Empty. The tests of the whole suite start in `suite/main.rs`.
