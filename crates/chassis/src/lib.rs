//! What every server process of the suite has: settings, logs, the context of a call, errors, health, reflection, channels to other services, and an orderly end.
//!
//! Owns no business rule and no table.
//!
//! Every service is put together in the same way: `config.rs` flattens [`settings`]' parts beside
//! its own flags, `open` in `lib.rs` connects to what the service needs and returns a [`Server`],
//! and `main.rs` hands that to [`process`]. `services/records` is one to learn from.

mod answered;
mod compression;
mod connections;
mod context;
mod deadline;
pub mod discard;
mod error;
pub mod frames;
mod gathered;
mod guard;
pub mod health;
pub mod holdings;
pub mod http2;
mod listener;
pub mod process;
mod server;
pub mod settings;
mod shutdown;
mod silence;
pub mod status;
pub mod telemetry;
mod unreadable;
pub mod upstream;

pub use answered::{log_call, logged};
pub use context::Context;
pub use deadline::{asked_timeout, format_timeout, parse_timeout};
pub use error::Error;
pub use gathered::{Gathered, Outgoing, gathered};
pub use guard::{Guard, GuardLayer};
pub use listener::{accept, bind};
pub use server::{Server, drain};
pub use shutdown::Shutdown;
pub use unreadable::{reworded, reworded_status};
pub use upstream::Upstream;

/// The header that names a call in every log it leaves a trace in.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
