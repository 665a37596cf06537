//! Errors of the REST API: `google.rpc.Status` as JSON, with the matching HTTP status.

use anyhow::{Context as _, Result};
use clinic_net::Error;
use clinic_net::status::{DOMAIN, reason_text, status};
use clinic_proto::access::v1::ErrorReason;
use clinic_proto::validation::Violation;
use clinic_rest::{Binding, HeaderFields};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{IDEMPOTENCY_KEY, JSON};
use crate::responses::{options, respond};

/// The client cancelled the request (nginx's code; HTTP has none for it).
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Writes errors, by reflection: their details may be of any type, and they need not be fast.
pub(super) struct ErrorWriter {
    status: MessageDescriptor,
}

impl ErrorWriter {
    pub(super) fn new() -> Result<Self> {
        let pool = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
        let status = pool.get_message_by_name("google.rpc.Status");
        Ok(Self { status: status.context("google.rpc.Status is not described")? })
    }

    /// Returns the response for an unknown path.
    pub(super) fn no_path(&self) -> Response<Body> {
        let message = "this path does not exist";
        let status = status(Code::NotFound, ErrorReason::UnknownMethod, message);
        self.write(StatusCode::NOT_FOUND, &status)
    }

    /// Answers an HTTP method that no RPC uses at this path, with the supported ones in `allow`.
    /// OPTIONS succeeds, and other methods are refused.
    pub(super) fn other_method(&self, asked: &Method, methods: &[&Method]) -> Response<Body> {
        let mut names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
        names.push(Method::OPTIONS.as_str());
        if methods.contains(&&Method::GET) {
            names.push(Method::HEAD.as_str());
        }
        names.sort_unstable();
        let names = names.join(", ");
        if asked == Method::OPTIONS {
            return options(&names);
        }
        let message = format!("this path supports {names}");
        let refused = status(Code::Unimplemented, ErrorReason::UnknownMethod, message);
        let mut response = self.write(StatusCode::METHOD_NOT_ALLOWED, &refused);
        if let Ok(allow) = HeaderValue::try_from(names) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }

    /// Returns the response for a call that failed.
    pub(super) fn response(&self, error: &ErrorResponse, asked: &HeaderMap) -> Response<Body> {
        let ErrorResponse { status, code } = error;
        let details = status.get_error_details();
        let conditional = asked.contains_key(header::IF_MATCH);
        let code = code.unwrap_or_else(|| http_code(status.code(), &details, conditional));
        let mut response = self.write(code, status);
        let headers = response.headers_mut();
        if code == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3: an error code only if the client sent a token.
            let token = asked.contains_key(header::AUTHORIZATION)
                && is(&details, ErrorReason::InvalidToken);
            let how = if token { "Bearer error=\"invalid_token\"" } else { "Bearer" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(how));
        }
        let retry = details.retry_info().and_then(|retry| retry.retry_delay);
        if let (Some(delay), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) =
            (retry, code)
        {
            // Whole seconds, at least one.
            let seconds = u64::try_from(delay.as_millis().div_ceil(1000).max(1)).unwrap_or(1);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    fn write(&self, code: StatusCode, status: &Status) -> Response<Body> {
        let decoded = match status.details() {
            [] => None,
            bytes => DynamicMessage::decode(self.status.clone(), bytes).ok(),
        };
        let options = SerializeOptions::new().use_proto_field_name(true);
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut json);
        let written =
            decoded.map(|message| message.serialize_with_options(&mut serializer, &options));
        if !matches!(written, Some(Ok(()))) {
            let (code, message) = (i32::from(status.code()), status.message());
            let plain = serde_json::json!({ "code": code, "message": message, "details": [] });
            json = plain.to_string().into();
        }
        respond(code, JSON, json.into())
    }
}

/// An error response.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    pub(super) status: Status,
    /// Set if HTTP has a more precise code than gRPC.
    code: Option<StatusCode>,
}

impl ErrorResponse {
    pub(super) fn with(code: StatusCode, error: Error) -> Self {
        Self { status: error.into(), code: Some(code) }
    }
}

impl<E: Into<Status>> From<E> for ErrorResponse {
    fn from(error: E) -> Self {
        Self { status: error.into(), code: None }
    }
}

fn is(details: &ErrorDetails, reason: ErrorReason) -> bool {
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    info.is_some_and(|info| info.reason == reason_text(reason))
}

/// Maps codes as in `google/rpc/code.proto`, and more precisely where HTTP has its own code.
fn http_code(code: Code, details: &ErrorDetails, conditional: bool) -> StatusCode {
    let is = |reason| is(details, reason);
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted if conditional && is(ErrorReason::StaleEtag) => {
            StatusCode::PRECONDITION_FAILED
        }
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted if is(ErrorReason::MessageTooLarge) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => {
            StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST)
        }
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Renames the fields to what the client sent: the field of the body without its prefix, the path
/// parameter, or the header.
pub(super) fn named_by_client(status: Status, binding: &Binding, headers: &HeaderMap) -> Status {
    let mut details = status.get_error_details();
    if is(&details, ErrorReason::RequestIdReused) && headers.contains_key(IDEMPOTENCY_KEY) {
        let message = status.message().replacen("request_id", "Idempotency-Key", 1);
        return Status::with_error_details(status.code(), message, details);
    }
    let Some(bad) = details.bad_request() else { return status };
    let (mut message, mut violations) = (status.message().to_owned(), bad.field_violations.clone());
    let header_fields = HeaderFields {
        etag: headers.contains_key(header::IF_MATCH),
        request_id: headers.contains_key(IDEMPOTENCY_KEY),
    };
    for violation in &mut violations {
        let violation_of_rpc = Violation::new(&violation.field, &violation.description);
        let Violation { field, message: description } =
            binding.as_sent(violation_of_rpc, header_fields);
        // The message names the fields in the same order, and a single field with its rule.
        message = message.replacen(&violation.field, &field, 1);
        message = message.replacen(&violation.description, &description, 1);
        (violation.field, violation.description) = (field, description);
    }
    details.set_bad_request(violations);
    Status::with_error_details(status.code(), message, details)
}
