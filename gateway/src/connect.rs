//! Refuses calls of the Connect protocol (<https://connectrpc.com/docs/protocol>), which is not
//! supported. The errors follow that protocol, because its clients then show the developer which
//! transport to use instead.

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, header};
use tonic::body::Body;

use crate::proxy::service_name;
use crate::responses::respond;

const WHY: &str = "the Connect protocol is not served here: use gRPC-Web (connect-web: \
                   createGrpcWebTransport instead of createConnectTransport), gRPC (connect-node: \
                   createGrpcTransport), or the REST API under /api/";
/// Flag of a stream's last message, which holds its status.
const END_STREAM: u8 = 0b10;

/// Media type of the response to a call without streams.
const UNARY: &str = "application/json";

/// Refuses a call of the Connect protocol with UNIMPLEMENTED. Returns None for other requests.
pub(crate) fn refuse(head: &Parts) -> Option<Response<Body>> {
    let error = serde_json::json!({ "code": "unimplemented", "message": WHY });
    let kind = response_type(head)?;
    if kind == UNARY {
        return Some(respond(StatusCode::NOT_IMPLEMENTED, kind, error.to_string().into()));
    }
    let end = serde_json::json!({ "error": error }).to_string();
    let len = u32::try_from(end.len()).unwrap_or(u32::MAX);
    let envelope = [&[END_STREAM][..], &len.to_be_bytes(), end.as_bytes()].concat();
    Some(respond(StatusCode::OK, kind, envelope.into()))
}

/// Returns whether a path has the form `/package.Service/Method`. Unknown methods get the same
/// refusal, because the protocol is the first thing to fix.
pub(crate) fn is_call(path: &str) -> bool {
    service_name(path).is_some_and(|service| service.contains('.'))
}

/// Returns the media type of the response to a call of the protocol.
fn response_type(head: &Parts) -> Option<&'static str> {
    match head.method {
        Method::POST => match media_type(&head.headers)?.as_str() {
            "application/json" | "application/proto" => Some(UNARY),
            "application/connect+json" => Some("application/connect+json"),
            "application/connect+proto" => Some("application/connect+proto"),
            _ => None,
        },
        Method::GET => {
            // The message is in the query.
            let query = head.uri.query()?;
            let has = |name: &str| query.split('&').any(|pair| pair.starts_with(name));
            (has("connect=v1") || has("encoding=") && has("message=")).then_some(UNARY)
        }
        _ => None,
    }
}

/// Returns the content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next()?.trim().to_ascii_lowercase())
}
