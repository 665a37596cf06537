//! What every process on the network has: sockets, HTTP/2, upstreams, deadlines, the call log, errors as
//! gRPC status, the context of a call, health, settings, logs, and an orderly end.
//!
//! Knows no database and no business rule. What only services have is in clinic-server.

mod answered;
mod context;
mod deadline;
pub mod discard;
mod error;
pub mod frames;
mod gathered;
pub mod health;
pub mod holdings;
pub mod http2;
mod listener;
pub mod process;
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
pub use listener::{accept, bind};
pub use shutdown::{Shutdown, drain};
pub use unreadable::{MAX_MESSAGE, reworded, reworded_status};
pub use upstream::Upstream;

/// The header that names a call in every log it leaves a trace in.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
