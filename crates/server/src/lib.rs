//! The gRPC server of a service: guard, health, reflection, readiness that follows the database,
//! background work, and an end within bounds.
//!
//! Every service is put together in the same way: `config.rs` flattens the parts of [`settings`] and
//! of `clinic_net::settings` beside its own flags, `open` in `lib.rs` connects to what the service
//! needs and returns a [`Server`], and `main.rs` gives that to [`serve_until_signal`].
//! `services/records` is one to learn from.

mod compression;
mod connections;
mod database;
mod guard;
mod server;
pub mod settings;

pub use database::{database_error, origin};
pub use guard::{Guard, GuardLayer};
pub use server::{Server, serve_until_signal};
