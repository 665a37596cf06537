//! Tests that run the `clinic` binary as an operator does.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod administrators;
mod durability;
mod ending;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod full_disk;
mod keys;
mod logs;
#[cfg(target_os = "linux")]
mod memory;
mod openapi;
mod operator;
mod readme;
mod refusals;
mod schema;
mod settings;
mod sighup;
mod starting;
