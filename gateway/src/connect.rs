//! Refuses calls of the Connect protocol (<https://connectrpc.com/docs/protocol>), which is not
//! supported. The errors follow that protocol, because its clients then show the developer which
//! transport to use instead.

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, header};
use tonic::body::Body;

use crate::responses::respond;

const WHY: &str = "the Connect protocol is not served here: use gRPC-Web (connect-web: \
                   createGrpcWebTransport instead of createConnectTransport), gRPC (connect-node: \
                   createGrpcTransport), or the REST API under /api/";
/// Flag of a stream's last message, which holds its status.
const END_STREAM: u8 = 0b10;

/// Form of a Connect request.
enum Form {
    /// One message, in the body or in the query of a GET.
    Unary,
    /// Messages in envelopes, with this media type.
    Stream(&'static str),
}

/// Refuses a call of the Connect protocol with UNIMPLEMENTED. Returns None for other requests.
pub(crate) fn refuse(head: &Parts) -> Option<Response<Body>> {
    let error = serde_json::json!({ "code": "unimplemented", "message": WHY });
    Some(match form(head)? {
        Form::Unary => {
            respond(StatusCode::NOT_IMPLEMENTED, "application/json", error.to_string().into())
        }
        Form::Stream(kind) => {
            let end = serde_json::json!({ "error": error }).to_string();
            let len = u32::try_from(end.len()).unwrap_or(u32::MAX);
            let envelope = [&[END_STREAM][..], &len.to_be_bytes(), end.as_bytes()].concat();
            respond(StatusCode::OK, kind, envelope.into())
        }
    })
}

/// Returns whether a path has the form `/package.Service/Method`. Unknown methods get the same
/// refusal, because the protocol is the first thing to fix.
pub(crate) fn is_call(path: &str) -> bool {
    let segments = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    segments.is_some_and(|(service, method)| {
        service.contains('.') && !method.is_empty() && !method.contains('/')
    })
}

fn form(head: &Parts) -> Option<Form> {
    match head.method {
        Method::POST => match media_type(&head.headers)?.as_str() {
            "application/json" | "application/proto" => Some(Form::Unary),
            "application/connect+json" => Some(Form::Stream("application/connect+json")),
            "application/connect+proto" => Some(Form::Stream("application/connect+proto")),
            _ => None,
        },
        Method::GET => {
            let query = head.uri.query()?;
            let has = |name: &str| query.split('&').any(|pair| pair.starts_with(name));
            (has("connect=v1") || has("encoding=") && has("message=")).then_some(Form::Unary)
        }
        _ => None,
    }
}

/// Returns the content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next()?.trim().to_ascii_lowercase())
}
