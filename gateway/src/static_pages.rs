//! Answers requests that are neither gRPC nor REST: a few plain HTTP paths, and errors.

use std::sync::Arc;

use bytes::Bytes;
use clinic_net::health::Health;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use crate::connect;
use crate::jwks_cache::JwksCache;
use crate::proxy::Proxy;
use crate::welcome::Welcome;

const WELCOME: &str = "/";
const JWKS: &str = "/.well-known/jwks.json";
const ALIVE: &str = "/livez";
const READY: &str = "/readyz";
/// HTTP methods of a page, for `allow`.
pub(crate) const PAGE: &str = "GET, HEAD, OPTIONS";
/// HTTP methods of a gRPC method's path.
const CALL: &str = "OPTIONS, POST";
/// HTTP methods of the gateway as a whole, for `OPTIONS *` (RFC 9110, 9.3.7).
const ANY: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// The plain HTTP paths. Clones share everything.
#[derive(Clone)]
pub(crate) struct Pages {
    proxy: Proxy,
    jwks: Arc<JwksCache>,
    health: Health,
    welcome: Arc<Welcome>,
}

impl Pages {
    pub(crate) fn new(proxy: Proxy, jwks: Arc<JwksCache>, health: Health, api_docs: bool) -> Self {
        Self { proxy, jwks, health, welcome: Arc::new(Welcome::new(api_docs)) }
    }

    /// Answers a request that is neither gRPC nor REST.
    pub(crate) async fn answer(&self, head: &Parts) -> Response<Body> {
        let path = head.uri.path();
        let is_method = self.proxy.has_method(path);
        match path {
            WELCOME | JWKS | ALIVE | READY => match head.method {
                Method::GET | Method::HEAD => self.page(path, head).await,
                _ => other_method(&head.method, PAGE),
            },
            "*" => other_method(&head.method, ANY),
            _ if (is_method || connect::is_call(path))
                && let Some(refused) = connect::refuse(head) =>
            {
                refused
            }
            _ if is_method => match head.method {
                Method::POST => text(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "This is the path of a gRPC method. Set content-type to application/grpc, or \
                     to application/grpc-web+proto for gRPC-Web. The REST API is under /api/.\n",
                ),
                _ => other_method(&head.method, CALL),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "This path does not exist. This is a gRPC and gRPC-Web gateway with a REST API \
                 under /api/.\n",
            ),
        }
    }

    async fn page(&self, path: &str, head: &Parts) -> Response<Body> {
        match path {
            JWKS => {
                let keys = self.jwks.keys();
                if keys.is_empty() {
                    return text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "The keys are not available yet: try again soon.\n",
                    );
                }
                let keys = serde_json::json!({ "keys": keys }).to_string();
                let mut response = respond(StatusCode::OK, "application/json", keys.into());
                // The gateway itself refreshes the keys every minute.
                let age = HeaderValue::from_static("public, max-age=60");
                response.headers_mut().insert(header::CACHE_CONTROL, age);
                response
            }
            // Liveness and readiness, for orchestrators that probe over plain HTTP.
            ALIVE => text(StatusCode::OK, "ok\n"),
            READY => match self.health.trouble().await {
                None => text(StatusCode::OK, "ok\n"),
                Some(why) => {
                    respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n").into())
                }
            },
            _ => self.welcome.answer(&head.headers),
        }
    }
}

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
