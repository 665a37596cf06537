//! The gRPC server of a service: guard, health, reflection, readiness that follows the database,
//! background work and bounded shutdown.
//!
//! Every service has the same structure. `config.rs` combines [`settings`] and
//! `clinic_net::settings` with its own flags. `open` in `lib.rs` connects to databases and other
//! services and returns a [`Server`]. `main.rs` passes it to [`Program::run`].

mod compression;
mod connections;
mod database;
mod guard;
mod program;
mod server;
pub mod settings;

pub use database::{database_error, origin};
pub use guard::{Guard, GuardLayer};
pub use program::Program;
pub use server::Server;
