//! Creates plain HTTP responses, which are neither gRPC nor REST.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

/// HTTP methods of a page, for `allow`.
pub(crate) const PAGE: &str = "GET, HEAD, OPTIONS";

/// Answers an HTTP method that a path does not support, with the supported ones in `allow`. OPTIONS
/// succeeds, and other methods are refused.
pub(crate) fn other_method(asked: &Method, allowed: &'static str) -> Response<Body> {
    if asked == Method::OPTIONS {
        return options(allowed);
    }
    let why = "This path does not support this HTTP method: see the `allow` header.\n";
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, why);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Returns the response to OPTIONS.
pub(crate) fn options(allowed: &str) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Returns a response in plain text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, TEXT, Bytes::from_static(text.as_bytes()))
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// Returns a response with a body of media type `kind`.
pub(crate) fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
