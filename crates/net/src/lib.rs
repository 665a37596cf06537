//! Infrastructure of every server process: sockets, HTTP/2, upstreams, deadlines, the call log,
//! errors as gRPC status, the context of a call, health, settings, logs and shutdown.
//!
//! Contains no database access and no business rules. What only services need is in clinic-server.

mod batched_io;
mod call_log;
mod context;
mod decode_errors;
pub mod discard;
mod error;
mod grpc_timeout;
pub mod health;
pub mod http2;
mod keepalive;
mod listener;
pub mod memory_quota;
pub mod message_limit;
pub mod process;
pub mod settings;
mod shutdown;
pub mod status;
pub mod telemetry;
pub mod upstream;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use batched_io::{BatchedStream, Flusher, batched};
pub use call_log::{log_call, logged};
pub use context::Context;
pub use decode_errors::{MAX_MESSAGE, replace_tonic_error, reworded_status};
pub use error::Error;
pub use grpc_timeout::{format_timeout, parse_timeout, requested_timeout};
pub use listener::{accept, bind};
pub use shutdown::{Shutdown, drain};
pub use upstream::Upstream;

/// The header that identifies a call in all logs.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Locks a mutex. Ignores poisoning: after a panic, the state is still usable, or its connection
/// ends.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
