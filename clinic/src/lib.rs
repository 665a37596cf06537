//! Runs the whole suite in one process, for the `clinic` binary and the tests.

pub mod databases;
mod suite;

pub use databases::{Databases, SERVICES};
pub use suite::{Config, NewAdmin, Running, Settings, keys_dir, prepare, start};
