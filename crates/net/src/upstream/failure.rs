//! Why an attempt failed, and whether the call may be sent again.

use std::fmt::Display;
use std::sync::Arc;

use h2::Reason;

/// Why an attempt failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Failed {
    pub(super) cause: Arc<str>,
    pub(super) how: FailureKind,
}

/// How a call failed, which decides whether it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// There is no connection: the replica's machine responds, but the replica cannot be used.
    Refused,
    /// There is no connection, and the replica's machine does not respond.
    NoAnswer,
    /// The replica refused the call before processing it (RFC 9113, 8.7).
    NotTaken,
    /// The connection broke: the call may have been processed.
    Lost,
    /// The replica reset the call, which may have been processed.
    Reset,
    /// The caller's request broke off.
    Aborted,
}

impl Failed {
    pub(super) fn new(how: FailureKind, cause: &dyn Display) -> Self {
        Self { cause: cause.to_string().into(), how }
    }
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        // h2 reports a GOAWAY only to the calls that it excludes, and to later ones.
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let how = match error.is_remote() {
            true if refused || error.is_go_away() => FailureKind::NotTaken,
            true => FailureKind::Reset,
            false if error.is_io() => FailureKind::Lost,
            false => FailureKind::Aborted,
        };
        Self::new(how, &error)
    }
}
