//! The few paths that are plain HTTP, and the answers where a request is neither gRPC nor REST.

use std::sync::Arc;

use bytes::Bytes;
use clinic_net::health::Health;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use crate::connect;
use crate::keyring::Keyring;
use crate::proxy::Proxy;
use crate::welcome::Welcome;

const WELCOME: &str = "/";
const JWKS: &str = "/.well-known/jwks.json";
const ALIVE: &str = "/livez";
const READY: &str = "/readyz";
/// The methods of a page, for `allow`.
pub(crate) const PAGE: &str = "GET, HEAD, OPTIONS";
/// The methods of a gRPC method's path.
const CALL: &str = "OPTIONS, POST";
/// The methods of the gateway as a whole, which is what `OPTIONS *` asks for (RFC 9110, 9.3.7).
const ANY: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// See the module. Clones share everything.
#[derive(Clone)]
pub(crate) struct Pages {
    proxy: Proxy,
    keyring: Arc<Keyring>,
    health: Health,
    welcome: Arc<Welcome>,
}

impl Pages {
    pub(crate) fn new(proxy: Proxy, keyring: Arc<Keyring>, health: Health, api_docs: bool) -> Self {
        Self { proxy, keyring, health, welcome: Arc::new(Welcome::new(api_docs)) }
    }

    /// Answers what is neither gRPC nor the REST API.
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
                    "This is a path of gRPC: the content-type of a call is application/grpc, or \
                     application/grpc-web+proto for gRPC-Web. The REST API is under /api/.\n",
                ),
                _ => other_method(&head.method, CALL),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "This is a gRPC and gRPC-Web gateway with a REST API under /api/: there is nothing at \
                 this path.\n",
            ),
        }
    }

    async fn page(&self, path: &str, head: &Parts) -> Response<Body> {
        match path {
            JWKS => {
                let keys = self.keyring.keys();
                if keys.is_empty() {
                    return text(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the keys are not known yet: try again soon\n",
                    );
                }
                let keys = serde_json::json!({ "keys": keys }).to_string();
                let mut response = respond(StatusCode::OK, "application/json", keys.into());
                // Public, and asked for often: a minute is what the gateway itself allows.
                let age = HeaderValue::from_static("public, max-age=60");
                response.headers_mut().insert(header::CACHE_CONTROL, age);
                response
            }
            // Alive, and ready: what orchestrators ask for over plain HTTP.
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

/// Answers a method of HTTP that does nothing at a path: OPTIONS lists those that do, every other one is
/// refused with the same list.
pub(crate) fn other_method(asked: &Method, allowed: &'static str) -> Response<Body> {
    if asked == Method::OPTIONS {
        return options(allowed);
    }
    let why = "This method of HTTP does nothing here: `allow` says what does.\n";
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, why);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The answer to OPTIONS.
pub(crate) fn options(allowed: &str) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// An answer for people.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, TEXT, Bytes::from_static(text.as_bytes()))
}

/// The media type of plain text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of a page.
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// An answer with a body of that media type.
pub(crate) fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
