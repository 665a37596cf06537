//! What every server process of the suite has: settings, logs, the call that is being answered,
//! errors, health, reflection, channels to other services, and an orderly end.
//!
//! Owns no business rule and no table.

pub mod call;
mod deadline;
mod error;
mod guard;
pub mod health;
mod listener;
pub mod process;
mod server;
pub mod settings;
pub mod telemetry;
pub mod upstream;

pub use call::{Call, caller};
pub use deadline::{format_timeout, parse_timeout};
pub use error::Error;
pub use guard::{Guard, GuardLayer};
pub use listener::bind;
pub use server::{Server, drain};
pub use upstream::Upstream;

/// The header that names a call in every log it leaves a trace in.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
