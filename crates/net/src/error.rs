//! Errors of handlers: a status for clients, and a cause only for the log. The conversion to
//! `Status` also logs the failure.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::Duration;

use clinic_proto::access::v1::ErrorReason;
use clinic_proto::validation::Violation;
use http::HeaderValue;
use tonic::{Code, Status};

use crate::status::{self, status, with_details};

/// See the module. Boxed, so that results stay small.
#[derive(Debug)]
pub struct Error(Box<Inner>);

type Cause = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
struct Inner {
    status: Status,
    cause: Option<Cause>,
}

/// Delay before a client retries if the service is unavailable or the client has too many calls.
const RETRY_LATER: Duration = Duration::from_secs(1);
/// Delay before a client retries after a write conflict.
const RETRY_CONFLICT: Duration = Duration::from_millis(50);

/// Defines constructors for the errors with a constant message.
macro_rules! constant_errors {
    ($($(#[$doc:meta])* $name:ident: $code:expr, $reason:expr, $message:literal;)*) => {
        impl Error {
            $(
                $(#[$doc])*
                pub fn $name() -> Self {
                    Self::new($code, $reason, $message)
                }
            )*
        }
    };
}

constant_errors! {
    /// NOT_FOUND: never existed, deleted, or not visible to the caller. Always the same response.
    not_found: Code::NotFound, ErrorReason::NotFound,
        "there is no such resource, or you may not see it";
    /// INVALID_ARGUMENT: the page token is damaged or belongs to another query.
    invalid_page_token: Code::InvalidArgument, ErrorReason::InvalidPageToken,
        "page_token is damaged or belongs to another query: start again without one";
    /// INVALID_ARGUMENT: the request id belongs to another request.
    request_id_reused: Code::InvalidArgument, ErrorReason::RequestIdReused,
        "request_id was used for a request with different content: choose a new one";
    /// ABORTED: the resource changed since its etag was read.
    stale_etag: Code::Aborted, ErrorReason::StaleEtag,
        "the resource has changed since this etag was read: read it again";
    /// UNAUTHENTICATED: no token, or an invalid one. Always the same response.
    invalid_token: Code::Unauthenticated, ErrorReason::InvalidToken,
        "a valid access token is required: sign in, and send it as `authorization: Bearer …`";
    /// PERMISSION_DENIED: the caller's roles do not allow the method.
    role_required: Code::PermissionDenied, ErrorReason::RoleRequired,
        "your roles do not allow this method";
    /// UNIMPLEMENTED: no such service or method.
    unknown_method: Code::Unimplemented, ErrorReason::UnknownMethod,
        "there is no such service or method";
    /// INVALID_ARGUMENT: the body is not valid gRPC.
    malformed_call: Code::InvalidArgument, ErrorReason::MalformedCall,
        "the body of the call is damaged or incomplete";
    /// INVALID_ARGUMENT: the bytes are not a message of the method's type.
    malformed_message: Code::InvalidArgument, ErrorReason::MalformedCall,
        "the message is not a valid protobuf request of this method";
    /// UNIMPLEMENTED: no message, or several, for a method that takes one. gRPC defines this code
    /// for it (statuscodes.md, "cardinality violation").
    not_one_message: Code::Unimplemented, ErrorReason::MalformedCall,
        "this method takes exactly one message";
    /// DEADLINE_EXCEEDED.
    deadline_exceeded: Code::DeadlineExceeded, ErrorReason::DeadlineExceeded,
        "the deadline passed before the response was ready";
}

impl Error {
    fn new(code: Code, reason: ErrorReason, message: impl Into<String>) -> Self {
        Self::without_cause(status(code, reason, message))
    }

    fn to_retry(code: Code, reason: ErrorReason, message: &'static str, after: Duration) -> Self {
        let status = with_details(code, reason, message, HashMap::new(), |details| {
            details.set_retry_info(Some(after));
        });
        Self::without_cause(status)
    }

    fn without_cause(status: Status) -> Self {
        Self(Box::new(Inner { status, cause: None }))
    }

    fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// INVALID_ARGUMENT for one field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Violation::new(field, message)])
    }

    /// INVALID_ARGUMENT for several fields.
    pub fn invalid_fields(violations: Vec<Violation>) -> Self {
        Self::without_cause(status::invalid_fields(violations))
    }

    /// INVALID_ARGUMENT: `grpc-timeout` breaks the grammar of the gRPC protocol.
    pub fn malformed_timeout() -> Self {
        Self::invalid_field(
            "grpc-timeout",
            "must be at most 8 digits and one of the units H, M, S, m, u and n, such as 5S for 5 seconds or 500m for 500 milliseconds",
        )
    }

    /// ALREADY_EXISTS: the field's value is taken.
    pub fn already_exists(field: &'static str, message: &'static str) -> Self {
        let (code, reason) = (Code::AlreadyExists, ErrorReason::AlreadyExists);
        let metadata = HashMap::from([("field".to_owned(), field.to_owned())]);
        Self::without_cause(with_details(code, reason, message, metadata, |_| {}))
    }

    /// ALREADY_EXISTS: the resource itself exists.
    pub fn already_exists_resource(message: &'static str) -> Self {
        Self::new(Code::AlreadyExists, ErrorReason::AlreadyExists, message)
    }

    /// UNAUTHENTICATED for another reason.
    pub fn unauthenticated(reason: ErrorReason, message: &'static str) -> Self {
        Self::new(Code::Unauthenticated, reason, message)
    }

    /// PERMISSION_DENIED for another reason.
    pub fn permission_denied(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, reason, message)
    }

    /// FAILED_PRECONDITION.
    pub fn failed_precondition(reason: ErrorReason, message: &'static str) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// RESOURCE_EXHAUSTED: the message is larger than `limit` bytes.
    pub fn message_too_large(limit: u32) -> Self {
        let message = format!("a message may have at most {limit} bytes");
        Self::new(Code::ResourceExhausted, ErrorReason::MessageTooLarge, message)
    }

    /// RESOURCE_EXHAUSTED: the call's metadata is larger than `limit` bytes.
    pub fn metadata_too_large(limit: usize) -> Self {
        let message = format!("the metadata of a call may have at most {limit} bytes");
        Self::new(Code::ResourceExhausted, ErrorReason::MessageTooLarge, message)
    }

    /// RESOURCE_EXHAUSTED: too many calls of this kind are running; `message` says whose.
    pub fn too_many_calls(message: &'static str) -> Self {
        Self::to_retry(Code::ResourceExhausted, ErrorReason::TooManyCalls, message, RETRY_LATER)
    }

    /// RESOURCE_EXHAUSTED: the caller does not read responses or does not finish requests.
    pub fn holds_too_much() -> Self {
        let message =
            "responses to your other calls are unread: read them first, or request smaller pages";
        Self::to_retry(Code::ResourceExhausted, ErrorReason::UnreadAnswers, message, RETRY_LATER)
    }

    /// UNAVAILABLE, with a message for clients and a cause for the log.
    pub fn unavailable(message: &'static str, cause: impl Into<Cause>) -> Self {
        Self::to_retry(Code::Unavailable, ErrorReason::Unavailable, message, RETRY_LATER)
            .with_cause(cause)
    }

    /// ABORTED: two writes conflict.
    pub fn conflict() -> Self {
        let message = "a concurrent write conflicts: try again";
        Self::to_retry(Code::Aborted, ErrorReason::Conflict, message, RETRY_CONFLICT)
    }

    /// INTERNAL: a defect. The client receives the request id, which finds the cause in the log.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(Code::Internal, ErrorReason::Internal, "internal error").with_cause(cause)
    }

    /// Returns the gRPC code that the client receives.
    pub fn code(&self) -> Code {
        self.0.status.code()
    }

    /// Logs the failure and converts it. An internal error contains the request id.
    pub(crate) fn into_status(self, request_id: Option<&HeaderValue>) -> Status {
        let Inner { status, cause } = *self.0;
        let Some(cause) = cause else { return status };
        let code = status.code();
        if code != Code::Internal {
            tracing::warn!(%cause, code = ?code, "{}", status.message());
            return status;
        }
        tracing::error!(%cause, "internal error");
        let Some(id) = request_id.and_then(|id| id.to_str().ok()) else { return status };
        let metadata = HashMap::from([("request_id".to_owned(), id.to_owned())]);
        with_details(code, ErrorReason::Internal, status.message(), metadata, |_| {})
    }
}

impl From<Status> for Error {
    /// Converts another service's status. Its own errors carry details and are passed on; a status
    /// without details comes from the transport.
    fn from(status: Status) -> Self {
        match status.code() {
            code if !status.details().is_empty() => {
                // Without the metadata of that response.
                let details = status.details().to_owned().into();
                Self::without_cause(Status::with_details(code, status.message(), details))
            }
            Code::DeadlineExceeded | Code::Cancelled => Self::deadline_exceeded(),
            Code::Unavailable => Self::unavailable(
                "a service is unreachable: try again soon",
                status.message().to_owned(),
            ),
            code => Self::internal(format!("another service returned {code:?}")),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.into_status(None)
    }
}
