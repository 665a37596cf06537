//! The whole suite in one process. The `clinic` binary runs it; the tests do too.

pub mod databases;
mod suite;

pub use databases::Databases;
pub use suite::{Config, NewAdmin, Running, Settings, keys_dir, prepare, start};
