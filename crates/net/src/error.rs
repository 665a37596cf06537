//! Errors of handlers: a code, a reason, a message for clients, and a cause only for the log. The
//! conversion to `Status` also logs the failure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::Duration;

use clinic_proto::access::v1::ErrorReason;
use clinic_proto::validation::Violation;
use http::HeaderValue;
use tonic::{Code, Status};

use crate::status;

/// See the module. Boxed, so that results stay small.
#[derive(Debug)]
pub struct Error(Box<Kind>);

#[derive(Debug)]
enum Kind {
    Own(Own),
    Fields(Vec<Violation>),
    /// An error of another service, passed on unchanged.
    Passed(Status),
}

#[derive(Debug)]
struct Own {
    code: Code,
    reason: ErrorReason,
    message: Cow<'static, str>,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// Delay before a client retries an unavailable service.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);
/// Delay before a client with too many running calls retries.
const RETRY_CROWDED: Duration = Duration::from_secs(1);
/// Delay before a client retries after a write conflict.
const RETRY_CONFLICT: Duration = Duration::from_millis(50);

impl Error {
    fn new(code: Code, reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self(Box::new(Kind::Own(Own {
            code,
            reason,
            message,
            metadata: HashMap::new(),
            retry_after: None,
            cause: None,
        })))
    }

    fn with(mut self, change: impl FnOnce(&mut Own)) -> Self {
        if let Kind::Own(own) = self.0.as_mut() {
            change(own);
        }
        self
    }

    /// NOT_FOUND: never existed, deleted, or not visible to the caller. Always the same response.
    pub fn not_found() -> Self {
        Self::new(
            Code::NotFound,
            ErrorReason::NotFound,
            "there is no such resource, or you may not see it",
        )
    }

    /// INVALID_ARGUMENT for one field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid_fields(vec![Violation::new(field, message)])
    }

    /// INVALID_ARGUMENT for several fields.
    pub fn invalid_fields(violations: Vec<Violation>) -> Self {
        Self(Box::new(Kind::Fields(violations)))
    }

    /// INVALID_ARGUMENT: the page token is damaged or belongs to another query.
    pub fn invalid_page_token() -> Self {
        Self::new(
            Code::InvalidArgument,
            ErrorReason::InvalidPageToken,
            "page_token is damaged or belongs to another query: start again without one",
        )
    }

    /// INVALID_ARGUMENT: the request id belongs to another request.
    pub fn request_id_reused() -> Self {
        Self::new(
            Code::InvalidArgument,
            ErrorReason::RequestIdReused,
            "request_id was used for a request with different content: choose a new one",
        )
    }

    /// ALREADY_EXISTS: the field's value is taken.
    pub fn already_exists(field: &'static str, message: &'static str) -> Self {
        Self::new(Code::AlreadyExists, ErrorReason::AlreadyExists, message).with(|own| {
            own.metadata.insert("field".to_owned(), field.to_owned());
        })
    }

    /// ALREADY_EXISTS: the resource itself exists.
    pub fn already_exists_resource(message: &'static str) -> Self {
        Self::new(Code::AlreadyExists, ErrorReason::AlreadyExists, message)
    }

    /// ABORTED: the resource changed since its etag was read.
    pub fn stale_etag() -> Self {
        Self::new(
            Code::Aborted,
            ErrorReason::StaleEtag,
            "the resource has changed since this etag was read: read it again",
        )
    }

    /// UNAUTHENTICATED: no token, or an invalid one. Always the same response.
    pub fn invalid_token() -> Self {
        Self::new(
            Code::Unauthenticated,
            ErrorReason::InvalidToken,
            "a valid access token is required: sign in, and send it as `authorization: Bearer …`",
        )
    }

    /// UNAUTHENTICATED for another reason.
    pub fn unauthenticated(reason: ErrorReason, message: &'static str) -> Self {
        Self::new(Code::Unauthenticated, reason, message)
    }

    /// PERMISSION_DENIED: the caller's roles do not allow the method.
    pub fn role_required() -> Self {
        Self::new(
            Code::PermissionDenied,
            ErrorReason::RoleRequired,
            "your roles do not allow this method",
        )
    }

    /// PERMISSION_DENIED for another reason.
    pub fn permission_denied(reason: ErrorReason, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PermissionDenied, reason, message)
    }

    /// FAILED_PRECONDITION.
    pub fn failed_precondition(reason: ErrorReason, message: &'static str) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// UNIMPLEMENTED: no such service or method.
    pub fn unknown_method() -> Self {
        Self::new(
            Code::Unimplemented,
            ErrorReason::UnknownMethod,
            "there is no such service or method",
        )
    }

    /// RESOURCE_EXHAUSTED: the message is larger than `limit` bytes.
    pub fn message_too_large(limit: u32) -> Self {
        Self::new(
            Code::ResourceExhausted,
            ErrorReason::MessageTooLarge,
            format!("a message may have at most {limit} bytes"),
        )
    }

    /// RESOURCE_EXHAUSTED: too many calls of this kind are running; `message` says whose.
    pub fn too_many_calls(message: &'static str) -> Self {
        Self::new(Code::ResourceExhausted, ErrorReason::TooManyCalls, message)
            .with(|own| own.retry_after = Some(RETRY_CROWDED))
    }

    /// INVALID_ARGUMENT: the body is not valid gRPC.
    pub fn malformed_call() -> Self {
        Self::new(
            Code::InvalidArgument,
            ErrorReason::MalformedCall,
            "the body of the call is damaged or incomplete",
        )
    }

    /// INVALID_ARGUMENT: the bytes are not a message of the method's type.
    pub fn malformed_message() -> Self {
        Self::new(
            Code::InvalidArgument,
            ErrorReason::MalformedCall,
            "the message is not a valid protobuf request of this method",
        )
    }

    /// RESOURCE_EXHAUSTED: the call's metadata is larger than `limit` bytes.
    pub fn metadata_too_large(limit: usize) -> Self {
        Self::new(
            Code::ResourceExhausted,
            ErrorReason::MessageTooLarge,
            format!("the metadata of a call may have at most {limit} bytes"),
        )
    }

    /// UNIMPLEMENTED: no message, or several, for a method that takes one. gRPC defines this code
    /// for it (statuscodes.md, "cardinality violation").
    pub fn not_one_message() -> Self {
        Self::new(
            Code::Unimplemented,
            ErrorReason::MalformedCall,
            "this method takes exactly one message",
        )
    }

    /// INVALID_ARGUMENT: `grpc-timeout` breaks the grammar of the gRPC protocol.
    pub fn malformed_timeout() -> Self {
        Self::invalid_field(
            "grpc-timeout",
            "must be at most 8 digits and one of the units H, M, S, m, u and n, such as 5S for 5 seconds or 500m for 500 milliseconds",
        )
    }

    /// RESOURCE_EXHAUSTED: the caller does not read responses or does not finish requests.
    pub fn holds_too_much() -> Self {
        Self::new(
            Code::ResourceExhausted,
            ErrorReason::UnreadAnswers,
            "responses to your other calls are unread: read them first, or request smaller pages",
        )
        .with(|own| own.retry_after = Some(RETRY_UNAVAILABLE))
    }

    /// DEADLINE_EXCEEDED.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "the deadline passed before the response was ready",
        )
    }

    /// UNAVAILABLE, with a message for clients and a cause for the log.
    pub fn unavailable(
        message: &'static str,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::new(Code::Unavailable, ErrorReason::Unavailable, message).with(|own| {
            own.retry_after = Some(RETRY_UNAVAILABLE);
            own.cause = Some(cause.into());
        })
    }

    /// ABORTED: two writes conflict.
    pub fn conflict() -> Self {
        Self::new(Code::Aborted, ErrorReason::Conflict, "a concurrent write conflicts: try again")
            .with(|own| own.retry_after = Some(RETRY_CONFLICT))
    }

    /// INTERNAL: a defect. The client receives the request id, which finds the cause in the log.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal, ErrorReason::Internal, "internal error")
            .with(|own| own.cause = Some(cause.into()))
    }

    /// Returns the gRPC code that the client receives.
    pub fn code(&self) -> Code {
        match self.0.as_ref() {
            Kind::Own(own) => own.code,
            Kind::Fields(_) => Code::InvalidArgument,
            Kind::Passed(status) => status.code(),
        }
    }
}

impl From<Status> for Error {
    /// Converts another service's status. Its own errors carry details and are passed on; a status
    /// without details comes from the transport.
    fn from(status: Status) -> Self {
        match status.code() {
            _ if !status.details().is_empty() => Self(Box::new(Kind::Passed(status))),
            Code::DeadlineExceeded | Code::Cancelled => Self::deadline_exceeded(),
            Code::Unavailable => Self::unavailable(
                "a service is unreachable: try again soon",
                status.message().to_owned(),
            ),
            _ => Self::internal(format!("another service returned {:?}", status.code())),
        }
    }
}

impl Error {
    /// Logs the failure and converts it. An internal error contains the request id.
    pub(crate) fn into_status(self, request_id: Option<&HeaderValue>) -> Status {
        let own = match *self.0 {
            Kind::Fields(violations) => return status::invalid_fields(violations),
            Kind::Passed(passed) => {
                let details = passed.details().to_owned().into();
                return Status::with_details(passed.code(), passed.message(), details);
            }
            Kind::Own(own) => own,
        };
        let Own { code, reason, message, mut metadata, retry_after, cause } = own;
        if code == Code::Internal {
            tracing::error!(cause = cause.map(tracing::field::display), "internal error");
            if let Some(id) = request_id.and_then(|id| id.to_str().ok()) {
                metadata.insert("request_id".to_owned(), id.to_owned());
            }
        } else if let Some(cause) = cause {
            tracing::warn!(%cause, code = ?code, "{message}");
        }
        status::with_details(code, reason, message, metadata, |details| {
            if retry_after.is_some() {
                details.set_retry_info(retry_after);
            }
        })
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.into_status(None)
    }
}
