//! The gRPC server of a service: guard, health, reflection, readiness that follows the database,
//! background work and bounded shutdown.
//!
//! Every service has the same structure. `config.rs` combines [`settings`] and
//! `clinic_net::settings` with its own flags. `open` in `lib.rs` connects to databases and other
//! services and returns a [`Server`]. `main.rs` passes it to [`serve_until_signal`].

mod compression;
mod connections;
mod database;
mod guard;
mod server;
pub mod settings;

pub use database::{database_error, origin};
pub use guard::{Guard, GuardLayer};
pub use server::{Server, serve_until_signal};
